"""The rules on lives: honest traffic in any order is never blamed, and what is tampered with is found."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.demo import NAMES, demo_sources
from postback_conformance.generating.generation import generate
from postback_conformance.generating.template_strategies import templates
from postback_conformance.judging.judge import judge
from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.judging.wire_money import point_text
from postback_conformance.rules import action, field, lifecycle
from postback_conformance.rules.examples import capture
from postback_conformance.strategies import lifecycles
from postback_receiver import Capture, Evictions
from postback_sender.event import Event
from postback_sender.notification import BodyFormat, Notification, parse_notification
from postback_sender.postback import render_postback
from postback_sender.subscription import reported
from postback_sender.template import Template

ReadSettings = Callable[[str], Notification]
BODY_FORMATS: tuple[BodyFormat, ...] = get_args(BodyFormat)
RULES = (*action.RULES, *field.RULES, *lifecycle.RULES)

# Everything that a rule on lives looks at.
WHOLE = """
url = "http://127.0.0.1/p?id={ActionId}&program={CampaignId}&status={Status}&at={EventDate}&click={RefClickId}"
method = "POST"
body_format = "xml"
body = '''<a payout="{Payout}" by="{DeltaPayout}" meant="{IntendedPayout}">
<b amount="{Amount}" by="{DeltaAmount}" meant="{IntendedAmount}">{Currency}</b></a>'''
"""
PAYOUT_ONLY = 'url = "http://127.0.0.1/p?id={ActionId}&status={Status}&payout={Payout}&by={DeltaPayout}"'
NO_DELTAS = 'url = "http://127.0.0.1/p?id={ActionId}&status={Status}&payout={Payout}&amount={Amount}"'
RAW = f'{WHOLE}\n[template]\nescaping = "raw"\n'


def arrived(notification: Notification, events: Sequence[Event]) -> list[Capture]:
    """Return what arrives when a notification tells of these events, in this order."""
    captures: list[Capture] = []
    for number, event in enumerate(events):
        postback = render_postback(notification, event)
        target = "/" + postback.url.split("/", 3)[3].partition("#")[0]
        sent = capture(postback.body, method=postback.method, target=target, headers=(), at_s=number)
        captures.append(replace(sent, id=f"c{number}"))
    return captures


def judged(notification: Notification, events: Sequence[Event]) -> dict[str, Verdict]:
    """Return what each rule says, by its id; of several findings, the last."""
    return {one.rule: one for one in judge(arrived(notification, events), notification, RULES).verdicts}


def failures(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {rule: one.message for rule, one in verdicts.items() if one.outcome in {"fail", "error"}}


def test_a_step_that_no_document_rules_out_breaks_no_must(read_settings: ReadSettings) -> None:
    """A reversal may be taken back in part; the documents only know of one taken back as a whole."""
    notification = read_settings(WHOLE)
    events = [TRACKED, REVERSED, event(Payout="0.50", DeltaPayout="0.50", Amount="5.00", DeltaAmount="5.00")]
    verdicts = judge(arrived(notification, events), notification, RULES, profile="strict").verdicts
    (found,) = (one for one in verdicts if one.rule == "lifecycle.transition")
    assert (found.outcome, found.level) == ("fail", "SHOULD")


@pytest.mark.parametrize(
    ("payout", "amount", "told"),
    [
        (10_000, 100_000, "1.00 of 10.00"),
        (10_000, None, "1.00"),
        (None, 100_000, "amount 10.00"),
        (None, None, "unknown"),
    ],
)
def test_a_figure_that_nobody_knows_is_left_out(payout: int | None, amount: int | None, told: str) -> None:
    assert point_text(payout, amount) == told


def in_any_order(events: Sequence[Event], seed: int) -> list[Event]:
    """Return the events with some of them twice, in an order that a network could make of them."""
    chance = random.Random(seed)  # noqa: S311  an order, not a secret
    events = [*events, *chance.choices(events, k=len(events) // 2)] if events else []
    chance.shuffle(events)
    return events


@pytest.fixture(scope="module")
def some_lives() -> list[list[Event]]:
    return generate(lifecycles(max_items=3, texts=st.text("ab", max_size=5)), count=16, seed=20260511)


@pytest.mark.parametrize("name", NAMES)
def test_honest_lives_in_any_order_break_no_rule(name: str, some_lives: list[list[Event]]) -> None:
    """Late, twice, before one another; told in JSON, XML, a form or a query."""
    notification = parse_notification(demo_sources()[name], {})
    told = list(reported(notification, (event for life in some_lives for event in life)))
    verdicts = judged(notification, in_any_order(told, seed=1))
    assert failures(verdicts) == {}
    assert verdicts["lifecycle.delta-chain"].outcome == "pass"


class Sent(NamedTuple):
    """A life, who is told of it, and how it arrives."""

    life: list[Event]
    text: str
    kind: str
    level: str
    seed: int


sent = st.builds(
    Sent,
    life=lifecycles(max_items=2),
    text=st.sampled_from([WHOLE, PAYOUT_ONLY, NO_DELTAS, RAW]),
    kind=st.sampled_from(["action_lifecycle", "action_clearing"]),
    level=st.sampled_from(["global", "event"]),
    seed=st.integers(0, 99),
)


@settings(max_examples=25, deadline=None)
@given(sent=sent)
def test_an_honest_life_breaks_no_rule(sent: Sent, read_settings: ReadSettings) -> None:
    notification = read_settings(f'event = "{sent.kind}"\nlevel = "{sent.level}"\n{sent.text}')
    told = in_any_order(list(reported(notification, sent.life)), sent.seed)
    assert failures(judged(notification, told)) == {}


any_body = st.sampled_from(BODY_FORMATS).flatmap(lambda name: st.tuples(st.just(name), templates(text_format=name)))


@settings(max_examples=25, deadline=None)
@given(body=any_body, number=st.integers(0, 15), seed=st.integers(0, 99))
def test_an_honest_life_breaks_no_rule_whatever_the_template(
    body: tuple[BodyFormat, Template],
    number: int,
    seed: int,
    some_lives: list[list[Event]],
    read_settings: ReadSettings,
) -> None:
    notification = replace(read_settings(WHOLE), body_format=body[0], body=body[1])
    told = in_any_order(list(reported(notification, some_lives[number])), seed)
    assert failures(judged(notification, told)) == {}


@pytest.mark.parametrize("seed", range(2))
def test_while_updates_are_missing_at_the_beginning_nobody_is_blamed(
    seed: int, some_lives: list[list[Event]], read_settings: ReadSettings
) -> None:
    """The receiver was started in the middle of lives: which update was missed is not the sender's business."""
    notification = read_settings(WHOLE)
    tails = [event for life in some_lives for event in life[1:]]
    assert failures(judged(notification, in_any_order(list(reported(notification, tails)), seed))) == {}


