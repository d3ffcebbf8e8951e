"""A rule is data plus a function, added in one place: the module of its family under `rules/`.

Two shapes of function: `each_capture(test)` tests every capture by itself; a `StreamCheck` sees the captures of an
endpoint in the order of arrival and may remember.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Literal, Protocol

import msgspec

from postback_conformance.verdict import Level, Outcome, Pass, Subject
from postback_receiver import Capture
from postback_sender.notification import Notification

Certainty = Literal["official", "inferred", "third-party"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rule comes from: a document and section, the date it was read, and how sure it makes us."""

    document: str
    section: str = ""
    date: str = ""
    certainty: Certainty = "official"


class Check(Protocol):
    """A rule at work on the captures of one endpoint."""

    def see(self, capture: Capture) -> Iterable[Outcome]:
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

    `id` is fixed for good. `needs` says which evidence it takes, `fix` what to do when it fails, `passing` and
    `failing` are examples the tests run. Captures that are no HTTP request are shown to it only if `sees_malformed`.
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


CaptureTest = Callable[[Notification, Capture], Outcome | None]


def each_capture(test: CaptureTest) -> Callable[[Notification], Check]:
    """Return the check that tests every capture by itself; a test that returns None held."""
    return lambda notification: _EachCapture(test, notification)


def catalogue(*families: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules of all families in the order of their ids; an id used twice is a `ValueError`."""
    rules = sorted((rule for family in families for rule in family), key=lambda rule: rule.id)
    for one, other in pairwise(rules):
        if one.id == other.id:
            raise ValueError(f"two rules are called {one.id}; ids are never reused")
    return tuple(rules)


class StreamCheck:
    """Base of the rules that remember: start with the settings, override what is needed."""

    def __init__(self, notification: Notification) -> None:
        self.notification = notification

    def see(self, capture: Capture) -> Iterator[Outcome]:
        """Say nothing about a single capture."""
        _ = capture
        yield from ()

    def end(self) -> Iterator[Outcome]:
        """Say nothing about the whole."""
        yield from ()


class _EachCapture:
    def __init__(self, test: CaptureTest, notification: Notification) -> None:
        self._test = test
        self._notification = notification

    def see(self, capture: Capture) -> Iterable[Outcome]:
        return (self._test(self._notification, capture) or Pass(),)

    def end(self) -> Iterable[Outcome]:
        return ()
