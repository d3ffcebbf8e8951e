"""What came back for a request, and how HTTP/1.1 says where it ends (RFC 9112 §4 and §6.3)."""

import re

import msgspec

from postback_sender.delivery.retry import Failure

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_DIGITS = re.compile(r"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r?\n")


class BrokenAnswerError(ValueError):
    """Bytes that are no HTTP answer; says what was expected."""


class ReplayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request: an answer, or in `failure` why there is none. `detail` is for people.

    `sent_ns` is the monotonic instant at which the request was handed to the system; None when it never was. Text of
    headers is latin-1; a body longer than is kept of one has `cut` set.
    """

    sent_ns: int | None = None
    finished_ns: int = 0
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: bool = False
    failure: Failure | None = None
    detail: str = ""


class AnswerHead(msgspec.Struct, frozen=True, kw_only=True):
    """Status and headers, and what they say of the body: `length` None until the connection ends, unless `chunked`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    keeps_connection: bool
    chunked: bool
    length: int | None

    @property
    def is_interim(self) -> bool:
        """Whether the answer proper is still to come."""
        return 100 <= self.status < 200 and self.status != 101


def parse_head(data: bytes, *, method: str) -> AnswerHead:
    """Return the head of an answer to a request of this method, or raise `BrokenAnswerError`."""
    status_line, *lines = data.decode("latin-1").replace("\r\n", "\n").rstrip("\n").split("\n")
    found = _STATUS_LINE.fullmatch(status_line)
    if found is None:
        raise BrokenAnswerError(f"expected a status line such as HTTP/1.1 200 OK, got {status_line[:40]!r}")
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BrokenAnswerError(f"expected a header line, got {line[:40]!r}")
        headers.append((name, value.strip(" \t")))
    status = int(found[2])
    connection = [part.lower() for part in _parts(headers, "connection")]
    codings = [part.lower() for part in _parts(headers, "transfer-encoding")]
    has_no_body = method == "HEAD" or status < 200 or status in {204, 304}
    chunked = not has_no_body and codings[-1:] == ["chunked"]
    length = 0 if has_no_body else None if codings else _length(headers)
    keeps = "keep-alive" in connection if found[1] == "0" else "close" not in connection
    return AnswerHead(
        status=status,
        headers=tuple(headers),
        # Without a length the end of the connection is the end of the body.
        keeps_connection=keeps and status != 101 and (chunked or length is not None),
        chunked=chunked,
        length=length,
    )


def parse_chunk_size(line: bytes) -> int:
    """Return the size of a chunk, from the line before it, or raise `BrokenAnswerError`."""
    found = _CHUNK_SIZE.fullmatch(line)
    if found is None:
        raise BrokenAnswerError(f"expected the size of a chunk, got {line[:40]!r}")
    return int(found[1], 16)


def _length(headers: list[tuple[str, str]]) -> int | None:
    lengths = set(_parts(headers, "content-length"))
    if not lengths:
        return None
    [first, *others] = lengths
    if others or not _DIGITS.fullmatch(first):
        raise BrokenAnswerError("expected one Content-Length, a whole number")
    return int(first)


def _parts(headers: list[tuple[str, str]], wanted: str) -> list[str]:
    values = [value for name, value in headers if name.lower() == wanted]
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