def event(**values: str) -> Event:
    """Return an update of an action tracked at 1 of 10, with some values changed."""
    told = {
        "ActionId": "1000.6705.1",
        "CampaignId": "1000",
        "Status": "PENDING",
        "Payout": "1.00",
        "DeltaPayout": "1.00",
        "IntendedPayout": "1.00",
        "Amount": "10.00",
        "DeltaAmount": "10.00",
        "IntendedAmount": "10.00",
        "Currency": "USD",
        "EventDate": "2026-05-11T00:07:27+03:00",
        "RefClickId": "a:b-c",
        **values,
    }
    return Event(kind="action_lifecycle", at=datetime(2026, 5, 11, tzinfo=UTC), values=told)


TRACKED = event()
RAISED = event(Payout="2.00", DeltaPayout="1.00", DeltaAmount="0.00")
BACK = event(Payout="1.00", DeltaPayout="-1.00", DeltaAmount="0.00")
REVERSED = event(Status="REVERSED", Payout="0.00", DeltaPayout="-1.00", Amount="0.00", DeltaAmount="-10.00")
APPROVED = event(Status="APPROVED")


def changed(one: Event, **values: str) -> Event:
    return replace(one, values={**one.values, **values})


TAMPERED: dict[str, tuple[str, Sequence[Event]]] = {
    "a delta of payout": ("lifecycle.delta-chain", [TRACKED, changed(RAISED, DeltaPayout="0.50")]),
    "a delta of amount": ("lifecycle.delta-chain", [TRACKED, changed(RAISED, DeltaAmount="1.00")]),
    "an update lost in the middle": (
        "lifecycle.delta-chain",
        [TRACKED, event(Payout="5.00", DeltaPayout="3.00", DeltaAmount="0.00")],
    ),
    "a delta larger than what there is": ("action.delta-consistent", [changed(TRACKED, DeltaPayout="1.01")]),
    "another program": ("lifecycle.identity-stable", [TRACKED, changed(RAISED, CampaignId="25619")]),
    "another click": ("lifecycle.identity-stable", [TRACKED, changed(RAISED, RefClickId="x")]),
    "another currency": ("lifecycle.identity-stable", [TRACKED, changed(RAISED, Currency="EUR")]),
    "another event date": (
        "lifecycle.identity-stable",
        [TRACKED, changed(RAISED, EventDate="2026-05-11T00:07:28+03:00")],
    ),
    "what was intended": ("lifecycle.intended-stable", [TRACKED, changed(RAISED, IntendedPayout="2.00")]),
    "approved twice, with other money": (
        "lifecycle.final-after-approved",
        [TRACKED, RAISED, APPROVED, changed(RAISED, Status="APPROVED")],
    ),
    "reversed after it was approved": ("lifecycle.final-after-approved", [TRACKED, APPROVED, REVERSED]),
    "raised after it was approved": ("lifecycle.final-after-approved", [TRACKED, APPROVED, RAISED]),
    "reversed with nothing to take back": (
        "lifecycle.transition",
        [changed(REVERSED, DeltaPayout="0.00", DeltaAmount="0.00")],
    ),
    "restored to something else": (
        "lifecycle.transition",
        [TRACKED, REVERSED, event(Payout="2.00", DeltaPayout="2.00")],
    ),
    "a reversal that keeps money": ("action.reversed-is-zero", [TRACKED, changed(REVERSED, Amount="1.00")]),
    "nothing left, and pending": ("action.zero-is-reversed", [TRACKED, changed(REVERSED, Status="PENDING")]),
    "approval told of": ("lifecycle.silent-approval", [APPROVED]),
    "money beyond two decimals": ("field.money-decimals", [changed(TRACKED, Payout="1.005")]),
    "float noise": ("field.money", [changed(TRACKED, Payout="0.30000000000000004")]),
    "a small float": ("field.money", [changed(TRACKED, Payout="1e-05")]),
}


