"""Where in its format a token stands: inside a JSON string, in an XML attribute, in a URL's query …

A scanner per format is fed the literal text of the template, piece by piece, and knows at every moment in which
context the next token would stand. Scanners never fail: text that is broken in its format still has *some* context,
and saying that it is broken is the business of lint and of the rules.
"""

import re
from enum import Enum
from typing import Literal, Protocol

Format = Literal["url", "query", "json", "xml"]


class Context(Enum):
    """A place that asks for its own escaping."""

    RAW = "raw"
    URL_PATH = "URL path"
    URL_QUERY = "URL query"
    FORM_VALUE = "form value"
    JSON_STRING = "JSON string"
    JSON_BARE = "bare JSON"
    XML_TEXT = "XML text"
    XML_ATTRIBUTE = "XML attribute"
    XML_CDATA = "XML CDATA"


class Scanner(Protocol):
    """Follows literal text; `context` is where a token placed now would stand."""

    @property
    def context(self) -> Context: ...

    def feed(self, text: str) -> None: ...


def scanner_for(text_format: Format) -> Scanner:
    """Return a fresh scanner standing at the beginning of a text in that format."""
    if text_format not in _SCANNERS:
        raise ValueError(f"expected one of the formats {', '.join(_SCANNERS)}, got {text_format!r}")
    return _SCANNERS[text_format]()


class _UrlScanner:
    def __init__(self) -> None:
        self.context = Context.URL_PATH

    def feed(self, text: str) -> None:
        if "?" in text:
            self.context = Context.URL_QUERY


class _FormScanner:
    context = Context.FORM_VALUE

    def feed(self, text: str) -> None:
        """Stay: a query string body has one context only."""


class _JsonScanner:
    _step = re.compile(r'\\.|"', re.DOTALL)

    def __init__(self) -> None:
        self._in_string = False
        self._escape_pending = False

    @property
    def context(self) -> Context:
        return Context.JSON_STRING if self._in_string else Context.JSON_BARE

    def feed(self, text: str) -> None:
        # A piece may end between a backslash and the character it escapes.
        if self._escape_pending and text:
            text = text[1:]
            self._escape_pending = False
        for found in self._step.finditer(text):
            if found[0] == '"':
                self._in_string = not self._in_string
        trailing = len(text) - len(text.rstrip("\\"))
        self._escape_pending = self._in_string and trailing % 2 == 1


class _XmlState(Enum):
    TEXT = Context.XML_TEXT
    CDATA = Context.XML_CDATA
    TAG = "tag"
    DOUBLE_QUOTED = '"'
    SINGLE_QUOTED = "'"
    COMMENT = "comment"


# State → (what to look for, where each finding leads). Longer delimiters come first in a pattern.
_XML_TRANSITIONS: dict[_XmlState, tuple[re.Pattern[str], dict[str, _XmlState]]] = {
    _XmlState.TEXT: (
        re.compile(r"<!\[CDATA\[|<!--|<"),
        {"<![CDATA[": _XmlState.CDATA, "<!--": _XmlState.COMMENT, "<": _XmlState.TAG},
    ),
    _XmlState.CDATA: (re.compile(r"\]\]>"), {"]]>": _XmlState.TEXT}),
    _XmlState.COMMENT: (re.compile(r"-->"), {"-->": _XmlState.TEXT}),
    _XmlState.TAG: (
        re.compile(r"[\"'>]"),
        {'"': _XmlState.DOUBLE_QUOTED, "'": _XmlState.SINGLE_QUOTED, ">": _XmlState.TEXT},
    ),
    _XmlState.DOUBLE_QUOTED: (re.compile(r'"'), {'"': _XmlState.TAG}),
    _XmlState.SINGLE_QUOTED: (re.compile(r"'"), {"'": _XmlState.TAG}),
}
_XML_CONTEXTS = {
    _XmlState.CDATA: Context.XML_CDATA,
    _XmlState.DOUBLE_QUOTED: Context.XML_ATTRIBUTE,
    _XmlState.SINGLE_QUOTED: Context.XML_ATTRIBUTE,
}


class _XmlScanner:
    def __init__(self) -> None:
        self._state = _XmlState.TEXT

    @property
    def context(self) -> Context:
        return _XML_CONTEXTS.get(self._state, Context.XML_TEXT)

    def feed(self, text: str) -> None:
        position = 0
        while True:
            pattern, leads_to = _XML_TRANSITIONS[self._state]
            found = pattern.search(text, position)
            if found is None:
                return
            self._state = leads_to[found[0]]
            position = found.end()


_SCANNERS: dict[Format, type[Scanner]] = {
    "url": _UrlScanner,
    "query": _FormScanner,
    "json": _JsonScanner,
    "xml": _XmlScanner,
}
