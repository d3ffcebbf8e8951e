"""Escaping, read backwards: which bytes can be a value in a context, and the text they stand for.

More is read than we write: another sender may escape more, or in another way, and its values should be found too.
"""

import html
import json
import re
from collections.abc import Callable
from urllib.parse import unquote, unquote_plus

import msgspec

from postback_sender.template.context import Context
from postback_sender.template.escaping import CDATA_BREAK


class ValueBytes(msgspec.Struct, frozen=True, kw_only=True):
    """What a value is made of: single bytes other than `never`, and escapes, which are read whole.

    `never` holds the bytes that end a value wherever they stand; `escape` is a pattern, empty where there are none.
    """

    never: bytes = b""
    escape: bytes = b""


_PERCENT = rb"%[0-9A-Fa-f]{2}"
_REFERENCE = rb"&(?:[A-Za-z]+|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"

VALUE_BYTES: dict[Context, ValueBytes] = {
    Context.RAW: ValueBytes(),
    Context.URL_PATH: ValueBytes(never=b"/?#%", escape=_PERCENT),
    Context.URL_QUERY: ValueBytes(never=b"&#%", escape=_PERCENT),
    Context.FORM_VALUE: ValueBytes(never=b"&%", escape=_PERCENT),
    Context.JSON_STRING: ValueBytes(never=b'"\\', escape=rb"\\(?:[^u]|u[0-9A-Fa-f]{4})"),
    Context.XML_TEXT: ValueBytes(never=b"<&", escape=_REFERENCE),
    Context.XML_ATTRIBUTE: ValueBytes(never=b"<&", escape=_REFERENCE),
    Context.XML_CDATA: ValueBytes(escape=re.escape(CDATA_BREAK.encode())),
}

# A bare place holds a quoted string or runs up to whatever can follow a value (RFC 8259 §2).
BARE_JSON = rb'(?>"(?:[^"\\]++|\\.)*+"|[^,:\[\]{}"\s]*+)'


def unescape(data: bytes, context: Context) -> str:
    """Return the text a value stands for; `ValueError` when it is not UTF-8, or its escapes stand for nothing."""
    return _UNESCAPES[context](data)


def _plain(data: bytes) -> str:
    return data.decode()


def _json_string(data: bytes) -> str:
    if b"\\" not in data:
        return data.decode()
    text = json.loads(f'"{data.decode()}"', strict=False)
    # Half a surrogate pair is valid JSON and no text.
    text.encode()
    return str(text)


def _json_bare(data: bytes) -> str:
    return _json_string(data[1:-1]) if data.startswith(b'"') else data.decode()


def _percent(data: bytes) -> str:
    return unquote(data.decode(), errors="strict") if b"%" in data else data.decode()


def _form(data: bytes) -> str:
    return unquote_plus(data.decode(), errors="strict")


def _xml(data: bytes) -> str:
    return html.unescape(data.decode()) if b"&" in data else data.decode()


def _cdata(data: bytes) -> str:
    return data.decode().replace(CDATA_BREAK, "")


_UNESCAPES: dict[Context, Callable[[bytes], str]] = {
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
