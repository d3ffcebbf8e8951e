"""The names a template writes, asked of the catalogue: which token is meant, and what to write instead."""

import re
from collections.abc import Iterator
from functools import cache

from postback_conformance.lint import kinds
from postback_conformance.lint.finding import Finding
from postback_conformance.lint.flat import FlatText
from postback_conformance.redaction import SHOWN
from postback_sender.notification import Notification
from postback_sender.template.compiler import ITEMS
from postback_sender.template.nodes import Join, TokenNode
from postback_sender.token_model import DIGITS
from postback_sender.tokens import Token

# Each costs milliseconds, and nobody reads the advice for the hundredth name that does not exist.
_MOST_HINTS = 100
_LONGEST_NAME = 64
_NUMBERS = frozenset({"money", "number"})


class Spelling:
    """The tokens of a notification's kind, its own included, looked up as a template writes them."""

    def __init__(self, notification: Notification) -> None:
        self.event = notification.event
        self._catalogue = catalogue = notification.catalogue
        self._folded = {
            False: {token.name.casefold() for token in catalogue.tokens(self.event)},
            True: {token.name.casefold() for token in catalogue.item_fields(self.event)},
        }
        # Asked for again at every place that has the name.
        self._nearest = cache(catalogue.nearest)
        self._hinted: set[str] = set()

    def token(self, name: str, join: Join | None) -> Token | None:
        """Return the token of a name, case aside, or None; inside a join, `i.sku` is the field `sku`."""
        spelled = self.spelled(name, join)
        if spelled is None:
            return None
        field = spelled.rpartition(".")[2]
        return self._catalogue.find(self.event, field, of_items="." in spelled)

    def exact(self, name: str) -> Token | None:
        """Return the token of exactly this name outside a join, or None."""
        return self._catalogue.find(self.event, name)

    def spelled(self, name: str, join: Join | None) -> str | None:
        """Return the name as the catalogue spells it, or None when it differs in more than its case."""
        owner, dot, field = name.rpartition(".")
        if dot and (join is None or owner != join.variable):
            return None
        if self._catalogue.find(self.event, field, of_items=bool(dot)) is not None:
            return name
        if field.casefold() not in self._folded[bool(dot)]:
            return None
        return f"{owner}{dot}{self._nearest(self.event, field, of_items=bool(dot))}"

    def is_number(self, node: TokenNode, join: Join | None) -> bool:
        """Tell whether a token's value is always there and always a number, as JSON writes numbers."""
        token = self.token(node.name, join)
        return token is not None and not token.may_be_empty and (token.type in _NUMBERS or token.format == DIGITS)

    def hint(self, name: str, join: Join | None) -> str:
        """Return what to write instead of a name nobody knows."""
        owner, dot, field = name.rpartition(".")
        if dot and (join is None or owner != join.variable):
            return f'item fields stand inside a join over the items, {{join(items, {owner}, "…")}}'
        if self._is_worth_a_hint(field) and (nearest := self._nearest(self.event, field, of_items=bool(dot))):
            return f"did you mean {{{owner}{dot}{nearest}}}?"
        return "no source names such an item field" if dot else f"declare it under [tokens.{name}] if it is yours"

    def _is_worth_a_hint(self, name: str) -> bool:
        if len(self._hinted) < _MOST_HINTS and len(name) <= _LONGEST_NAME:
            self._hinted.add(name)
        return name in self._hinted

    def official_in(self, token: Token) -> str | None:
        """Return the official name when the catalogue's text about a token mentions it."""
        named = (self.exact(word) for word in re.findall(r"\w+", token.meaning))
        return next((one.name for one in named if one and one.certainty == "official"), None)


def name_findings(flat: FlatText, spelling: Spelling) -> Iterator[Finding]:
    """Find names that no token has, or only nearly, and lists there are none of."""
    for node, join in _tokens(flat):
        if node.start in flat.unclosed:
            continue
        spelled = spelling.spelled(node.name, join)
        if node.start in flat.foreign:
            yield _foreign(flat, spelling, node, join)
        elif spelled != node.name:
            yield _unknown(flat, spelling, node, join, spelled)
        elif len(node.source) != len(node.name) + 2:
            yield flat.finding_at(
                kinds.WHITE_SPACE,
                node.start,
                message=f"white space inside {node.source!r}",
                advice=f"write {{{node.name}}} on one line",
                edits=[flat.token_edit(node, f"{{{node.name}}}")],
            )
        elif (token := spelling.token(node.name, join)) and token.certainty == "third-party":
            official = spelling.official_in(token)
            yield flat.finding_at(
                kinds.HEARSAY_TOKEN,
                node.start,
                message=f"no official list has {{{node.name}}}; it is known from {token.source} only",
                advice=f"write {{{official}}}"
                if official
                else f"ask impact.com, or declare it under [tokens.{token.name}]",
            )
    yield from _lists(flat)


