"""How the bytes of a capture read: strictly, with the place of the first fault. Total on any bytes.

Parsers differ on duplicate keys, NaN, byte order marks and depth, so each question is decided here and not left to one.
"""

import json
import math
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

CONSTANTS = frozenset({"NaN", "Infinity", "-Infinity"})
"""What many programs write where JSON has no number for it."""

_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"|(-?Infinity|NaN)', re.DOTALL)
# A raw character that XML 1.0 §2.2 excludes, or a reference (§4.1) to any; where references mean nothing is skipped.
_XML_CHARACTER = re.compile(
    r"<!\[CDATA\[|<!--|[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
    r"|&#(?:0*+([0-9]{0,8})[0-9]*|[xX]0*+([0-9A-Fa-f]{0,7})[0-9A-Fa-f]*);"
)
_NOT_XML_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_DOUBLE_DIGITS = 308
_SHOWN_DIGITS = 40
# A % without two hex digits after it, or what RFC 3986 §3.4 has no place for; square brackets many write as they are.
_NO_QUERY = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^!$-;=?-\[\]_a-z~]")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a text, and which bytes of it (first, beyond last)."""

    reason: str
    span: tuple[int, int] | None = None


class JsonReading(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON body: its first fault, or what is odd about one that has none. It may be too deep to tell, or to name
    the first.

    `is_mark` and `is_constant` say that the fault is a byte order mark, or NaN or an infinity. `repeated_keys` are
    those that some object holds twice, `huge` is the first number that is more than a double can hold.
    """

    fault: Fault | None = None
    is_mark: bool = False
    is_constant: bool = False
    repeated_keys: tuple[str, ...] = ()
    huge: str = ""
    too_deep: bool = False


class XmlReading(msgspec.Struct, frozen=True, kw_only=True):
    """An XML body: its first fault, where it declares a document type, and the first character it may not hold."""

    fault: Fault | None = None
    document_type: Fault | None = None
    illegal: Fault | None = None

    @property
    def is_illegal(self) -> bool:
        """Whether the fault is that very character."""
        return (
            self.fault is not None
            and self.illegal is not None
            and (self.fault.span or (-1,))[0] == (self.illegal.span or (-2,))[0]
        )


PLAIN_JSON = JsonReading()
PLAIN_XML = XmlReading()
"""The readings of bodies without anything odd about them, which nearly all share."""


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
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return JsonReading(fault=utf8_fault(body))
    # No text is deeper than it has opening brackets, and hardly any needs to be looked at more closely.
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_too_deep(text):
        return JsonReading(fault=_bracket_fault(text), too_deep=True)
    if text.startswith("\ufeff"):
        return JsonReading(fault=Fault(reason="Unexpected UTF-8 BOM at byte 0", span=(0, 3)), is_mark=True)
    return PLAIN_JSON if _is_surely_plain(body) else _closely_read(text)


def _closely_read(text: str) -> JsonReading:
    try:
        _STRICT_JSON.decode(text)
    except json.JSONDecodeError as error:
        return JsonReading(fault=_json_fault(error, text))
    except _OddError:
        return _odd_json(text)
    return PLAIN_JSON


def _is_surely_plain(body: bytes) -> bool:
    """Tell, in a third of the time, that nothing is odd: what is written anew is the same, so no key was lost on it."""
    try:
        read = msgspec.json.decode(body)
        # This format has no number that could be more than a double holds.
        msgspec.msgpack.encode(read)
        return msgspec.json.encode(read) == msgspec.json.format(body, indent=-1)
    except (ValueError, OverflowError, RecursionError):
        return False


def _odd_json(text: str) -> JsonReading:
    """Read a text again of which something is known to be odd, and say what."""
    repeated: dict[str, None] = {}
    huge: list[str] = []

    def note_repeated(pairs: list[tuple[str, object]]) -> None:
        repeated.update((key, None) for key, count in Counter(key for key, _value in pairs).items() if count > 1)

    def note_huge(number: str) -> None:
        if not huge and _is_huge(number):
            huge.append(number if len(number) <= _SHOWN_DIGITS else f"{number[:_SHOWN_DIGITS]}…")

    try:
        json.loads(
            text,
            object_pairs_hook=note_repeated,
            parse_constant=_refuse_constant,
            parse_int=note_huge,
            parse_float=note_huge,
        )
    except json.JSONDecodeError as error:
        return JsonReading(fault=_json_fault(error, text))
    except _ConstantError:
        return JsonReading(fault=_constant_fault(text), is_constant=True)
    return JsonReading(repeated_keys=tuple(repeated), huge="".join(huge))


def _refuse_repeated(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _OddError


def _refuse_huge(number: str) -> None:
    if _is_huge(number):
        raise _OddError


def _is_huge(number: str) -> bool:
    # Only a long or an exponential one can be: 1.8e308 has 309 digits.
    return (len(number) > _DOUBLE_DIGITS or "e" in number or "E" in number) and math.isinf(float(number))


def read_xml(body: bytes) -> XmlReading:
    """Read a body by XML 1.0, up to its first fault or the first entity it declares. Entities are never expanded."""
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _stop
    declared: list[int] = []

    def note_declared(*_: object) -> None:
        declared.append(parser.CurrentByteIndex)

    parser.StartDoctypeDeclHandler = note_declared
    fault: Fault | None = None
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        start = max(0, parser.ErrorByteIndex)
        reason = f"{expat.ErrorString(error.code)} at byte {start} (line {error.lineno}, column {error.offset + 1})"
        fault = Fault(reason=reason, span=(start, min(start + 1, len(body))))
    except _DeclaredError:
        span = _declaration(b"<!ENTITY", body, parser.CurrentByteIndex)
        fault = Fault(reason=f"declares an entity at byte {span[0]}; it was not read further", span=span)
    except (LookupError, ValueError) as error:
        # The encoding of the declaration is looked up among Python's, and most of those cannot be read byte by byte.
        fault = Fault(reason=f"declares an encoding that cannot be read: {error}")
    if fault is None and not declared:
        return PLAIN_XML
    document_type: Fault | None = None
    if declared:
        span = _declaration(b"<!DOCTYPE", body, declared[0])
        document_type = Fault(reason=f"a document type is declared at byte {span[0]}", span=span)
    # What expat finds no fault with holds no such character either.
    return XmlReading(fault=fault, document_type=document_type, illegal=_illegal_character(body) if fault else None)


def xml_fault(body: bytes) -> Fault | None:
    """Return the first place where a body is not well-formed XML, or None. Entities are never expanded."""
    return read_xml(body).fault


def xml_document_type(body: bytes) -> Fault | None:
    """Return where an XML body declares a document type, or None; the same letters in a text are no declaration."""
    return read_xml(body).document_type


def form_fault(data: bytes) -> Fault | None:
    """Return the first byte a query string cannot hold as it is: a stray `%`, a blank, a raw letter beyond ASCII."""
    first = _NO_QUERY.search(data)
    if first is None:
        return None
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


class _OddError(Exception):
    """Stops json at what it would read and others may not, so that it is looked at more closely."""


class _ConstantError(_OddError):
    """Stops json at NaN or Infinity."""


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


def _is_too_deep(text: str) -> bool:
    depth = 0
    for found in _BRACKET_OR_STRING.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif found[0] in "]}":
            depth -= 1
    return False


def _bracket_fault(text: str) -> Fault | None:
    """Return what is wrong with a text for sure, however deep it is: brackets that do not come in pairs."""
    bare = _STRING.sub("", text)
    for opening, closing in ("[]", "{}"):
        opened, closed = bare.count(opening), bare.count(closing)
        if opened != closed:
            end = len(text.encode())
            reason = f"it opens {opened} times with {opening} and closes {closed} times with {closing}"
            return Fault(reason=reason, span=(end, end))
    return None


def _illegal_character(body: bytes) -> Fault | None:
    """Return the first character of a UTF-8 body that XML cannot carry, raw or as a reference."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    position = 0
    while found := _XML_CHARACTER.search(text, position):
        if found[0] in _LITERAL_SECTIONS:
            # References mean nothing in there, and a raw character is as wrong as anywhere.
            end = text.find(_LITERAL_SECTIONS[found[0]], found.end())
            position = len(text) if end < 0 else end
            found = _NOT_XML_CHARACTER.search(text, found.end(), position)
            if found is None:
                continue
        elif found[0].startswith("&") and _is_xml_character(found[1], found[2]):
            position = found.end()
            continue
        span = _byte_span(text, found.start(), found.end())
        what = f"{found[0][:_SHOWN_DIGITS]} stands for" if found[0].startswith("&") else f"U+{ord(found[0]):04X} is"
        return Fault(reason=f"{what} a character that XML 1.0 cannot carry, at byte {span[0]}", span=span)
    return None


def _is_xml_character(decimal: str | None, hexadecimal: str | None) -> bool:
    # Cut off after so many digits that it is beyond the last character anyway.
    code = int(decimal) if decimal else int(hexadecimal or "0", 16)
    return code <= _LAST_CHARACTER and code not in _SURROGATES and not _NOT_XML_CHARACTER.match(chr(code))


_LITERAL_SECTIONS = {"<![CDATA[": "]]>", "<!--": "-->"}
_STRICT_JSON = json.JSONDecoder(
    object_pairs_hook=_refuse_repeated,
    parse_constant=_refuse_constant,
    parse_int=_refuse_huge,
    parse_float=_refuse_huge,
)
