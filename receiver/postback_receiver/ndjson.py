"""Captures as lines of JSON: the exchange format `postback-capture/1`.

One capture is one line. A body is written as text when it is valid UTF-8 and as base64 otherwise, so that a line can be
read by eye and still gives back every byte. Reading is total: any bytes are a capture or a `CaptureFormatError`.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal, TypeAlias, TypedDict

import msgspec
from msgspec import UNSET, Meta, UnsetType

from postback_receiver.capture import Answer, Capture
from postback_receiver.errors import CaptureFormatError
from postback_receiver.timestamps import iso_to_ns, ns_to_iso

FORMAT: Final = "postback-capture/1"

# A store keeps numbers in 64 bits; a larger one is a broken line here rather than a crash there.
_INT64_MAX = 2**63 - 1
_Int64: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=_INT64_MAX)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
# One character is one byte of the wire, see `capture`; a larger code point cannot have been sent.
_WireText: TypeAlias = Annotated[str, Meta(pattern=r"\A[\x00-\xff]*\Z")]
_WireHeaders: TypeAlias = tuple[tuple[_WireText, _WireText], ...]


class _AnswerLine(msgspec.Struct, kw_only=True):
    status: _Int64
    headers: _WireHeaders
    body: str | UnsetType = UNSET
    body_base64: bytes | UnsetType = UNSET
    sent_at: str | None


class _Line(msgspec.Struct, kw_only=True):
    """The keys of a line, in the order in which they are written.

    `body_done_ns` and `lateness_ns` are ours; a line without them is complete. Unknown keys are passed over, so that
    a later version may add some.
    """

    format: Literal["postback-capture/1"]
    id: str
    endpoint: str | None
    received_at: str
    monotonic_ns: _Int64 | None
    body_done_ns: _Int64 | None = None
    lateness_ns: _Count = 0
    connection: str
    connection_request: _Count
    remote: str
    http_version: str
    method: _WireText
    target: _WireText
    headers: _WireHeaders
    body: str | UnsetType = UNSET
    body_base64: bytes | UnsetType = UNSET
    truncated: bool
    answer: _AnswerLine | None
    fault: str | None


class _BodyKey(TypedDict, total=False):
    body: str
    body_base64: bytes


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)


def capture_to_line(capture: Capture) -> bytes:
    """One capture as one line of JSON, without the line break at its end."""
    answer = capture.answer
    return _encoder.encode(
        _Line(
            format=FORMAT,
            id=capture.id,
            endpoint=capture.endpoint,
            received_at=ns_to_iso(capture.received_at_ns),
            monotonic_ns=capture.monotonic_ns,
            body_done_ns=capture.body_done_ns,
            lateness_ns=capture.lateness_ns,
            connection=capture.connection,
            connection_request=capture.connection_request,
            remote=capture.remote,
            http_version=capture.http_version,
            method=capture.method,
            target=capture.target,
            headers=capture.headers,
            truncated=capture.truncated,
            answer=None if answer is None else _answer_line(answer),
            fault=capture.fault,
            **_body_key(capture.body),
        )
    )


def line_to_capture(line: bytes | str, *, number: int = 1) -> Capture:
    """The capture on one line; `number` is the line's place in its file, for the message of a `CaptureFormatError`."""
    try:
        read = _decoder.decode(line)
        answer = read.answer
        return Capture(
            id=read.id,
            endpoint=read.endpoint,
            received_at_ns=_wall_ns(read.received_at, "received_at"),
            monotonic_ns=read.monotonic_ns,
            body_done_ns=read.body_done_ns,
            lateness_ns=read.lateness_ns,
            connection=read.connection,
            connection_request=read.connection_request,
            remote=read.remote,
            http_version=read.http_version,
            method=read.method,
            target=read.target,
            headers=read.headers,
            body=_body(read, "body"),
            truncated=read.truncated,
            answer=None if answer is None else _answer(answer),
            fault=read.fault,
        )
    # msgspec's own errors are ValueErrors; text with half a surrogate pair is one as well.
    except (ValueError, RecursionError) as error:
        raise CaptureFormatError(line=number, expected=f"one JSON object in format {FORMAT}", got=str(error)) from error


def read_captures(lines: Iterable[bytes | str]) -> Iterator[Capture]:
    """The captures of a file, one after the other; blank lines are passed over but counted."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield line_to_capture(line, number=number)


def _answer_line(answer: Answer) -> _AnswerLine:
    sent_at = None if answer.sent_at_ns is None else ns_to_iso(answer.sent_at_ns)
    return _AnswerLine(status=answer.status, headers=answer.headers, sent_at=sent_at, **_body_key(answer.body))


def _answer(read: _AnswerLine) -> Answer:
    return Answer(
        status=read.status,
        headers=read.headers,
        body=_body(read, "answer.body"),
        sent_at_ns=None if read.sent_at is None else _wall_ns(read.sent_at, "answer.sent_at"),
    )


def _body_key(body: bytes) -> _BodyKey:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": body}


def _body(read: _Line | _AnswerLine, where: str) -> bytes:
    match (read.body, read.body_base64):
        case (str(text), UnsetType()):
            return text.encode()
        case (UnsetType(), bytes(data)):
            return data
        case (UnsetType(), UnsetType()):
            raise ValueError(f"neither `{where}` nor `{where}_base64`")
        case _:
            raise ValueError(f"both `{where}` and `{where}_base64`")


def _wall_ns(text: str, where: str) -> int:
    try:
        ns = iso_to_ns(text)
    except ValueError as error:
        raise ValueError(f"`{where}`: {error}") from error
    if abs(ns) > _INT64_MAX:
        raise ValueError(f"`{where}` must lie between the years 1678 and 2262, not at {text!r}")
    return ns
