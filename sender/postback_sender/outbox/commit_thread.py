"""A thread that commits: a *group commit without a timer*.

Whatever arrived while the last commit ran goes into the next one. A lone job is committed at once; under load one
commit carries many. A group is committed whole or not at all, and everybody in it hears what became of it.
"""

import asyncio
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from postback_sender.outbox.claims import Claims
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_file import explain, outbox_error, transaction

A = TypeVar("A")
R = TypeVar("R")

_LARGEST_GROUP: Final = 1024

Work = Callable[[sqlite3.Connection, Sequence[A]], Sequence[R | OutboxError]]
"""Does the same for each argument, in their order, and returns as many results; an error in place of a result refuses
that one alone, which must have changed nothing."""


class _Job(NamedTuple):
    work: Work[Any, Any]
    argument: Any
    waiter: asyncio.Future[Any]


class _Settled(NamedTuple):
    waiter: asyncio.Future[Any]
    result: Any


class CommitThread:
    """Runs jobs on a connection, in their order, and answers each once it is committed.

    Neighbours with the same work are done together. When work raises an error, its whole group is rolled back; jobs
    that come later are tried anew. The `claims` that a group changed go the way of the group.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, claims: Claims) -> None:
        self._connection = connection
        self._path = path
        self._claims = claims
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        # Nothing may enter the queue behind the mark that ends it: nobody would ever answer it.
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run_until_closed, name=f"outbox {path.name}", daemon=True)
        self._thread.start()

    def submit(self, work: Work[A, R], argument: A) -> asyncio.Future[R]:
        """Return a future of the running loop that has the result for an argument once it is committed."""
        waiter: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        with self._closing:
            self.check_open()
            self._queue.put(_Job(work, argument, waiter))
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
                settled = [one for work, some in groupby(jobs, _work_of) for one in self._run(work, list(some))]
        except sqlite3.Error as error:
            reason: Exception = outbox_error(self._path, explain(error))
        except Exception as error:  # noqa: BLE001  a fault of ours must not leave anybody waiting for ever
            reason = error
        else:
            self._claims.commit()
            return settled
        self._claims.rollback()
        return [_Settled(job.waiter, reason) for job in jobs]

    def _run(self, work: Work[Any, Any], jobs: list[_Job]) -> list[_Settled]:
        results = work(self._connection, [job.argument for job in jobs])
        return [_Settled(job.waiter, result) for job, result in zip(jobs, results, strict=True)]


def _work_of(job: _Job) -> Work[Any, Any]:
    return job.work


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
    for waiter, result in settled:
        # One who was cancelled meanwhile is done already, and must not keep the others from their answer.
        if waiter.done():
            continue
        if isinstance(result, Exception):
            waiter.set_exception(result)
        else:
            waiter.set_result(result)
