"""A capture as a row of a SQLite table. Bodies are BLOBs and keep every byte; the rest can be read by eye."""

from typing import Final, TypeAlias

import msgspec
from msgspec.structs import astuple

from postback_receiver.capture import Answer, Capture, Headers

SqlValue: TypeAlias = str | bytes | int | None
Row: TypeAlias = tuple[SqlValue, ...]

CREATE_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS capture (
        seq INTEGER PRIMARY KEY,  -- the order of arrival
        id TEXT NOT NULL UNIQUE,
        endpoint TEXT,
        received_at_ns INTEGER NOT NULL,
        monotonic_ns INTEGER,
        body_done_ns INTEGER,
        lateness_ns INTEGER NOT NULL,
        connection TEXT NOT NULL,
        connection_request INTEGER NOT NULL,
        remote TEXT NOT NULL,
        http_version TEXT NOT NULL,
        method TEXT NOT NULL,
        target TEXT NOT NULL,
        headers TEXT NOT NULL,  -- a JSON list of [name, value]
        body BLOB NOT NULL,
        truncated INTEGER NOT NULL,
        answer_status INTEGER,  -- NULL: nothing was answered
        answer_headers TEXT,
        answer_body BLOB,
        answer_sent_at_ns INTEGER,
        fault TEXT
    )
    """,
    "CREATE TABLE IF NOT EXISTS endpoint (prefix TEXT PRIMARY KEY, settings BLOB)",
)


class _CaptureRow(msgspec.Struct, array_like=True, kw_only=True):
    """The columns that hold a capture, with the types SQLite gives back."""

    id: str
    endpoint: str | None
    received_at_ns: int
    monotonic_ns: int | None
    body_done_ns: int | None
    lateness_ns: int
    connection: str
    connection_request: int
    remote: str
    http_version: str
    method: str
    target: str
    headers: str
    body: bytes
    truncated: int
    answer_status: int | None
    answer_headers: str | None
    answer_body: bytes | None
    answer_sent_at_ns: int | None
    fault: str | None


_FIELDS: Final = _CaptureRow.__struct_fields__
_COLUMNS: Final = ", ".join(_FIELDS)

# The statements are put together from names in this file alone; values travel as parameters.
INSERT_CAPTURE: Final = f"INSERT INTO capture ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})"  # noqa: S608
SELECT_PAGE: Final = f"SELECT {_COLUMNS}, seq FROM capture WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
# Text is compared byte by byte as UTF-8, where U+10FFFF sorts behind every other character.
SELECT_BY_ID: Final = (
    f"SELECT {_COLUMNS} FROM capture WHERE id >= :start AND id < :start || char(0x10FFFF) ORDER BY id LIMIT :limit"  # noqa: S608
)
COUNT: Final = "SELECT count(*) FROM capture"
RECORD_ANSWER_SENT: Final = "UPDATE capture SET answer_sent_at_ns = ? WHERE id = ? AND answer_status IS NOT NULL"
KEEP_SETTINGS: Final = "INSERT OR REPLACE INTO endpoint (prefix, settings) VALUES (?, ?)"
SELECT_SETTINGS: Final = "SELECT prefix, settings FROM endpoint ORDER BY prefix"

_encode = msgspec.json.Encoder().encode
_decode_headers = msgspec.json.Decoder(Headers).decode


def capture_to_row(capture: Capture) -> Row:
    """The values for `INSERT_CAPTURE`."""
    answer = capture.answer
    row = _CaptureRow(
        id=capture.id,
        endpoint=capture.endpoint,
        received_at_ns=capture.received_at_ns,
        monotonic_ns=capture.monotonic_ns,
        body_done_ns=capture.body_done_ns,
        lateness_ns=capture.lateness_ns,
        connection=capture.connection,
        connection_request=capture.connection_request,
        remote=capture.remote,
        http_version=capture.http_version,
        method=capture.method,
        target=capture.target,
        headers=_encode(capture.headers).decode(),
        body=capture.body,
        truncated=int(capture.truncated),
        answer_status=answer.status if answer else None,
        answer_headers=_encode(answer.headers).decode() if answer else None,
        answer_body=answer.body if answer else None,
        answer_sent_at_ns=answer.sent_at_ns if answer else None,
        fault=capture.fault,
    )
    return astuple(row)


def row_to_capture(values: Row) -> Capture:
    """The capture in a row that starts with the columns above; ValueError when somebody else wrote the row."""
    row = msgspec.convert(values[: len(_FIELDS)], _CaptureRow)
    answer = None
    if row.answer_status is not None:
        answer = Answer(
            status=row.answer_status,
            headers=_decode_headers(row.answer_headers or "[]"),
            body=row.answer_body or b"",
            sent_at_ns=row.answer_sent_at_ns,
        )
    return Capture(
        id=row.id,
        endpoint=row.endpoint,
        received_at_ns=row.received_at_ns,
        monotonic_ns=row.monotonic_ns,
        body_done_ns=row.body_done_ns,
        lateness_ns=row.lateness_ns,
        connection=row.connection,
        connection_request=row.connection_request,
        remote=row.remote,
        http_version=row.http_version,
        method=row.method,
        target=row.target,
        headers=_decode_headers(row.headers),
        body=row.body,
        truncated=bool(row.truncated),
        answer=answer,
        fault=row.fault,
    )