@pytest.mark.parametrize(("rule", "events"), TAMPERED.values(), ids=TAMPERED.keys())
def test_what_is_tampered_with_is_found_by_the_rule_made_for_it(
    rule: str, events: Sequence[Event], read_settings: ReadSettings
) -> None:
    verdict = judged(read_settings(WHOLE), events)[rule]
    assert (verdict.outcome, verdict.message) == ("fail", verdict.message)
    assert set(verdict.captures) <= {f"c{number}" for number in range(len(events))}
    assert all((verdict.captures, verdict.expected, verdict.actual))


@pytest.mark.parametrize(
    ("rule", "token", "text"),
    [
        ("lifecycle.delta-chain", "DeltaPayout", "0.03"),
        ("lifecycle.intended-stable", "IntendedAmount", "123456.78"),
        ("lifecycle.identity-stable", "CampaignId", "100000"),
        ("lifecycle.identity-stable", "Currency", "XXX"),
        ("field.status", "Status", "pending"),
        ("field.money", "Amount", "1,234.56"),
        ("field.date", "EventDate", "2026-05-10T21:07:27Z"),
    ],
)
def test_tampering_with_an_update_of_a_generated_life_is_found(
    rule: str, token: str, text: str, some_lives: list[list[Event]], read_settings: ReadSettings
) -> None:
    """Whichever update of whichever life it is, as long as its creation came first."""
    notification = read_settings(WHOLE)
    lives = [list(reported(notification, life)) for life in some_lives]
    longer = [life for life in lives if len(life) > 1 and life[0].values["Payout"] != "0.00"][:5]
    assert longer
    for life in longer:
        verdicts = judged(notification, [life[0], *(changed(one, **{token: text}) for one in life[1:])])
        assert (life, verdicts[rule].outcome) == (life, "fail")


