"""One action as one capture tells it: dates, money and status fit together."""

import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.held_tokens import held_names
from postback_conformance.judging.rule import Check, EachCapture, Example, Rule
from postback_conformance.judging.verdict import Fail, NotApplicable, Outcome
from postback_conformance.judging.wire_dates import instant
from postback_conformance.judging.wire_money import money_text
from postback_conformance.rules.applying import NothingToTest, where_it_applies
from postback_conformance.rules.examples import capture, example
from postback_conformance.rules.fact_sources import (
    ACTIONS_API,
    BRAND_ACTIONS_API,
    CAPTURED_CALLS,
    EXAMPLE_BODY,
    LIFE_CYCLE,
    MODIFICATIONS,
    NOTIFICATIONS_API,
    OUR_MODEL,
    SAMPLE_CALL,
)
from postback_conformance.rules.of_actions import NEGATIVE, no_action, no_tokens, untold, where_of
from postback_conformance.rules.order_lines import items_sum, no_lines
from postback_sender.action import DAY_ZERO
from postback_sender.notification import Notification

# Each before the other. A locking date is the beginning of a day, of which the event may have been a part.
_ORDER = (
    ("ReferringDate", "EventDate"),
    ("EventDate", "CreationDate"),
    ("EventDate", "LockingDate"),
    ("EventDate", "ClearedDate"),
    ("LockingDate", "ClearedDate"),
)
# The day on which the clocks are set back.
_LONGEST_DAY = timedelta(hours=25)
_NO_TIME = timedelta()
_DIGITS = re.compile("[0-9]+")
_THREE_NUMBERS = re.compile(r"([0-9]+)\.([0-9]+)\.[0-9]+")
_DAY_ZERO = DAY_ZERO.toordinal()
_MOST_DIGITS = 9


_NOT_CLEARED = NotApplicable(why="nothing was cleared")
_NOT_REVERSED = NotApplicable(why="nothing was reversed")
_NOT_TAKEN = NotApplicable(why="no amount was taken away")


def _dates_ordered(notification: Notification) -> Check:
    if why := no_action(notification):
        return NothingToTest(why)
    held = held_names(notification)
    pairs = tuple(pair for pair in _ORDER if held.issuperset(pair))

    def test(evidence: Evidence) -> tuple[Outcome, ...] | None:
        texts = evidence.texts
        outcomes: list[Outcome] = []
        compared = False
        for earlier, later in pairs:
            one, other = texts.get(earlier), texts.get(later)
            if one is None or other is None:
                outcomes.append(evidence.without(earlier if one is None else later))
            elif (before := instant(one)) and (after := instant(other)):
                compared = True
                slack = _LONGEST_DAY if later == "LockingDate" else _NO_TIME
                # Subtracted, since a sum could leave the years that there are.
                if before - after > slack:
                    message = f"{{{later}}} is before {{{earlier}}}"
                    outcomes.append(
                        Fail(
                            message=message,
                            expected=f"a date from {one} on",
                            actual=other,
                            captures=(evidence.capture.id,),
                            where=where_of(evidence, later),
                        )
                    )
        return tuple(outcomes) or (None if compared else (NotApplicable(why="no two dates arrived"),))

    return EachCapture(test) if pairs else NothingToTest("the template has no two dates of an action")


def _delta_consistent(notification: Notification) -> Check:
    if why := no_action(notification):
        return NothingToTest(why)
    held = held_names(notification)
    pairs = tuple(pair for pair in (("Payout", "DeltaPayout"), ("Amount", "DeltaAmount")) if held.issuperset(pair))

    def test(evidence: Evidence) -> tuple[Outcome, ...] | None:
        told = evidence.figures
        outcomes: list[Outcome] = []
        for current, delta in pairs:
            now, before = (
                (told.payout, told.previous_payout) if current == "Payout" else (told.amount, told.previous_amount)
            )
            if now is None or before is None:
                outcomes.append(untold(evidence, current, delta))
            elif before < 0:
                outcomes.append(NEGATIVE if now < 0 else _too_large(evidence, current, delta, before))
        return tuple(outcomes) or None

    return EachCapture(test) if pairs else NothingToTest("the template has no figure together with its delta")


