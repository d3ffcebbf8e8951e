"""Hypothesis strategies for single values on the wire: texts, amounts, instants, and the texts of any token."""

import string
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from postback_sender.token_model import CLICK_ID_FORMAT, COUNTRY_FORMAT, UUID_FORMAT
from postback_sender.tokens import Token, TokenType

# Each of these has broken a template, a parser or a database column somewhere. What looks like a fault of the sender
# even where it is not, such as `&amp;`, `%20`, `null` or `{SubId1}`, is left out: no rule could tell it from the fault.
_NASTY_PIECES = (
    '"',
    "'",
    "&",
    "<",
    ">",
    "]]>",
    "\\",
    "\\n",
    "\n",
    "\t",
    " ",
    "%",
    "+",
    "{",
    "}",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}",
    "\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "\N{GRINNING FACE}",
    "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
    "\N{MATHEMATICAL DOUBLE-STRUCK CAPITAL X}",
    "\N{LINE SEPARATOR}",
)

T = TypeVar("T")

CENT = Decimal("0.01")
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
_CLICK_ID_ALPHABET = string.ascii_letters + string.digits + ":-"
_CLICK_ID_SIZE = 39


def _click_id(number: int) -> str:
    """Write a number in base 64, in the letters that click ids are seen to use."""
    letters = (_CLICK_ID_ALPHABET[number >> (6 * place) & 63] for place in range(_CLICK_ID_SIZE))
    return "".join(letters)


# decimal(8,2), the width of amounts in impact.com's batch files: plain ones first, then large ones, then nothing.
POSITIVE_AMOUNTS = st.one_of(st.integers(1, 10_000), st.integers(1, 99_999_999)).map(lambda cents: cents * CENT)
AMOUNTS = st.one_of(POSITIVE_AMOUNTS, st.just(Decimal("0.00")))
CURRENCIES = st.sampled_from(("USD", "EUR", "GBP", "JPY", "ILS", "KWD"))
# One number instead of 39 characters: a value has room for only so many draws.
_CLICK_IDS = st.integers(0, 64**_CLICK_ID_SIZE - 1).map(_click_id)
INSTANTS = st.integers(0, 15 * 365 * 86_400).map(lambda seconds: _EARLIEST + timedelta(seconds=seconds))
_TEXTS_BY_TYPE: Mapping[TokenType, SearchStrategy[str]] = {
    "id": st.integers(1, 999_999).map(str),
    "money": AMOUNTS.map(str),
    "number": st.integers(0, 100).map(str),
    "currency": CURRENCIES,
    "datetime": INSTANTS.map(datetime.isoformat),
    "url": _CLICK_IDS.map(lambda click: f"https://shop.example/?irclickid={click}&irgwc=1"),
}
_TEXTS_BY_FORMAT: Mapping[str, SearchStrategy[str]] = {
    CLICK_ID_FORMAT: _CLICK_IDS,
    COUNTRY_FORMAT: st.sampled_from(("US", "DE", "GB", "IL", "JP", "NA", "NO")),
    UUID_FORMAT: st.uuids().map(str),
}


_CHARACTERS = st.characters(
    exclude_categories=("Cs", "Cc"), include_characters="\t\n", exclude_characters="\ufffe\uffff"
)


def prepared(strategy: SearchStrategy[T]) -> SearchStrategy[T]:
    """Return a strategy that looks through Unicode before its first draw, not in it.

    Where Hypothesis has no table of its categories in `.hypothesis` yet, that takes a second.
    """
    return made_before(strategy, lambda: (_CHARACTERS,))


def made_before(
    strategy: SearchStrategy[T], parts: Callable[[], Iterable[SearchStrategy[object]]]
) -> SearchStrategy[T]:
    """Return a strategy whose parts are made before its first draw, not in it: Hypothesis' health check counts draws.

    A test validates its strategies before; nothing is done where one is only written down.
    """

    def definition() -> SearchStrategy[T]:
        for part in parts():
            part.validate()
        return strategy

    return st.deferred(definition)


def wire_texts(*, max_size: int = 1000) -> SearchStrategy[str]:
    """Texts that a person or a program might have typed: plain, nasty, from all of Unicode, or very long."""
    nasty = st.lists(st.sampled_from(_NASTY_PIECES), min_size=1, max_size=5).map("".join)
    long = st.builds(_filled_up, nasty, st.integers(0, max_size))
    return st.one_of(
        st.text(string.ascii_letters + string.digits, max_size=min(max_size, 20)),
        nasty.map(lambda text: text[:max_size]),
        st.text(_CHARACTERS, max_size=min(max_size, 50)),
        long,
    )


def _filled_up(text: str, size: int) -> str:
    return (text * size)[:size]


def texts_by_token(tokens: tuple[Token, ...], texts: SearchStrategy[str] | None) -> SearchStrategy[Mapping[str, str]]:
    """Texts for these tokens; one that came out empty is left out, which means the same."""
    texts = wire_texts() if texts is None else texts
    return st.fixed_dictionaries({token.name: _texts_of(token, texts) for token in tokens}).map(
        lambda values: {name: text for name, text in values.items() if text}
    )


def _texts_of(token: Token, texts: SearchStrategy[str]) -> SearchStrategy[str]:
    if token.values or (token.type == "enum" and token.example):
        filled: SearchStrategy[str] = st.sampled_from(token.values or (token.example,))
    elif token.format in _TEXTS_BY_FORMAT:
        filled = _TEXTS_BY_FORMAT[token.format]
    else:
        filled = _TEXTS_BY_TYPE.get(token.type, texts)
    return st.one_of(st.just(""), filled) if token.may_be_empty else filled.filter(bool)
