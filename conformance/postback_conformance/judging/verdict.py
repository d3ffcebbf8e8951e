"""Outcomes and verdicts: what a rule says about one capture or one stretch of traffic, and what is reported of it."""

from typing import Literal

import msgspec

Level = Literal["MUST", "SHOULD", "INFO"]
Subject = Literal["sender", "endpoint"]
Cause = Literal["", "notification"]
"""What is known to have caused a failure: the notification itself, which the sender only followed; else empty."""

OutcomeName = Literal["pass", "fail", "inconclusive", "not_applicable", "error"]

OUTCOME_NAMES: tuple[OutcomeName, ...] = ("pass", "fail", "inconclusive", "not_applicable", "error")


class Where(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The place a finding is about.

    `span` is bytes of the body as it was captured, `target` characters of the target (first, beyond last); `pointer` is
    a JSON pointer into the body, `parameter` a name in the query or in a form, `header` the name of a header, `token`
    the token whose value it is, that of an item as `*.field`.
    """

    span: tuple[int, int] | None = None
    pointer: str | None = None
    header: str | None = None
    target: tuple[int, int] | None = None
    parameter: str | None = None
    token: str | None = None


class Pass(msgspec.Struct, frozen=True):
    """The rule was tested here and held."""


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The rule was tested here and broken, for sure; `captures` are the ids of the evidence.

    With `needs_all` a capture that nobody saw could have put it right: it holds only when nothing is missing. `fix`
    says what to do where the rule's own advice does not fit.
    """

    message: str
    expected: str
    actual: str
    captures: tuple[str, ...]
    where: Where = Where()
    needs_all: bool = False
    cause: Cause = ""
    fix: str = ""


class Inconclusive(msgspec.Struct, frozen=True, kw_only=True):
    """The rule applies here, but what was captured does not tell."""

    why: str
    captures: tuple[str, ...] = ()


class NotApplicable(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing here for the rule to test; with `by_settings`, nor will there ever be, whatever arrives."""

    why: str
    by_settings: bool = False


PASS = Pass()
"""The one pass that rules share: it says nothing that would have to be kept apart."""

HELD = (PASS,)
"""What a rule says that held once."""

Outcome = Pass | Fail | Inconclusive | NotApplicable


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report: a finding, or the summary of a rule without any.

    `endpoint` is the path prefix of the notification that was judged; `fix` says what to do about a failure, and
    `baseline` why it is excused, where a baseline excuses it. `cause` is `notification` where its own template, and no
    sender, is to blame. `count` is how many findings this one stands for: of very many, only the first are kept one by
    one.
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
    cause: Cause = ""
    baseline: str = ""
    count: int = 1


def summary(verdicts: tuple[Verdict, ...]) -> dict[OutcomeName, int]:
    """Return how many verdicts there are of each outcome; findings that were only counted count, too."""
    return {name: sum(one.count for one in verdicts if one.outcome == name) for name in OUTCOME_NAMES}
