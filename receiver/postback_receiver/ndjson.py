"""Captures as lines of JSON: the exchange format `postback-capture/1`.

One capture is one line. A body is written as text when it is valid UTF-8 and as base64 otherwise, so that a line can be
read by eye and still gives back every byte. Reading is total: any bytes are a capture or a `CaptureFormatError`.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal, TypeAlias, TypedDict

import msgspec
from msgspec import UNSET, Meta, UnsetType

from postback_receiver.capture import Answer, Capture, Tls
from postback_receiver.errors import CaptureFormatError
from postback_receiver.timestamps import iso_to_ns, ns_to_iso

FORMAT: Final = "postback-capture/1"

# A store keeps numbers in 64 bits; a larger one is a broken line here rather than a crash there.
_INT64_MAX = 2**63 - 1
_Int64: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=_INT64_MAX)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
_Stamp: TypeAlias = Annotated[_Int64 | None, Meta(description="Monotonic nanoseconds, comparable within one `run`.")]
# One character is one byte of the wire, see `capture`; a larger code point cannot have been sent.
_WireText: TypeAlias = Annotated[str, Meta(pattern=r"^[\x00-\xff]*$")]
_WireHeaders: TypeAlias = Annotated[
    tuple[tuple[_WireText, _WireText], ...],
    Meta(description="Pairs of name and value in the order of the wire, one character for each byte."),
]
_Instant: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$",
        description="Wall-clock time in UTC, with up to nine decimals.",
    ),
]
_Body: TypeAlias = Annotated[str, Meta(description="The body, when it is valid UTF-8.")]
_BodyBase64: TypeAlias = Annotated[bytes, Meta(description="The body, when it is not valid UTF-8.")]


class AnswerLine(msgspec.Struct, kw_only=True):
    """What was answered."""

    status: _Int64
    headers: _WireHeaders
    body: _Body | UnsetType = UNSET
    body_base64: _BodyBase64 | UnsetType = UNSET
    sent_at: Annotated[_Instant | None, Meta(description="null: it is not known to have left whole.")]
    sent_ns: _Stamp = None


class CaptureLine(msgspec.Struct, kw_only=True):
    """One request as it arrived. Keys that are not named here have no meaning yet."""

    # In the order in which they are written. A line without those that have a default is complete: they came later, or
    # are ours.
    format: Literal["postback-capture/1"]
    id: str
    run: Annotated[str, Meta(description="The run of a receiver that took it; empty when unknown.")] = ""
    endpoint: Annotated[str | None, Meta(description="Prefix of the endpoint that took it; null when none did.")]
    received_at: _Instant
    connected_ns: _Stamp = None
    monotonic_ns: Annotated[_Int64 | None, Meta(description="The moment of `received_at`, monotonic.")]
    body_done_ns: _Stamp = None
    gone_ns: _Stamp = None
    lateness_ns: Annotated[_Count, Meta(description="How late the receiver ran; stamps may be off by as much.")] = 0
    connection: str
    connection_request: Annotated[_Count, Meta(description="1 for the first request on its connection.")]
    remote: str
    tls: Tls | None = None
    http_version: str
    method: _WireText
    target: _WireText
    headers: _WireHeaders
    body: _Body | UnsetType = UNSET
    body_base64: _BodyBase64 | UnsetType = UNSET
    trailers: _WireHeaders = ()
    truncated: Annotated[bool, Meta(description="The body is not all there.")]
    malformed: Annotated[
        str | None, Meta(description="Why this is no HTTP request; the body then holds the bytes that came.")
    ] = None
    answer: AnswerLine | None
    fault: Annotated[str | None, Meta(description="What the receiver did to the answer on purpose.")]


class _BodyKey(TypedDict, total=False):
    body: str
    body_base64: bytes


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CaptureLine)


def capture_to_line(capture: Capture) -> bytes:
    """One capture as one line of JSON, without the line break at its end."""
    answer = capture.answer
    return _encoder.encode(
        CaptureLine(
            format=FORMAT,
            id=capture.id,
            run=capture.run,
            endpoint=capture.endpoint,
            received_at=ns_to_iso(capture.received_at_ns),
            connected_ns=capture.connected_ns,
            monotonic_ns=capture.monotonic_ns,
            body_done_ns=capture.body_done_ns,
            gone_ns=capture.gone_ns,
            lateness_ns=capture.lateness_ns,
            connection=capture.connection,
            connection_request=capture.connection_request,
            remote=capture.remote,
            tls=capture.tls,
            http_version=capture.http_version,
            method=capture.method,
            target=capture.target,
            headers=capture.headers,
            trailers=capture.trailers,
            truncated=capture.truncated,
            malformed=capture.malformed,
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
            run=read.run,
            endpoint=read.endpoint,
            received_at_ns=_wall_ns(read.received_at, "received_at"),
            connected_ns=read.connected_ns,
            monotonic_ns=read.monotonic_ns,
            body_done_ns=read.body_done_ns,
            gone_ns=read.gone_ns,
            lateness_ns=read.lateness_ns,
            connection=read.connection,
            connection_request=read.connection_request,
            remote=read.remote,
            tls=read.tls,
            http_version=read.http_version,
            method=read.method,
            target=read.target,
            headers=read.headers,
            body=_body(read, "body"),
            trailers=read.trailers,
            truncated=read.truncated,
            malformed=read.malformed,
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


def _answer_line(answer: Answer) -> AnswerLine:
    sent_at = None if answer.sent_at_ns is None else ns_to_iso(answer.sent_at_ns)
    return AnswerLine(
        status=answer.status,
        headers=answer.headers,
        sent_at=sent_at,
        sent_ns=answer.sent_ns,
        **_body_key(answer.body),
    )


def _answer(read: AnswerLine) -> Answer:
    return Answer(
        status=read.status,
        headers=read.headers,
        body=_body(read, "answer.body"),
        sent_at_ns=None if read.sent_at is None else _wall_ns(read.sent_at, "answer.sent_at"),
        sent_ns=read.sent_ns,
    )


def _body_key(body: bytes) -> _BodyKey:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": body}


def _body(read: CaptureLine | AnswerLine, where: str) -> bytes:
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