def _too_large(evidence: Evidence, current: str, delta: str, before: int) -> Fail:
    now, change = evidence.values[current].text, evidence.values[delta].text
    return Fail(
        message=f"{{{delta}}} says that {{{current}}} was {money_text(before)} before the update",
        expected=f"a delta of at most {now}, since there was at least nothing before",
        actual=change,
        captures=(evidence.capture.id,),
        where=where_of(evidence, delta),
    )


def _reversed_is_zero(evidence: Evidence) -> Outcome | tuple[Outcome, ...] | None:
    told = evidence.figures
    if told.status is None:
        return untold(evidence, "Status")
    if told.status != "REVERSED":
        return _NOT_REVERSED
    fails = tuple(
        Fail(
            message=f"the action is REVERSED, and {{{name}}} is {money_text(figure)}",
            expected="0.00: a reversal takes everything back",
            actual=evidence.values[name].text,
            captures=(evidence.capture.id,),
            where=where_of(evidence, name),
        )
        for name, figure in (("Payout", told.payout), ("Amount", told.amount))
        if figure
    )
    if fails:
        return fails
    return untold(evidence, "Payout", "Amount") if told.payout is None and told.amount is None else None


def _no_reversal(notification: Notification) -> str:
    held = held_names(notification)
    if why := no_tokens("Status")(notification):
        return why
    return "" if held & {"Payout", "Amount"} else "the template has neither {Payout} nor {Amount}"


def _zero_is_reversed(evidence: Evidence) -> Outcome | None:
    told = evidence.figures
    if told.amount is None or told.intended_amount is None:
        return untold(evidence, "Amount", "IntendedAmount")
    if told.status is None:
        return untold(evidence, "Status")
    if told.amount or not told.intended_amount:
        return _NOT_TAKEN
    if told.status not in {"PENDING", "APPROVED"}:
        return None
    return Fail(
        message=f"nothing is left of an amount of {money_text(told.intended_amount)}, and the action is {told.status}",
        expected="REVERSED",
        actual=told.status,
        captures=(evidence.capture.id,),
        where=where_of(evidence, "Status"),
    )


def _cleared_is_approved(notification: Notification) -> Check:
    if why := no_tokens("Status")(notification):
        return NothingToTest(why)
    is_clearing = notification.catalogue.kinds[notification.event].like == "action_clearing"
    if not is_clearing and "ClearedDate" not in held_names(notification):
        return NothingToTest("the template has no {ClearedDate}")

    def test(evidence: Evidence) -> Outcome | None:
        status = evidence.texts.get("Status")
        if status is None:
            return evidence.without("Status")
        if not is_clearing:
            cleared = evidence.texts.get("ClearedDate")
            if cleared is None:
                return evidence.without("ClearedDate")
            if not cleared:
                return _NOT_CLEARED
        if status not in {"PENDING", "REVERSED"}:
            return None
        return Fail(
            message=f"the action is cleared, and {status}",
            expected="APPROVED: only what is locked is cleared, and that is final",
            actual=status,
            captures=(evidence.capture.id,),
            where=where_of(evidence, "Status"),
        )

    return EachCapture(test)


def _id_agrees(evidence: Evidence) -> Outcome | tuple[Outcome, ...] | None:
    action = evidence.texts.get("ActionId")
    if action is None:
        return evidence.without("ActionId")
    parts = _THREE_NUMBERS.fullmatch(action)
    if parts is None:
        return NotApplicable(why="no action id had three numbers")
    return tuple(_disagreements(evidence, action, *parts.groups())) or None


