"""What the writing thread of a SQLite store does: commit groups, evict what is too old or too much, and index.

Nothing here raises: whoever waits for a commit must hear of it. Several writers may share a file, in one process or in
many; each transaction takes the write lock first and numbers its captures while it holds it.
"""

import logging
import sqlite3
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeAlias

from postback_receiver import sqlite_rows as rows
from postback_receiver.errors import StoreError
from postback_receiver.retention import Evictions, Kept, Retention, add, evict
from postback_receiver.sqlite_file import Durability, explain, open_for_writing
from postback_receiver.sqlite_index import can_index, forget_next, forget_stretches, index_next
from postback_receiver.stamps import Clock

_log = logging.getLogger(__name__)

IDLE_S: Final = 0.05
"""How long nothing must arrive before the writer turns to what can wait: times of answers, old captures, the index."""

# SQLite itself waits up to 0.1 s between its attempts, in which another busy writer takes the lock again and again.
_RETRY_S: Final = 0.001

_KNOWN_IDS: Final = 4096
"""Captures whose number is remembered, for the time of their answers; that of others is looked up."""

_ROWS_AT_ONCE: Final = 8

_EVICTED_AT_ONCE: Final = 256

RENEWAL_INTERVAL_NS: Final = 300 * 1_000_000_000
"""How often the index is freed of the words of captures that were evicted: as long as some are, it costs seconds."""

LOG_INTERVAL_NS: Final = 10 * 1_000_000_000
"""How often the log is emptied while captures are evicted; each time waits for the disk."""

# These say that one row is at fault; the rest of its group can still be committed.
_ROW_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)

Settings: TypeAlias = tuple[tuple[str, bytes | None], ...]
Write: TypeAlias = rows.CaptureRow | rows.AnswerRow | Settings
Outcome: TypeAlias = StoreError | None


