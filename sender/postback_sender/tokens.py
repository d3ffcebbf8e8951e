"""The one typed catalogue of tokens and event kinds, and how to look a token up.

Everything that needs to know a token asks a `Catalogue`: rendering, lint, generators, field rules and the
documentation. `CATALOGUE` is what the public record knows; a notification has its own, which adds the tokens and kinds
of its settings. One name can mean different things in different kinds (`Status` of an action, `Status` of a job), so
every look-up is by kind and name. Item fields live in a space of their own: `{i.sku}` is the field `sku`, and no token
is called `sku`.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping

from postback_sender.token_catalogue import ACTION_TOKENS
from postback_sender.token_catalogue_api import API_OBJECT_TOKENS
from postback_sender.token_model import EVENT_KINDS, Certainty, EventKind, Kind, Token, TokenType

__all__ = ["CATALOGUE", "EVENT_KINDS", "Catalogue", "Certainty", "EventKind", "Kind", "Token", "TokenType"]

# A kind, and whether the names there are item fields.
_Place = tuple[str, bool]

# Third-party names are known, so that lint can talk about them, but never proposed: nobody has seen them work.
_PROPOSED: tuple[tuple[Certainty, ...], ...] = (("official", "own"), ("inferred",))
# The share of common letters from which difflib calls two words close.
_CLOSE = 0.6

_MEANINGS: Mapping[EventKind, str] = {
    "action_lifecycle": "An action was tracked, modified or reversed; not that it locked or was paid.",
    "action_clearing": "An action cleared.",
    "action_inquiry": "An inquiry was opened or resolved.",
    "tracking_value_request": "Somebody asked for promo codes, branded addresses or phone numbers.",
    "job_completion": "A report export or a click export ended.",
    "product_data_change": "A product catalogue changed.",
}


class Catalogue:
    """Tokens by event kind and name; `kinds` are the kinds by name.

    `over` is a catalogue that this one adds to: a new kind has the tokens of the one it is like, and a new token takes
    the place of the one that had its name. The look-ups raise `KeyError` for a kind that is not in `kinds`. Two tokens
    for one place, all of them new, are a `ValueError`.
    """

    def __init__(self, tokens: Iterable[Token], kinds: Iterable[Kind], *, over: "Catalogue | None" = None) -> None:
        before: Mapping[str, Kind] = over.kinds if over else {}
        self.kinds: Mapping[str, Kind] = {**before, **{kind.name: kind for kind in kinds}}
        self._rows = _rows(tokens, self.kinds)
        for (kind, of_items), rows in self._rows.items():
            origin = kind if kind in before else self.kinds[kind].like or kind
            if over and origin in before:
                inherited = over.item_fields(origin) if of_items else over.tokens(origin)
                self._rows[kind, of_items] = {**{token.name: token for token in inherited}, **rows}
        # Asked for with every postback; the hash of a frozenset is computed once.
        self._known = {kind: self._names(kind) for kind in self.kinds}

    def tokens(self, kind: str) -> tuple[Token, ...]:
        """Return what a template of this kind may write outside a join, in catalogue order; `items` is among them.

        Empty for `product_data_change`: no source names a token of it.
        """
        return tuple(self._rows[kind, False].values())

    def item_fields(self, kind: str) -> tuple[Token, ...]:
        """Return what a join over the items of this kind may write after its variable, in catalogue order."""
        return tuple(self._rows[kind, True].values())

    def known(self, kind: str) -> frozenset[str]:
        """Return every name there is for this kind, item fields as `*.field`, the way a template is rendered with."""
        return self._known[kind]

    def find(self, kind: str, name: str, *, of_items: bool = False) -> Token | None:
        """Return the token of exactly this name, upper and lower case counted, or None."""
        return self._rows[kind, of_items].get(name)

    def nearest(self, kind: str, name: str, *, of_items: bool = False) -> str | None:
        """Return the name somebody who wrote `name` most likely meant, or None when nothing is close.

        The same name in other case wins; then the most similar official or own name, then the most similar inferred.
        """
        rows = self._rows[kind, of_items].values()
        ranks = [[token.name for token in rows if token.certainty in proposed] for proposed in _PROPOSED]
        for names in ranks:
            for candidate in names:
                if candidate.casefold() == name.casefold():
                    return candidate
        for names in ranks:
            # max() keeps the first of equals: somebody who wrote {SubID} is told {SubId1}, not {SubId3}.
            closest = max(names, key=lambda candidate: _similarity(name, candidate), default="")
            if _similarity(name, closest) >= _CLOSE:
                return closest
        return None

    def _names(self, kind: str) -> frozenset[str]:
        return frozenset({*self._rows[kind, False], *(f"*.{name}" for name in self._rows[kind, True])})


def _rows(tokens: Iterable[Token], kinds: Collection[str]) -> dict[_Place, dict[str, Token]]:
    rows: dict[_Place, dict[str, Token]] = {(kind, of_items): {} for kind in kinds for of_items in (False, True)}
    for token in tokens:
        for kind in kinds:
            if kind not in token.kinds:
                continue
            if token.name in rows[kind, token.of_items]:
                raise ValueError(f"the token catalogue has two rows for {token.name} of {kind}; keep one")
            rows[kind, token.of_items][token.name] = token
    return rows


def _similarity(left: str, right: str) -> float:
    return difflib.SequenceMatcher(None, left.casefold(), right.casefold()).ratio()


CATALOGUE = Catalogue(
    (*ACTION_TOKENS, *API_OBJECT_TOKENS),
    (Kind(name=kind, like=kind, meaning=_MEANINGS[kind]) for kind in EVENT_KINDS),
)
"""What the public record knows of impact.com's tokens."""
