"""Cuts the flat text of a JSON template into lexemes; guesses where a string with wrong quotes was meant to end."""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from postback_conformance.lint.flat import JOIN, JOIN_END, TOKEN

Quoting = Literal["sound", "odd", "not opened", "not closed"]

# What word processors make of quotes, and what other languages have: curly ones, double and single, and the like.
_ODD_QUOTES = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u00ab\u00bb`'"
# A string may hold a whole join, but does not run out of one; possessive, so that hostile text costs one pass.
_STRING = rf'"(?:[^"\\{JOIN}{JOIN_END}]|\\.|{JOIN}[^"{JOIN_END}]*+{JOIN_END})*+"?'
_ODD_STRING = rf'[{_ODD_QUOTES}][^{_ODD_QUOTES}"\n{JOIN}{JOIN_END}]*+[{_ODD_QUOTES}"]'
# A comment holds whole joins or none; after a colon, two slashes are those of a URL without quotes.
_WHOLE_JOIN = f"{JOIN}[^{JOIN_END}]*+{JOIN_END}"
_COMMENT = (
    rf"(?<!:)//(?:[^\r\n{JOIN}{JOIN_END}]|{_WHOLE_JOIN})*+|/\*(?:[^*{JOIN}{JOIN_END}]|\*(?!/)|{_WHOLE_JOIN})*+(?:\*/)?"
)
_LEXEME = re.compile(
    rf"(?P<space>[ \t\n\r]++)|(?P<comment>{_COMMENT})|(?P<string>{_STRING})|(?P<odd>{_ODD_STRING})"
    rf"|(?P<mark>[{{}}\[\]:,{JOIN}{JOIN_END}])"
    rf'|(?P<bare>(?:[^\s{{}}\[\]:,"/{JOIN}{JOIN_END}]|/(?![/*])|(?<=:)/)++)|(?P<other>.)',
    re.DOTALL,
)
_STRING_BODY = re.compile(r'(?:[^"\\]|\\.)*+', re.DOTALL)
# What can come after a string, or begins what should have a comma before it.
_AFTER_STRING = re.compile(rf'\s*+(?:[,:}}\]"{{\[{JOIN}{JOIN_END}]|\Z)')
_AFTER_VALUE = re.compile(rf"[ \t]*+(?:[,:}}\]{JOIN_END}\r\n]|\Z)")
_MEANT_END = re.compile(rf"(?P<odd>[{_ODD_QUOTES}])(?=\s*[:,}}\]])|(?P<token>{TOKEN})(?=\s*[,}}\]\n])|(?P<line>\r?\n)")
_TRAILING = " \t,}]"


class Lexeme(msgspec.Struct, frozen=True):
    """A stretch of the flat text: a `mark`, `string`, `bare` run or `comment`, with what is wrong with its quotes.

    A string that is not closed ends where it was probably meant to.
    """

    kind: Literal["mark", "string", "bare", "comment"]
    start: int
    end: int
    quoting: Quoting = "sound"


def json_lexemes(text: str) -> Iterator[Lexeme]:
    """Yield the lexemes of any text; white space is left out."""
    position = 0
    while found := _LEXEME.match(text, position):
        match found.lastgroup:
            case "space":
                position = found.end()
                continue
            case "string":
                lexeme = _string(text, found.start(), found.end())
            case "comment":
                lexeme = Lexeme("comment", found.start(), found.end())
            case "odd":
                lexeme = Lexeme("string", found.start(), found.end(), "odd")
            case "bare" | "other":
                lexeme = _bare(text, found.start(), found.end())
            case _:
                lexeme = Lexeme("mark", found.start(), found.end())
        yield lexeme
        position = lexeme.end


def _string(text: str, start: int, end: int) -> Lexeme:
    is_closed = end - start > 1 and text[end - 1] == '"' and _STRING_BODY.fullmatch(text, start + 1, end - 1)
    if is_closed and _AFTER_STRING.match(text, end):
        return Lexeme("string", start, end)
    meant = _MEANT_END.search(text, start + 1, end)
    if meant is None:
        return Lexeme("string", start, end, "sound" if is_closed else "not closed")
    if meant["odd"]:
        return Lexeme("string", start, meant.end(), "odd")
    if meant["token"]:
        return Lexeme("string", start, meant.end(), "not closed")
    beyond = meant.start()
    while beyond > start + 1 and text[beyond - 1] in _TRAILING:
        beyond -= 1
    return Lexeme("string", start, beyond, "not closed")


def _bare(text: str, start: int, end: int) -> Lexeme:
    """Read a run without quotes; when it ends in a quote after which the value is over, the first quote is missing."""
    if text[end : end + 1] == '"' and _AFTER_VALUE.match(text, end + 1):
        return Lexeme("string", start, end + 1, "not opened")
    return Lexeme("bare", start, end)