class SqliteWriter:
    """The one connection that a store writes with; used by one thread at a time."""

    def __init__(
        self, path: Path, *, durability: Durability, retention: Retention, busy_timeout_s: float, clock: Clock
    ) -> None:
        self._path = path
        self._retention = retention
        self._busy_timeout_ns = int(busy_timeout_s * 1e9)
        self._clock = clock
        self._connection = open_for_writing(path, busy_timeout_s=busy_timeout_s, durability=durability)
        # While it still waits for others, who may be opening the same file: even this question reads it.
        self._can_index = can_index(self._connection)
        self._connection.execute("PRAGMA busy_timeout = 0")
        self._seqs: OrderedDict[str, int] = OrderedDict()
        self._renewed_ns: int | None = None
        self._cleared_ns: int | None = None
        # What an earlier run evicted may be readable yet in what it left of its log.
        self._left_traces = retention.is_limited

    def commit(
        self,
        writes: Sequence[Write],
        endings: Iterable[rows.Ending],
        *,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Sequence[Outcome]:
        """Commit a group; what became of each write. Another writer is waited for as long as the group is wanted."""
        try:
            self._begin(self._busy_timeout_ns, is_wanted)
            outcomes = self._write(writes, endings)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            reason = explain(error)
        except Exception as error:  # noqa: BLE001 -- a bug here must not leave senders waiting for ever
            _log.exception("The writer of the capture store %s failed", self._path)
            reason = f"an error of Postback Kit's own: {error!r}."
        else:
            return outcomes
        self._roll_back()
        return [StoreError(path=str(self._path), reason=reason) for _ in writes]

    def tidy_up(self) -> float | None:
        """Do a little of what can wait; the seconds after which to come back for more, None when nothing is left."""
        try:
            if self._has_too_much():
                self._begin(0)
                self._evict(_EVICTED_AT_ONCE)
                self._connection.execute("COMMIT")
                return 0.0
            if self._can_index:
                # Both, so that neither waits for the other while traffic never pauses.
                has_forgotten = self._forget_words()
                if index_next(self._connection, self._clock) or has_forgotten:
                    return 0.0
            self._clear_log()
        except sqlite3.Error as error:
            # Nothing is lost by it: another process has the lock, or the disk is full, which an append will tell.
            _log.debug("The capture store %s could not be tidied up: %s", self._path, error)
            self._roll_back()
            return IDLE_S
        except Exception:  # noqa: BLE001 -- must not stop the thread that writes
            _log.exception("The capture store %s cannot be indexed; searching it will be slow", self._path)
            self._roll_back()
            self._can_index = False
        return None

    def _forget_words(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        may_renew = self._renewed_ns is None or now_ns - self._renewed_ns >= RENEWAL_INTERVAL_NS
        if not forget_next(self._connection, self._clock, renews=may_renew):
            return False
        if may_renew:
            self._renewed_ns = now_ns
        self._left_traces = True
        return True

    def _clear_log(self) -> None:
        """Empty the write-ahead log, which holds copies of what was evicted; later, if somebody reads just now."""
        now_ns = self._clock.monotonic_ns()
        is_early = self._cleared_ns is not None and now_ns - self._cleared_ns < LOG_INTERVAL_NS
        # With limits the store looks again before long.
        if self._left_traces and not (is_early and self._retention.is_limited):
            self._cleared_ns = now_ns
            [is_busy, *_] = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._left_traces = bool(is_busy)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _begin(self, timeout_ns: int, is_wanted: Callable[[], bool] = lambda: True) -> None:
        deadline_ns = self._clock.monotonic_ns() + timeout_ns
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or self._clock.monotonic_ns() >= deadline_ns or not is_wanted():
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    def _roll_back(self) -> None:
        self._seqs.clear()
        with suppress(sqlite3.Error):
            self._connection.rollback()

    def _write(self, writes: Sequence[Write], endings: Iterable[rows.Ending]) -> Sequence[Outcome]:
        captures = [write for write in writes if isinstance(write, rows.CaptureRow)]
        outcomes: list[Outcome]
        if len(captures) == len(writes) and self._insert_all(captures):
            outcomes = [None] * len(writes)
        else:
            outcomes = [self._write_one(write) for write in writes]
        self._record_endings(endings)
        if captures and self._retention.is_limited:
            self._evict(max(_EVICTED_AT_ONCE, 2 * len(captures)))
        return outcomes

    def _insert_all(self, captures: Sequence[rows.CaptureRow]) -> bool:
        """Insert captures in one go; False, with the transaction begun afresh, when one of them cannot be kept."""
        if not captures:
            return True
        seq, total_size = self._last_position()
        values: defaultdict[tuple[str, ...], list[rows.Row]] = defaultdict(list)
        endings: defaultdict[tuple[str, ...], list[rows.Row]] = defaultdict(list)
        for row in captures:
            seq += 1
            total_size += row.size
            values[row.rare].append((seq, total_size, *row.columns))
            if row.ending is not None:
                names, stamps = row.ending.stamps
                endings[names].append((seq, *stamps))
            self._remember(row.capture_id, seq)
        try:
            self._execute_all(rows.insert_captures, values)
            self._execute_all(rows.record_endings, endings)
        except _ROW_ERRORS:
            self._roll_back()
            self._begin(self._busy_timeout_ns)
            return False
        return True

    def _execute_all(
        self,
        statement: Callable[[tuple[str, ...], int], str],
        values: Mapping[tuple[str, ...], Sequence[rows.Row]],
    ) -> None:
        """Execute a statement for rows of each kind, many rows at a time: each step lets go of Python's lock."""
        for names, some in values.items():
            whole = len(some) - len(some) % _ROWS_AT_ONCE
            parts = (some[at : at + _ROWS_AT_ONCE] for at in range(0, whole, _ROWS_AT_ONCE))
            self._connection.executemany(statement(names, _ROWS_AT_ONCE), map(tuple, map(chain.from_iterable, parts)))
            self._connection.executemany(statement(names, 1), some[whole:])

    def _write_one(self, write: Write) -> Outcome:
        try:
            if isinstance(write, rows.CaptureRow):
                self._insert_one(write)
            elif isinstance(write, rows.AnswerRow):
                seq_or_none = self._seqs.get(write.capture_id) or self._look_up(write.capture_id)
                if self._connection.execute(rows.RECORD_ANSWER, (*write.columns, seq_or_none)).rowcount:
                    self._record_endings([write.ending])
            else:
                for settings in write:
                    self._connection.execute(rows.KEEP_SETTINGS, settings)
        except _ROW_ERRORS as error:
            return StoreError(path=str(self._path), reason=f"it cannot hold this ({error}).")
        return None

    def _insert_one(self, row: rows.CaptureRow) -> None:
        """Insert a capture with what is known of its end, or neither."""
        seq, total_size = self._last_position()
        self._connection.execute("SAVEPOINT one")
        try:
            values = (seq + 1, total_size + row.size, *row.columns)
            self._connection.execute(rows.insert_captures(row.rare), values)
            if row.ending is not None:
                names, stamps = row.ending.stamps
                self._connection.execute(rows.record_endings(names), (seq + 1, *stamps))
        except _ROW_ERRORS:
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            raise
        self._connection.execute("RELEASE one")
        self._remember(row.capture_id, seq + 1)

    def _last_position(self) -> tuple[int, int]:
        """The number of the newest capture and the bytes of all up to it; of the last evicted one when none is left."""
        for seq, total_size in self._connection.execute(rows.LAST_POSITION):
            return int(seq), int(total_size)
        seq, total_size, *_ = self._connection.execute(rows.SELECT_EVICTION).fetchone()
        return int(seq), int(total_size)

    def _remember(self, capture_id: str, seq: int) -> None:
        self._seqs[capture_id] = seq
        if len(self._seqs) > _KNOWN_IDS:
            self._seqs.popitem(last=False)

    def _record_endings(self, endings: Iterable[rows.Ending]) -> None:
        values: defaultdict[tuple[str, ...], list[rows.Row]] = defaultdict(list)
        for ending in endings:
            seq = self._seqs.get(ending.capture_id) or self._look_up(ending.capture_id)
            if seq is not None:
                names, stamps = ending.stamps
                values[names].append((seq, *stamps))
        try:
            self._execute_all(rows.record_endings, values)
        except _ROW_ERRORS:
            # One that cannot be held takes no others with it.
            for names, some in values.items():
                for one in some:
                    with suppress(*_ROW_ERRORS):
                        self._connection.execute(rows.record_endings(names), one)

    def _look_up(self, capture_id: str) -> int | None:
        with suppress(*_ROW_ERRORS):
            for [seq] in self._connection.execute(rows.SEQ_OF_ID, {"id": capture_id}):
                return int(seq)
        return None

    def _has_too_much(self) -> bool:
        return self._retention.is_limited and self._to_evict(self._evictions(), 1).captures > 0

    def _evictions(self) -> Evictions:
        captures, size, oldest_at_ns, newest_at_ns = self._connection.execute(rows.SELECT_EVICTION).fetchone()
        return Evictions(captures=captures, bytes=size, oldest_at_ns=oldest_at_ns, newest_at_ns=newest_at_ns)

    def _to_evict(self, before: Evictions, limit: int) -> Evictions:
        """What has to go, up to so many captures, and has not gone `before`."""
        seq, total_size = self._last_position()
        return evict(
            self._retention,
            islice(self._kept(before.bytes), limit),
            captures=seq - before.captures,
            size=total_size - before.bytes,
            now_ns=self._clock.now_ns(),
        )

    def _evict(self, limit: int) -> None:
        """Evict up to so many captures, in the transaction that is open."""
        before = self._evictions()
        gone = self._to_evict(before, limit)
        if gone.captures:
            now = add(before, gone)
            for statement in rows.EVICT:
                self._connection.execute(statement, (now.captures,))
            self._connection.execute(
                rows.RECORD_EVICTION, (now.captures, now.bytes, now.oldest_at_ns, now.newest_at_ns)
            )
            if self._can_index:
                forget_stretches(self._connection, now.captures)
            self._left_traces = True

    def _kept(self, evicted_size: int) -> Iterator[Kept]:
        before = evicted_size
        for total_size, received_at_ns in self._connection.execute(rows.SELECT_OLDEST, (-1,)):
            yield Kept(total_size - before, received_at_ns)
            before = total_size
