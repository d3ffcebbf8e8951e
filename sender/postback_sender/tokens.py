"""The one typed catalogue of tokens, and how to look a token up.

Everything that needs to know a token asks here: rendering, lint, generators, field rules and the documentation. One
name can mean different things in different event kinds (`Status` of an action, `Status` of a job), so every look-up is
by kind and name. Item fields live in a space of their own: `{i.sku}` is the field `sku`, and no token is called `sku`.
"""

import difflib
from collections.abc import Iterable

from postback_sender.token_catalogue import ACTION_TOKENS
from postback_sender.token_catalogue_api import API_OBJECT_TOKENS
from postback_sender.token_model import EVENT_KINDS, Certainty, EventKind, Token, TokenType

__all__ = [
    "CATALOGUE",
    "EVENT_KINDS",
    "Certainty",
    "EventKind",
    "Token",
    "TokenType",
    "find",
    "index_tokens",
    "item_fields",
    "nearest",
    "tokens_for",
]

_Place = tuple[EventKind, bool, str]

CATALOGUE: tuple[Token, ...] = (*ACTION_TOKENS, *API_OBJECT_TOKENS)

# Third-party names are known, so that lint can talk about them, but never proposed: nobody has seen them work.
_PROPOSED: tuple[Certainty, ...] = ("official", "inferred")
# The share of common letters from which difflib calls two words close.
_CLOSE = 0.6


def index_tokens(tokens: Iterable[Token]) -> dict[_Place, Token]:
    """Return the tokens by (kind, of items, name), or raise `ValueError` when two rows claim the same place."""
    index: dict[_Place, Token] = {}
    for token in tokens:
        for kind in EVENT_KINDS:
            if kind not in token.kinds:
                continue
            if (kind, token.of_items, token.name) in index:
                raise ValueError(f"the token catalogue has two rows for {token.name} of {kind}; keep one")
            index[kind, token.of_items, token.name] = token
    return index


_INDEX = index_tokens(CATALOGUE)
_BY_KIND = {
    (kind, of_items): tuple(token for token in CATALOGUE if kind in token.kinds and token.of_items is of_items)
    for kind in EVENT_KINDS
    for of_items in (False, True)
}


def tokens_for(kind: EventKind) -> tuple[Token, ...]:
    """Return what a template of this kind may write outside a join, in catalogue order; `items` itself is among them.

    Empty for `product_data_change`: no source names a token of it.
    """
    return _BY_KIND[kind, False]


def item_fields(kind: EventKind) -> tuple[Token, ...]:
    """Return what a join over the items of this kind may write after its variable, in catalogue order."""
    return _BY_KIND[kind, True]


def find(kind: EventKind, name: str, *, of_items: bool = False) -> Token | None:
    """Return the token of exactly this name, upper and lower case counted, or None."""
    return _INDEX.get((kind, of_items, name))


def nearest(kind: EventKind, name: str, *, of_items: bool = False) -> str | None:
    """Return the name somebody who wrote `name` most likely meant, or None when nothing is close.

    The same name in other case wins; then the most similar official name, then the most similar inferred one.
    """
    by_certainty = [
        [token.name for token in _BY_KIND[kind, of_items] if token.certainty == certainty] for certainty in _PROPOSED
    ]
    for names in by_certainty:
        for candidate in names:
            if candidate.casefold() == name.casefold():
                return candidate
    for names in by_certainty:
        # max() keeps the first of equals: somebody who wrote {SubID} is told {SubId1}, not {SubId3}.
        closest = max(names, key=lambda candidate: _similarity(name, candidate), default="")
        if _similarity(name, closest) >= _CLOSE:
            return closest
    return None


def _similarity(left: str, right: str) -> float:
    return difflib.SequenceMatcher(None, left.casefold(), right.casefold()).ratio()