def _tokens(flat: FlatText) -> Iterator[tuple[TokenNode, Join | None]]:
    for place, node in flat.tokens.items():
        yield node, flat.join_around(place)


def _foreign(flat: FlatText, spelling: Spelling, node: TokenNode, join: Join | None) -> Finding:
    """Say what to write for a token with braces or a `$` around it."""
    start, end = flat.foreign[node.start]
    written, spelled, token = (
        flat.template.source[start:end],
        spelling.spelled(node.name, join),
        spelling.token(node.name, join),
    )
    shown = " ".join(written.split())
    advice = f"write {{{spelled or node.name}}}"
    # A sum of money may well have a $ before it.
    may_be_text = flat.slot == "body" and written.startswith("$") and (token is None or token.type == "money")
    if "{{" not in written:
        return flat.finding_at(
            kinds.VARIABLE_IN_BODY,
            start,
            message=f"{shown} is no variable here: those of the environment are put into the URL and headers only",
            advice=f"{advice}, unless the $ belongs to the sum"
            if spelled and may_be_text
            else advice
            if spelled
            else "write the text itself, or a token; `postback tokens` prints them",
            edits=[] if may_be_text else [flat.source_edit(start, end, f"{{{spelled}}}")],
        )
    if not spelled:
        return flat.finding_at(
            kinds.DOUBLE_BRACES,
            start,
            message=f"{shown} has braces within braces, and no token is called {node.name}",
            advice=f"one pair of braces makes a token; {spelling.hint(node.name, join)}",
        )
    begun = start + 1 if may_be_text else start
    return flat.finding_at(
        kinds.DOUBLE_BRACES,
        start,
        message=f"{shown} has double braces: the value arrives in braces",
        advice=rf"{advice}; braces that are text are written \{{ and \}}",
        edits=[flat.source_edit(begun, end, f"{{{spelled}}}")],
    )


def _unknown(flat: FlatText, spelling: Spelling, node: TokenNode, join: Join | None, spelled: str | None) -> Finding:
    return flat.finding_at(
        kinds.UNKNOWN_TOKEN,
        node.start,
        message=f"unknown token {{{node.name}}} for {spelling.event}",
        advice=spelling.hint(node.name, join),
        edits=[flat.token_edit(node, f"{{{spelled}}}")] if spelled else (),
    )


def _lists(flat: FlatText) -> Iterator[Finding]:
    for join in dict.fromkeys(flat.joins.values()):
        if join.list_name == ITEMS:
            continue
        # Up to the first comma there is the function's name and that of the list.
        start = join.start + join.source.index("(") + 1
        end = join.start + join.source.index(",")
        yield flat.finding_at(
            kinds.UNKNOWN_LIST,
            join.start,
            message=f"there is no list {join.list_name}; the only list is {ITEMS}",
            advice=f'write {{join({ITEMS}, {join.variable}, "…")}}',
            edits=[flat.source_edit(start, end, ITEMS)] if join.list_name.lower() == ITEMS else (),
        )


def brace_findings(flat: FlatText) -> Iterator[Finding]:
    """Find literal braces that were meant as something else: a token never closed, a partner that is escaped."""
    source = flat.template.source
    for start, (name, is_certain) in flat.unclosed.items():
        end = flat.name_end(start)
        got = source[end : end + 1]
        shown = name if is_certain or not flat.is_secret_at(start) else SHOWN
        yield flat.finding_at(
            kinds.NOT_CLOSED,
            start,
            message=f"{{{shown} is not closed: expected '}}', got {repr(got) if got else 'the end'}",
            advice=rf"write {{{shown}}}, or \{{{shown} when the brace is text",
            edits=[flat.source_edit(end, end, "}")] if is_certain else (),
        )
    opened: list[tuple[int, bool]] = []
    for start, written in flat.braces:
        if written.endswith("{"):
            opened.append((start, written == "{"))
        elif opened:
            opening, is_bare = opened.pop()
            if is_bare and written == r"\}":
                line = source.count("\n", 0, start) + 1
                yield flat.finding_at(
                    kinds.BRACE,
                    opening,
                    message=rf"this {{ is not escaped, and the \}} in line {line} that closes it is",
                    advice=r"write \{ here, too",
                    edits=[flat.source_edit(opening, opening + 1, r"\{")],
                )
