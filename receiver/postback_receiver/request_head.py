"""Reading the head of a request: its first line and its header fields, by RFC 9112, strictly and totally.

Any bytes give either a head or the reason why they are none, with as much of it as could be read. What two readers
could take differently is refused, since it is how requests are smuggled past one of them: a length and chunks, two
lengths, folded lines, line ends that are not CR LF. What none takes differently is kept as it is, raw letters in the
target included: a receiver is there to show them.

A reason never repeats what was sent, which may hold secrets: it goes into logs and into the answer.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import msgspec

from postback_receiver.capture import Headers

MAX_TARGET_BYTES: Final = 1024 * 1024
"""A GET postback carries in its query what a POST carries in its body, so it gets as much room. (nginx: 8 KiB.)"""

MAX_HEADER_BYTES: Final = 64 * 1024
"""For one header field. Eight times what nginx and Apache take: a receiver shows a long header, a server refuses it."""

MAX_HEADERS: Final = 256
"""Header fields of one request. Apache takes 100."""

MAX_HEAD_BYTES: Final = 2 * 1024 * 1024
"""For the whole of it: the longest target, and as much again for the header fields."""

END_OF_HEAD: Final = b"\r\n\r\n"

_MAX_KNOWN_FIELD: Final = 256
"""Header fields up to this length are remembered."""

_MAX_KNOWN_SECTION: Final = 1024
_MAX_KNOWN_FIELDS: Final = 32
"""So are all fields of a head together, of so many bytes and so many of them."""

_BESIDE_TARGET: Final = 64
"""Room in the first line for a method and a version."""

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_METHOD: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_METHOD_START: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}+(?: |\Z)")
_TARGET_START: Final = re.compile(r"/|\*\Z|[A-Za-z][A-Za-z0-9+.-]*://.")
_USUAL_LINE: Final = re.compile(rb"(POST|GET) (/[!-~]*+) HTTP/(1\.[01])\r\n")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_CONTROLS: Final = bytes(byte for byte in (*range(0x20), 0x7F) if byte not in b"\t\r\n")
_BLANKS: Final = " \t"

# The header fields that say where a request ends and what becomes of its connection.
_TELLING: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_NONE: Final[tuple[str, ...]] = ()

Telling: TypeAlias = dict[str, tuple[str, ...]]
"""The values of those, by their names in small letters."""


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A request up to its body. Text is latin-1; `length` is None for a chunked body, 0 for none."""

    method: str
    target: str
    http_version: str
    headers: Headers
    length: int | None
    keep_alive: bool
    expects_continue: bool


class _Fields(NamedTuple):
    """What the header fields of a request say, in the order in which `RequestHead` has it."""

    headers: Headers
    length: int | None
    keep_alive: bool
    expects_continue: bool


class _Unfit(NamedTuple):
    """What is wrong with header fields, the status that says so, and the fields before."""

    fault: tuple[str, int]
    headers: Headers


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """Why bytes are no request, the status that says so, and what could be read of it nevertheless."""

    reason: str
    status: int = 400
    method: str = ""
    target: str = ""
    http_version: str = ""
    headers: Headers = ()


def parse_head(head: bytes) -> RequestHead | Malformed:
    """Read a head; `head` ends with the empty line."""
    # A sender says the same again and again, but for its target: its header fields are known as a whole.
    usual = _USUAL_LINE.match(head, 0, MAX_TARGET_BYTES)
    if usual is not None and len(head) - usual.end() <= _MAX_KNOWN_SECTION:
        method, target, version = usual[1].decode(), usual[2].decode(), usual[3].decode()
        known = _known_fields(head[usual.end() :], version)
        if known is not None:
            return RequestHead(method, target, version, *known)
    return _parse_afresh(head)


def _parse_afresh(head: bytes) -> RequestHead | Malformed:
    # Either all of the text can be taken apart, or none of it.
    if (fault := _text_fault(head)) is not None:
        return fault
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, version = _split_first_line(first)
    if (problem := _first_line_fault(method, target, version)) is not None:
        is_read = version.startswith("HTTP/")
        return _refused(problem, method, target, version[5:], ()) if is_read else Malformed(problem[0])
    version = version[5:]
    fields = _read_fields(lines, version)
    if isinstance(fields, _Unfit):
        return _refused(fields.fault, method, target, version, fields.headers)
    return RequestHead(method, target, version, *fields)


