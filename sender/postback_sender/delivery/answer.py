"""What came back for a request, and how HTTP/1.1 says where it ends (RFC 9112 §4, §6.3 and §7.1)."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from postback_sender.delivery.retry import Failure
from postback_sender.matcher import MAX_ANSWER_BYTES

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of one head, and of one line that frames a body."""

_MAX_INTERIM: Final = 8
_MAX_TRAILERS: Final = 64
# Heads of one endpoint are mostly the same ones, but for the second in their Date.
_MOST_CACHED_BYTES: Final = 1024

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_DIGITS = re.compile(r"[0-9]{1,15}")
# A lone line feed ends a line for whoever is lenient (RFC 9112 §2.2).
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r?\n")

Headers = tuple[tuple[str, str], ...]


class BrokenAnswerError(ValueError):
    """Bytes that are no HTTP answer; says what was expected."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one request: an answer, or in `failure` why there is none. `detail` is for people.

    `sent_ns` is the monotonic instant at which the request was handed to the system; None when it never was, and then
    `began_ns` is when we began to connect. Text of headers is latin-1; the body is still compressed when it came so,
    and `cut` when it is longer than is kept of one.
    """

    sent_ns: int | None = None
    began_ns: int = 0
    finished_ns: int = 0
    status: int | None = None
    headers: Headers = ()
    body: bytes = b""
    cut: bool = False
    failure: Failure | None = None
    detail: str = ""

    def header(self, name: str) -> str:
        """Return the first value of a header by its name in small letters, "" when there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


class AnswerHead(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Status and headers, and what they say of the body: `length` None until the connection ends, unless `chunked`."""

    status: int
    headers: Headers
    keeps_connection: bool
    chunked: bool
    length: int | None

    @property
    def is_interim(self) -> bool:
        """Whether the answer proper is still to come."""
        return 100 <= self.status < 200 and self.status != 101


