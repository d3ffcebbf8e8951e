"""Which rules or cases are used: globs over ids, those of old included; a pattern that matches nothing is an error."""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, Protocol, TypeVar

from postback_conformance.errors import SelectionError
from postback_conformance.judging.rule import Rule

_MOST_NAMED = 3


class Named(Protocol):
    """What has an id, and may have had others."""

    @property
    def id(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...


N = TypeVar("N", bound=Named)


class Kind(NamedTuple):
    """What is selected, for messages: what one is called, and which command lists them."""

    noun: str
    listing: str


RULE: Final = Kind("rule", "postback rules list")
CASE: Final = Kind("case", "postback conform --list-cases")


def select(
    choices: Iterable[N], kind: Kind = RULE, /, *, only: Sequence[str] = (), skip: Sequence[str] = ()
) -> tuple[N, ...]:
    """Return those that match a pattern of `only` (all when there is none) and none of `skip`.

    Raises `SelectionError` for a pattern that matches nothing, and when nothing is left.
    """
    choices = tuple(choices)
    for pattern in (*only, *skip):
        if not any(_matches(choice, (pattern,)) for choice in choices):
            raise _unknown(pattern, choices, kind)
    chosen = [choice for choice in choices if not only or _matches(choice, only)]
    chosen = [choice for choice in chosen if not _matches(choice, skip)]
    if not chosen:
        raise SelectionError(f"the selection leaves no {kind.noun}")
    return tuple(chosen)


def find_rule(rules: Iterable[Rule], rule_id: str) -> Rule:
    """Return the rule of that id, or that had it before, or raise `SelectionError` with the nearest."""
    rules = tuple(rules)
    for rule in rules:
        if rule_id == rule.id or rule_id in rule.aliases:
            return rule
    raise _unknown(rule_id, rules, RULE)


def _matches(choice: Named, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in (choice.id, *choice.aliases))


def _unknown(pattern: str, choices: Iterable[Named], kind: Kind) -> SelectionError:
    names = [name for choice in choices for name in (choice.id, *choice.aliases)]
    nearest = difflib.get_close_matches(pattern, names, n=_MOST_NAMED)
    hint = f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
    return SelectionError(f"no {kind.noun} is called {pattern!r}{hint}; `{kind.listing}` has all")
