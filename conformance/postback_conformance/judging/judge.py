"""The judge: one pass over captures in the order of arrival, every rule beside every other.

What it keeps is bounded, however long the traffic. Whatever it could not see, or had to forget, is counted, and is why
a rule that nothing was found against is inconclusive.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec

from postback_conformance.judging.arrival_order import ArrivalOrder
from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.histories import Histories
from postback_conformance.judging.readers import Readers
from postback_conformance.judging.resends import Resends
from postback_conformance.judging.rule import Profile, Rule
from postback_conformance.judging.strays import is_stray
from postback_conformance.judging.tally import Doubt, Tally
from postback_conformance.judging.verdict import HELD, Verdict
from postback_receiver import Capture, Evictions
from postback_sender.notification import Notification

Notifications = Mapping[str | None, Notification] | Notification
"""The settings of each endpoint, or those by which all captures are judged."""

Observe = Callable[[Evidence], object]
"""Sees what the judge sees, for charts and the like."""


class Judge:
    """Applies rules to the captures of one endpoint; feed it with `see`, ask for `verdicts` at the end."""

    def __init__(
        self,
        notification: Notification,
        rules: Iterable[Rule],
        *,
        endpoint: str | None = None,
        profile: Profile = "documented",
        observe: Observe | None = None,
    ) -> None:
        self.notification = notification
        self._observe = observe
        self._readers = Readers(notification)
        self._resends = Resends(notification)
        self._histories = Histories(notification)
        self._order = ArrivalOrder()
        self._tallies = [Tally(rule, notification, endpoint, profile) for rule in rules]
        self._asked = self._tallies
        self._is_stray = partial(is_stray, notification)
        self._for_strays = [tally for tally in self._tallies if tally.rule.sees_strays]
        self._for_malformed = [tally for tally in self._tallies if tally.rule.sees_malformed]
        self._orderless = [tally for tally in self._tallies if not tally.takes_order]
        self._strangers = self._disordered = 0

    def see(self, capture: Capture) -> tuple[Verdict, ...]:
        """Take in the next capture and return the findings it gave rise to.

        What is no HTTP request has neither method nor headers nor body: rules about these have nothing to say of it.
        What cannot be a postback of the notification, such as a browser's favicon, is blamed by no rule, and remembered
        by none. One that comes too late in the order of arrival is kept from the rules that need that order.
        """
        evidence = Evidence(self.notification, capture, self._readers)
        if capture.malformed is not None:
            tallies = self._for_malformed
        elif self._is_stray(capture):
            tallies = self._for_strays
        elif self._order.fits(capture):
            self._remember(evidence)
            tallies = self._asked
        else:
            self._disordered += 1
            tallies = self._orderless
        if self._observe is not None:
            self._observe(evidence)
        findings: tuple[Verdict, ...] = ()
        is_settled = False
        for tally in tallies:
            # What `Tally.see` does, without a call for each rule that held or has nothing new to say.
            try:
                outcome = tally.ask(evidence)
            except Exception as error:  # noqa: BLE001  whatever it is, the other rules go on
                tally.crashed(error)
                continue
            if outcome is None or outcome is HELD:
                tally.passed += 1
            elif outcome is not tally.nothing_new:
                findings += tally.take(outcome)
                is_settled = is_settled or tally.is_settled
        if is_settled:
            self._asked = [tally for tally in self._asked if not tally.is_settled]
        return findings

    def see_stranger(self) -> None:
        """Note a capture of which nobody can tell whether it was meant for this endpoint."""
        self._strangers += 1

    def verdicts(self, evictions: Evictions | None = None) -> tuple[Verdict, ...]:
        """End the pass: one verdict for each finding, and one for each rule without any.

        What was evicted might have broken any rule, so after evictions nothing passes. It cannot have put right what is
        broken, since it came before all that is left.
        """
        evicted = evictions.captures if evictions else 0
        return tuple(verdict for tally in self._tallies for verdict in tally.verdicts(self._doubt(tally, evicted)))

    def _remember(self, evidence: Evidence) -> None:
        # A fault in what rules share is a fault of each that asks for it.
        try:
            evidence.resend = self._resends.see(evidence)
        except Exception as error:  # noqa: BLE001
            evidence.resend = error

        try:
            evidence.history = self._histories.see(evidence.capture.id, evidence.texts)
        except Exception as error:  # noqa: BLE001
            evidence.history = error

    def _doubt(self, tally: Tally, evicted: int) -> Doubt | None:
        if evicted:
            why = f"{_captures(evicted, 'earlier ')} had been evicted from the store by its limits and cannot be judged"
            return Doubt(why=why, of_nothing=False)
        needs = tally.rule.remembers
        why = ""
        if self._disordered and (needs or tally.takes_order):
            why = f"{_captures(self._disordered)} came out of the order of arrival and could not be judged by it"
        elif "resends" in needs and (forgotten := self._resends.forgotten):
            why = f"{_captures(forgotten, 'earlier ')} had been forgotten, and a repeat of one would not be noticed"
        elif "actions" in needs and (forgotten := self._histories.forgotten):
            actions = f"{forgotten} earlier action{'' if forgotten == 1 else 's'}"
            why = f"{actions} had been forgotten, and nothing that came later was compared with them"
        elif self._strangers and tally.rule.sees_malformed:
            why = f"{_captures(self._strangers)} could not be read, and may have been meant for this endpoint"
        return Doubt(why=why, of_nothing=True) if why else None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts on some traffic, how many captures they rest on, and how many no notification could judge."""

    verdicts: tuple[Verdict, ...]
    captures: int
    left_out: int