class AnswerReader:
    """Reads one answer from bytes as they arrive, in pieces of any size.

    `feed` and `end` return whether the answer is complete, and raise `BrokenAnswerError` when it is none. Then `head`
    is what was understood so far.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        # What came and was not understood yet begins at `_at`; up to `_looked` there is no end of a head or line in it.
        self._data = bytearray()
        self._at = 0
        self._looked = 0
        self._take: Callable[[], bool] = self._take_head
        self._interim = 0
        self._trailers = 0
        self._left = 0
        self._body = bytearray()
        self.head: AnswerHead | None = None
        self.has_begun = False
        self.is_complete = False

    @property
    def body(self) -> bytes:
        """The body, at most `MAX_ANSWER_BYTES` of it."""
        return bytes(self._body[:MAX_ANSWER_BYTES])

    @property
    def is_cut(self) -> bool:
        """Whether the body is longer than is kept of one; the rest stays unread."""
        return len(self._body) > MAX_ANSWER_BYTES

    @property
    def keeps_connection(self) -> bool:
        """Whether another request may follow on the connection: all was read, and nothing else came."""
        return (
            self.is_complete
            and not self._data
            and not self.is_cut
            and self.head is not None
            and self.head.keeps_connection
        )

    def feed(self, data: bytes) -> bool:
        """Take the bytes that arrived."""
        self.has_begun = True
        self._data += data
        while not self.is_complete and self._take():
            pass
        del self._data[: self._at]
        self._looked = max(0, self._looked - self._at)
        self._at = 0
        return self.is_complete

    def end(self) -> bool:
        """Take note that the connection ended: the end of a body without a length, and of no other answer."""
        if self.head is not None and self._take == self._take_rest:
            self.is_complete = True
            return True
        raise BrokenAnswerError("closed in the middle of the answer" if self.has_begun else "closed without an answer")

    def _take_head(self) -> bool:
        found = _HEAD_END.search(self._data, max(self._at, self._looked - 3))
        if found is None:
            return self._awaits_more("a head")
        data = self._piece("a head", found.end())
        head = (_cached_head if len(data) <= _MOST_CACHED_BYTES else parse_head)(data, self._method)
        if head.is_interim:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise BrokenAnswerError(f"expected an answer after at most {_MAX_INTERIM} interim ones")
            return True
        self.head = head
        if head.chunked:
            self._take = self._take_chunk_size
        elif head.length is None:
            self._take = self._take_rest
        else:
            self._left = min(head.length, MAX_ANSWER_BYTES + 1)
            self._take = self._take_body
        return True

    def _take_body(self) -> bool:
        self._take_left()
        self.is_complete = not self._left
        return False

    def _take_rest(self) -> bool:
        self._left = MAX_ANSWER_BYTES + 1 - len(self._body)
        self._take_left()
        self.is_complete = not self._left
        return False

    def _take_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = parse_chunk_size(line)
        self._left = min(size, MAX_ANSWER_BYTES + 1 - len(self._body))
        self._take = self._take_chunk if size else self._take_trailer
        return True

    def _take_chunk(self) -> bool:
        self._take_left()
        if self._left:
            return False
        if self.is_cut:
            self.is_complete = True
            return False
        if len(self._data) - self._at < 2:
            return False
        if not self._data.startswith(b"\r\n", self._at):
            raise BrokenAnswerError("expected a line end after a chunk")
        self._at += 2
        self._take = self._take_chunk_size
        return True

    def _take_trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self.is_complete = not line.strip()
        self._trailers += 1
        if self._trailers > _MAX_TRAILERS:
            raise BrokenAnswerError(f"expected at most {_MAX_TRAILERS} trailer lines")
        return True

    def _take_left(self) -> None:
        taken = self._data[self._at : self._at + self._left]
        self._body += taken
        self._left -= len(taken)
        self._at += len(taken)

    def _line(self) -> bytes | None:
        end = self._data.find(b"\n", max(self._at, self._looked)) + 1
        if not end:
            self._awaits_more("a line")
            return None
        return self._piece("a line", end)

    def _piece(self, what: str, end: int) -> bytes:
        _check_size(what, end - self._at)
        piece = bytes(self._data[self._at : end])
        self._at = end
        return piece

    def _awaits_more(self, what: str) -> bool:
        # Its end is still to come; so it is refused however it is cut into pieces, or however it is not.
        self._looked = len(self._data)
        _check_size(what, self._looked - self._at + 1)
        return False


def _check_size(what: str, size: int) -> None:
    if size > MAX_HEAD_BYTES:
        raise BrokenAnswerError(f"{what} of more than {MAX_HEAD_BYTES} bytes")


def parse_head(data: bytes, method: str) -> AnswerHead:
    """Return the head of an answer to a request of this method, or raise `BrokenAnswerError`."""
    status_line, *lines = data.decode("latin-1").replace("\r\n", "\n").rstrip("\n").split("\n")
    found = _STATUS_LINE.fullmatch(status_line)
    if found is None:
        # What came instead is not repeated, here and below: a server may send back what it got, secrets and all.
        raise BrokenAnswerError("expected a status line such as HTTP/1.1 200 OK, got something else")
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BrokenAnswerError("expected a header line, with a colon after its name")
        headers.append((name, value.strip(" \t")))
    status = int(found[2])
    connection = [part.lower() for part in _parts(headers, "connection")]
    codings = [part.lower() for part in _parts(headers, "transfer-encoding")]
    has_no_body = method == "HEAD" or status < 200 or status in {204, 304}
    # Some send a body all the same, which would be taken for the next answer.
    may_lie = status == 204 and (codings or _length(headers))
    chunked = not has_no_body and codings[-1:] == ["chunked"]
    length = 0 if has_no_body else None if codings else _length(headers)
    keeps = "keep-alive" in connection if found[1] == "0" else "close" not in connection
    return AnswerHead(
        status=status,
        headers=tuple(headers),
        # Without a length the end of the connection is the end of the body.
        keeps_connection=keeps and status != 101 and not may_lie and (chunked or length is not None),
        chunked=chunked,
        length=length,
    )


_cached_head = lru_cache(maxsize=64)(parse_head)


def parse_chunk_size(line: bytes) -> int:
    """Return the size of a chunk, from the line before it, or raise `BrokenAnswerError`."""
    found = _CHUNK_SIZE.fullmatch(line)
    if found is None:
        raise BrokenAnswerError("expected the size of a chunk, got something else")
    return int(found[1], 16)


def _length(headers: list[tuple[str, str]]) -> int | None:
    lengths = {
        value.strip() for name, value in headers if name.lower() == "content-length" for value in value.split(",")
    }
    if not lengths:
        return None
    [first, *others] = lengths
    if others or not _DIGITS.fullmatch(first):
        raise BrokenAnswerError("expected one Content-Length, a whole number")
    return int(first)


def _parts(headers: list[tuple[str, str]], wanted: str) -> list[str]:
    values = [value for name, value in headers if name.lower() == wanted]
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
