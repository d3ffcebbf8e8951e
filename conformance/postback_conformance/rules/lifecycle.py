"""The life of an action over all its captures, judged by what holds whatever their order.

A postback carries neither a number nor a time of its own, and may come late, twice or before an earlier one. So nothing
here takes the order of arrival for that of the updates: what is compared is the same at all times, or holds whenever
some order of the updates explains it.
"""

from collections.abc import Iterable

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.held_tokens import held_names
from postback_conformance.judging.histories import IDENTITY, INTENDED
from postback_conformance.judging.rule import Check, Example, Rule, StreamCheck
from postback_conformance.judging.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.judging.wire_money import Figures, differ, point_text
from postback_conformance.rules.applying import NothingToTest, where_it_applies
from postback_conformance.rules.examples import capture, example
from postback_conformance.rules.fact_sources import (
    ACTIONS_API,
    CAPTURED_CALLS,
    EVENT_LEVEL,
    EXAMPLE_BODY,
    LIFE_CYCLE,
    LIFE_CYCLE_FAQ,
    MODIFICATIONS,
    NOTIFICATIONS_API,
    OUR_MODEL,
)
from postback_conformance.rules.of_actions import NEGATIVE, no_tokens, untold, where_of
from postback_conformance.rules.update_orders import delta_chain, final_after_approved, no_updates, no_walk
from postback_receiver import Capture
from postback_sender.notification import Notification

_NO_CHANGE = (NotApplicable(why="no action was told of more than once"),)


class _Stable(StreamCheck):
    """Asks that values stay what they were when the action was first told of, whichever update came first."""

    def __init__(self, notification: Notification, tokens: tuple[str, ...], should: str) -> None:
        super().__init__(notification)
        self._tokens = tokens
        self._should = should

    def see(self, evidence: Evidence) -> Iterable[Outcome]:
        history = evidence.history
        if history is None:
            return (evidence.without("ActionId"),)
        before = history.before
        if before is None:
            return _NO_CHANGE
        if not history.changes:
            return (PASS,)
        changed = tuple(
            Fail(
                message=f"{{{change.token}}} of action {before.action[:60]} was {change.before[:60]!r} and is "
                f"{change.now[:60]!r}",
                expected=f"{change.before[:60]}: {self._should}",
                actual=change.now[:60],
                captures=(before.first_id, evidence.capture.id),
                where=where_of(evidence, change.token),
            )
            for change in history.changes
            if change.token in self._tokens
        )
        return changed or (PASS,)


def _stable(notification: Notification, tokens: tuple[str, ...], should: str) -> Check:
    if why := no_tokens("ActionId")(notification):
        return NothingToTest(why)
    if not held_names(notification) & set(tokens):
        return NothingToTest(f"the template has none of {', '.join(f'{{{token}}}' for token in tokens)}")
    return _Stable(notification, tokens, should)


def _intended_stable(notification: Notification) -> Check:
    return _stable(notification, INTENDED, "what was intended never changes")


def _identity_stable(notification: Notification) -> Check:
    return _stable(notification, IDENTITY, "it is part of what makes the action this one")


class _OnlyCreated(StreamCheck):
    def see(self, evidence: Evidence) -> Iterable[Outcome]:
        history = evidence.history
        if history is None:
            return (evidence.without("ActionId"),)
        said, before = history.figures, history.before
        if problem := _problem_with_creation(said):
            return (_no_creation(evidence, problem, (evidence.capture.id,), said),)
        if before is None or evidence.resend is not None:
            return (PASS,)
        ids = (before.first_id, evidence.capture.id)
        changed = differ(before.first_payout, said.payout) or differ(before.first_amount, said.amount)
        if changed:
            return (_no_creation(evidence, "its money is not what an earlier postback told", ids, said),)
        why = "an action came twice with other bytes and the same money: an update, or the same one written anew"
        return (Inconclusive(why=why, captures=ids),)


def _only_created(notification: Notification) -> Check:
    if why := no_tokens("ActionId")(notification) or no_walk(notification):
        return NothingToTest(why)
    if notification.level != "event":
        return NothingToTest("the notification is not at event level, so it tells of every update")
    return _OnlyCreated(notification)


def _problem_with_creation(said: Figures) -> str:
    if said.status == "REVERSED" and said.was_meant_to_have:
        return "it is REVERSED"
    if said.differs_from_intended:
        return "its money is not what was intended"
    if said.previous_payout or said.previous_amount:
        return "by its delta there was money before"
    return ""


