"""Outcomes and verdicts: what a rule says about one capture or one stretch of traffic, and what is reported of it."""

from typing import Literal

import msgspec

Level = Literal["MUST", "SHOULD", "INFO"]
Subject = Literal["sender", "endpoint"]
OutcomeName = Literal["pass", "fail", "inconclusive", "not_applicable", "error"]

OUTCOME_NAMES: tuple[OutcomeName, ...] = ("pass", "fail", "inconclusive", "not_applicable", "error")


class Where(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The place a finding is about: bytes of the body (first, beyond last), a JSON pointer, or a header."""

    span: tuple[int, int] | None = None
    pointer: str | None = None
    header: str | None = None


class Pass(msgspec.Struct, frozen=True):
    """The rule was tested here and held."""


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The rule was tested here and broken, for sure; `captures` are the ids of the evidence."""

    message: str
    expected: str
    actual: str
    captures: tuple[str, ...]
    where: Where = Where()


class Inconclusive(msgspec.Struct, frozen=True, kw_only=True):
    """The rule applies here, but what was captured does not tell."""

    why: str
    captures: tuple[str, ...] = ()


class NotApplicable(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing here for the rule to test."""

    why: str


Outcome = Pass | Fail | Inconclusive | NotApplicable


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report: a finding, or the summary of a rule without any.

    `endpoint` is the path prefix of the notification that was judged; `fix` says what to do about a failure.
    """

    rule: str
    level: Level
    subject: Subject
    outcome: OutcomeName
    endpoint: str | None
    message: str
    expected: str = ""
    actual: str = ""
    captures: tuple[str, ...] = ()
    where: Where = Where()
    fix: str = ""


def summary(verdicts: tuple[Verdict, ...]) -> dict[OutcomeName, int]:
    """Return how many verdicts there are of each outcome."""
    return {name: sum(verdict.outcome == name for verdict in verdicts) for name in OUTCOME_NAMES}
