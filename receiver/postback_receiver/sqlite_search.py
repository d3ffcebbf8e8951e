"""Searching a store: a full-text index that is filled behind the captures, and what finds captures with it or without.

Indexing a capture costs several times as much as storing it. So it is done when the writer has nothing else to do, in
small transactions; captures that are not indexed yet are found by reading them. The index comes in segments, newest
first at a search, so that evicting old captures drops whole segments instead of unpicking them word by word.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final, NamedTuple, cast

from postback_receiver import sqlite_rows as rows
from postback_receiver.capture import Capture
from postback_receiver.capture_query import CaptureQuery
from postback_receiver.retention import capture_size
from postback_receiver.search_terms import index_marks, index_text, match_expression
from postback_receiver.stamps import Clock
from postback_receiver.store import Numbered

_log = logging.getLogger(__name__)

INDEX_BATCH: Final = 32
"""Captures indexed in one transaction, at most: a request that arrives meanwhile has to wait for it."""

BATCH_BYTES: Final = 128 * 1024
"""What one transaction indexes ends with the capture that reaches this, read and indexed bytes together."""

LONGEST_LOCK_NS: Final = 10_000_000
"""After so long a transaction that indexes takes no further capture. Other processes write to the file as well."""

SEGMENT_BITS: Final = 16
STRETCH: Final = 1024
"""Captures whose times are told together."""

_INT64_MAX: Final = 2**63 - 1

READ_FIRST: Final = 256
"""Captures that are read before the index is asked. What many captures have is found among them at once, and it is just
the questions about such that the index takes long to answer."""

# No content, since the captures are beside it.
_CREATE_SEGMENT: Final = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS {} USING fts5(text, content='', columnsize=0, tokenize='ascii')"
)
_INSERT_WORDS: Final = "INSERT INTO {} (rowid, text) VALUES (?, ?)"
_FIND_WORDS: Final = "SELECT rowid FROM {0} WHERE {0} MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC"
_INDEXED_TO: Final = "SELECT max(coalesce((SELECT max(last_seq) FROM indexed), 0), seq) FROM eviction"
_LAST_STRETCH: Final = "SELECT first_seq, oldest_at_ns, newest_at_ns FROM indexed WHERE last_seq = ?"
_KEEP_STRETCH: Final = "INSERT OR REPLACE INTO indexed VALUES (?, ?, ?, ?)"
_STRETCHES: Final = """
    SELECT first_seq, last_seq FROM indexed
    WHERE newest_at_ns >= ? AND oldest_at_ns <= ? AND first_seq <= ? ORDER BY first_seq DESC
"""


def can_index(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite has full-text search."""
    return connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None


def index_next(connection: sqlite3.Connection, clock: Clock, limit: int = INDEX_BATCH) -> int:
    """Index the next captures in a transaction of its own; how many were taken up, 0 when all are.

    sqlite3.Error when another writer has the lock, for one; the caller then rolls back.
    """
    [last] = connection.execute(_INDEXED_TO).fetchone()
    # Reading captures and finding their words takes longer than writing these down: nobody is locked out by it.
    batch = _next_batch(connection, last, limit)
    if not batch:
        return 0
    kept = len(batch)
    connection.execute("BEGIN IMMEDIATE")
    begun_ns = clock.monotonic_ns()
    # Another writer may have indexed or evicted some of these meanwhile, and left the others to be read again.
    if connection.execute(_INDEXED_TO).fetchone() == (last,):
        kept = _keep_batch(connection, last, batch, lambda: clock.monotonic_ns() - begun_ns >= LONGEST_LOCK_NS)
    connection.execute("COMMIT")
    return kept


class _ToIndex(NamedTuple):
    """A capture to index: its number, when it came (None when nobody knows), and its text (None to leave it out)."""

    seq: int
    received_at_ns: int | None
    text: str | None


def _next_batch(connection: sqlite3.Connection, last: int, limit: int) -> list[_ToIndex]:
    limit = min(limit, ((((last + 1) >> SEGMENT_BITS) + 1) << SEGMENT_BITS) - (last + 1))
    batch: list[_ToIndex] = []
    size = 0
    # Closed before anything is written: who still reads cannot become a writer.
    with closing(connection.execute(rows.SELECT_PAGE[2], (last, limit))) as found:
        for values in found:
            number = cast(int, values[-1])
            try:
                capture = rows.row_to_capture(values).capture
            except rows.RowError:
                batch.append(_ToIndex(number, None, None))
                continue
            text = _text_of(capture)
            batch.append(_ToIndex(number, capture.received_at_ns, text))
            size += capture_size(capture) + len(text)
            if size >= BATCH_BYTES:
                break
    return batch


def _text_of(capture: Capture) -> str:
    try:
        return index_text(capture)
    except Exception:  # noqa: BLE001 -- one capture must not keep all that follow out of the index
        _log.exception("The text of capture %s cannot be indexed; a search for text will not find it", capture.id)
        return index_marks(capture)