def _disagreements(evidence: Evidence, action: str, campaign: str, day: str) -> Iterator[Outcome]:
    program = evidence.texts.get("CampaignId")
    # Of what is no number at all, other rules tell.
    if program and program != campaign and _DIGITS.fullmatch(program):
        yield Fail(
            message=f"the action id begins with {campaign}, and {{CampaignId}} is {program[:60]}",
            expected=program[:60],
            actual=action,
            captures=(evidence.capture.id,),
            where=where_of(evidence, "ActionId"),
        )
    when = instant(evidence.texts.get("EventDate", ""))
    if when is not None:
        expected = when.toordinal() - _DAY_ZERO
        # One published sample is a day off. A number longer than any day is not read at all.
        if len(day) > _MOST_DIGITS or abs(int(day) - expected) > 1:
            yield Fail(
                message=f"the action id counts {day} days since {DAY_ZERO}, and the event was on day {expected}",
                expected=str(expected),
                actual=action,
                captures=(evidence.capture.id,),
                where=where_of(evidence, "ActionId"),
            )


_ACTION = """
url = "http://127.0.0.1/postback?id={ActionId}&program={CampaignId}&at={EventDate}&locks={LockingDate}&cleared=\
{ClearedDate}&status={Status}&payout={Payout}&change={DeltaPayout}&amount={Amount}&meant={IntendedAmount}"
method = "GET"
"""
_ORDER_WITH_LINES = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
body = '''{"amount": "{Amount}", "lines": [{join(items, i,
"\\{\\"amount\\": \\"{i.amt}\\", \\"pieces\\": \\"{i.qty}\\"\\}")}]}'''
"""


def _told(**changed: str) -> Example:
    """Return an example of an action that is new, but for what is changed."""
    told = {
        "id": "1000.6705.158133",
        "program": "1000",
        "at": "2026-05-11T00:07:27+03:00",
        "locks": "2026-06-16T00:00:00+03:00",
        "cleared": "",
        "status": "PENDING",
        "payout": "0.88",
        "change": "0.88",
        "amount": "21.99",
        "meant": "21.99",
        **changed,
    }
    query = "&".join(f"{name}={quote(value, safe=':')}" for name, value in told.items())
    return example(_ACTION, capture(method="GET", target=f"/postback?{query}", headers=()))


def _lines_of(amount: str, *lines: tuple[str, str]) -> Example:
    """Return an example of an order with these lines: amounts and pieces."""
    written = ",".join(f'{{"amount": "{line}", "pieces": "{pieces}"}}' for line, pieces in lines)
    return example(_ORDER_WITH_LINES, capture(f'{{"amount": "{amount}", "lines": [{written}]}}'.encode()))


RULES = (
    Rule(
        id="action.cleared-is-approved",
        level="MUST",
        requirement="An action that is cleared is APPROVED.",
        needs="{Status}, and {ClearedDate} unless the notification is about clearing",
        fix="Do not pay out on this postback alone; ask the API for the action.",
        sources=(
            LIFE_CYCLE(section="pending actions lock, approved ones are paid on the clearing date"),
            EXAMPLE_BODY(section="step 5, ClearedDate"),
        ),
        start=_cleared_is_approved,
        passing=_told(cleared="2026-07-02T00:00:00+03:00", status="APPROVED"),
        failing=_told(cleared="2026-07-02T00:00:00+03:00", status="PENDING"),
    ),
    Rule(
        id="action.dates-ordered",
        level="SHOULD",
        strict="MUST",
        requirement="A click comes before its conversion, a conversion before it locks, a lock before it is cleared.",
        needs="two of the dates of an action",
        fix="Check which token fills which key; no date here is that of the update, so do not order updates by any.",
        sources=(
            LIFE_CYCLE(section="locking date, scheduled clearing date"),
            ACTIONS_API(section="sample: ReferringDate, EventDate, CreationDate, LockingDate", certainty="inferred"),
        ),
        start=_dates_ordered,
        passing=_told(locks="2026-05-11T00:00:00+03:00", cleared="2026-05-11T00:07:27+03:00", status="APPROVED"),
        failing=_told(locks="2026-05-09T00:00:00+03:00"),
    ),
    Rule(
        id="action.delta-consistent",
        level="SHOULD",
        strict="MUST",
        requirement="A delta is no larger than the figure it led to, since there was never less than nothing.",
        needs="{Payout} with {DeltaPayout}, or {Amount} with {DeltaAmount}",
        fix="Check that the keys are not swapped; book {Payout} as it stands, and never the sum of the deltas.",
        sources=(
            ACTIONS_API(section="DeltaPayout: the change since the update before; Payout if there was none"),
            OUR_MODEL(),
        ),
        start=_delta_consistent,
        passing=_told(payout="0.44", change="-0.44"),
        failing=_told(payout="0.44", change="0.88"),
    ),
    Rule(
        id="action.id-agrees",
        level="INFO",
        requirement="An action id of three numbers names the program and the day of the event; sources contradict each "
        "other.",
        needs="{ActionId} with {CampaignId} or {EventDate}",
        fix="Keep the id as an opaque text; if it disagrees, check which token fills which key.",
        sources=(
            CAPTURED_CALLS(section="ActionId", certainty="inferred"),
            SAMPLE_CALL(section="ActionId: 10014.4579.3292", certainty="inferred"),
            ACTIONS_API(section="sample 1000.4636.158133", certainty="inferred"),
            NOTIFICATIONS_API(section="sample 1234567890, which has no parts"),
        ),
        start=where_it_applies(no_tokens("ActionId"), _id_agrees),
        passing=_told(),
        failing=_told(program="25619"),
    ),
    Rule(
        id="action.items-sum",
        level="INFO",
        requirement="The lines of an order add up to the action's amount; sources contradict each other.",
        needs="{Amount}, and a join with the amounts of items",
        fix="Book the action's amount; use those of the lines for reports only.",
        sources=(
            NOTIFICATIONS_API(section="amt: total of the line"),
            EXAMPLE_BODY(section="step 5: i.amt is written under the key item_price"),
        ),
        start=where_it_applies(no_lines, items_sum),
        passing=_lines_of("21.99", ("10.00", "1"), ("11.99", "3")),
        failing=_lines_of("21.99", ("10.00", "1"), ("11.98", "3")),
    ),
    Rule(
        id="action.reversed-is-zero",
        level="SHOULD",
        strict="MUST",
        requirement="A reversed action has neither payout nor amount.",
        needs="{Status}, and {Payout} or {Amount}",
        fix="Take the whole commission back when an action is REVERSED, whatever its figures say.",
        sources=(
            MODIFICATIONS(section="an amount of 0 reverses the action"),
            OUR_MODEL(),
        ),
        start=where_it_applies(_no_reversal, _reversed_is_zero),
        passing=_told(status="REVERSED", payout="0.00", change="-0.88", amount="0.00"),
        failing=_told(status="REVERSED", payout="0.00", change="-0.88", amount="21.99"),
    ),
    Rule(
        id="action.zero-is-reversed",
        level="SHOULD",
        strict="MUST",
        requirement="An action that had an amount and has none left is REVERSED.",
        needs="{Status}, {Amount} and {IntendedAmount}",
        fix="Look at status and amount together, and treat either as a reversal.",
        sources=(
            BRAND_ACTIONS_API(section="modify: an amount of 0 reverses the action"),
            MODIFICATIONS(section="reversals"),
        ),
        start=where_it_applies(no_tokens("Status", "Amount", "IntendedAmount"), _zero_is_reversed),
        passing=_told(status="REVERSED", payout="0.00", change="-0.88", amount="0.00"),
        failing=_told(status="PENDING", payout="0.00", change="-0.88", amount="0.00"),
    ),
)
