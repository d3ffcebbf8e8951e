"""Cuts template text into lexemes; two modes, since text and the arguments of a join follow different rules.

Reading is one pass: each character is looked at a bounded number of times, whatever the text.
"""

import re
from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    """What a lexeme is; the values are how error messages call it."""

    TEXT = "text"
    TOKEN = "a token"
    FUNCTION = "a function call"
    NAME = "a name"
    COMMA = "','"
    QUOTE = "'\"'"
    CLOSE = "')}'"
    OTHER = "other text"
    END = "the end of the template"


class Lexeme(NamedTuple):
    """A piece of source: `text` is its meaning (escapes resolved, braces and white space stripped from names)."""

    kind: Kind
    text: str
    start: int
    end: int


class _Mode(Enum):
    PLAIN = auto()
    QUOTED = auto()


# Runs that hold nothing special; possessive, so that hostile text cannot make them backtrack.
_RUN = {_Mode.PLAIN: re.compile(r"[^\\{]++"), _Mode.QUOTED: re.compile(r'[^\\{"]++')}
_BRACE = re.compile(r"\{([A-Za-z0-9_.\s]*+)([}(]?)", re.ASCII)
_TOKEN_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*+", re.ASCII)
_WHITE_SPACE = re.compile(r"\s*+")
_CLOSE = re.compile(r"\)\s*+\}")
# `\{ \} \"` are the escapes the documented example uses. Before any other character a backslash is itself.
_ESCAPED = frozenset('{}"')


class Lexer:
    """A cursor over template text; the parser says in which mode the next lexeme is read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.position = 0

    def next_in_text(self, *, quoted: bool) -> Lexeme:
        """Read in text: `TEXT`, `TOKEN`, `FUNCTION`, `END`, and `QUOTE` when the text is quoted.

        A `{` that opens neither a token nor a function comes as `TEXT` of that one character.
        """
        start = self.position
        if start >= len(self.source):
            return Lexeme(Kind.END, "", start, start)
        letter = self.source[start]
        if letter == "\\":
            following = self.source[start + 1 : start + 2]
            return (
                self._take(Kind.TEXT, following, 2)
                if following in _ESCAPED and following
                else self._take(Kind.TEXT, "\\", 1)
            )
        if letter == "{":
            return self._brace(start)
        if quoted and letter == '"':
            return self._take(Kind.QUOTE, letter, 1)
        run = _RUN[_Mode.QUOTED if quoted else _Mode.PLAIN].match(self.source, start)
        text = run[0] if run else letter
        return self._take(Kind.TEXT, text, len(text))

    def next_in_arguments(self) -> Lexeme:
        """Read between the parentheses of a function: `NAME`, `COMMA`, `QUOTE`, `CLOSE`, `OTHER` or `END`."""
        white_space = _WHITE_SPACE.match(self.source, self.position)
        start = self.position = white_space.end() if white_space else self.position
        if start >= len(self.source):
            return Lexeme(Kind.END, "", start, start)
        if name := _NAME.match(self.source, start):
            return self._take(Kind.NAME, name[0], len(name[0]))
        if close := _CLOSE.match(self.source, start):
            return self._take(Kind.CLOSE, close[0], len(close[0]))
        letter = self.source[start]
        return self._take({",": Kind.COMMA, '"': Kind.QUOTE}.get(letter, Kind.OTHER), letter, 1)

    def _brace(self, start: int) -> Lexeme:
        found = _BRACE.match(self.source, start)
        name = "".join(found[1].split()) if found else ""
        if found and found[2] and _TOKEN_NAME.fullmatch(name):
            return self._take(Kind.TOKEN if found[2] == "}" else Kind.FUNCTION, name, found.end() - start)
        return self._take(Kind.TEXT, "{", 1)

    def _take(self, kind: Kind, text: str, length: int) -> Lexeme:
        lexeme = Lexeme(kind, text, self.position, self.position + length)
        self.position += length
        return lexeme
