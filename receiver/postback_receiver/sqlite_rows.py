"""A capture as a row of a SQLite table. Bodies are BLOBs and keep every byte; the rest can be read by eye.

What is known of a capture only after it was answered stands in a narrow table of its own, since changing a row in place
would write the body's page a second time.
"""

from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import msgspec

from postback_receiver.capture import Answer, Capture, Headers, Tls
from postback_receiver.retention import capture_size, fields_size
from postback_receiver.store import Numbered

SqlValue: TypeAlias = str | bytes | bytearray | int | None
Row: TypeAlias = tuple[SqlValue, ...]

VERSION: Final = 3
"""Of what a file holds, and how. 1 kept less of a capture; 2 had another full-text index."""

# Segments of the full-text index: the first capture whose words are in it, and from which to which capture the words
# are in the table that is to take its place.
CREATE_SEGMENT: Final = """
    CREATE TABLE segment (
        number INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, new_first_seq INTEGER, new_last_seq INTEGER
    )
"""

# The small columns come first: whoever looks only at them does not touch the pages that a long body goes on to. The
# index is led by the end of an id, which counts up in the ids that a receiver makes: new entries come to lie side by
# side, where random ones would each change a page of their own.
CREATE_TABLES: Final = (
    """
    CREATE TABLE capture (
        seq INTEGER PRIMARY KEY,  -- the order of arrival, without gaps
        total_size INTEGER NOT NULL,  -- bytes of this capture and of all before it, evicted ones included
        id TEXT NOT NULL,
        run TEXT NOT NULL,
        endpoint TEXT,
        received_at_ns INTEGER NOT NULL,
        connected_ns INTEGER,
        monotonic_ns INTEGER,
        body_done_ns INTEGER,
        lateness_ns INTEGER NOT NULL,
        connection TEXT NOT NULL,
        connection_request INTEGER NOT NULL,
        remote TEXT NOT NULL,
        tls TEXT,  -- a JSON object
        http_version TEXT NOT NULL,
        method TEXT NOT NULL,
        truncated INTEGER NOT NULL,
        malformed TEXT,
        fault TEXT,
        answer_status INTEGER,  -- NULL: nothing was answered
        target TEXT NOT NULL,
        headers TEXT NOT NULL,  -- a JSON list of [name, value]
        trailers TEXT,
        answer_headers TEXT,
        answer_body BLOB,
        body BLOB NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX capture_id ON capture (substr(id, -8), id)",
    "CREATE TABLE ending (seq INTEGER PRIMARY KEY, sent_at_ns INTEGER, sent_ns INTEGER, gone_ns INTEGER)",
    "CREATE TABLE IF NOT EXISTS endpoint (prefix TEXT PRIMARY KEY, settings BLOB)",
    # One row. Since captures are numbered from 1 without gaps and go oldest first, the seq of the last one that was
    # evicted says how many were, and its total_size how many bytes.
    "CREATE TABLE eviction (seq INTEGER, total_size INTEGER, oldest_at_ns INTEGER, newest_at_ns INTEGER)",
    "INSERT INTO eviction VALUES (0, 0, NULL, NULL)",
    # Stretches of captures that the full-text index holds, and when they came.
    """
    CREATE TABLE indexed (
        first_seq INTEGER PRIMARY KEY, last_seq INTEGER, oldest_at_ns INTEGER, newest_at_ns INTEGER
    )
    """,
    CREATE_SEGMENT,
)


class _CaptureRow(msgspec.Struct, array_like=True, kw_only=True):
    """The columns that hold a capture from its start, with the types SQLite gives back."""

    id: str
    run: str
    endpoint: str | None
    received_at_ns: int
    connected_ns: int | None
    monotonic_ns: int | None
    body_done_ns: int | None
    lateness_ns: int
    connection: str
    connection_request: int
    remote: str
    tls: str | None
    http_version: str
    method: str
    truncated: int
    malformed: str | None
    fault: str | None
    answer_status: int | None
    target: str
    headers: str
    trailers: str | None
    answer_headers: str | None
    answer_body: bytes | None
    body: bytes


class _WholeRow(_CaptureRow, array_like=True, kw_only=True):
    """The same with what followed."""

    sent_at_ns: int | None
    sent_ns: int | None
    gone_ns: int | None
    seq: int


_STORED: Final = _CaptureRow.__struct_fields__
_WHOLE: Final = _WholeRow.__struct_fields__
_COLUMNS: Final = ", ".join(_WHOLE)
# Version 1 kept no more than this.
_NOT_IN_VERSION_1: Final = {
    "run": "''",
    "connected_ns": "NULL",
    "tls": "NULL",
    "malformed": "NULL",
    "trailers": "NULL",
    "sent_at_ns": "answer_sent_at_ns",
    "sent_ns": "NULL",
    "gone_ns": "NULL",
}
_COLUMNS_OF_VERSION_1: Final = ", ".join(f"{_NOT_IN_VERSION_1.get(name, name)} AS {name}" for name in _WHOLE)

# The statements are put together from names in this file alone; values travel as parameters.
_SELECT: Final = f"SELECT {_COLUMNS} FROM capture LEFT JOIN ending USING (seq)"  # noqa: S608
_FROM: Final = {1: f"SELECT {_COLUMNS_OF_VERSION_1} FROM capture", 2: _SELECT, VERSION: _SELECT}  # noqa: S608
SELECT_ALL_OF_VERSION_1: Final = f"SELECT {_COLUMNS_OF_VERSION_1} FROM capture_1 ORDER BY seq"  # noqa: S608
# Columns that are NULL of most captures. They are left out then: sqlite3 looks for a way to adapt each None, and each
# bytes, at a cost like that of the whole row.
_RARE: Final = ("tls", "malformed", "fault", "trailers", "answer_headers", "answer_body")
_USUAL: Final = tuple(name for name in _STORED if name not in _RARE)
_NOTHING_RARE: Final = (None,) * len(_RARE)
_SENT: Final = ("sent_at_ns", "sent_ns")
_SENT_AND_GONE: Final = (*_SENT, "gone_ns")
_MOST_COPIED: Final = 16_384
# A sender says the same again and again: the fields of so many heads, of up to so many bytes each, are remembered.
_MOST_KNOWN: Final = 256
_LONGEST_KNOWN: Final = 1024
SELECT_PAGE: Final = {version: f"{select} WHERE seq > ? ORDER BY seq LIMIT ?" for version, select in _FROM.items()}
# What is NULL is no condition.
_CONDITIONS: Final = """
    seq BETWEEN :start AND :stop
    AND received_at_ns >= :since AND received_at_ns <= :until
    AND (:endpoint IS NULL OR endpoint = :endpoint)
    AND (:method IS NULL OR method = :method)
    AND (:status IS NULL OR answer_status = :status)
    AND (:fault IS NULL OR (fault IS NOT NULL) = :fault)
    AND (:truncated IS NULL OR truncated = :truncated)
    AND (:unmatched IS NULL OR (endpoint IS NULL) = :unmatched)
"""
SELECT_BACKWARDS: Final = {
    version: f"{select} WHERE {_CONDITIONS} ORDER BY seq DESC" for version, select in _FROM.items()
}
# Text is compared byte by byte as UTF-8, where U+10FFFF sorts behind every other character.
SELECT_IDS: Final = """
    SELECT id FROM capture WHERE seq >= :first AND id >= :start AND id < :start || char(0x10FFFF)
    ORDER BY seq DESC LIMIT :limit
"""
SELECT_ID: Final = "SELECT id FROM capture WHERE seq = ?"
# The plus keeps SQLite from reckoning that the ends are the same once the ids are, and then reading the whole index.
SEQ_OF_ID: Final = "SELECT seq FROM capture WHERE substr(id, -8) = substr(:id, -8) AND +id = :id"
COUNT: Final = "SELECT count(*) FROM capture"
SELECT_EVICTION: Final = "SELECT seq, total_size, oldest_at_ns, newest_at_ns FROM eviction"
SELECT_OLDEST: Final = "SELECT total_size, received_at_ns FROM capture ORDER BY seq LIMIT ?"
EVICT: Final = ("DELETE FROM capture WHERE seq <= ?", "DELETE FROM ending WHERE seq <= ?")
RECORD_EVICTION: Final = "UPDATE eviction SET seq = ?, total_size = ?, oldest_at_ns = ?, newest_at_ns = ?"
LAST_POSITION: Final = "SELECT seq, total_size FROM capture ORDER BY seq DESC LIMIT 1"
_ON_ENDING: Final = """
    ON CONFLICT (seq) DO UPDATE SET sent_at_ns = coalesce(excluded.sent_at_ns, sent_at_ns),
        sent_ns = coalesce(excluded.sent_ns, sent_ns), gone_ns = coalesce(excluded.gone_ns, gone_ns)
"""
RECORD_ANSWER: Final = """
    UPDATE capture SET answer_status = ?, answer_headers = ?, answer_body = ? WHERE seq = ? AND answer_status IS NULL
"""
KEEP_SETTINGS: Final = "INSERT OR REPLACE INTO endpoint (prefix, settings) VALUES (?, ?)"
SELECT_SETTINGS: Final = "SELECT prefix, settings FROM endpoint ORDER BY prefix"

_encode = msgspec.json.Encoder().encode
_decode_headers = msgspec.json.Decoder(Headers).decode
_decode_tls = msgspec.json.Decoder(Tls).decode


@lru_cache
def insert_captures(rare: tuple[str, ...], count: int = 1) -> str:
    """Return what inserts so many captures, each `seq`, `total_size` and the columns of a `CaptureRow`."""
    return _insert("capture", ("seq", "total_size", *_USUAL, *rare), count)


@lru_cache
def record_endings(stamps: tuple[str, ...], count: int = 1) -> str:
    """Return what notes so many endings, each `seq` and these stamps."""
    return _insert("ending", ("seq", *stamps), count) + _ON_ENDING


def _insert(table: str, names: tuple[str, ...], count: int) -> str:
    row = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * count)}"  # noqa: S608


class RowError(ValueError):
    """A row is not a capture: somebody else wrote it."""


class Ending(msgspec.Struct, frozen=True, gc=False):
    """What became known of a capture after it was kept; None is what this does not tell."""

    capture_id: str
    sent_at_ns: int | None
    sent_ns: int | None
    gone_ns: int | None

    @property
    def stamps(self) -> tuple[tuple[str, ...], Row]:
        """The columns that it tells, and what it tells of them."""
        if self.gone_ns is None:
            return _SENT, (self.sent_at_ns, self.sent_ns)
        return _SENT_AND_GONE, (self.sent_at_ns, self.sent_ns, self.gone_ns)


class _Fields(NamedTuple):
    """Header fields as they are kept, and how many bytes they count for."""

    text: str
    size: int


_known_fields: dict[Headers, _Fields] = {}


class CaptureRow(msgspec.Struct, frozen=True, gc=False):
    """A capture ready to be written: its size, its columns, and what is known of its end.

    Behind the usual columns come those named in `rare`.
    """

    capture_id: str
    size: int
    columns: Row
    rare: tuple[str, ...]
    ending: Ending | None


class AnswerRow(msgspec.Struct, frozen=True, gc=False):
    """An answer ready to be written to a capture that was kept without one."""

    capture_id: str
    columns: Row
    ending: Ending


def answer_to_row(capture_id: str, answer: Answer) -> AnswerRow:
    """What to write for an answer that became known later."""
    columns = (answer.status, _encode(answer.headers).decode() if answer.headers else None, answer.body)
    return AnswerRow(capture_id, columns, Ending(capture_id, answer.sent_at_ns, answer.sent_ns, None))


def capture_to_row(capture: Capture) -> CaptureRow:
    """What to write for a capture."""
    answer = capture.answer
    body = capture.body
    headers = _to_fields(capture.headers)
    columns: Row = (
        capture.id,
        capture.run,
        capture.endpoint,
        capture.received_at_ns,
        capture.connected_ns,
        capture.monotonic_ns,
        capture.body_done_ns,
        capture.lateness_ns,
        capture.connection,
        capture.connection_request,
        capture.remote,
        capture.http_version,
        capture.method,
        int(capture.truncated),
        answer.status if answer else None,
        capture.target,
        headers.text,
        bytearray(body) if len(body) <= _MOST_COPIED else body,
    )
    rare = (
        None if capture.tls is None else _encode(capture.tls).decode(),
        capture.malformed,
        capture.fault,
        _encode(capture.trailers).decode() if capture.trailers else None,
        _encode(answer.headers).decode() if answer and answer.headers else None,
        answer.body or None if answer else None,
    )
    present: tuple[str, ...] = ()
    if rare != _NOTHING_RARE:
        present = tuple(name for name, value in zip(_RARE, rare, strict=True) if value is not None)
        columns += tuple(value for value in rare if value is not None)
    ending = None
    if capture.gone_ns is not None or (answer and (answer.sent_at_ns is not None or answer.sent_ns is not None)):
        sent = (answer.sent_at_ns, answer.sent_ns) if answer else (None, None)
        ending = Ending(capture.id, *sent, capture.gone_ns)
    return CaptureRow(capture.id, capture_size(capture, headers.size), columns, present, ending)


def _to_fields(headers: Headers) -> _Fields:
    fields = _known_fields.get(headers)
    if fields is None:
        fields = _Fields(_encode(headers).decode(), fields_size(headers))
        if fields.size <= _LONGEST_KNOWN:
            if len(_known_fields) >= _MOST_KNOWN:
                _known_fields.clear()
            _known_fields[headers] = fields
    return fields


def row_to_capture(values: Row) -> Numbered:
    """The capture in a row of one of the selects above; RowError when somebody else wrote the row."""
    try:
        return _row_to_capture(values)
    except ValueError as error:
        raise RowError(str(error)) from error


def _row_to_capture(values: Row) -> Numbered:
    row = msgspec.convert(values, _WholeRow)
    answer = None
    if row.answer_status is not None:
        answer = Answer(
            status=row.answer_status,
            headers=_decode_headers(row.answer_headers or "[]"),
            body=row.answer_body or b"",
            sent_at_ns=row.sent_at_ns,
            sent_ns=row.sent_ns,
        )
    capture = Capture(
        id=row.id,
        run=row.run,
        endpoint=row.endpoint,
        received_at_ns=row.received_at_ns,
        connected_ns=row.connected_ns,
        monotonic_ns=row.monotonic_ns,
        body_done_ns=row.body_done_ns,
        gone_ns=row.gone_ns,
        lateness_ns=row.lateness_ns,
        connection=row.connection,
        connection_request=row.connection_request,
        remote=row.remote,
        tls=None if row.tls is None else _decode_tls(row.tls),
        http_version=row.http_version,
        method=row.method,
        target=row.target,
        headers=_decode_headers(row.headers),
        body=row.body,
        trailers=_decode_headers(row.trailers or "[]"),
        truncated=bool(row.truncated),
        malformed=row.malformed,
        answer=answer,
        fault=row.fault,
    )
    return Numbered(row.seq, capture)
