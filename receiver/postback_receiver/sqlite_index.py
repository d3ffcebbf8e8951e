"""The full-text index of a store: filled behind the captures, and freed of those that were evicted.

Indexing a capture costs several times as much as storing it. So it is done when the writer has nothing else to do, in
small transactions. The index comes in segments of so many captures. One whose captures were all evicted is dropped. The
one that evictions have reached is renewed from the captures that are left: taking out single words is not possible in
every version of SQLite, and would leave them in its free pages for long.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, NamedTuple, cast

from postback_receiver import sqlite_rows as rows
from postback_receiver.capture import Capture
from postback_receiver.retention import capture_size
from postback_receiver.search_terms import index_marks, index_text
from postback_receiver.stamps import Clock

_log = logging.getLogger(__name__)

INDEX_BATCH: Final = 32
"""Captures indexed in one transaction, at most: a request that arrives meanwhile has to wait for it."""

BATCH_BYTES: Final = 128 * 1024
"""What one transaction indexes ends with the capture that reaches this, read and indexed bytes together."""

LONGEST_LOCK_NS: Final = 10_000_000
"""After so long a transaction that indexes takes no further capture. Other processes write to the file as well."""

SEGMENT_BITS: Final = 15
"""A segment is 32,768 captures: few enough to be renewed in seconds, enough that a million make no more than 31."""

STRETCH: Final = 1024
"""Captures whose times are told together."""

INT64_MAX: Final = 2**63 - 1

# No content, since the captures are beside it.
_CREATE_WORDS: Final = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS {} USING fts5(text, content='', columnsize=0, tokenize='ascii')"
)
_INSERT_WORDS: Final = "INSERT INTO {} (rowid, text) VALUES (?, ?)"
_INDEXED_TO: Final = "SELECT max(coalesce((SELECT max(last_seq) FROM indexed), 0), seq) FROM eviction"
_EVICTED_TO: Final = "SELECT seq FROM eviction"
_LAST_STRETCH: Final = "SELECT first_seq, oldest_at_ns, newest_at_ns FROM indexed WHERE last_seq = ?"
_KEEP_STRETCH: Final = "INSERT OR REPLACE INTO indexed VALUES (?, ?, ?, ?)"
_OLDEST_SEGMENT: Final = "SELECT number, first_seq, new_first_seq, new_last_seq FROM segment ORDER BY number LIMIT 1"
_OPEN_SEGMENT: Final = "INSERT OR IGNORE INTO segment (number, first_seq) VALUES (?, ?)"
_KEEP_RENEWAL: Final = "UPDATE segment SET new_first_seq = ?, new_last_seq = ? WHERE number = ?"
_RENEWED: Final = (
    "UPDATE segment SET first_seq = new_first_seq, new_first_seq = NULL, new_last_seq = NULL WHERE number = ?"
)


def can_index(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite has full-text search."""
    return connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None


def indexed_to(connection: sqlite3.Connection) -> int:
    """The last capture that is in the index, or was before it was evicted; 0 when none is."""
    return int(connection.execute(_INDEXED_TO).fetchone()[0])


def evicted_to(connection: sqlite3.Connection) -> int:
    """The last capture that was evicted, 0 when none was."""
    return int(connection.execute(_EVICTED_TO).fetchone()[0])


def words_table(segment: int) -> str:
    """The table that holds the words of a segment."""
    return f"words_{segment}"


def segment_of(seq: int) -> int:
    """The segment that a capture belongs to."""
    return seq >> SEGMENT_BITS


def index_next(connection: sqlite3.Connection, clock: Clock, limit: int = INDEX_BATCH) -> int:
    """Index the next captures in a transaction of its own; how many were taken up, 0 when all are.

    sqlite3.Error when another writer has the lock, for one; the caller then rolls back.
    """
    last = indexed_to(connection)
    # Reading captures and finding their words takes longer than writing these down: nobody is locked out by it.
    batch = _next_batch(connection, last, _last_of(segment_of(last + 1)), limit)
    if not batch:
        return 0
    kept = len(batch)
    connection.execute("BEGIN IMMEDIATE")
    # Another writer may have indexed or evicted some of these meanwhile, and left the others to be read again.
    if indexed_to(connection) == last:
        segment = segment_of(last + 1)
        connection.execute(_CREATE_WORDS.format(words_table(segment)))
        connection.execute(_OPEN_SEGMENT, (segment, last + 1))
        kept = _insert(connection, words_table(segment), batch, _time_is_up(clock))
        stretch = _open_stretch(connection, last)
        for one in batch[:kept]:
            stretch = stretch.with_next(one.seq, one.received_at_ns)
        connection.execute(_KEEP_STRETCH, stretch)
    connection.execute("COMMIT")
    return kept


