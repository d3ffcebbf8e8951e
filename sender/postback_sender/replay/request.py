"""A recorded request, and what of it goes to another server: all but what belongs to one connection.

Text is latin-1: one character is one byte of the wire, so that whatever was recorded can be sent again as it was.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Self
from urllib.parse import urlsplit

import msgspec

from postback_sender.delivery.origin import DEFAULT_PORTS, Origin
from postback_sender.errors import SenderError, TargetError

# RFC 9110 §7.6.1: they speak of one connection, and this is another. Trailer announces what comes after chunks.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What would end the request line, or the header, and begin something else.
_IN_TARGET = re.compile(r"[^\x00-\x20\x7f]+")
_IN_VALUE = re.compile(r"[^\x00\r\n]*")
_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

Headers = tuple[tuple[str, str], ...]


class HeaderChangeError(SenderError):
    """A change of headers that cannot be read, or that must not be made."""


class RecordedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it was recorded. `recorded_ns` is when, on a clock that is the same for all of a replay."""

    id: str
    recorded_ns: int
    method: str
    target: str
    headers: Headers
    body: bytes


class HeaderChange(msgspec.Struct, frozen=True):
    """A header to send with another value, or with `value` None not at all."""

    name: str
    value: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `Name: value`, or `Name:` to leave the header out, or raise `HeaderChangeError`."""
        name, colon, value = text.partition(":")
        name, value = name.strip(), value.strip(" \t")
        # What was given is not repeated: it may well be a secret.
        if not colon or not _TOKEN.fullmatch(name):
            raise HeaderChangeError("expected a header such as 'X-Api-Key: value', got no name with a colon after it")
        if name.lower() in _HOP_BY_HOP | _FRAMING:
            raise HeaderChangeError(f"{name} is worked out for each request and cannot be set")
        if not _IN_VALUE.fullmatch(value):
            raise HeaderChangeError(f"the value for {name} holds a line break, which would end the header")
        return cls(name, value.encode().decode("latin-1") if value else None)

    def apply(self, headers: Iterable[tuple[str, str]]) -> Headers:
        """Return headers with the new value at the place of the first old one, or at the end."""
        changed: list[tuple[str, str]] = []
        is_open = self.value is not None
        for name, value in headers:
            if name.lower() != self.name.lower():
                changed.append((name, value))
            elif is_open and self.value is not None:
                changed.append((self.name, self.value))
                is_open = False
        return (*changed, *([(self.name, self.value)] if is_open and self.value is not None else []))


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests go: a server, and a path or query that replaces the recorded one unless it is empty."""

    origin: Origin
    authority: str
    path: str
    query: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the destination of an http(s) URL, or raise `TargetError`."""
        expected = "expected a URL such as http://127.0.0.1:8080"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise TargetError(f"{expected}; its host or port cannot be read: {type(error).__name__}") from None
        if parts.scheme not in DEFAULT_PORTS or not host:
            raise TargetError(f"{expected}, with http or https and a host")
        if "@" in parts.netloc:
            raise TargetError(f"{expected}, without user and password; --set 'Authorization: …' sends them")
        if not all(_IN_TARGET.fullmatch(part) and part.isascii() for part in (parts.path, parts.query) if part):
            raise TargetError(f"{expected}; blanks and letters beyond ASCII have to be percent-encoded in its path")
        return cls(
            origin=Origin(scheme=parts.scheme, host=host, port=DEFAULT_PORTS[parts.scheme] if port is None else port),
            authority=parts.netloc,
            path="" if parts.path == "/" else parts.path,
            query=parts.query,
        )

    def target(self, recorded: str) -> str:
        """Return the request target for a recorded one: as it was, except for what this destination replaces."""
        server = _SERVER.match(recorded)
        target = recorded[server.end() :] if server else recorded
        if server and not target.startswith("/"):
            target = f"/{target}"
        path, mark, query = target.partition("?")
        if self.query:
            mark, query = "?", self.query
        return f"{self.path or path}{mark}{query}"


def unsendable(request: RecordedRequest) -> str | None:
    """Return why a request cannot be written as HTTP, or None when it can."""
    if request.method == "CONNECT":
        return "CONNECT opens a tunnel instead of asking for something"
    if not _TOKEN.fullmatch(request.method):
        return "its method is no word of HTTP"
    if not _IN_TARGET.fullmatch(request.target):
        return "its target holds blanks or control characters, or is empty"
    if not all(_TOKEN.fullmatch(name) and _IN_VALUE.fullmatch(value) for name, value in request.headers):
        return "a header holds what no header can"
    return None


def outgoing_headers(request: RecordedRequest, to: Destination, changes: Sequence[HeaderChange] = ()) -> Headers:
    """Return the headers to send: order, case and repeats as recorded, but for one connection's own.

    Host names the new server and Content-Length counts the body that is sent, each at its old place. What RFC 9110
    §7.6.1 calls hop-by-hop is left out, with what a Connection header names.
    """
    length = ("Content-Length", str(len(request.body)))
    ours = {"host": ("Host", to.authority), "content-length": length, "transfer-encoding": length}
    dropped = {name.lower() for name in _named_by_connection(request.headers)} | _HOP_BY_HOP
    headers: list[tuple[str, str]] = []
    written: set[str] = set()
    for name, value in request.headers:
        lower = name.lower()
        if lower not in ours:
            headers += [] if lower in dropped else [(name, value)]
            continue
        # Chunks are one way to say where a body ends, a length is the other, and once is enough.
        our_name, our_value = ours[lower]
        if our_name not in written:
            headers.append((name if lower == our_name.lower() else our_name, our_value))
            written.add(our_name)
    if "Host" not in written:
        headers.insert(0, ours["host"])
    if request.body and "Content-Length" not in written:
        headers.append(length)
    result: Headers = tuple(headers)
    for change in changes:
        result = change.apply(result)
    return result


def request_bytes(request: RecordedRequest, to: Destination, changes: Sequence[HeaderChange] = ()) -> bytes:
    """Return a request as it goes over the wire; it must be one that is not `unsendable`."""
    lines = [f"{request.method} {to.target(request.target)} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in outgoing_headers(request, to, changes)]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + request.body


def _named_by_connection(headers: Headers) -> Iterable[str]:
    for name, value in headers:
        if name.lower() in {"connection", "proxy-connection"}:
            yield from (part.strip() for part in value.split(","))
