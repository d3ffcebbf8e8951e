"""Reads the tokens and event kinds that the settings of a notification declare: a catalogue of the partner's own."""

from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from postback_sender.settings_table import decode_table, fail, fail_choice
from postback_sender.template.compiler import ITEMS
from postback_sender.template.lexer import Kind as LexemeKind
from postback_sender.template.lexer import Lexer
from postback_sender.tokens import CATALOGUE, Catalogue, EventKind, Kind, Token, TokenType

Tables = Mapping[str, dict[str, Any]]


class _OwnToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `[tokens.NAME]`: what a catalogue row holds; see `Token`."""

    type: TokenType = "text"
    format: str = ""
    values: tuple[str, ...] = ()
    meaning: str = ""
    example: str = ""
    may_be_empty: bool = True
    of_items: bool = False


class _OwnKind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `[kinds.NAME]`; see `Kind`."""

    like: EventKind | None = None
    meaning: str = ""


def read_catalogue(event: str, *, tokens: Tables, kinds: Tables, text: str, name: str) -> Catalogue:
    """Return the catalogue of a notification of this kind: what is known, and what its settings add.

    An own token is one of the notification's kind, and replaces the documented one of its name. `text` and `name` are
    the settings file and serve messages. Raises `NotificationError` for a table that cannot be used, and for an `event`
    that is no kind.
    """
    reader = _Reader(text, name)
    own_kinds = [reader.kind(kind, table) for kind, table in kinds.items()]
    all_kinds = (*CATALOGUE.kinds, *kinds)
    if event not in all_kinds:
        fail_choice(event, all_kinds, path="", key="event", text=text, name=name)
    return Catalogue([reader.token(each, table, event) for each, table in tokens.items()], own_kinds, over=CATALOGUE)


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name

    def kind(self, name: str, table: Mapping[str, Any]) -> Kind:
        if name in CATALOGUE.kinds:
            self._fail(
                "a documented kind; give your own another name, and declare tokens under [tokens]", "kinds", name
            )
        if not _is_name(name):
            self._fail("expected a name of ASCII letters, digits and underscores", "kinds", name)
        own = decode_table(table, _OwnKind, path=f"kinds.{name}", text=self._text, name=self._name)
        return Kind(name=name, like=own.like, meaning=own.meaning)

    def token(self, name: str, table: Mapping[str, Any], event: str) -> Token:
        if not _is_name(name):
            advice = "; an item field is declared by its bare name, with of_items = true" if "." in name else ""
            self._fail(
                "no template can write that name; expected ASCII letters, digits and underscores, and no digit first"
                + advice,
                "tokens",
                name,
            )
        own = decode_table(table, _OwnToken, path=f"tokens.{name}", text=self._text, name=self._name)
        if problem := _problem_with(own, is_items=name == ITEMS and not own.of_items):
            self._fail(problem, "tokens", name)
        return Token(
            name=name,
            kinds=frozenset({event}),
            of_items=own.of_items,
            type=own.type,
            format=own.format,
            values=own.values,
            meaning=own.meaning,
            example=own.example or (own.values[0] if own.values else ""),
            may_be_empty=own.may_be_empty,
            source=self._name,
            certainty="own",
        )

    def _fail(self, problem: str, path: str, name: str) -> NoReturn:
        fail(f"{path}.{name}: {problem}", path, name, text=self._text, name=self._name)


def _problem_with(own: _OwnToken, *, is_items: bool) -> str:
    """Say what is wrong with an own token, or nothing."""
    if is_items != (own.type == "list"):
        return f'the list of a join is called {ITEMS}, and only {ITEMS} has type = "list"'
    if own.values and own.type != "enum":
        return 'values are those of an enum; write type = "enum", or remove them'
    if own.values and own.example and own.example not in own.values:
        return f"example: expected one of the values, got {own.example!r}"
    if not (own.may_be_empty or own.example or any(own.values)):
        return "example: a token that is never empty needs one"
    return ""


def _is_name(name: str) -> bool:
    lexeme = Lexer(f"{{{name}}}").next_in_text(quoted=False)
    return lexeme.kind is LexemeKind.TOKEN and lexeme.text == name and "." not in name
