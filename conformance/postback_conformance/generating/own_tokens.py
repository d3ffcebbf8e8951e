"""Hypothesis strategies for what a notification's own settings declare: its tokens, and events of its kinds."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from postback_conformance.generating.wire_strategies import INSTANTS, texts_by_token
from postback_sender.event import Event
from postback_sender.tokens import Catalogue, Token

_MOST_ITEMS = 4

_Texts = Mapping[str, str]


def events_by_catalogue(
    kind: str, catalogue: Catalogue, texts: SearchStrategy[str] | None = None
) -> SearchStrategy[Event]:
    """Single events of a kind of which no more is known than its tokens, own ones among them."""
    fields = _written(catalogue.item_fields(kind))
    items = st.lists(texts_by_token(fields, texts), max_size=_MOST_ITEMS).map(tuple) if fields else st.just(())
    values = texts_by_token(_written(catalogue.tokens(kind)), texts)
    return st.builds(Event, kind=st.just(kind), at=INSTANTS, values=values, items=items)


def with_own_tokens(
    lives: SearchStrategy[list[Event]], kind: str, catalogue: Catalogue, texts: SearchStrategy[str] | None = None
) -> SearchStrategy[list[Event]]:
    """Lives of actions, told as events of this kind, with values for its own tokens.

    An own token has one value in all events of an action, which a life cycle does not touch; so has the own field of an
    item.
    """
    own, own_fields = (
        tuple(token for token in _written(tokens) if token.certainty == "own")
        for tokens in (catalogue.tokens(kind), catalogue.item_fields(kind))
    )
    if not own and not own_fields:
        return lives.map(lambda life: [replace(event, kind=kind) for event in life])

    def told(life: list[Event], values: _Texts, items: Sequence[_Texts]) -> list[Event]:
        return [
            replace(
                event,
                kind=kind,
                values={**_without(event.values, own), **values},
                items=tuple(
                    {**_without(item, own_fields), **fields}
                    for item, fields in zip(event.items, cycle(items), strict=False)
                ),
            )
            for event in life
        ]

    # An order may have a thousand lines; drawing each would leave no room for anything else.
    items = st.lists(texts_by_token(own_fields, texts), min_size=1, max_size=_MOST_ITEMS)
    return st.builds(told, lives, texts_by_token(own, texts), items)


def _written(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Return the tokens that stand for a text; the list of a join does not."""
    return tuple(token for token in tokens if token.type != "list")


def _without(values: _Texts, tokens: tuple[Token, ...]) -> dict[str, str]:
    # What came out empty is left out, and must not show the value of the token it replaces.
    names = {token.name for token in tokens}
    return {name: text for name, text in values.items() if name not in names}
