"""Strings and bare values of a JSON template, each by itself: quotes, escapes, control characters, missing quotes."""

import re
from collections.abc import Callable, Iterator
from typing import Literal

from postback_conformance.lint import kinds
from postback_conformance.lint.finding import Edit, Finding
from postback_conformance.lint.flat import TOKEN, FlatText
from postback_conformance.lint.json_lexemes import Lexeme
from postback_sender.template.escaping import JSON_SCALAR
from postback_sender.template.nodes import Join, TokenNode

Role = Literal["key", "value", "body"]
"""What a bare value stands for: a key, a value inside an object or array, or the body as a whole."""

_PLAIN_WORD = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
# Words of other languages for values JSON has, or has not: quotes would turn them into texts.
_FOREIGN_CONSTANTS = frozenset({"true", "false", "null", "none", "nil", "undefined", "nan", "infinity"})
_CONTROL = re.compile(r"[\x00-\x1f]")
_ESCAPE = re.compile(r"\\(?:[\"\\/bfnrt]|u[0-9A-Fa-f]{4}|(?P<bad>.))", re.DOTALL)
_SHORT_ESCAPES = {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
_LONGEST_QUOTE = 60


def string_findings(flat: FlatText, lexeme: Lexeme) -> Iterator[Finding]:
    """Find what is wrong with a string: its quotes, control characters, escapes."""
    text = flat.text
    first, last = lexeme.start, lexeme.end - 1
    written = shortened(flat.shown(first, lexeme.end))
    match lexeme.quoting:
        case "odd":
            edits = [flat.edit(place, place + 1, flat.quote(place)) for place in (first, last) if text[place] != '"']
            yield flat.finding(
                kinds.WRONG_QUOTES,
                first,
                message=f"{written} has quotes JSON does not know",
                advice='write straight quotes, "…"',
                edits=() if "\\" in text[first:last] or '"' in text[first + 1 : last] else edits,
            )
        case "not opened":
            yield flat.finding(
                kinds.STRING_NOT_CLOSED,
                first,
                message=f"{written} has no quote at its beginning",
                advice="write a quote before it",
                edits=[flat.edit(first, first, flat.quote(first))] if TOKEN in text[first:last] else (),
            )
        case "not closed":
            yield flat.finding(
                kinds.STRING_NOT_CLOSED,
                first,
                message=f"{written} has no quote at its end",
                advice="write a quote behind it",
                edits=[flat.insertion_after(last, flat.quote(last))] if text[last] == TOKEN else (),
            )
        case "sound":
            pass
    yield from _control_characters(flat, lexeme)
    bad = next((found for found in _ESCAPE.finditer(text, first, lexeme.end) if found["bad"] is not None), None)
    if bad:
        yield flat.finding(
            kinds.BAD_ESCAPE,
            bad.start(),
            message=f"JSON has no escape {shortened(flat.shown(bad.start(), bad.end()))}",
            advice=r"write \\ for a backslash that is text",
        )


def _control_characters(flat: FlatText, lexeme: Lexeme) -> Iterator[Finding]:
    found = list(_CONTROL.finditer(flat.text, lexeme.start, lexeme.end))
    if not found:
        return
    edits = [flat.edit(one.start(), one.end(), _SHORT_ESCAPES.get(one[0], f"\\u{ord(one[0]):04x}")) for one in found]
    yield flat.finding(
        kinds.CONTROL_CHARACTER,
        found[0].start(),
        message=f"a string holds {found[0][0]!r} as it is: JSON wants it escaped",
        advice=f"write {edits[0].replacement}",
        edits=edits,
    )


def comment_finding(flat: FlatText, lexeme: Lexeme) -> Finding:
    """Say of a comment that there is no such thing, and read its tokens no further."""
    flat.forget(lexeme.start, lexeme.end)
    text, first = flat.text, lexeme.start
    while text[first - 1 : first] in {" ", "\t"}:
        first -= 1
    is_closed = text.startswith("//", lexeme.start) or text.endswith("*/", lexeme.start + 2, lexeme.end)
    return flat.finding(
        kinds.COMMENT,
        lexeme.start,
        message=f"JSON has no comments, and this is one: {shortened(flat.shown(lexeme.start, lexeme.end))}",
        advice="remove it",
        edits=[flat.edit(first, lexeme.end, "")] if is_closed else (),
    )


def bare_findings(
    flat: FlatText, lexeme: Lexeme, *, role: Role, is_number: Callable[[TokenNode, Join | None], bool]
) -> Iterator[Finding]:
    """Find tokens without quotes that may be empty or no number, and words without quotes."""
    text = flat.text[lexeme.start : lexeme.end]
    quotes = [
        flat.edit(lexeme.start, lexeme.start, flat.quote(lexeme.start)),
        flat.insertion_after(lexeme.end - 1, flat.quote(lexeme.end - 1)),
    ]
    if TOKEN in text and role != "key":
        yield from _unquoted(flat, lexeme, text, quotes, is_number)
    elif TOKEN not in text and (role == "key" or not JSON_SCALAR.fullmatch(text)):
        shown = shortened(flat.shown(lexeme.start, lexeme.end))
        is_certain = _PLAIN_WORD.fullmatch(text) and (role == "key" or text.lower() not in _FOREIGN_CONSTANTS)
        yield flat.finding(
            kinds.BARE_WORD,
            lexeme.start,
            message=f"{shown} stands without quotes and is no number, true, false or null",
            advice=f'write "{shown}", or what JSON has for it',
            edits=quotes if is_certain and role != "body" else (),
        )


def _unquoted(
    flat: FlatText,
    lexeme: Lexeme,
    text: str,
    quotes: list[Edit],
    is_number: Callable[[TokenNode, Join | None], bool],
) -> Iterator[Finding]:
    token = flat.tokens[flat.text.index(TOKEN, lexeme.start)]
    if text == TOKEN and is_number(token, flat.join_around(lexeme.start)):
        return
    what = f"{{{token.name}}}" if text == TOKEN else shortened(flat.shown(lexeme.start, lexeme.end))
    yield flat.finding(
        kinds.UNQUOTED,
        lexeme.start,
        message=f"{what} stands without quotes: an absent value makes the body invalid JSON",
        advice=f'write "{what}" and read the number from the text',
        edits=() if '"' in text or "\\" in text else quotes,
    )


def shortened(text: str) -> str:
    """Return a text on one line, cut where it is long."""
    shown = " ".join(text.split())
    return shown if len(shown) <= _LONGEST_QUOTE else f"{shown[:_LONGEST_QUOTE]}…"
