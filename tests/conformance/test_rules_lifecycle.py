"""The rules on lives: what is tampered with is found, and what nobody can know is not asserted."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from postback_conformance.judging.judge import judge
from postback_conformance.judging.verdict import OutcomeName
from postback_conformance.judging.wire_money import point_text
from postback_conformance.rules import lifecycle
from postback_conformance.rules.examples import capture
from postback_receiver import Evictions
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.subscription import reported
from told_lives import NO_DELTAS, PAYOUT_ONLY, RAW, RULES, WHOLE, arrived, judged, some_lives

ReadSettings = Callable[[str], Notification]


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
    rule: str, token: str, text: str, read_settings: ReadSettings
) -> None:
    """Whichever update of whichever life it is, as long as its creation came first."""
    notification = read_settings(WHOLE)
    lives = [list(reported(notification, life)) for life in some_lives()]
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