class Judges:
    """A judge for each endpoint, and one for what was no request and so meant for nobody knows which."""

    def __init__(
        self,
        notifications: Notifications,
        rules: Iterable[Rule],
        *,
        profile: Profile = "documented",
        observe: Observe | None = None,
    ) -> None:
        self._rules = tuple(rules)
        self._profile: Profile = profile
        self._observe = observe
        self._only: Judge | None = None
        self._by_endpoint: dict[str | None, Judge] = {}
        self._of_strangers: Judge | None = None
        self._captures = self._left_out = 0
        if isinstance(notifications, Notification):
            self._only = self._judge(notifications, self._rules)
        else:
            for endpoint, settings in notifications.items():
                self.add(endpoint, settings)

    def add(self, endpoint: str | None, notification: Notification) -> None:
        """Judge the captures of one more endpoint, too."""
        self._by_endpoint[endpoint] = self._judge(notification, self._rules, endpoint)

    def see(self, capture: Capture) -> tuple[Verdict, ...]:
        """Take in the next capture, whatever endpoint it is of, and return the findings it gave rise to."""
        judge = self._only or self._by_endpoint.get(capture.endpoint)
        if judge is None and capture.malformed is not None:
            judge = self._judge_of_stranger()
        if judge is None:
            self._left_out += 1
            return ()
        self._captures += 1
        return judge.see(capture)

    def judgement(self, evictions: Evictions | None = None) -> Judgement:
        """End the pass: the verdicts of all endpoints, in their order."""
        judges = [*self._by_endpoint.values(), *filter(None, (self._only, self._of_strangers))]
        verdicts = tuple(verdict for judge in judges for verdict in judge.verdicts(evictions))
        return Judgement(verdicts=verdicts, captures=self._captures, left_out=self._left_out)

    def _judge(self, notification: Notification, rules: Iterable[Rule], endpoint: str | None = None) -> Judge:
        return Judge(notification, rules, endpoint=endpoint, profile=self._profile, observe=self._observe)

    def _judge_of_stranger(self) -> Judge | None:
        """Return who judges what no endpoint took; with a single endpoint, nothing else can have been meant."""
        several = tuple(self._by_endpoint.items())
        if len(several) == 1:
            return several[0][1]
        for _, judge in several:
            judge.see_stranger()
        if several and self._of_strangers is None:
            rules = [rule for rule in self._rules if rule.sees_malformed]
            self._of_strangers = self._judge(several[0][1].notification, rules)
        return self._of_strangers


def judge(
    captures: Iterable[Capture],
    notifications: Notifications,
    rules: Iterable[Rule],
    evictions: Callable[[], Evictions] = Evictions,
    *,
    profile: Profile = "documented",
    observe: Observe | None = None,
) -> Judgement:
    """Return the verdicts on captures, each judged by the notification of its endpoint, or all by the one given.

    `evictions` is asked when all have been read: a store may evict while it is. `observe` is shown the evidence of
    every capture.
    """
    judges = Judges(notifications, rules, profile=profile, observe=observe)
    for capture in captures:
        judges.see(capture)
    return judges.judgement(evictions())


def _captures(count: int, which: str = "") -> str:
    return f"{count} {which}capture{'' if count == 1 else 's'}"