def _split_first_line(line: str) -> tuple[str, str, str]:
    # The target is everything in between, so that one with blanks in it is seen whole.
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    return method, target, version


def _read_fields(lines: Sequence[str], version: str) -> "_Fields | _Unfit":
    fields: list[tuple[str, str]] = []
    telling: Telling = {}
    for line in lines:
        # A long field is not worth remembering, and may be longer than is allowed.
        field = _known_field(line) if len(line) <= _MAX_KNOWN_FIELD else _field(line[: MAX_HEADER_BYTES + 1])
        if field is None or len(fields) == MAX_HEADERS or len(line) > MAX_HEADER_BYTES:
            return _Unfit(_field_fault(line, len(fields) + 1), tuple(fields))
        pair, told = field
        fields.append(pair)
        if told:
            telling[told] = (*telling.get(told, _NONE), pair[1])
    headers = tuple(fields)
    if (problem := _framing_fault(version, telling)) is not None:
        return _Unfit(problem, headers)
    length = None if "transfer-encoding" in telling else int(telling.get("content-length", ("0",))[0])
    keep_alive = _keeps_alive(telling.get("connection", _NONE), version)
    expects_continue = version == "1.1" and telling.get("expect", ("",))[0].lower() == "100-continue"
    return _Fields(headers, length, keep_alive, expects_continue)


@lru_cache(maxsize=512)
def _known_fields(section: bytes, version: str) -> "_Fields | None":
    """Return what the lines after the first one say; None when something about them has to be looked at closely."""
    if _text_fault(section) is not None:
        return None
    lines = section[:-4].decode("latin-1").split("\r\n") if len(section) > len(END_OF_HEAD) else []
    fields = _read_fields(lines, version)
    return fields if isinstance(fields, _Fields) and len(fields.headers) <= _MAX_KNOWN_FIELDS else None


def unfinished_fault(head: bytes | bytearray, start: int = 0) -> Malformed | None:
    """Why bytes will never become a head, however they go on; None while they may. Those before `start` were seen."""
    if start < _BESIDE_TARGET and not _METHOD_START.match(head):
        return Malformed(_no_first_line(head))
    if _BARE_LINE_FEED.search(head, max(0, start - 1)):
        return Malformed("a line ends in a bare line feed, expected CR LF")
    if len(head) > MAX_TARGET_BYTES + _BESIDE_TARGET and head.find(b"\r\n", 0, MAX_TARGET_BYTES) < 0:
        return Malformed(f"the first line is longer than {MAX_TARGET_BYTES} bytes", 414)
    if len(head) > MAX_HEAD_BYTES:
        return Malformed(f"the head is longer than {MAX_HEAD_BYTES} bytes", 431)
    return None


def parse_trailers(section: bytes) -> Headers | str:
    """Read the fields after a chunked body, which end in CR LF each; the reason when they are none."""
    fault = _text_fault(section)
    if fault is not None:
        return f"in the trailers, {fault.reason}"
    trailers: list[tuple[str, str]] = []
    for line in section.decode("latin-1").split("\r\n")[:-1]:
        name, colon, value = line.partition(":")
        if not colon or _lower_name(name) is None or len(trailers) == MAX_HEADERS:
            return f"in the trailers, {_field_fault(line, len(trailers) + 1)[0]}"
        trailers.append((name, value.strip(_BLANKS)))
    return tuple(trailers)


def _text_fault(text: bytes) -> Malformed | None:
    """What could make two readers see different lines."""
    if text.count(b"\n") == text.count(b"\r") == text.count(b"\r\n") and text.translate(None, _CONTROLS) == text:
        return None
    if _BARE_LINE_FEED.search(text):
        return Malformed("a line ends in a bare line feed, expected CR LF")
    if text.count(b"\n") < text.count(b"\r"):
        return Malformed("there is a carriage return that no line feed follows")
    at = next(place for place, byte in enumerate(text) if byte in _CONTROLS)
    return Malformed(f"byte {at} is the control character {text[at]:#04x}")


