"""A rule is data plus a function, added in one place: the module of its family under `rules/`.

Two shapes of function: `each_capture(test)` tests the evidence of every capture by itself; a `StreamCheck` sees that of
an endpoint's captures in the order of arrival and may remember.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Literal, Protocol

import msgspec

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.verdict import PASS, Level, Outcome, Subject
from postback_receiver import Capture
from postback_sender.notification import Notification

Certainty = Literal["official", "inferred", "third-party"]
Profile = Literal["documented", "strict", "lenient"]
"""How much is asked: what the public record says, all that a careful sender would do, or only what breaks things."""

Memory = Literal["resends", "actions"]

PROFILES: tuple[Profile, ...] = ("documented", "strict", "lenient")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rule comes from: a document and section, the date it was read, and how sure it makes us."""

    document: str
    section: str = ""
    date: str = ""
    certainty: Certainty = "official"


class Check(Protocol):
    """A rule at work on the captures of one endpoint."""

    def see(self, evidence: Evidence) -> Iterable[Outcome]:
        """Return what the next capture, in the order of arrival, tells."""
        ...

    def end(self) -> Iterable[Outcome]:
        """Return what only the whole tells."""
        ...


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """Settings (TOML) and captures on which the outcome of a rule is known."""

    settings: str
    captures: tuple[Capture, ...]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be right or wrong about traffic.

    `id` is fixed for good; `aliases` are ids it had before. `level` is that of the documented profile, `strict` and
    `lenient` those of the others where they differ. `needs` says which evidence it takes, `fix` what to do when it
    fails, `passing` and `failing` are examples the tests run. Captures that are no HTTP request are shown to it only if
    `sees_malformed`, and those that are nothing of the notification only if `sees_strays`. `remembers` is what the
    judge has to remember for it: `resends` when it asks for evidence.resend, `actions` when it asks for
    evidence.history.
    """

    id: str
    level: Level
    requirement: str
    needs: str
    fix: str
    sources: tuple[Source, ...]
    passing: Example
    failing: Example
    start: Callable[[Notification], Check]
    subject: Subject = "sender"
    sees_malformed: bool = False
    sees_strays: bool = False
    strict: Level | None = None
    lenient: Level | None = None
    aliases: tuple[str, ...] = ()
    remembers: tuple[Memory, ...] = ()

    def level_in(self, profile: Profile) -> Level:
        """Return how much it asks by a profile."""
        match profile:
            case "strict":
                return self.strict or self.level
            case "lenient":
                return self.lenient or self.level
            case "documented":
                return self.level


CaptureTest = Callable[[Evidence], Outcome | tuple[Outcome, ...] | None]


def each_capture(test: CaptureTest) -> Callable[[Notification], Check]:
    """Return the check that tests every capture by itself; a test that returns None held."""
    return lambda _notification: EachCapture(test)


def catalogue(*families: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules of all families in the order of their ids; an id, or alias, used twice is a `ValueError`."""
    rules = sorted((rule for family in families for rule in family), key=lambda rule: rule.id)
    names = sorted(name for rule in rules for name in (rule.id, *rule.aliases))
    for one, other in pairwise(names):
        if one == other:
            raise ValueError(f"two rules are called {one}; ids are never reused")
    return tuple(rules)


class StreamCheck:
    """Base of the rules that remember: start with the settings, override what is needed."""

    def __init__(self, notification: Notification) -> None:
        self.notification = notification

    def see(self, evidence: Evidence) -> Iterable[Outcome]:
        """Say nothing about a single capture."""
        _ = evidence
        return ()

    def end(self) -> Iterable[Outcome]:
        """Say nothing about the whole."""
        return ()


class EachCapture:
    """The check of a rule that remembers nothing; `test` is its function."""

    def __init__(self, test: CaptureTest) -> None:
        self.test = test

    def see(self, evidence: Evidence) -> Iterable[Outcome]:
        """Return what the capture tells."""
        outcome = self.test(evidence) or PASS
        return outcome if isinstance(outcome, tuple) else (outcome,)

    def end(self) -> Iterable[Outcome]:
        """Say nothing about the whole."""
        return ()
