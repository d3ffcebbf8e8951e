"""What one rule has said so far about one endpoint: findings in full up to a bound, everything else counted."""

import logging
from collections.abc import Callable, Iterable

import msgspec

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.places import place_of
from postback_conformance.judging.rule import Check, EachCapture, Profile, Rule
from postback_conformance.judging.verdict import (
    HELD,
    PASS,
    Cause,
    Fail,
    Inconclusive,
    Level,
    NotApplicable,
    Outcome,
    OutcomeName,
    Verdict,
    Where,
)
from postback_conformance.printable import counted
from postback_sender.notification import Notification

_log = logging.getLogger(__name__)

MAX_FINDINGS = 100
"""Findings of one rule about one endpoint that are kept in full; beyond them only the first at each new place is."""
COUNTED = "counted and not kept one by one"
"""How the message of findings that stand for others ends."""
MAX_PLACES = 1_000
"""Places at which the findings of one rule are told apart."""


_Ask = Callable[[Evidence], Outcome | Iterable[Outcome] | None]


class _More(msgspec.Struct):
    """Findings at one place that were counted and not kept."""

    where: Where
    count: int = 0
    cause: Cause = ""
    fix: str = ""
    """Of all of them, else empty."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Why a rule cannot pass, whatever it saw; with `of_nothing`, nor say that there was nothing to test."""

    why: str
    of_nothing: bool


