"""A thread that commits: a *group commit without a timer*.

Whatever arrived while the last commit ran goes into the next one. A lone job is committed at once; under load one
commit carries many. A group is committed whole or not at all, and everybody in it hears what became of it.
"""

import asyncio
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_file import explain, outbox_error, transaction

T = TypeVar("T")

_LARGEST_GROUP: Final = 1024


class _Job(NamedTuple):
    run: Callable[[sqlite3.Connection], Any]
    waiter: asyncio.Future[Any]


class _Settled(NamedTuple):
    waiter: asyncio.Future[Any]
    result: Any
    error: Exception | None


class CommitThread:
    """Runs jobs on a connection, one after the other, and answers each once it is committed.

    A job that raises `OutboxError` has to do so before it writes: it is refused alone. With any other error its whole
    group is rolled back. Jobs that come later are tried anew.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        # Nothing may enter the queue behind the mark that ends it: nobody would ever answer it.
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run_until_closed, name=f"outbox {path.name}", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Return a future of the running loop that has the job's result once it is committed."""
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._closing:
            self.check_open()
            self._queue.put(_Job(run, waiter))
        return waiter

    def check_open(self) -> None:
        """Raise `OutboxError` when it was closed."""
        if self._closed:
            raise outbox_error(self._path, "it is closed; nothing can be done with it any more.")

    def close(self) -> None:
        """Finish what was submitted, then end; a second call does nothing."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run_until_closed(self) -> None:
        while (jobs := self._next_group())[-1] is not None:
            self._work(jobs)
        self._work(jobs[:-1])
        self._connection.close()

    def _next_group(self) -> list[_Job | None]:
        group = [self._queue.get()]
        with suppress(Empty):
            while group[-1] is not None and len(group) < _LARGEST_GROUP:
                group.append(self._queue.get_nowait())
        return group

    def _work(self, group: list[_Job | None]) -> None:
        jobs = [job for job in group if job is not None]
        if jobs:
            _answer(self._commit(jobs))

    def _commit(self, jobs: list[_Job]) -> list[_Settled]:
        """Run and commit a group; what became of each job. It never raises: whoever waits must hear of it."""
        try:
            with transaction(self._connection):
                return [self._run(job) for job in jobs]
        except sqlite3.Error as error:
            return [_Settled(job.waiter, None, outbox_error(self._path, explain(error))) for job in jobs]
        except Exception as error:  # noqa: BLE001  a fault of ours must not leave anybody waiting for ever
            return [_Settled(job.waiter, None, error) for job in jobs]

    def _run(self, job: _Job) -> _Settled:
        try:
            return _Settled(job.waiter, job.run(self._connection), None)
        except OutboxError as error:
            return _Settled(job.waiter, None, error)


def _answer(settled: list[_Settled]) -> None:
    """Wake those who wait, each on the event loop it waits on."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Settled]] = defaultdict(list)
    for one in settled:
        by_loop[one.waiter.get_loop()].append(one)
    for loop, theirs in by_loop.items():
        # A closed loop has nobody left to wake.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, theirs)


def _settle(settled: list[_Settled]) -> None:
    for waiter, result, error in settled:
        # One who was cancelled meanwhile is done already, and must not keep the others from their answer.
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(result)
        else:
            waiter.set_exception(error)