def _no_creation(evidence: Evidence, problem: str, ids: tuple[str, ...], said: Figures) -> Fail:
    return Fail(
        message=f"this cannot be the creation of action {evidence.values['ActionId'].text[:60]}: {problem}",
        expected="the postback of an action that was tracked, and nothing after it",
        actual=f"{said.status or 'an action'} at {point_text(said.payout, said.amount)}",
        captures=ids,
        where=where_of(evidence, "Status"),
    )


def _transition(evidence: Evidence) -> Outcome | None:
    said = evidence.figures
    needed = (said.payout, said.delta_payout, said.amount, said.delta_amount)
    if None in needed:
        return untold(evidence, "Payout", "DeltaPayout", "Amount", "DeltaAmount")
    if said.status is None:
        return untold(evidence, "Status")
    if not (said.had_nothing and said.was_meant_to_have):
        return None
    if min(said.intended_payout or 0, said.intended_amount or 0) < 0:
        return NEGATIVE
    if said.status == "REVERSED":
        return _undocumented(evidence, "it was REVERSED with nothing to take back", "PENDING or APPROVED")
    return _not_as_intended(evidence, said) if said.differs_from_intended and not said.has_nothing else None


def _not_as_intended(evidence: Evidence, said: Figures) -> Outcome:
    if said.status == "APPROVED":
        why = "it was APPROVED at other money than was intended, all of it new: a restore may have been told only now"
        return Inconclusive(why=why, captures=(evidence.capture.id,))
    return _undocumented(
        evidence,
        f"from nothing it came to {point_text(said.payout, said.amount)}, not tracked nor restored like that",
        point_text(said.intended_payout, said.intended_amount),
    )


def _undocumented(evidence: Evidence, problem: str, expected: str) -> Fail:
    status = evidence.values["Status"].text
    return Fail(
        message=f"no documented step leads here: {problem}",
        expected=expected,
        actual=status,
        captures=(evidence.capture.id,),
        where=where_of(evidence, "Status"),
    )


def _no_steps(notification: Notification) -> str:
    needed = ("Status", "Payout", "DeltaPayout", "Amount", "DeltaAmount")
    if why := no_tokens(*needed)(notification):
        return why
    return "" if held_names(notification) & set(INTENDED) else "the template has no intended money"


def _silent_approval(evidence: Evidence) -> Outcome | None:
    status = evidence.texts.get("Status")
    if status is None:
        return evidence.without("Status")
    if status != "APPROVED":
        return None
    return Fail(
        message="a life cycle notification tells of an APPROVED action",
        expected="PENDING or REVERSED: locking is said to be silent",
        actual="APPROVED",
        captures=(evidence.capture.id,),
        where=where_of(evidence, "Status"),
    )


def _no_silence(notification: Notification) -> str:
    return no_updates(notification) or no_tokens("Status")(notification)


_ACTION = """
url = "http://127.0.0.1/postback?id={ActionId}&program={CampaignId}&status={Status}&payout={Payout}&change=\
{DeltaPayout}&amount={Amount}&amount_change={DeltaAmount}&meant={IntendedPayout}&amount_meant={IntendedAmount}"
method = "GET"
"""
_KEYS = ("id", "program", "status", "payout", "change", "amount", "amount_change", "meant", "amount_meant")


def _lives(*updates: str, settings: str = _ACTION) -> Example:
    """Return an example of updates, each the values of the query in its order."""
    return example(settings, *(_update(update.split(), at_s=number) for number, update in enumerate(updates)))


def _update(values: list[str], *, at_s: float) -> Capture:
    query = "&".join(f"{name}={value}" for name, value in zip(_KEYS, values, strict=True))
    return capture(method="GET", target=f"/postback?{query}", headers=(), at_s=at_s)


_TRACKED = "1000.6705.1 1000 PENDING 1.00 1.00 10.00 10.00 1.00 10.00"
_RAISED = "1000.6705.1 1000 PENDING 2.00 1.00 10.00 0.00 1.00 10.00"
_REVERSED = "1000.6705.1 1000 REVERSED 0.00 -1.00 0.00 -10.00 1.00 10.00"

