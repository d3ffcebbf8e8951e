"""HTTP Archive (HAR) 1.2, read: what browsers and proxies save of the requests they saw, and what `har_writing` writes.

Reading is total: any bytes are captures or a `HarFormatError`. What HAR has no place for (ids, endpoints, exact
targets) travels in a field `_postback` of each entry, so that captures written by us and read again are the same.
"""

import binascii
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeAlias, cast
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from postback_receiver.capture import Answer, Capture, Headers, Tls
from postback_receiver.errors import HarFormatError
from postback_receiver.timestamps import iso_to_ns

MAX_HAR_BYTES: Final = 128 * 1024 * 1024
"""An archive is read as a whole, and takes several times its size in memory."""

OWN_FIELD: Final = "_postback"
_NUMBERED: Final = "har-"
_BOM: Final = b"\xef\xbb\xbf"
_FORM: Final = "application/x-www-form-urlencoded"
_INT64_MAX: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SERVER = re.compile(r"(?i)(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)")
_OTHER_SCHEME = re.compile(r"(?i)(?!https?:)[a-z][a-z0-9+.-]*:")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,30}))?(Z|[+-]\d\d:?\d\d)", re.ASCII)
_AT_BYTE = re.compile(r"\(byte (\d{1,18})\)", re.ASCII)
_SHOWN_BYTES: Final = 16
_AUTHORITY = re.compile(r"(?:\[[^\[\]]+\]|[^\[\]:]+)(?::\d*)?", re.ASCII)
_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
_Int64: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=_INT64_MAX)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=_INT64_MAX)]


class HarOwn(msgspec.Struct, kw_only=True):
    """What of a capture HAR has no place for. Unknown keys are passed over, so that a later version may add some."""

    id: str
    run: str = ""
    endpoint: str | None = None
    received_at: str
    connected_ns: _Int64 | None = None
    monotonic_ns: _Int64 | None = None
    body_done_ns: _Int64 | None = None
    gone_ns: _Int64 | None = None
    lateness_ns: _Count = 0
    connection: str
    connection_request: _Count
    remote: str
    tls: Tls | None = None
    http_version: str
    target: str
    trailers: Headers = ()
    truncated: bool = False
    malformed: str | None = None
    fault: str | None = None
    answer_sent_at: str | None = None
    answer_sent_ns: _Int64 | None = None


def read_har(data: bytes) -> list[Capture]:
    """Return the requests of an archive in the order of their times, or raise `HarFormatError`.

    Entries that are no HTTP requests (`data:`, `blob:`, `ws:` and the like) are passed over. A body that is not all
    there, or that is not what was sent since the archive holds it decoded, is marked as truncated.
    """
    if len(data) > MAX_HAR_BYTES:
        raise HarFormatError(pointer="", expected=f"at most {MAX_HAR_BYTES >> 20} MiB", got=f"{len(data)} bytes")
    try:
        root = msgspec.json.decode(data.removeprefix(_BOM))
    except (ValueError, RecursionError) as error:
        raise _not_json(data, error) from None
    entries = _Place(root, "")["log"]["entries"].each()
    requests: Counter[str] = Counter()
    captures = [_capture(entry, index, requests) for index, entry in enumerate(entries) if _is_http(entry)]
    return sorted(captures, key=lambda capture: capture.received_at_ns)


def is_numbered_by_har(capture: Capture) -> bool:
    """Whether the id of a capture is its number in an archive, which another archive uses too."""
    return capture.id.startswith(_NUMBERED) and _DIGITS.fullmatch(capture.id.removeprefix(_NUMBERED)) is not None


def _not_json(data: bytes, error: Exception) -> HarFormatError:
    """Return the error that names the byte at which a file stops being JSON."""
    try:
        data.decode()
    except UnicodeDecodeError as fault:
        got = f"the byte {data[fault.start]:#04x}, which is not UTF-8"
        return HarFormatError(pointer="", expected="JSON", got=got, byte=fault.start)
    if isinstance(error, RecursionError):
        return HarFormatError(pointer="", expected="one JSON object", got="objects or lists that are nested too deeply")
    found = _AT_BYTE.search(str(error))
    if found is None:
        return HarFormatError(
            pointer="", expected="the rest of the JSON", got="the end: the file was cut", byte=len(data)
        )
    position = int(found[1]) + len(data) - len(data.removeprefix(_BOM))
    got = repr((data[position : position + _SHOWN_BYTES] or data[-_SHOWN_BYTES:]).decode("utf-8", "replace"))
    return HarFormatError(pointer="", expected="JSON", got=got, byte=position)


