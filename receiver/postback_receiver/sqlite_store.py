"""A store in a SQLite file: outlives the receiver, however that ends, and can be read while it is written.

Writing is a *group commit without a timer*: one thread writes, and whatever arrived while the last commit ran goes
into the next one. A lone request is committed at once; under load one commit carries many. (Waiting a few milliseconds
to collect a larger group was measured, and halves the throughput.)
"""

import asyncio
import logging
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from postback_receiver import sqlite_rows as rows
from postback_receiver.capture import Capture
from postback_receiver.errors import MAX_LISTED, CaptureLookupError, StoreError
from postback_receiver.sqlite_file import (
    BUSY_TIMEOUT_S,
    explain,
    open_for_reading,
    open_for_writing,
    store_errors,
)

_log = logging.getLogger(__name__)

PAGE_ROWS: Final = 256
"""Captures read at a time. One long transaction per reader would keep the log of a busy store from shrinking."""

# These say that one row is at fault; the rest of its group can still be committed.
_ROW_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)


class _Write(NamedTuple):
    """Statements to commit together, and who waits for that; nobody waits for the time an answer left."""

    statements: Sequence[tuple[str, rows.Row]]
    waiter: asyncio.Future[None] | None


class SqliteReader:
    """Reads a store, in this process or another, while somebody may be writing it.

    Each call opens the file anew: it always sees the last commit and belongs to no thread.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        open_for_reading(self._path).close()

    def captures(self) -> Iterator[Capture]:
        last_seq = 0
        with store_errors(self._path), closing(open_for_reading(self._path)) as connection:
            while page := connection.execute(rows.SELECT_PAGE, (last_seq, PAGE_ROWS)).fetchall():
                for row in page:
                    yield self._capture(row)
                last_seq = page[-1][-1]

    def find(self, id_prefix: str) -> Capture:
        with store_errors(self._path), closing(open_for_reading(self._path)) as connection:
            values = {"start": id_prefix, "limit": MAX_LISTED + 1}
            fitting = [self._capture(row) for row in connection.execute(rows.SELECT_BY_ID, values)]
        # Sorted by id, so an id that is exactly the prefix comes first.
        if fitting and (len(fitting) == 1 or fitting[0].id == id_prefix):
            return fitting[0]
        raise CaptureLookupError(id_prefix=id_prefix, candidates=[capture.id for capture in fitting])

    def count(self) -> int:
        with store_errors(self._path), closing(open_for_reading(self._path)) as connection:
            return int(connection.execute(rows.COUNT).fetchone()[0])

    def endpoints(self) -> Mapping[str, bytes | None]:
        with store_errors(self._path), closing(open_for_reading(self._path)) as connection:
            return dict(connection.execute(rows.SELECT_SETTINGS).fetchall())

    def close(self) -> None:
        """Nothing is held between calls."""

    def _capture(self, row: rows.Row) -> Capture:
        try:
            return rows.row_to_capture(row)
        except ValueError as error:
            raise StoreError(path=str(self._path), reason=f"it holds a row that is not a capture: {error}.") from error


def open_store(path: str | Path) -> SqliteReader:
    """An existing store, for reading only; StoreError when there is none, it is not ours, or it is too new."""
    return SqliteReader(path)


class SqliteStore:
    """Keeps captures in a file, which is created when missing.

    What is acknowledged outlives this process, kill -9 included; a crash of the machine may cost the last commits.
    """

    def __init__(self, path: str | Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._path = Path(path)
        self._connection = open_for_writing(self._path, busy_timeout_s=busy_timeout_s)
        self._reader = SqliteReader(self._path)
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._closed = False
        # Nothing may enter the queue behind the mark that ends it: nobody would ever answer it.
        self._closing_lock = threading.Lock()
        self._thread = threading.Thread(target=self._write_until_closed, name=f"store {self._path.name}", daemon=True)
        self._thread.start()

    async def append(self, capture: Capture) -> None:
        await self._write([(rows.INSERT_CAPTURE, rows.capture_to_row(capture))])

    def record_answer_sent(self, capture_id: str, at_ns: int) -> None:
        with suppress(StoreError):
            self._enqueue(_Write([(rows.RECORD_ANSWER_SENT, (at_ns, capture_id))], waiter=None))

    async def set_endpoints(self, settings: Mapping[str, bytes | None]) -> None:
        await self._write([(rows.KEEP_SETTINGS, (prefix, text)) for prefix, text in settings.items()])

    async def flush(self) -> None:
        await self._write([])

    def captures(self) -> Iterator[Capture]:
        return self._reader.captures()

    def find(self, id_prefix: str) -> Capture:
        return self._reader.find(id_prefix)

    def count(self) -> int:
        return self._reader.count()

    def endpoints(self) -> Mapping[str, bytes | None]:
        return self._reader.endpoints()

    def close(self) -> None:
        with self._closing_lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    async def _write(self, statements: Sequence[tuple[str, rows.Row]]) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._enqueue(_Write(statements, waiter))
        await waiter

    def _enqueue(self, write: _Write) -> None:
        with self._closing_lock:
            if self._closed:
                raise StoreError(path=str(self._path), reason="it is closed; nothing can be added any more.")
            self._queue.put(write)

    def _write_until_closed(self) -> None:
        is_open = True
        while is_open:
            group = [self._queue.get()]
            with suppress(Empty):
                while True:
                    group.append(self._queue.get_nowait())
            is_open = group[-1] is not None
            writes = [write for write in group if write is not None]
            _acknowledge(zip(writes, self._commit(writes), strict=True))
        self._connection.close()

    def _commit(self, writes: Sequence[_Write]) -> Sequence[StoreError | None]:
        """Commit a group; what became of each write. It never raises: whoever waits must hear of it."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._execute(write) for write in writes]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            reason = explain(error)
        except Exception as error:  # noqa: BLE001 -- a bug here must not leave senders waiting for ever
            _log.exception("The writer of the capture store %s failed", self._path)
            reason = f"an error of Postback Kit's own: {error!r}."
        else:
            return outcomes
        with suppress(sqlite3.Error):
            self._connection.rollback()
        return [StoreError(path=str(self._path), reason=reason) for _ in writes]

    def _execute(self, write: _Write) -> StoreError | None:
        try:
            for statement, values in write.statements:
                self._connection.execute(statement, values)
        except _ROW_ERRORS as error:
            return StoreError(path=str(self._path), reason=f"it cannot hold this ({error}).")
        return None


def _acknowledge(outcomes: Iterator[tuple[_Write, StoreError | None]]) -> None:
    """Wake those who wait, on the event loop that each of them waits on."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], StoreError | None]]] = defaultdict(
        list
    )
    for write, failure in outcomes:
        if write.waiter is not None:
            by_loop[write.waiter.get_loop()].append((write.waiter, failure))
    for loop, settled in by_loop.items():
        # A closed loop has no waiters left to wake.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[tuple[asyncio.Future[None], StoreError | None]]) -> None:
    for waiter, failure in settled:
        # One who was cancelled meanwhile is done already, and must not keep the others from their answer.
        if waiter.done():
            continue
        if failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)