RULES = (
    Rule(
        id="lifecycle.delta-chain",
        level="SHOULD",
        strict="MUST",
        requirement="In some order the updates of an action lead on from nothing, each from where another ended.",
        needs="{ActionId}, and {Payout} with {DeltaPayout} or {Amount} with {DeltaAmount}",
        fix="Book the figures as they stand and not the deltas; ask the API, since an update is missing or wrong.",
        sources=(
            ACTIONS_API(section="DeltaPayout, DeltaAmount: the change since the update before"),
            OUR_MODEL(),
        ),
        start=delta_chain,
        sees_malformed=True,
        remembers=("actions",),
        passing=_lives(_RAISED, _TRACKED, _TRACKED),
        failing=_lives(_TRACKED, _RAISED.replace(" 0.00 ", " 10.00 ")),
    ),
    Rule(
        id="lifecycle.event-level-only-created",
        level="MUST",
        requirement="A notification at event level tells of an action once, when it was tracked.",
        needs='level = "event", and {ActionId}',
        fix="Ask for a global notification, or poll the API: at event level you do not hear of reversals.",
        sources=(EVENT_LEVEL(section="global and event level"),),
        start=_only_created,
        remembers=("actions", "resends"),
        passing=_lives(_TRACKED, _TRACKED.replace("6705.1 ", "6705.2 "), settings=f'level = "event"{_ACTION}'),
        failing=_lives(_TRACKED, _REVERSED, settings=f'level = "event"{_ACTION}'),
    ),
    Rule(
        id="lifecycle.final-after-approved",
        level="MUST",
        requirement="What is APPROVED is final: the money of the action does not change any more.",
        needs="{ActionId} and {Status}, and an action that is APPROVED",
        fix="Do not undo what you paid out because of a late postback; ask the API for the action.",
        sources=(
            LIFE_CYCLE(section="pending actions can be modified or reversed before the locking date"),
            MODIFICATIONS(section="no modification or reversal after locking"),
        ),
        start=final_after_approved,
        sees_malformed=True,
        remembers=("actions",),
        passing=_lives(_TRACKED, _RAISED.replace("PENDING", "APPROVED"), _RAISED),
        failing=_lives(_TRACKED, _TRACKED.replace("PENDING", "APPROVED"), _REVERSED),
    ),
    Rule(
        id="lifecycle.identity-stable",
        level="SHOULD",
        strict="MUST",
        requirement="An action keeps its program, event type, partner, ad, click, currency and event date.",
        needs="{ActionId} and one of these tokens, and an action that was told of more than once",
        fix="Keep what you stored first, and ask the API which of the two is right.",
        sources=(
            EXAMPLE_BODY(section="step 5: ActionId names the action"),
            MODIFICATIONS(section="what can be modified: money, lines, status", certainty="inferred"),
        ),
        start=_identity_stable,
        remembers=("actions",),
        passing=_lives(_TRACKED, _REVERSED),
        failing=_lives(_TRACKED, _REVERSED.replace(" 1000 ", " 25619 ")),
    ),
    Rule(
        id="lifecycle.intended-stable",
        level="MUST",
        requirement="What was intended never changes.",
        needs="{ActionId}, and {IntendedPayout} or {IntendedAmount}, and an action that was told of more than once",
        fix="Keep the first value; the present one stands in {Payout} and {Amount}.",
        sources=(
            ACTIONS_API(section="IntendedPayout, IntendedAmount: before anything was modified"),
            CAPTURED_CALLS(section="IntendedPayout, IntendedAmount"),
        ),
        start=_intended_stable,
        remembers=("actions",),
        passing=_lives(_TRACKED, _RAISED),
        failing=_lives(_TRACKED, _RAISED.replace("1.00 10.00", "2.00 10.00")),
    ),
    Rule(
        id="lifecycle.silent-approval",
        level="INFO",
        requirement="A life cycle notification is not sent for locking; sources contradict each other.",
        needs="{Status} in a notification of life cycles",
        fix="Take APPROVED for final when it comes, and do not wait for it: subscribe to clearing, or poll the API.",
        sources=(
            LIFE_CYCLE_FAQ(section="not on locking, and not on paying out"),
            NOTIFICATIONS_API(section="status: the sample is APPROVED"),
        ),
        start=where_it_applies(_no_silence, _silent_approval),
        passing=_lives(_TRACKED),
        failing=_lives(_TRACKED.replace("PENDING", "APPROVED")),
    ),
    Rule(
        id="lifecycle.transition",
        level="SHOULD",
        requirement="From nothing an action comes to what was intended, tracked or restored; it is not reversed again.",
        needs="{Status}, {Payout} and {Amount} with their deltas, and what was intended",
        fix="Book the figures as they stand, and ask the API how the action came there.",
        sources=(
            LIFE_CYCLE(section="pending, then approved or reversed"),
            MODIFICATIONS(section="RESET restores the action as it was tracked"),
            OUR_MODEL(),
        ),
        start=where_it_applies(_no_steps, _transition),
        passing=_lives(_TRACKED, _REVERSED),
        failing=_lives(_TRACKED.replace(" 1.00 1.00 ", " 2.00 2.00 ")),
    ),
)