UNKNOWABLE: dict[str, tuple[str, str, Sequence[Event], OutcomeName]] = {
    "the same bytes, a resend or a return": (WHOLE, "lifecycle.delta-chain", [TRACKED, REVERSED, TRACKED], "pass"),
    "the same bytes, with no way back between": (WHOLE, "lifecycle.delta-chain", [TRACKED, TRACKED], "pass"),
    "an update before the creation": (WHOLE, "lifecycle.delta-chain", [RAISED, TRACKED], "pass"),
    "an update whose way there is missing, before anything": (WHOLE, "lifecycle.delta-chain", [RAISED], "inconclusive"),
    "an update that arrived first, while the creation is missing": (
        WHOLE,
        "lifecycle.delta-chain",
        [BACK, changed(RAISED, DeltaPayout="0.50"), TRACKED],
        "inconclusive",
    ),
    "deltas left out": (NO_DELTAS, "lifecycle.delta-chain", [TRACKED, RAISED], "not_applicable"),
    "one dimension is enough": (PAYOUT_ONLY, "lifecycle.delta-chain", [RAISED, TRACKED], "pass"),
    "the newest values when it leaves": (
        f'{WHOLE}\n[template]\nvalues_at = "send"\n',
        "lifecycle.delta-chain",
        [RAISED, RAISED],
        "not_applicable",
    ),
    "raw values": (RAW, "lifecycle.delta-chain", [TRACKED, RAISED], "inconclusive"),
    "money that nobody can read": (
        WHOLE,
        "lifecycle.delta-chain",
        [TRACKED, changed(RAISED, Payout="2,00")],
        "inconclusive",
    ),
    "approved at other money, all of it new": (
        WHOLE,
        "lifecycle.transition",
        [TRACKED, REVERSED, event(Status="APPROVED", Payout="2.00", DeltaPayout="2.00")],
        "inconclusive",
    ),
    "a late update after the approval": (WHOLE, "lifecycle.final-after-approved", [APPROVED, TRACKED], "pass"),
    "a late update before where it was approved": (
        WHOLE,
        "lifecycle.final-after-approved",
        [TRACKED, changed(RAISED, Status="APPROVED"), RAISED],
        "pass",
    ),
    "other money after the approval, without deltas": (
        NO_DELTAS,
        "lifecycle.final-after-approved",
        [TRACKED, APPROVED, RAISED],
        "inconclusive",
    ),
    "no updates at all at clearing": (
        f'event = "action_clearing"\n{WHOLE}',
        "lifecycle.delta-chain",
        [APPROVED],
        "not_applicable",
    ),
    "an event date in another offset": (
        WHOLE,
        "lifecycle.identity-stable",
        [TRACKED, changed(RAISED, EventDate="2026-05-10T21:07:27+00:00")],
        "pass",
    ),
    "what was absent at first": (
        WHOLE,
        "lifecycle.identity-stable",
        [changed(TRACKED, RefClickId=""), RAISED],
        "pass",
    ),
    "a value with a control character in it": (
        'url = "http://127.0.0.1/p?id={ActionId}&program={CampaignId}&currency={Currency}"',
        "lifecycle.identity-stable",
        [changed(TRACKED, CampaignId="1\x1f2", Currency=""), changed(TRACKED, CampaignId="1", Currency="2")],
        "pass",
    ),
    "no action": (
        WHOLE.replace("id={ActionId}&", ""),
        "lifecycle.identity-stable",
        [TRACKED, changed(RAISED, CampaignId="2")],
        "not_applicable",
    ),
    "an empty action id names none": (
        WHOLE,
        "lifecycle.identity-stable",
        [changed(TRACKED, ActionId=""), changed(RAISED, ActionId="", CampaignId="2")],
        "inconclusive",
    ),
}


