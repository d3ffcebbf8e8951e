"""A store in a SQLite file: outlives the receiver, however that ends, and can be read while it is written.

Writing is a *group commit without a timer*: one thread writes, and whatever arrived while the last commit ran goes
into the next one. A lone request is committed at once; under load one commit carries many. (Waiting a few milliseconds
to collect a larger group was measured, and halves the throughput.) What nobody waits for, the times answers left, is
written many at a time, or once nothing arrives any more.
"""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from postback_receiver import sqlite_rows as rows
from postback_receiver.capture import Answer, Capture
from postback_receiver.capture_query import PAGE_SIZE, CaptureQuery
from postback_receiver.errors import StoreError
from postback_receiver.retention import Evictions, Retention
from postback_receiver.sqlite_file import BUSY_TIMEOUT_S, Durability
from postback_receiver.sqlite_reader import SqliteReader
from postback_receiver.sqlite_writer import IDLE_S, Outcome, SqliteWriter, Write
from postback_receiver.stamps import Clock, SystemClock
from postback_receiver.store import CapturePage, Numbered

RETENTION_INTERVAL_S: Final = 1.0
"""How often an idle store looks for captures to evict: some become too old, others add some to the same file."""

_MANY_ENDINGS: Final = 256
"""Times of answers that are worth writing even while captures arrive; each commit that does writes one page more."""

_COMMITS_BETWEEN: Final = 16
_WORTH_INDEXING: Final = 512
"""Captures that have come without a pause after which some are indexed all the same, once in so many commits."""

_LARGE_GROUP: Final = 8
_LARGE_COMMITS_BETWEEN: Final = 256
"""Once in so many when that many captures go into one commit on average: indexing could not keep up, and would slow all
down."""

_UNLIMITED: Final = Retention()


class _Mark(Enum):
    """What may come in place of a write."""

    WAKE = auto()
    END = auto()


class _Waiting(NamedTuple):
    write: Write
    waiter: asyncio.Future[None]


