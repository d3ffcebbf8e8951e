"""Escaping, read backwards: which bytes can be a value in a context, and the text they stand for.

More is read than we write: another sender may escape more, or in another way, and its values should be found too.
"""

import json
import re
import sys
from collections.abc import Callable
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from postback_sender.template.context import Context
from postback_sender.template.escaping import CDATA_BREAK, NOT_XML


class ValueBytes(msgspec.Struct, frozen=True, kw_only=True):
    """What a value is made of: single bytes other than `never`, and escapes, which are read whole.

    `escape` is a pattern, empty where there are none; `lead` is the byte it begins with, one of `never`.
    """

    never: bytes = b""
    escape: bytes = b""
    lead: bytes = b""


# XML 1.0 §4.6 and §4.1: five names, and numbers. Other names need a DTD, which no postback has.
_XML_NAMES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_XML_REFERENCE = re.compile("&(?:([A-Za-z]+)|#([0-9]+)|#[xX]([0-9A-Fa-f]+));")

_PERCENT = rb"%[0-9A-Fa-f]{2}"
_REFERENCE = rb"&(?:[A-Za-z]+|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"

VALUE_BYTES: dict[Context, ValueBytes] = {
    Context.RAW: ValueBytes(),
    Context.URL_PATH: ValueBytes(never=b"/?#%", escape=_PERCENT, lead=b"%"),
    Context.URL_QUERY: ValueBytes(never=b"&#%", escape=_PERCENT, lead=b"%"),
    Context.FORM_VALUE: ValueBytes(never=b"&%", escape=_PERCENT, lead=b"%"),
    Context.JSON_STRING: ValueBytes(never=b'"\\', escape=rb"\\(?:[^u]|u[0-9A-Fa-f]{4})", lead=b"\\"),
    Context.XML_TEXT: ValueBytes(never=b"<&", escape=_REFERENCE, lead=b"&"),
    Context.XML_ATTRIBUTE: ValueBytes(never=b"<&", escape=_REFERENCE, lead=b"&"),
    Context.XML_CDATA: ValueBytes(escape=re.escape(CDATA_BREAK.encode())),
}

# A bare place holds a quoted string, a token that nobody replaced, or whatever runs up to what can follow a value
# (RFC 8259 §2).
BARE_JSON = rb'(?>"(?:[^"\\]++|\\.)*+"|\{[A-Za-z_][\w.\s]*+\}|[^,:\[\]{}"\s]*+)'
PLAIN_BARE_JSON = rb'(?!["{])[^,:\[\]{}"\s\x00-\x1f]*+'
"""Such a place without a string and without a token: what stands there is the value itself."""
_BARE_ENDS = b",:[]{} \t\r\n"


def ends_value(literal: bytes, context: Context) -> bool:
    """Tell whether text that follows a value cannot be part of it; an empty text is the end of everything."""
    first = literal[:1]
    match context:
        case Context.JSON_BARE:
            return first in _BARE_ENDS
        case Context.XML_CDATA:
            return not literal or (literal.startswith(b"]]>") and not literal.startswith(CDATA_BREAK.encode()))
        case Context.XML_ATTRIBUTE:
            return first in b"\"'<"
        case _:
            kind = VALUE_BYTES[context]
            return first in kind.never and (not first or first not in kind.lead)


def _plain(data: bytes) -> str:
    return data.decode()


def _json_string(data: bytes) -> str:
    text = data.decode()
    if "\\" not in text:
        return text
    meant: str = json.loads(f'"{text}"', strict=False)
    # Half a surrogate pair is valid JSON and no text.
    meant.encode()
    return meant


def _json_bare(data: bytes) -> str:
    return _json_string(data[1:-1]) if data.startswith(b'"') else data.decode()


def _percent(data: bytes) -> str:
    if b"%" not in data:
        return data.decode()
    if data.isascii():
        # What `unquote` does, without looking for letters beyond ASCII, which are no part of an escape.
        return unquote_to_bytes(data).decode()
    return unquote(data.decode(), errors="strict")


def _form(data: bytes) -> str:
    return _percent(data.replace(b"+", b" "))


def _xml(data: bytes) -> str:
    text = data.decode()
    return _XML_REFERENCE.sub(_referenced, text) if "&" in text else text


def _referenced(reference: re.Match[str]) -> str:
    name, decimal, hexadecimal = reference.groups()
    if name:
        if name not in _XML_NAMES:
            raise ValueError(f"&{name}; stands for nothing")
        return _XML_NAMES[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    character = chr(code) if code <= sys.maxunicode else ""
    if not character or NOT_XML.search(character) or "\ud800" <= character <= "\udfff":
        raise ValueError(f"{reference[0]} stands for a character that XML 1.0 cannot carry")
    return character


def _cdata(data: bytes) -> str:
    return data.decode().replace(CDATA_BREAK, "")


UNESCAPES: dict[Context, Callable[[bytes], str]] = {
    Context.RAW: _plain,
    Context.URL_PATH: _percent,
    Context.URL_QUERY: _form,
    Context.FORM_VALUE: _form,
    Context.JSON_STRING: _json_string,
    Context.JSON_BARE: _json_bare,
    Context.XML_TEXT: _xml,
    Context.XML_ATTRIBUTE: _xml,
    Context.XML_CDATA: _cdata,
}
"""Each returns the text a value stands for; `ValueError` when it is not UTF-8, or its escapes stand for nothing."""

PLAIN_WITHOUT: dict[Context, bytes] = {
    Context.URL_PATH: b"/?#%",
    Context.URL_QUERY: b"&#%+",
    Context.FORM_VALUE: b"&%+",
    Context.JSON_STRING: b'"\\',
    Context.XML_TEXT: b"<&>",
    Context.XML_ATTRIBUTE: b"<&>\"'",
    Context.XML_CDATA: b"]>",
}
"""The bytes without any of which a value stands for itself and ends where it seems to, where there are such bytes."""
