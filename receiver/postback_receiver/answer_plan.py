"""An answer as a plan: the steps that put it on the wire, as plain data. Faults change it, and `answering` plays it."""

from functools import lru_cache
from http import HTTPStatus
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from postback_receiver.capture import Headers

Part: TypeAlias = Literal["head", "body"]

NO_BODY: Final = frozenset({204, 304})
"""Statuses of answers that have no body, and so no length of one (RFC 9110 §6.4.1)."""

_MAX_KNOWN_BYTES: Final = 1024
"""Heads of answers are remembered when their headers are no longer than this."""

_CONNECTION_LENGTH: Final = len("connection")
_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
_OLDEST_KEPT_ALIVE_BY_DEFAULT: Final = (1, 1)


class Send(Struct, frozen=True, gc=False):
    """Bytes to send: at once, or with `size` in pieces of so many bytes, `every_ns` nanoseconds apart."""

    data: bytes
    part: Part = "body"
    size: int = 0
    every_ns: int = 0


class Pause(Struct, frozen=True, gc=False):
    """Nothing for so many nanoseconds."""

    ns: int


class Close(Struct, frozen=True, gc=False):
    """The connection is closed in good order (FIN)."""


class Reset(Struct, frozen=True, gc=False):
    """The connection is torn down (RST)."""


class Silence(Struct, frozen=True, gc=False):
    """Nothing more, until the peer has had enough."""


class GoDown(Struct, frozen=True, gc=False):
    """The connection is torn down, and the port refuses new ones for so many nanoseconds."""

    ns: int


Step: TypeAlias = Send | Pause | Close | Reset | Silence | GoDown
Plan: TypeAlias = tuple[Step, ...]


class Asked(NamedTuple):
    """What about a request decides how its answer is written."""

    version: tuple[int, int] = (1, 1)
    is_head: bool = False
    keep_alive: bool = True


def answer_bytes(
    status: int, headers: Headers, body: bytes, asked: Asked, *, date: str, is_relayed: bool = False
) -> tuple[bytes, bytes]:
    """Return head and body of an answer as they go on the wire; `date` is the text of the `Date` header.

    Of one that `is_relayed`, the type is never guessed, nor what a HEAD leaves out.
    """
    # Headers from somewhere else may be long, and never the same again.
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
    make_head = _known_head if size <= _MAX_KNOWN_BYTES else _head
    lead, has_date, has_body = make_head(status, headers, len(body), asked, is_relayed)
    end = b"\r\n" if has_date else b"Date: %b\r\n\r\n" % date.encode("ascii")
    return lead + end, body if has_body else b""


def ends_connection(headers: Headers) -> bool:
    """Whether an answer with these headers announces that it is the last one."""
    for name, value in headers:
        if len(name) == _CONNECTION_LENGTH and name.lower() == "connection" and value.strip().lower() == "close":
            return True
    return False


def sent_bytes(plan: Plan) -> bytes:
    """Return all a plan would send, were nobody to interrupt it."""
    return b"".join(step.data for step in plan if isinstance(step, Send))


def cut_body(plan: Plan, count: int) -> Plan:
    """Return a plan that sends no more than the first `count` bytes of its body."""
    steps: list[Step] = []
    for step in plan:
        if isinstance(step, Send) and step.part == "body":
            data = step.data[:count]
            count -= len(data)
            if data:
                steps.append(replace(step, data=data))
        else:
            steps.append(step)
    return tuple(steps)


def _head(status: int, headers: Headers, length: int, asked: Asked, is_relayed: bool) -> tuple[bytes, bool, bool]:  # noqa: FBT001 -- a cache tells keywords apart
    """Return the head up to its date, whether it has one of the partner's own, and whether a body follows."""
    names = {name.lower() for name, _value in headers}
    has_body = status not in NO_BODY and not asked.is_head
    fields = list(headers)
    if has_body if is_relayed else status not in NO_BODY:
        fields.append(("Content-Length", str(length)))
    if length and status not in NO_BODY and not is_relayed and "content-type" not in names:
        fields.append(("Content-Type", "application/octet-stream"))
    if "connection" not in names:
        if not asked.keep_alive:
            fields.append(("Connection", "close"))
        elif asked.version < _OLDEST_KEPT_ALIVE_BY_DEFAULT:
            fields.append(("Connection", "keep-alive"))
    phrase = _PHRASES.get(status, "")
    lines = [f"HTTP/{asked.version[0]}.{asked.version[1]} {status} {phrase}", *(f"{n}: {v}" for n, v in fields), ""]
    return "\r\n".join(lines).encode("latin-1"), "date" in names, has_body


_known_head = lru_cache(maxsize=256)(_head)