@pytest.mark.parametrize(("text", "rule", "events", "outcome"), UNKNOWABLE.values(), ids=UNKNOWABLE.keys())
def test_what_nobody_can_know_is_not_asserted(
    text: str, rule: str, events: Sequence[Event], outcome: OutcomeName, read_settings: ReadSettings
) -> None:
    verdict = judged(read_settings(text), events)[rule]
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


EVENT_LEVEL: dict[str, tuple[str, Sequence[Event], OutcomeName]] = {
    "the creation, twice": (WHOLE, [TRACKED, TRACKED], "pass"),
    "a reversal": (WHOLE, [REVERSED], "fail"),
    "a modification": (WHOLE, [RAISED], "fail"),
    "a way back to what was intended": (WHOLE, [BACK], "fail"),
    "other money, with nothing else to go by": (NO_DELTAS, [TRACKED, RAISED], "fail"),
    "other bytes with the same money": (WHOLE, [TRACKED, changed(TRACKED, Status="APPROVED")], "inconclusive"),
    "the newest values when it leaves": (f'{WHOLE}\n[template]\nvalues_at = "send"\n', [RAISED], "not_applicable"),
}


@pytest.mark.parametrize(("text", "events", "outcome"), EVENT_LEVEL.values(), ids=EVENT_LEVEL.keys())
def test_at_event_level_only_creations_are_told(
    text: str, events: Sequence[Event], outcome: OutcomeName, read_settings: ReadSettings
) -> None:
    verdict = judged(read_settings(f'level = "event"\n{text}'), events)["lifecycle.event-level-only-created"]
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


BROKEN = [TRACKED, changed(RAISED, DeltaPayout="0.50")]
OTHER = changed(TRACKED, ActionId="1000.6705.2")


@pytest.mark.parametrize("gap", ["unreadable", "malformed", "evicted"])
def test_what_may_be_missing_makes_a_broken_chain_inconclusive(gap: str, read_settings: ReadSettings) -> None:
    """A request that nobody could read, or one that the store had to drop, may be the update that connects the rest."""
    notification = read_settings(WHOLE)
    captures = arrived(notification, BROKEN)
    evicted = Evictions()
    match gap:
        case "unreadable":
            captures.append(capture(b"<a", target="/p", at_s=9, truncated=True))
        case "malformed":
            captures.append(replace(capture(b"\x16\x03", at_s=9), malformed="no request line"))
        case _:
            evicted = replace(evicted, captures=1)
    (verdict,) = judge(captures, notification, [lifecycle.RULES[0]], lambda: evicted).verdicts
    assert (verdict.rule, verdict.outcome) == ("lifecycle.delta-chain", "inconclusive")


def test_a_finding_about_a_chain_shows_the_moves(read_settings: ReadSettings) -> None:
    verdict = judged(read_settings(WHOLE), [*BROKEN, OTHER])["lifecycle.delta-chain"]
    assert verdict.actual == "0.00 of 0.00 → 1.00 of 10.00, 1.50 of 10.00 → 2.00 of 10.00"
    assert verdict.captures == ("c0", "c1")


def test_a_change_is_shown_with_both_captures_and_its_place(read_settings: ReadSettings) -> None:
    verdict = judged(read_settings(WHOLE), [TRACKED, changed(RAISED, CampaignId="25619")])["lifecycle.identity-stable"]
    assert verdict.message == "{CampaignId} of action 1000.6705.1 was '1000' and is '25619'"
    assert (verdict.captures, verdict.where.token) == (("c0", "c1"), "CampaignId")
