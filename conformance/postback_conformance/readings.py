"""How the bytes of a capture read: strictly, with the place of the first fault. Total on any bytes.

Parsers differ on duplicate keys, NaN, byte order marks and depth, so each question is decided here and not left to one.
"""

import json
import re
from collections import Counter
from typing import NoReturn
from urllib.parse import parse_qsl
from xml.parsers import expat

import msgspec
import xmltodict

# A postback is a few levels deep; json and others recurse, and fall over at some thousand levels.
MAX_DEPTH = 200
# What a person can look at; a larger document is shown as it is.
MAX_ELEMENTS = 100_000

_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"|(-?Infinity|NaN)', re.DOTALL)
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# RFC 3986 §3.4, with the square brackets that many write as they are.
_NOT_URL_BYTE = re.compile(rb"[^!$-;=?-\[\]_a-z~]")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a text, and which bytes of it (first, beyond last)."""

    reason: str
    span: tuple[int, int] | None = None


class JsonReading(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON body: its fault, or the keys that some object holds twice. It may be too deep to tell."""

    fault: Fault | None = None
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
    """Read a body by RFC 8259: no byte order mark, no NaN or Infinity, nothing after the value.

    Numbers are read as they are written: how large or precise one may be is for whoever uses it.
    """
    if fault := utf8_fault(body):
        return JsonReading(fault=fault)
    text = body.decode()
    if _depth(text) > MAX_DEPTH:
        return JsonReading(too_deep=True)
    repeated: list[str] = []

    def note_repeated(pairs: list[tuple[str, object]]) -> None:
        repeated.extend(key for key, count in Counter(key for key, _value in pairs).items() if count > 1)

    try:
        json.loads(
            text, object_pairs_hook=note_repeated, parse_constant=_refuse_constant, parse_int=str, parse_float=str
        )
    except json.JSONDecodeError as error:
        return JsonReading(fault=_json_fault(error, text))
    except _ConstantError:
        return JsonReading(fault=_constant_fault(text))
    return JsonReading(repeated_keys=tuple(dict.fromkeys(repeated)))


def xml_fault(body: bytes) -> Fault | None:
    """Return the first place where a body is not well-formed XML, or None. Entities are never expanded."""
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _stop
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        start = max(0, parser.ErrorByteIndex)
        reason = f"{expat.ErrorString(error.code)} at byte {start} (line {error.lineno}, column {error.offset + 1})"
        return Fault(reason=reason, span=(start, min(start + 1, len(body))))
    except _DeclaredError:
        span = _declaration(b"<!ENTITY", body, parser.CurrentByteIndex)
        return Fault(reason=f"declares an entity at byte {span[0]}; it was not read further", span=span)
    except (LookupError, ValueError) as error:
        # The encoding of the declaration is looked up among Python's, and most of those cannot be read byte by byte.
        return Fault(reason=f"declares an encoding that cannot be read: {error}")
    return None


def xml_document_type(body: bytes) -> Fault | None:
    """Return where an XML body declares a document type, or None; the same letters in a text are no declaration."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _stop
    try:
        parser.Parse(body, True)
    except _DeclaredError:
        span = _declaration(b"<!DOCTYPE", body, parser.CurrentByteIndex)
        return Fault(reason=f"a document type is declared at byte {span[0]}", span=span)
    except (expat.ExpatError, LookupError, ValueError):
        return None
    return None


def form_fault(data: bytes) -> Fault | None:
    """Return the first byte a query string cannot hold as it is: a stray `%`, a blank, a raw letter beyond ASCII."""
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
        return text if reading.fault or reading.too_deep else _indented(body) or text
    if kind.endswith("xml"):
        return _decoded_xml(body) or text
    if kind == "application/x-www-form-urlencoded":
        pairs = parse_qsl(text, keep_blank_values=True)
        return "\n".join(f"{name} = {value}" for name, value in pairs)
    return text


def _indented(body: bytes) -> str | None:
    # Laid out as written, not as read: numbers keep their digits, escapes their letters and repeated keys their place.
    try:
        return msgspec.json.format(body, indent=2).decode()
    except msgspec.DecodeError:
        # A number and nothing else, which it takes for cut off.
        return None


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
    parser.Parse(body, True)
    return deepest


class _DeclaredError(Exception):
    """Stops expat at a declaration that nothing after it could make harmless."""


class _ConstantError(Exception):
    """Stops json at NaN or Infinity, which it would read."""


def _stop(*_: object) -> NoReturn:
    raise _DeclaredError


def _declaration(opening: bytes, body: bytes, index: int) -> tuple[int, int]:
    """Return the span of what opens the declaration that expat reports from somewhere inside it."""
    start = body.rfind(opening, 0, index)
    # In UTF-16 no such bytes are found, and the place that expat names has to do.
    return (start, start + len(opening)) if start >= 0 else (max(0, index), max(0, index) + 1)


def _refuse_constant(_name: str) -> NoReturn:
    raise _ConstantError


def _constant_fault(text: str) -> Fault:
    found = next(found for found in _STRING_OR_CONSTANT.finditer(text) if found[1])
    span = _byte_span(text, found.start(), found.end())
    return Fault(reason=f"{found[0]} is not JSON (RFC 8259 §6), at byte {span[0]}", span=span)


def _json_fault(error: json.JSONDecodeError, text: str) -> Fault:
    span = _byte_span(text, error.pos, error.pos + 1)
    got = repr(text[error.pos]) if error.pos < len(text) else "the end"
    # "Unterminated string starting at" and the like expect a place to follow.
    what = error.msg.removesuffix(" at").removesuffix(" starting")
    return Fault(reason=f"{what}, got {got} at byte {span[0]} (line {error.lineno}, column {error.colno})", span=span)


def _byte_span(text: str, start: int, end: int) -> tuple[int, int]:
    first = len(text[:start].encode())
    return first, first + len(text[start:end].encode())


def _depth(text: str) -> int:
    depth = deepest = 0
    for found in _BRACKET_OR_STRING.finditer(text):
        if found[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in "]}":
            depth -= 1
    return deepest