def _first_line_fault(method: str, target: str, version: str) -> tuple[str, int] | None:
    fault: tuple[str, int] | None = None
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        if not (target and version.startswith("HTTP/")):
            fault = _no_first_line(method.encode("latin-1")), 400
        elif method == "PRI":
            fault = "the peer speaks HTTP/2 unasked; this port speaks HTTP/1.1", 505
        else:
            fault = "the version is not HTTP/1.0 or HTTP/1.1", 505
    elif not _METHOD.fullmatch(method):
        fault = "the method is not a name of up to 32 letters", 400
    elif len(target) > MAX_TARGET_BYTES:
        fault = f"the target is longer than {MAX_TARGET_BYTES} bytes", 414
    elif " " in target or "\t" in target:
        fault = "there is a blank in the target; one is written %20", 400
    elif target[:1] != "/" and not _TARGET_START.match(target) and method != "CONNECT":
        fault = "the target is neither a path nor a URL", 400
    return fault


def _field_fault(line: str, number: int) -> tuple[str, int]:
    if number > MAX_HEADERS:
        return f"there are more than {MAX_HEADERS} header fields", 431
    field = f"header field {number}"
    if len(line) > MAX_HEADER_BYTES:
        return f"{field} is longer than {MAX_HEADER_BYTES} bytes", 431
    if line[:1] in {" ", "\t"}:
        return f"{field} begins with a blank (obsolete line folding)", 400
    name, colon, _ = line.partition(":")
    if colon and name.rstrip(_BLANKS) != name:
        return f"{field} has a blank before its colon", 400
    return f"{field} is not a name, a colon and a value", 400


def _framing_fault(version: str, telling: Telling) -> tuple[str, int] | None:
    hosts = telling.get("host", _NONE)
    lengths = telling.get("content-length", _NONE)
    codings = telling.get("transfer-encoding", _NONE)
    fault: tuple[str, int] | None = None
    if codings and lengths:
        fault = "there are both Content-Length and Transfer-Encoding, of which only one may be", 400
    elif codings and version == "1.0":
        fault = "HTTP/1.0 has no Transfer-Encoding", 400
    elif codings and [coding.lower() for coding in codings] != ["chunked"]:
        fault = "Transfer-Encoding is not chunked", 501
    elif len(lengths) > 1:
        fault = "there are several Content-Length fields", 400
    elif lengths and not _DIGITS.fullmatch(lengths[0]):
        fault = "Content-Length is not one whole number", 400
    elif not hosts and version == "1.1":
        fault = "there is no Host field", 400
    elif len(hosts) > 1:
        fault = "there are several Host fields", 400
    return fault


def _keeps_alive(connection: tuple[str, ...], version: str) -> bool:
    if not connection:
        return version == "1.1"
    options = {option.strip(_BLANKS) for value in connection for option in value.lower().split(",")}
    return "close" not in options and (version == "1.1" or "keep-alive" in options)


def _refused(fault: tuple[str, int], method: str, target: str, version: str, headers: Headers) -> Malformed:
    return Malformed(fault[0], fault[1], method, target, version, headers)


def _lower_name(name: str) -> str | None:
    return name.lower() if _NAME.fullmatch(name) else None


def _field(line: str) -> tuple[tuple[str, str], str] | None:
    """Return the name and value of a field, and of one that tells the name in small letters; None if it is none."""
    name, colon, value = line.partition(":")
    lower = _lower_name(name)
    if not colon or lower is None:
        return None
    return (name, value.strip(_BLANKS)), lower if lower in _TELLING else ""


# A sender says the same again and again, but for a length and the like.
_known_field = lru_cache(maxsize=1024)(_field)


def _no_first_line(start: bytes | bytearray) -> str:
    if start[:2] == b"\x16\x03":
        return "the peer speaks TLS, and this port does not: send to http://, or listen with a certificate"
    return "expected a first line such as GET /path HTTP/1.1"