def forget_next(connection: sqlite3.Connection, clock: Clock, *, renews: bool, limit: int = INDEX_BATCH) -> bool:
    """Take a step towards an index without words of evicted captures, in a transaction of its own.

    A renewal goes on once it has begun; `renews` says whether one may begin. False when there is nothing to do.
    sqlite3.Error as in `index_next`.
    """
    oldest = _oldest_segment(connection)
    gone_to = evicted_to(connection)
    if oldest is None or not (
        oldest.is_renewed or _is_over(oldest, gone_to) or (renews and oldest.first_seq <= gone_to)
    ):
        return False
    batch: list[_ToIndex] = []
    if oldest.new_last_seq is not None and not _is_over(oldest, gone_to):
        stop = min(indexed_to(connection), _last_of(oldest.number))
        batch = _next_batch(connection, max(oldest.new_last_seq, gone_to), stop, limit)
    connection.execute("BEGIN IMMEDIATE")
    # Whatever another writer has done meanwhile, the next step sees.
    if _oldest_segment(connection) == oldest:
        _forget_some(connection, oldest, batch, clock)
    connection.execute("COMMIT")
    return True


def forget_stretches(connection: sqlite3.Connection, evicted_to: int) -> None:
    """Let no search look where all captures are evicted, in the transaction that is open."""
    connection.execute("DELETE FROM indexed WHERE last_seq <= ?", (evicted_to,))


class _ToIndex(NamedTuple):
    """A capture to index: its number, when it came (None when nobody knows), and its text (None to leave it out)."""

    seq: int
    received_at_ns: int | None
    text: str | None


class _Segment(NamedTuple):
    """A segment: its number, the first capture whose words are in it, and the first and last that its renewal has."""

    number: int
    first_seq: int
    new_first_seq: int | None
    new_last_seq: int | None

    @property
    def is_renewed(self) -> bool:
        """Whether its renewal has begun."""
        return self.new_last_seq is not None


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


def _oldest_segment(connection: sqlite3.Connection) -> _Segment | None:
    found = connection.execute(_OLDEST_SEGMENT).fetchone()
    return None if found is None else _Segment(*found)


def _forget_some(connection: sqlite3.Connection, segment: _Segment, batch: Sequence[_ToIndex], clock: Clock) -> None:
    old, new = words_table(segment.number), f"{words_table(segment.number)}_new"
    gone_to = evicted_to(connection)
    if _is_over(segment, gone_to):
        connection.execute(f"DROP TABLE IF EXISTS {old}")
        connection.execute(f"DROP TABLE IF EXISTS {new}")
        connection.execute("DELETE FROM segment WHERE number = ?", (segment.number,))
    elif segment.new_last_seq is None:
        connection.execute(_CREATE_WORDS.format(new))
        connection.execute(_KEEP_RENEWAL, (gone_to + 1, gone_to, segment.number))
    elif batch:
        kept = _insert(connection, new, batch, _time_is_up(clock))
        connection.execute(_KEEP_RENEWAL, (segment.new_first_seq, batch[kept - 1].seq, segment.number))
    elif max(segment.new_last_seq, gone_to) >= min(indexed_to(connection), _last_of(segment.number)):
        connection.execute(f"DROP TABLE IF EXISTS {old}")
        connection.execute(f"ALTER TABLE {new} RENAME TO {old}")
        connection.execute(_RENEWED, (segment.number,))


def _next_batch(connection: sqlite3.Connection, last: int, stop: int, limit: int) -> list[_ToIndex]:
    """The captures behind `last` and up to `stop`, at most so many and about so many bytes as one transaction takes."""
    batch: list[_ToIndex] = []
    size = 0
    # Closed before anything is written: who still reads cannot become a writer.
    with closing(connection.execute(rows.SELECT_PAGE[rows.VERSION], (last, limit))) as found:
        for values in found:
            number = cast(int, values[-1])
            if number > stop:
                break
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


def _insert(
    connection: sqlite3.Connection, table: str, batch: Sequence[_ToIndex], is_time_up: Callable[[], bool]
) -> int:
    """Put captures into a segment until the time is up; how many of them."""
    for number, (seq, _, text) in enumerate(batch, start=1):
        if text is not None:
            connection.execute(_INSERT_WORDS.format(table), (seq, text))
        if is_time_up():
            return number
    return len(batch)


def _time_is_up(clock: Clock) -> Callable[[], bool]:
    begun_ns = clock.monotonic_ns()
    return lambda: clock.monotonic_ns() - begun_ns >= LONGEST_LOCK_NS


def _open_stretch(connection: sqlite3.Connection, last: int) -> _Stretch:
    """The last stretch if there is room in it, else a new one that begins behind it."""
    begun = connection.execute(_LAST_STRETCH, (last,)).fetchone()
    if begun is not None and last + 1 < begun[0] + STRETCH and segment_of(begun[0]) == segment_of(last + 1):
        return _Stretch(begun[0], last, begun[1], begun[2])
    return _Stretch(last + 1, last, INT64_MAX, -INT64_MAX)


def _is_over(segment: _Segment, gone_to: int) -> bool:
    """Whether all captures that a segment can have were evicted."""
    return gone_to >= _last_of(segment.number)


def _last_of(segment: int) -> int:
    """The last capture of a segment."""
    return ((segment + 1) << SEGMENT_BITS) - 1