class SqliteStore:
    """Keeps captures in a file, which is created when missing. Several stores, also in several processes, may share it.

    What is acknowledged outlives this process, kill -9 included; with `durability="power"` also a crash of the machine,
    for the price of waiting for the disk at each commit. `retention` says what is evicted; it holds for the captures
    that others put into the file as well.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        durability: Durability = "process",
        retention: Retention = _UNLIMITED,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> None:
        self._path = Path(path)
        self._writer = SqliteWriter(
            self._path,
            durability=durability,
            retention=retention,
            busy_timeout_s=busy_timeout_s,
            clock=clock or SystemClock(),
        )
        self._reader = SqliteReader(self._path)
        self._rest_s = RETENTION_INTERVAL_S if retention.is_limited else None
        self._queue: SimpleQueue[_Waiting | _Mark] = SimpleQueue()
        # Nobody waits for these, so they do not wake the writer, unless it sleeps for want of anything to do.
        self._endings: deque[rows.Ending] = deque()
        self._sleeping = False
        self._closed = False
        # Nothing may enter the queue behind the mark that ends it: nobody would ever answer it.
        self._closing_lock = threading.Lock()
        self._thread = threading.Thread(target=self._write_until_closed, name=f"store {self._path.name}", daemon=True)
        self._thread.start()

    async def append(self, capture: Capture) -> None:
        await self._put(rows.capture_to_row(capture))

    def record_answer_sent(self, capture_id: str, at_ns: int, monotonic_ns: int) -> None:
        self._note(rows.Ending(capture_id, at_ns, monotonic_ns, None))

    async def record_answer(self, capture_id: str, answer: Answer) -> None:
        await self._put(rows.answer_to_row(capture_id, answer))

    def record_peer_gone(self, capture_id: str, monotonic_ns: int) -> None:
        self._note(rows.Ending(capture_id, None, None, monotonic_ns))

    async def set_endpoints(self, settings: Mapping[str, bytes | None]) -> None:
        await self._put(tuple(settings.items()))

    async def flush(self) -> None:
        await self._put(())

    def captures(self, *, after: int = 0) -> Iterator[Capture]:
        return self._reader.captures(after=after)

    def numbered(self, *, after: int = 0) -> Iterator[Numbered]:
        return self._reader.numbered(after=after)

    def find(self, id_prefix: str) -> Capture:
        return self._reader.find(id_prefix)

    def count(self) -> int:
        return self._reader.count()

    def search(self, query: CaptureQuery, *, limit: int = PAGE_SIZE, before: int | None = None) -> CapturePage:
        return self._reader.search(query, limit=limit, before=before)

    def evictions(self) -> Evictions:
        return self._reader.evictions()

    def endpoints(self) -> Mapping[str, bytes | None]:
        return self._reader.endpoints()

    def close(self) -> None:
        with self._closing_lock:
            if not self._closed:
                self._closed = True
                self._queue.put(_Mark.END)
        self._thread.join()

    def _put(self, write: Write) -> asyncio.Future[None]:
        """Leave a write to the thread; what is returned is done once it is committed."""
        waiter = asyncio.get_running_loop().create_future()
        with self._closing_lock:
            if self._closed:
                raise StoreError(path=str(self._path), reason="it is closed; nothing can be added any more.")
            self._queue.put(_Waiting(write, waiter))
        return waiter

    def _note(self, ending: rows.Ending) -> None:
        if not self._closed:
            self._endings.append(ending)
            if self._sleeping:
                self._queue.put(_Mark.WAKE)

    def _write_until_closed(self) -> None:
        pause_s: float | None = IDLE_S
        is_open = True
        commits = written = behind = 0
        while is_open:
            taken = self._take(pause_s)
            is_open = _Mark.END not in taken
            waiting = [one for one in taken if isinstance(one, _Waiting)]
            endings: list[rows.Ending] = []
            is_flush = any(not isinstance(write, rows.CaptureRow) for write, _ in waiting)
            if is_flush or not taken or not is_open or len(self._endings) >= _MANY_ENDINGS:
                endings = [self._endings.popleft() for _ in range(len(self._endings))]
            if waiting or endings:
                is_wanted = partial(self._is_wanted, waiting, endings)
                outcomes = self._writer.commit([write for write, _ in waiting], endings, is_wanted=is_wanted)
                _acknowledge([waiter for _, waiter in waiting], outcomes)
                commits, written, behind = commits + 1, written + len(waiting), behind + len(waiting)
            if not taken:
                pause_s = self._writer.tidy_up()
                commits = written = 0
                behind = 0 if pause_s is None else behind
                continue
            pause_s = IDLE_S
            # Without this, traffic that never pauses would leave all it brings to be searched by reading.
            between = _COMMITS_BETWEEN if written < _LARGE_GROUP * commits else _LARGE_COMMITS_BETWEEN
            if behind >= _WORTH_INDEXING and commits >= between and is_open:
                commits = written = 0
                behind = 0 if self._writer.tidy_up() is None else behind
        self._writer.close()

    def _is_wanted(self, waiting: Sequence[_Waiting], endings: Sequence[rows.Ending]) -> bool:
        """Whether a group is worth waiting for another writer: not when we close, and nobody waits for it any more."""
        return not self._closed or bool(endings) or not all(waiter.done() for _, waiter in waiting)

    def _take(self, pause_s: float | None) -> Sequence["_Waiting | _Mark"]:
        """What has come; nothing when none comes for so long, or, with no pause to make, in as long as it can sleep."""
        taken: list[_Waiting | _Mark] = []
        with suppress(Empty):
            if pause_s is None:
                taken.append(self._sleep())
            elif pause_s:
                taken.append(self._queue.get(timeout=pause_s))
            while True:
                taken.append(self._queue.get_nowait())
        return taken

    def _sleep(self) -> "_Waiting | _Mark":
        self._sleeping = True
        try:
            # Looked at only now: whoever notes something from here on sees that it has to wake the writer.
            if self._endings:
                return _Mark.WAKE
            return self._queue.get(timeout=self._rest_s)
        finally:
            self._sleeping = False


def _acknowledge(waiters: Sequence[asyncio.Future[None]], outcomes: Sequence[Outcome]) -> None:
    """Wake those who wait, on the event loop that each of them waits on."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], Outcome]]] = defaultdict(list)
    for waiter, outcome in zip(waiters, outcomes, strict=True):
        by_loop[waiter.get_loop()].append((waiter, outcome))
    for loop, settled in by_loop.items():
        # A closed loop has no waiters left to wake.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[tuple[asyncio.Future[None], Outcome]]) -> None:
    for waiter, failure in settled:
        # One who was cancelled meanwhile is done already, and must not keep the others from their answer.
        if waiter.done():
            continue
        if failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)