def _keep_batch(
    connection: sqlite3.Connection, last: int, batch: Sequence[_ToIndex], is_time_up: Callable[[], bool]
) -> int:
    table = _table((last + 1) >> SEGMENT_BITS)
    connection.execute(_CREATE_SEGMENT.format(table))
    stretch = _open_stretch(connection, last)
    for seq, received_at_ns, text in batch:
        if text is not None:
            connection.execute(_INSERT_WORDS.format(table), (seq, text))
        stretch = stretch.with_next(seq, received_at_ns)
        if is_time_up():
            break
    connection.execute(_KEEP_STRETCH, stretch)
    return stretch.last_seq - last


def forget_evicted(connection: sqlite3.Connection, before: int, now: int) -> None:
    """Drop what the index holds of evicted captures only; `before` and `now` are the last ones that were and are."""
    for segment in range((before + 1) >> SEGMENT_BITS, (now + 1) >> SEGMENT_BITS):
        connection.execute(f"DROP TABLE IF EXISTS {_table(segment)}")
    connection.execute("DELETE FROM indexed WHERE last_seq <= ?", (now,))


def find(connection: sqlite3.Connection, version: int, query: CaptureQuery, before: int | None) -> Iterator[Numbered]:
    """What a query finds, newest first; RowError at a row that is not a capture. Needs one transaction throughout."""
    stop = _INT64_MAX if before is None else before - 1
    for start, end in _places(connection, version, query, stop):
        for values in connection.execute(rows.SELECT_BACKWARDS[version], _conditions(query, start, end)):
            numbered = rows.row_to_capture(values)
            if query.matches(numbered.capture):
                yield numbered


def _places(connection: sqlite3.Connection, version: int, query: CaptureQuery, stop: int) -> Iterator[tuple[int, int]]:
    """Where to look, newest first: the first and the last seq of each place."""
    if version == 1 or not can_index(connection):
        yield 1, stop
        return
    [indexed_to] = connection.execute(_INDEXED_TO).fetchone()
    read_from = max(min(indexed_to, stop) - READ_FIRST, 0) + 1
    yield read_from, stop
    expression = match_expression(query)
    for first, last in _spans(connection, query, read_from - 1):
        if expression is None:
            yield first, last
        else:
            statement = _FIND_WORDS.format(_table(first >> SEGMENT_BITS))
            for [seq] in connection.execute(statement, (expression, first, last)):
                yield seq, seq


def _spans(connection: sqlite3.Connection, query: CaptureQuery, stop: int) -> Iterator[tuple[int, int]]:
    """What is indexed and may have come at the time asked for: stretches, joined within a segment."""
    open_first = open_last = 0
    for first, last in connection.execute(_STRETCHES, (*_times(query), stop)):
        if last + 1 == open_first and first >> SEGMENT_BITS == open_first >> SEGMENT_BITS:
            open_first = first
            continue
        if open_first:
            yield open_first, open_last
        open_first, open_last = first, min(last, stop)
    if open_first:
        yield open_first, open_last


def _conditions(query: CaptureQuery, start: int, stop: int) -> dict[str, rows.SqlValue]:
    since, until = _times(query)
    return {
        "start": start,
        "stop": stop,
        "since": since,
        "until": until,
        "endpoint": _if_encodable(query.endpoint),
        "method": _if_encodable(query.method),
        "status": None if query.status is None else _within_64_bits(query.status),
        "fault": query.fault,
        "truncated": query.truncated,
        "unmatched": query.unmatched,
    }


class _Stretch(NamedTuple):
    """Captures that follow each other, and when the first and the last of them came by the wall clock."""

    first_seq: int
    last_seq: int
    oldest_at_ns: int
    newest_at_ns: int

    def with_next(self, seq: int, at_ns: int | None) -> "_Stretch":
        if at_ns is None:
            return self._replace(last_seq=seq)
        return _Stretch(self.first_seq, seq, min(self.oldest_at_ns, at_ns), max(self.newest_at_ns, at_ns))


def _open_stretch(connection: sqlite3.Connection, last: int) -> _Stretch:
    """The last stretch if there is room in it, else a new one that begins behind it."""
    begun = connection.execute(_LAST_STRETCH, (last,)).fetchone()
    if begun is not None and last + 1 < begun[0] + STRETCH and begun[0] >> SEGMENT_BITS == (last + 1) >> SEGMENT_BITS:
        return _Stretch(begun[0], last, begun[1], begun[2])
    return _Stretch(last + 1, last, _INT64_MAX, -_INT64_MAX)


def _table(segment: int) -> str:
    return f"words_{segment}"


def _times(query: CaptureQuery) -> tuple[int, int]:
    since = -_INT64_MAX - 1 if query.since_ns is None else _within_64_bits(query.since_ns)
    until = _INT64_MAX if query.until_ns is None else _within_64_bits(query.until_ns)
    return since, until


def _within_64_bits(value: int) -> int:
    return max(-_INT64_MAX - 1, min(value, _INT64_MAX))


def is_encodable(text: str) -> bool:
    """Whether SQLite takes this text: whether it is free of half characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _if_encodable(text: str | None) -> str | None:
    # Without this condition all are read, and none found.
    return text if text is not None and is_encodable(text) else None
