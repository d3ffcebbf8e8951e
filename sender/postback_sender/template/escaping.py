"""One value, made safe for the place it stands in. A table from context to function, and the functions."""

import re
from collections.abc import Callable
from json.encoder import encode_basestring
from urllib.parse import quote, quote_plus

from postback_sender.template.context import Context

# What RFC 3986 §2.3 calls unreserved is never encoded by quote(); everything else a value holds is.
_NOTHING_ELSE_SAFE = ""
# Scalars a bare place can hold without quotes (RFC 8259 §3 and §6).
JSON_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null", re.ASCII)
# Characters XML 1.0 §2.2 does not allow at all, not even as a reference; lone surrogates are UTF-8's business.
# Those that are not allowed are listed: of what is, a set that reaches beyond U+FFFF takes 20 ms to compile.
NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_XML_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
# A parser turns line ends and tabs of an attribute into blanks (XML 1.0 §3.3.3); references survive.
_XML_ATTRIBUTE = _XML_TEXT | str.maketrans({'"': "&quot;", "'": "&#39;", "\t": "&#9;", "\n": "&#10;"})
CDATA_BREAK = "]]><![CDATA["
"""Ends a CDATA section and begins the next; a parser reads the two as one text."""


class UnwritableError(ValueError):
    """A value with a character that its place cannot carry, however it is escaped."""

    def __init__(self, character: str, carrier: str) -> None:
        super().__init__(f"U+{ord(character):04X}, which {carrier} cannot carry")


# The value with its quotes (RFC 8259 §7); letters beyond ASCII stay as they are. The C function behind `json.dumps`.
json_quoted = encode_basestring


def json_string(value: str) -> str:
    """Escape a value that stands inside the quotes of a JSON string."""
    return json_quoted(value)[1:-1]


def bare_json(value: str) -> str:
    """Make a value of a bare place: numbers and `true`, `false`, `null` as they are, other text as a quoted string.

    An empty value becomes `""`. impact.com documents no escaping, and most likely leaves the place empty: lint says so,
    and `escaping = "raw"` shows it.
    """
    return value if JSON_SCALAR.fullmatch(value) else json_quoted(value)


def xml_text(value: str) -> str:
    """Escape a value between two tags."""
    return _checked(value).translate(_XML_TEXT)


def xml_attribute(value: str) -> str:
    """Escape a value between quotes of either kind."""
    return _checked(value).translate(_XML_ATTRIBUTE)


def xml_cdata(value: str) -> str:
    """Split a value so that no `]]>` arises, neither within it nor together with the text around it."""
    text = _checked(value).replace("]]>", f"]]{CDATA_BREAK}>")
    before = CDATA_BREAK if text.startswith((">", "]>")) else ""
    after = CDATA_BREAK if text.endswith("]") else ""
    return f"{before}{text}{after}"


def _checked(value: str) -> str:
    if found := NOT_XML.search(value):
        raise UnwritableError(found[0], "XML 1.0")
    return value


def url_value(value: str) -> str:
    """Percent-encode a value as UTF-8, so that it stays one segment or one parameter."""
    return quote(value, safe=_NOTHING_ELSE_SAFE)


def form_value(value: str) -> str:
    """Encode a value of an `application/x-www-form-urlencoded` body: percent-encoded, blanks as `+`."""
    return quote_plus(value, safe=_NOTHING_ELSE_SAFE)


def raw(value: str) -> str:
    """Leave a value as it is."""
    return value


ESCAPES: dict[Context, Callable[[str], str]] = {
    Context.RAW: raw,
    Context.URL_PATH: url_value,
    Context.URL_QUERY: url_value,
    Context.FORM_VALUE: form_value,
    Context.JSON_STRING: json_string,
    Context.JSON_BARE: bare_json,
    Context.XML_TEXT: xml_text,
    Context.XML_ATTRIBUTE: xml_attribute,
    Context.XML_CDATA: xml_cdata,
}
