"""The judge: one pass over captures in the order of arrival, every rule beside every other."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from postback_conformance.rule import Check, Rule
from postback_conformance.verdict import (
    Fail,
    Inconclusive,
    NotApplicable,
    Outcome,
    OutcomeName,
    Pass,
    Verdict,
)
from postback_receiver import Capture, Evictions
from postback_sender.notification import Notification

_log = logging.getLogger(__name__)


class Judge:
    """Applies rules to the captures of one endpoint; feed it with `see`, ask for `verdicts` at the end."""

    def __init__(self, notification: Notification, rules: Iterable[Rule], *, endpoint: str | None = None) -> None:
        self._tallies = [_Tally(rule, notification, endpoint) for rule in rules]

    def see(self, capture: Capture) -> tuple[Verdict, ...]:
        """Take in the next capture and return the findings it gave rise to.

        What is no HTTP request has neither method nor headers nor body: rules about these have nothing to say of it.
        """
        tallies = (tally for tally in self._tallies if capture.malformed is None or tally.sees_malformed)
        return tuple(finding for tally in tallies for finding in tally.see(capture))

    def verdicts(self) -> tuple[Verdict, ...]:
        """End the pass: one verdict for each finding, and one for each rule without any."""
        return tuple(verdict for tally in self._tallies for verdict in tally.verdicts())


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts on some traffic, how many captures they rest on, and how many no notification could judge."""

    verdicts: tuple[Verdict, ...]
    captures: int
    left_out: int


def judge(
    captures: Iterable[Capture],
    notifications: Mapping[str | None, Notification] | Notification,
    rules: Iterable[Rule],
    evictions: Callable[[], Evictions] = Evictions,
) -> Judgement:
    """Return the verdicts on captures, each judged by the notification of its endpoint, or all by the one given.

    `evictions` is asked when all have been read. What was evicted might have broken any rule, so after evictions
    nothing passes. It cannot have put right what is broken, since it came before all that is left.
    """
    rules = tuple(rules)
    if isinstance(notifications, Notification):
        judges, whole = [Judge(notifications, rules)], True
        by_endpoint: dict[str | None, Judge] = {}
    else:
        whole = False
        by_endpoint = {one: Judge(settings, rules, endpoint=one) for one, settings in notifications.items()}
        judges = list(by_endpoint.values())
    judged = left_out = 0
    for capture in captures:
        chosen = judges[0] if whole else by_endpoint.get(capture.endpoint)
        if chosen is None:
            left_out += 1
        else:
            chosen.see(capture)
            judged += 1
    evicted = evictions()
    verdicts = tuple(_in_view_of(evicted, verdict) for one in judges for verdict in one.verdicts())
    return Judgement(verdicts=verdicts, captures=judged, left_out=left_out)


def _in_view_of(evicted: Evictions, verdict: Verdict) -> Verdict:
    if not evicted.captures or verdict.outcome != "pass":
        return verdict
    unseen = f"{evicted.captures} earlier capture{'s' if evicted.captures > 1 else ''}"
    return replace(
        verdict,
        outcome="inconclusive",
        message=f"{verdict.message}, but {unseen} had been evicted from the store by its limits and cannot be judged",
    )


class _Tally:
    """What one rule has said so far about one endpoint."""

    def __init__(self, rule: Rule, notification: Notification, endpoint: str | None) -> None:
        self._rule = rule
        self._endpoint = endpoint
        self._notification = notification
        self._check: Check | None = None
        self._findings: list[Verdict] = []
        self._counts: Counter[type[Outcome]] = Counter()
        self._first: dict[type[Outcome], Outcome] = {}
        self._crash: Exception | None = None

    @property
    def sees_malformed(self) -> bool:
        return self._rule.sees_malformed

    def see(self, capture: Capture) -> list[Verdict]:
        known = len(self._findings)
        self._take(lambda check: check.see(capture))
        return self._findings[known:]

    def verdicts(self) -> list[Verdict]:
        self._take(lambda check: check.end())
        if self._crash:
            reason = f"{type(self._crash).__name__}: {self._crash}"
            return [*self._findings, self._verdict("error", f"the rule itself failed, a fault of the kit: {reason}")]
        return self._findings or [self._without_findings()]

    def _take(self, ask: Callable[[Check], Iterable[Outcome]]) -> None:
        if self._crash:
            return
        try:
            self._check = self._check or self._rule.start(self._notification)
            for outcome in ask(self._check):
                self._counts[type(outcome)] += 1
                self._first.setdefault(type(outcome), outcome)
                if isinstance(outcome, Fail):
                    self._findings.append(self._finding(outcome))
        except Exception as error:  # noqa: BLE001  whatever it is, the other rules go on
            # Never blamed on anybody's traffic: reported as an error of the kit, with the trace for its makers.
            _log.debug("rule %s failed", self._rule.id, exc_info=error)
            self._crash = error

    def _without_findings(self) -> Verdict:
        passed, unsure = self._counts[Pass], self._counts[Inconclusive]
        match self._first.get(Inconclusive):
            case Inconclusive(why=why, captures=captures):
                held = f"; it held for {passed} more" if passed else ""
                more = f" (and {unsure - 1} like it)" if unsure > 1 else ""
                return self._verdict("inconclusive", f"{why}{more}{held}", captures)
            case _ if passed:
                return self._verdict("pass", f"held {passed} time{'s' if passed > 1 else ''}")
            case _:
                first = self._first.get(NotApplicable)
                why = first.why if isinstance(first, NotApplicable) else "there was nothing to judge"
                return self._verdict("not_applicable", why)

    def _verdict(self, outcome: OutcomeName, message: str, captures: tuple[str, ...] = ()) -> Verdict:
        rule = self._rule
        return Verdict(
            rule=rule.id,
            level=rule.level,
            subject=rule.subject,
            outcome=outcome,
            endpoint=self._endpoint,
            message=message,
            captures=captures,
        )

    def _finding(self, fail: Fail) -> Verdict:
        rule = self._rule
        return Verdict(
            rule=rule.id,
            level=rule.level,
            subject=rule.subject,
            outcome="fail",
            endpoint=self._endpoint,
            message=fail.message,
            expected=fail.expected,
            actual=fail.actual,
            captures=fail.captures,
            where=fail.where,
            fix=rule.fix,
        )