class _Place:
    """A value of an archive that knows where it stands, as a JSON pointer."""

    def __init__(self, value: object, pointer: str) -> None:
        self.value = value
        self.pointer = pointer

    def __getitem__(self, key: str) -> "_Place":
        found = self.get(key)
        if found is None:
            raise HarFormatError(pointer=f"{self.pointer}/{key}", expected="a value", got="none")
        return found

    def get(self, key: str) -> "_Place | None":
        """Return the value of a key, or None when it is missing or null."""
        value = self.value
        if not isinstance(value, dict):
            raise self.error("an object")
        member = cast("dict[str, object]", value).get(key)
        return None if member is None else _Place(member, f"{self.pointer}/{key}")

    def each(self) -> Iterator["_Place"]:
        """Yield the elements of an array."""
        value = self.value
        if not isinstance(value, list):
            raise self.error("an array")
        elements = cast("list[object]", value)
        return (_Place(element, f"{self.pointer}/{index}") for index, element in enumerate(elements))

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self.value, str):
            raise self.error("a text")
        return self.value

    def wire(self) -> str:
        """Return a text with one character for each byte; what goes beyond that was UTF-8."""
        text = self.text()
        return text if all(letter <= "\xff" for letter in text) else text.encode().decode("latin-1")

    def number(self) -> float:
        """Return a number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.error("a number")
        return self.value

    def error(self, expected: str) -> HarFormatError:
        """Return the error that something else was expected here."""
        return HarFormatError(pointer=self.pointer, expected=expected, got=repr(self.value)[:60])


def _is_http(entry: _Place) -> bool:
    return _OTHER_SCHEME.match(entry["request"]["url"].text()) is None


def _capture(entry: _Place, index: int, requests: Counter[str]) -> Capture:
    """Return one entry as a capture; `requests` counts those of each connection."""
    request = entry["request"]
    target, authority = _target(request["url"])
    fields = _header_fields(request)
    received_at_ns = _instant_ns(entry["startedDateTime"])
    body, is_whole = _request_body(request, fields)
    connection = entry.get("connection")
    name = "har" if connection is None else str(connection.value)[:100]
    requests[name] += 1
    version = request.get("httpVersion")
    capture = Capture(
        id=f"{_NUMBERED}{index + 1}",
        endpoint=None,
        received_at_ns=received_at_ns,
        connection=name,
        connection_request=requests[name],
        remote="",
        http_version=version.text().upper().removeprefix("HTTP/") if version else "1.1",
        method=request["method"].wire(),
        target=target,
        headers=fields,
        body=body,
        truncated=not is_whole,
        answer=_answer(entry, received_at_ns),
    )
    own = entry.get(OWN_FIELD)
    if own is None:
        if not _AUTHORITY.fullmatch(authority):
            raise request["url"].error("a URL with a host, and a number as its port if it has one")
        return msgspec.structs.replace(capture, headers=_as_http_1(fields, authority))
    return _completed(capture, own)


def _completed(capture: Capture, place: _Place) -> Capture:
    """Return a capture with what HAR has no place for."""
    try:
        own = msgspec.convert(place.value, HarOwn)
        received_at_ns = _own_instant(own.received_at)
        sent_at_ns = None if own.answer_sent_at is None else _own_instant(own.answer_sent_at)
    except ValueError as error:
        raise HarFormatError(pointer=place.pointer, expected="what Postback Kit wrote there", got=str(error)) from None
    answer = capture.answer
    return msgspec.structs.replace(
        capture,
        id=own.id,
        run=own.run,
        endpoint=own.endpoint,
        received_at_ns=received_at_ns,
        connected_ns=own.connected_ns,
        monotonic_ns=own.monotonic_ns,
        body_done_ns=own.body_done_ns,
        gone_ns=own.gone_ns,
        lateness_ns=own.lateness_ns,
        connection=own.connection,
        connection_request=own.connection_request,
        remote=own.remote,
        tls=own.tls,
        http_version=own.http_version,
        target=place["target"].wire(),
        trailers=_fields(place.get("trailers")),
        truncated=own.truncated,
        malformed=own.malformed,
        fault=own.fault,
        answer=None
        if answer is None
        else msgspec.structs.replace(answer, sent_at_ns=sent_at_ns, sent_ns=own.answer_sent_ns),
    )


def _own_instant(text: str) -> int:
    if abs(instant_ns := iso_to_ns(text)) > _INT64_MAX:
        raise ValueError(f"a time beyond 64 bits, {text!r}")
    return instant_ns


def _target(url: _Place) -> tuple[str, str]:
    """Return the request target of a URL, and its host and port."""
    text = url.wire().partition("#")[0]
    server = _SERVER.match(text)
    if server is None:
        raise url.error("a URL with http or https")
    target = text[server.end() :]
    return target if target.startswith("/") else f"/{target}", server["authority"].rpartition("@")[2]


def _header_fields(message: _Place) -> Headers:
    found = message.get("headers")
    return tuple((each["name"].wire(), each["value"].wire()) for each in found.each()) if found else ()


def _fields(pairs: _Place | None) -> Headers:
    """Return pairs as we write them; they are known to be pairs of texts."""
    return tuple((name.wire(), value.wire()) for name, value in (pair.each() for pair in pairs.each())) if pairs else ()


def _as_http_1(fields: Headers, authority: str) -> Headers:
    """Return header fields as HTTP/1.1 has them: what HTTP/2 says before them is left out, or becomes Host."""
    headers = tuple((name, value) for name, value in fields if not name.startswith(":"))
    if any(name.lower() == "host" for name, _ in headers):
        return headers
    return (("Host", next((value for name, value in fields if name == ":authority"), authority)), *headers)


def _request_body(request: _Place, headers: Headers) -> tuple[bytes, bool]:
    """Return the body, and whether it is what was sent, judged by its length."""
    data = request.get("postData")
    body = b"" if data is None else _post_data(data)
    lengths = [value for name, value in headers if name.lower() == "content-length" and _DIGITS.fullmatch(value)]
    size = request.get("bodySize")
    if lengths:
        return body, int(lengths[0]) == len(body)
    return body, size is None or size.number() <= 0 or size.number() == len(body)


def _post_data(data: _Place) -> bytes:
    params = data.get("params")
    if (text := data.get("text")) is not None and (text.text() or params is None):
        return _content(text, data.get("encoding") or data.get("_encoding"))
    mime_type = data.get("mimeType")
    is_form = mime_type is not None and mime_type.text().partition(";")[0].strip().lower() == _FORM
    if params is None or not is_form:
        return b""
    # Taken apart by whoever wrote it. Put together again it may differ, which its length tells.
    pairs = [(each["name"].text(), value.text() if (value := each.get("value")) else "") for each in params.each()]
    return urlencode(pairs).encode()


def _content(text: _Place, encoding: _Place | None) -> bytes:
    if encoding is None or not encoding.text():
        return text.text().encode()
    if encoding.text().lower() != "base64":
        raise encoding.error("base64, or no encoding at all")
    try:
        return binascii.a2b_base64(text.text(), strict_mode=True)
    except ValueError as error:
        raise HarFormatError(pointer=text.pointer, expected="base64", got=str(error)) from None


def _answer(entry: _Place, received_at_ns: int) -> Answer | None:
    response = entry.get("response")
    status = response.get("status") if response else None
    # Who saved a request that was not answered wrote 0.
    if response is None or status is None or not status.number():
        return None
    if not isinstance(status.value, int) or not 0 < status.value <= 999:
        raise status.error("a status of three digits")
    content = response.get("content")
    text = content.get("text") if content else None
    time = entry.get("time")
    took_ns = int(time.number() * 1_000_000) if time and 0 <= time.number() < 1e9 else None
    return Answer(
        status=status.value,
        headers=_header_fields(response),
        body=_content(text, content.get("encoding")) if content and text else b"",
        sent_at_ns=None if took_ns is None else min(received_at_ns + took_ns, _INT64_MAX),
    )


def _instant_ns(place: _Place) -> int:
    found = _INSTANT.fullmatch(place.text())
    expected = "a time with an offset, such as 2026-05-11T00:07:27.123Z"
    if found is None:
        raise place.error(expected)
    try:
        moment = datetime.fromisoformat(found[1] + found[3])
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise place.error(expected) from None
    instant_ns = seconds * 1_000_000_000 + int((found[2] or "")[:9].ljust(9, "0"))
    # A store keeps numbers in 64 bits.
    if abs(instant_ns) > _INT64_MAX:
        raise place.error("a time between the years 1678 and 2262")
    return instant_ns
