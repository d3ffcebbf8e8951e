"""How the bytes of a capture read: strictly, with the place of the first fault. Total on any bytes.

Parsers differ on duplicate keys, NaN, byte order marks and depth, so each question is decided here and not left to one.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl
from xml.parsers import expat

import msgspec
import xmltodict

# A postback is a few levels deep; json and others recurse, and fall over at some thousand levels.
MAX_DEPTH = 200
# What a person can look at; a larger document is shown as it is.
MAX_ELEMENTS = 100_000

_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# RFC 3986 §3.4, with the square brackets that many write as they are.
_NOT_URL_BYTE = re.compile(rb"[^!$-;=?-\[\]_a-z~]")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a text, and which bytes of it (first, beyond last)."""

    reason: str
    span: tuple[int, int] | None = None


class JsonReading(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON body: its fault, or its value and the keys that some object holds twice."""

    fault: Fault | None = None
    value: Any = None
    repeated_keys: tuple[str, ...] = ()
    too_deep: bool = False


def utf8_fault(body: bytes) -> Fault | None:
    """Return the first byte that is not UTF-8, or None."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} ({body[error.start]:#04x}) is not UTF-8: {error.reason}"
        return Fault(reason=reason, span=(error.start, error.end))
    return None


def read_json(body: bytes) -> JsonReading:
    """Read a body by RFC 8259: no byte order mark, no NaN or Infinity, nothing after the value."""
    if fault := utf8_fault(body):
        return JsonReading(fault=fault)
    text = body.decode()
    if _depth(text) > MAX_DEPTH:
        return JsonReading(too_deep=True)
    repeated: list[str] = []

    def keep(pairs: list[tuple[str, object]]) -> dict[str, object]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            keys = [key for key, _value in pairs]
            repeated.extend(key for key in seen if keys.count(key) > 1)
        return seen

    try:
        value = json.loads(text, object_pairs_hook=keep, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        start = len(text[: error.pos].encode())
        length = len(text[error.pos : error.pos + 1].encode())
        return JsonReading(fault=Fault(reason=_json_reason(error, text), span=(start, start + length)))
    except ValueError as error:
        return JsonReading(fault=Fault(reason=str(error)))
    return JsonReading(value=value, repeated_keys=tuple(dict.fromkeys(repeated)))


def xml_fault(body: bytes) -> Fault | None:
    """Return the first place where a body is not well-formed XML, or None. Entities are never expanded."""
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise _EntityDeclaredError

    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)  # noqa: FBT003  expat takes no keyword
    except expat.ExpatError as error:
        start = max(0, parser.ErrorByteIndex)
        reason = f"{expat.ErrorString(error.code)} at byte {start} (line {error.lineno}, column {error.offset + 1})"
        return Fault(reason=reason, span=(start, min(start + 1, len(body))))
    except _EntityDeclaredError:
        start = max(0, parser.CurrentByteIndex)
        return Fault(reason=f"declares an entity at byte {start}; it was not read further", span=(start, start + 1))
    return None


def form_fault(data: bytes) -> Fault | None:
    """Return the first byte a query string cannot hold as it stands: a stray `%`, a blank, a raw letter beyond ASCII."""
    candidates = [found for found in (_BAD_PERCENT.search(data), _NOT_URL_BYTE.search(data)) if found]
    if not candidates:
        return None
    first = min(candidates, key=lambda found: found.start())
    what = "a % that no two hex digits follow" if first[0] == b"%" else f"the raw byte {first[0]!r}"
    return Fault(reason=f"{what} at byte {first.start()}", span=first.span())


def decoded_body(body: bytes, content_types: tuple[str, ...]) -> str:
    """Return a body as a person would lay it out, by what its content type says; as it is when it cannot be read."""
    kind = content_types[0].partition(";")[0].strip().lower() if content_types else ""
    text = body.decode("utf-8", "backslashreplace")
    if kind.endswith("json"):
        reading = read_json(body)
        return text if reading.fault or reading.too_deep else json.dumps(reading.value, indent=2, ensure_ascii=False)
    if kind.endswith("xml"):
        return _decoded_xml(body) or text
    if kind == "application/x-www-form-urlencoded":
        pairs = parse_qsl(text, keep_blank_values=True)
        return "\n".join(f"{name} = {value}" for name, value in pairs)
    return text


def _decoded_xml(body: bytes) -> str | None:
    # xmltodict builds nested dictionaries; depth is capped first, since what walks them recurses.
    if xml_fault(body) or body.count(b"<") > MAX_ELEMENTS or _xml_depth(body) > MAX_DEPTH:
        return None
    return json.dumps(xmltodict.parse(body), indent=2, ensure_ascii=False)


def _xml_depth(body: bytes) -> int:
    depth = deepest = 0

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(body, True)  # noqa: FBT003  expat takes no keyword
    return deepest


class _EntityDeclaredError(Exception):
    pass


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON (RFC 8259 §6)")


def _json_reason(error: json.JSONDecodeError, text: str) -> str:
    byte = len(text[: error.pos].encode())
    got = repr(text[error.pos]) if error.pos < len(text) else "the end"
    return f"{error.msg}, got {got} at byte {byte} (line {error.lineno}, column {error.colno})"


def _depth(text: str) -> int:
    depth = deepest = 0
    for found in _BRACKET_OR_STRING.finditer(text):
        if found[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in "]}":
            depth -= 1
    return deepest