class Tally:
    """Asks one rule about one endpoint and keeps what it said; its crash is a fault of the kit, and stays its own."""

    def __init__(self, rule: Rule, notification: Notification, endpoint: str | None, profile: Profile) -> None:
        self.rule = rule
        self._level: Level = rule.level_in(profile)
        self._endpoint = endpoint
        self.passed = 0
        """How often it held."""
        self._unsure = 0
        self._findings: list[Verdict] = []
        self._more: dict[str, _More] = {}
        self._first_unsure: Inconclusive | None = None
        self._first_without: NotApplicable | None = None
        self._crash: Exception | None = None
        self._check: Check | None = None
        try:
            self._check = rule.start(notification)
        except Exception as error:  # noqa: BLE001  whatever it is, the other rules go on
            self.crashed(error)
        is_of_each = isinstance(self._check, EachCapture)
        self.ask: _Ask = _no_more
        """Returns what the rule says of the next capture, None when it held; may raise anything."""
        if self._check is not None:
            self.ask = self._check.test if isinstance(self._check, EachCapture) else self._check.see
        self.nothing_new: Outcome | Iterable[Outcome] = ()
        """What the rule says most often when it does not apply: of that, once is enough."""
        self.is_settled = False
        """Whether the settings rule it out, so that it need not be asked again."""
        self.takes_order = not is_of_each
        """Whether it can only be asked about captures in the order of their arrival."""

    def see(self, evidence: Evidence) -> tuple[Verdict, ...]:
        """Ask about the next capture, and return the findings."""
        try:
            outcome = self.ask(evidence)
        except Exception as error:  # noqa: BLE001  whatever it is, the other rules go on
            return self.crashed(error)
        if outcome is None:
            self.passed += 1
            return ()
        return self.take(outcome)

    def take(self, outcome: Outcome | Iterable[Outcome]) -> tuple[Verdict, ...]:
        """Keep what the rule said, and return the findings."""
        if outcome == HELD:
            self.passed += 1
            return ()
        outcomes = (outcome,) if isinstance(outcome, Outcome) else outcome
        if isinstance(outcomes, tuple) and all(one.__class__ is NotApplicable for one in outcomes):
            # Outcomes that rules share for all captures alike; an iterator or a list may yield others next time.
            self.nothing_new = outcome
        return self._take(outcomes)

    def verdicts(self, doubt: Doubt | None = None) -> list[Verdict]:
        """End the pass: the findings, or one verdict for all."""
        if self._check is not None:
            try:
                self._take(_in_view_of(doubt, outcome) for outcome in self._check.end())
            except Exception as error:  # noqa: BLE001  whatever it is, the other rules go on
                self.crashed(error)
        findings = [*self._findings, *(self._uncounted(each) for each in self._more.values() if each.count)]
        if self._crash is not None:
            reason = f"{type(self._crash).__name__}: {self._crash}"
            return [*findings, self._verdict("error", f"the rule itself failed, a fault of the kit: {reason}")]
        return findings or [self._without_findings(doubt)]

    def _take(self, outcomes: Iterable[Outcome]) -> tuple[Verdict, ...]:
        told: tuple[Verdict, ...] = ()
        try:
            for outcome in outcomes:
                if outcome is PASS:
                    self.passed += 1
                    continue
                match outcome:
                    case Fail():
                        told = (*told, self._failed(outcome))
                    case Inconclusive():
                        self._unsure += 1
                        self._first_unsure = self._first_unsure or outcome
                    case NotApplicable():
                        self._first_without = self._first_without or outcome
                        self.is_settled = self.is_settled or outcome.by_settings
                    case _:
                        self.passed += 1
        except Exception as error:  # noqa: BLE001  what was found before stays
            self.crashed(error)
        return told

    def _failed(self, fail: Fail) -> Verdict:
        finding = self._verdict(
            "fail",
            fail.message,
            captures=fail.captures,
            expected=fail.expected,
            actual=fail.actual,
            where=fail.where,
            cause=fail.cause,
            fix=fail.fix,
        )
        place = place_of(fail.where)
        more = self._more.get(place)
        if more is None and len(self._more) < MAX_PLACES:
            self._more[place] = _More(where=_at_place(fail.where))
            self._findings.append(finding)
        elif len(self._findings) < MAX_FINDINGS:
            self._findings.append(finding)
        else:
            if more is None:
                more = self._more.setdefault("", _More(where=Where()))
            is_alike = not more.count or (more.cause, more.fix) == (fail.cause, fail.fix)
            more.cause, more.fix = (fail.cause, fail.fix) if is_alike else ("", "")
            more.count += 1
        return finding

    def _uncounted(self, more: _More) -> Verdict:
        place = place_of(more.where)
        at = f" at {place}" if place else ""
        message = f"{more.count} more findings of this rule{at}, {COUNTED}"
        return self._verdict("fail", message, where=more.where, cause=more.cause, fix=more.fix, count=more.count)

    def crashed(self, error: Exception) -> tuple[Verdict, ...]:
        """Note that the rule itself failed; it is not asked again."""
        # Never blamed on anybody's traffic: reported as an error of the kit, with the trace for its makers.
        _log.debug("rule %s failed", self.rule.id, exc_info=error)
        self._crash = error
        self._check = None
        self.ask = _no_more
        return ()

    def _without_findings(self, doubt: Doubt | None) -> Verdict:
        passed, unsure = self.passed, self._unsure
        if first := self._first_unsure:
            held = f"; it held for {passed} more" if passed else ""
            more = f" (and {unsure - 1} like it)" if unsure > 1 else ""
            return self._verdict("inconclusive", f"{first.why}{more}{held}", captures=first.captures)
        without = self._first_without or NotApplicable(why="there was nothing to judge")
        message = f"held {counted(passed, 'time')}" if passed else without.why
        if doubt is not None and (passed or (doubt.of_nothing and not without.by_settings)):
            return self._verdict("inconclusive", f"{message}, but {doubt.why}")
        return self._verdict("pass" if passed else "not_applicable", message)

    def _verdict(
        self,
        outcome: OutcomeName,
        message: str,
        *,
        captures: tuple[str, ...] = (),
        expected: str = "",
        actual: str = "",
        where: Where | None = None,
        cause: Cause = "",
        fix: str = "",
        count: int = 1,
    ) -> Verdict:
        rule = self.rule
        return Verdict(
            rule=rule.id,
            level=self._level,
            subject=rule.subject,
            outcome=outcome,
            endpoint=self._endpoint,
            message=message,
            expected=expected,
            actual=actual,
            captures=captures,
            where=where or Where(),
            fix=(fix or rule.fix) if outcome == "fail" else "",
            cause=cause,
            count=count,
        )


def _no_more(_evidence: Evidence) -> tuple[Outcome, ...]:
    """Say nothing, for a rule that failed."""
    return ()


def _in_view_of(doubt: Doubt | None, outcome: Outcome) -> Outcome:
    """Return what a rule tells of the whole, seen by what is missing of it."""
    if doubt is not None and isinstance(outcome, Fail) and outcome.needs_all:
        return Inconclusive(why=f"{outcome.message}, but {doubt.why}", captures=outcome.captures)
    return outcome


def _at_place(where: Where) -> Where:
    """Return a place without what is different in every capture."""
    return Where(pointer=where.pointer, header=where.header, parameter=where.parameter, token=where.token)
