"""A case is data plus a function, like a rule: one thing an endpoint can get right or wrong, and how to find out."""

from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from postback_conformance.judging.rule import Source
from postback_conformance.judging.verdict import Level, NotApplicable, Outcome, Subject

if TYPE_CHECKING:
    from postback_conformance.suite.bench import Bench

Need = Literal["probe", "restart"]

_MISSING: Final[dict[Need, str]] = {
    "probe": "no probe: without one nobody can tell what the endpoint recorded; hand one in with --probe",
    "restart": "no restart hook: a command that starts the endpoint anew can be handed in with --restart",
}

Run = Callable[["Bench"], Awaitable[Iterable[Outcome]]]
"""Tries the endpoint, and returns what came of it; no outcome at all means that it held."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an endpoint can get right or wrong.

    `id` is fixed for good. `needs` says what the case cannot do without, `fix` what to do when it fails. Cases never
    share actions, so that they can be run in any order and by themselves.
    """

    id: str
    level: Level
    requirement: str
    fix: str
    sources: tuple[Source, ...]
    run: Run
    needs: tuple[Need, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def subject(self) -> Subject:
        """Who is under test."""
        return "endpoint"


def missing(case: Case, *, at_hand: Iterable[Need]) -> NotApplicable | None:
    """Return why a case cannot be run with what is at hand, None when it can."""
    reasons = [_MISSING[need] for need in case.needs if need not in tuple(at_hand)]
    return NotApplicable(why="; ".join(reasons), by_settings=True) if reasons else None


def case_catalogue(*families: Iterable[Case]) -> tuple[Case, ...]:
    """Return the cases of all families in their order; an id, or alias, used twice is a `ValueError`."""
    cases = tuple(case for family in families for case in family)
    names = sorted(name for case in cases for name in (case.id, *case.aliases))
    for one, other in pairwise(names):
        if one == other:
            raise ValueError(f"two cases are called {one}; ids are never reused")
    return cases
