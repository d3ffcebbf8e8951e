"""Which rules are used: globs over ids, those of old included; a pattern that matches nothing is an error."""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from postback_conformance.errors import SelectionError
from postback_conformance.rule import Rule

_MOST_NAMED = 3


def select(rules: Iterable[Rule], *, only: Sequence[str] = (), skip: Sequence[str] = ()) -> tuple[Rule, ...]:
    """Return the rules that match a pattern of `only` (all when there is none) and none of `skip`."""
    rules = tuple(rules)
    for pattern in (*only, *skip):
        if not any(_matches(rule, (pattern,)) for rule in rules):
            raise SelectionError(
                f"no rule is called {pattern!r}{_nearest(pattern, rules)}; `postback rules list` has all"
            )
    chosen = [rule for rule in rules if not only or _matches(rule, only)]
    chosen = [rule for rule in chosen if not _matches(rule, skip)]
    if not chosen:
        raise SelectionError("the selection leaves no rule to judge by")
    return tuple(chosen)


def find_rule(rules: Iterable[Rule], rule_id: str) -> Rule:
    """Return the rule of that id, or that had it before, or raise `SelectionError` with the nearest."""
    rules = tuple(rules)
    for rule in rules:
        if rule_id == rule.id or rule_id in rule.aliases:
            return rule
    raise SelectionError(f"no rule is called {rule_id!r}{_nearest(rule_id, rules)}; `postback rules list` has all")


def _matches(rule: Rule, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in (rule.id, *rule.aliases))


def _nearest(pattern: str, rules: Iterable[Rule]) -> str:
    names = [name for rule in rules for name in (rule.id, *rule.aliases)]
    nearest = difflib.get_close_matches(pattern, names, n=_MOST_NAMED)
    return f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
