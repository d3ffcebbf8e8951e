"""An action keeps its money relations whatever happens to it, and refuses steps its stage does not allow."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, localcontext
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.generating.zones import ZONES, zone_named
from postback_sender.action import (
    MAX_MODIFICATIONS,
    NOTHING,
    TRANSITIONS,
    Action,
    Conversion,
    Item,
    Money,
    Stage,
    Step,
    TransitionError,
    approve,
    clear,
    modify,
    restore,
    reverse,
    track,
    values,
)
from postback_sender.event import Event, decode_event, encode_event
from postback_sender.tokens import CATALOGUE

ZONE = timezone(timedelta(hours=-7))
AT = datetime(2020, 9, 10, 10, 51, 23, tzinfo=ZONE)


def money(payout: str, amount: str) -> Money:
    return Money(payout=Decimal(payout), amount=Decimal(amount))


BALLS = Item(sku="APP-0016", amount=Decimal("21.99"), quantity=2, cart_amount=Decimal("21.99"), name="Tennis balls ")
SALE = Conversion(
    campaign_id=1000,
    sequence=158133,
    zone=ZONE,
    event_date=datetime(2020, 9, 10, 10, 42, 38, 999_999, tzinfo=ZONE),
    money=money("0.88", "21.99"),
    original_currency="EUR",
    original_amount=Decimal("18.5"),
    locking_date=date(2020, 9, 26),
    items=(BALLS,),
    texts={"CampaignName": "Acme Sports ", "SubId1": "click-1"},
)
FRESH, TRACKED = track(SALE, at=AT)

# One legal way to take each step.
STEPS: dict[Step, Callable[[Action], object]] = {
    "modify": lambda action: modify(action, money=money("0.50", "9.00"), at=AT),
    "reverse": lambda action: reverse(action, reason="ITEM_RETURNED", at=AT),
    "restore": lambda action: restore(action, at=AT),
    "approve": approve,
    "clear": lambda action: clear(action, at=AT),
}
APPROVED = approve(FRESH)
IN_STAGE: dict[Stage, Action] = {
    "PENDING": modify(FRESH, money=money("0.40", "10.00"), at=AT)[0],
    "REVERSED": reverse(FRESH, reason="OTHER", at=AT)[0],
    "APPROVED": APPROVED,
    "CLEARED": clear(APPROVED, at=AT)[0],
}


def figures(event: Event) -> tuple[str, ...]:
    """Current, delta and intended money of an event: payouts first, then amounts."""
    return tuple(
        event.values[f"{prefix}{what}"] for what in ("Payout", "Amount") for prefix in ("", "Delta", "Intended")
    )


def test_a_tracked_action_is_told_in_wire_texts() -> None:
    """Dates to the second with a numeric offset, money with two decimals, texts untrimmed, no creation date."""
    _, event = track(SALE, at=AT)

    assert event == Event(
        kind="action_lifecycle",
        at=AT,
        values={
            "CampaignId": "1000",
            "ActionId": "1000.4636.158133",
            "Status": "PENDING",
            "StatusDetail": "",
            "Payout": "0.88",
            "DeltaPayout": "0.88",
            "IntendedPayout": "0.88",
            "Amount": "21.99",
            "DeltaAmount": "21.99",
            "IntendedAmount": "21.99",
            "Currency": "USD",
            "OriginalCurrency": "EUR",
            "OriginalAmount": "18.50",
            "EventDate": "2020-09-10T10:42:38-07:00",
            "CreationDate": "",
            "LockingDate": "2020-09-26T00:00:00-07:00",
            "ClearedDate": "",
            "CampaignName": "Acme Sports ",
            "SubId1": "click-1",
        },
        items=(
            {
                "sku": "APP-0016",
                "amt": "21.99",
                "cat": "",
                "qty": "2",
                "cartamt": "21.99",
                "rbt": "",
                "name": "Tennis balls ",
            },
        ),
    )


def test_every_name_on_the_wire_is_in_the_catalogue() -> None:
    assert all(CATALOGUE.find("action_lifecycle", name) for name in TRACKED.values)
    assert TRACKED.items[0].keys() <= {field.name for field in CATALOGUE.item_fields("action_lifecycle")}


def test_utc_is_written_as_an_offset_never_as_z() -> None:
    conversion = Conversion(campaign_id=1, sequence=1, zone=UTC, event_date=AT, money=NOTHING)

    assert values(track(conversion, at=AT)[0])["EventDate"] == "2020-09-10T17:51:23+00:00"


@pytest.mark.parametrize(
    ("event_date", "day"),
    [("2008-01-01T00:00:00+02:00", 0), ("2020-07-15T09:00:00-05:00", 4579), ("2017-01-12T22:00:00+00:00", 3300)],
)
def test_the_action_id_counts_days_from_2008_in_the_program_s_zone(event_date: str, day: int) -> None:
    """The last of these falls on the next day in Jerusalem."""
    conversion = Conversion(
        campaign_id=10014,
        sequence=3292,
        zone=zone_named("Asia/Jerusalem"),
        event_date=datetime.fromisoformat(event_date),
        money=NOTHING,
    )

    assert conversion.action_id == f"10014.{day}.3292"


def test_a_modification_reports_the_change_and_keeps_the_intention() -> None:
    _, event = modify(FRESH, money=money("0.50", "30.00"), at=AT)

    assert figures(event) == ("0.50", "-0.38", "0.88", "30.00", "8.01", "21.99")
    assert event.values["Status"] == "PENDING"


def test_a_reversal_leaves_nothing_and_gives_its_reason() -> None:
    _, event = reverse(FRESH, reason="ITEM_RETURNED", at=AT)

    assert figures(event) == ("0.00", "-0.88", "0.88", "0.00", "-21.99", "21.99")
    assert (event.values["Status"], event.values["StatusDetail"]) == ("REVERSED", "ITEM_RETURNED")
    assert event.items[0]["amt"] == "0.00"


@pytest.mark.parametrize("before", ["PENDING", "REVERSED"])
def test_a_restoration_returns_to_the_intention(before: Stage) -> None:
    """A modified action as well as a reversed one; its lines come back too."""
    action, event = restore(IN_STAGE[before], at=AT)

    assert action.current == action.intended
    assert event.values["Status"] == "PENDING"
    assert event.values["StatusDetail"] == ""
    assert event.items == TRACKED.items


def test_approval_is_silent_and_clearing_is_an_event_of_its_own_kind() -> None:
    action, event = clear(approve(FRESH), at=AT + timedelta(days=30))

    assert action.status == "APPROVED"
    assert event.kind == "action_clearing"
    assert event.values["Status"] == "APPROVED"
    assert event.values["ClearedDate"] == "2020-10-10T10:51:23-07:00"
    assert figures(event) == figures(TRACKED)


def test_the_transition_table_covers_every_stage_and_every_step() -> None:
    assert set(TRANSITIONS) == set(get_args(Stage))
    assert {step for steps in TRANSITIONS.values() for step in steps} == set(get_args(Step)) == set(STEPS)


@pytest.mark.parametrize("stage", IN_STAGE)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_works_exactly_where_the_table_allows_it(stage: Stage, step: Step) -> None:
    action = IN_STAGE[stage]
    if step in TRANSITIONS[stage]:
        STEPS[step](action)
        return
    with pytest.raises(TransitionError, match=f"action 1000.4636.158133 is {stage}: cannot {step} it; allowed: "):
        STEPS[step](action)


def test_an_untouched_action_has_nothing_to_restore() -> None:
    with pytest.raises(TransitionError, match="nothing to restore"):
        restore(FRESH, at=AT)


@pytest.mark.parametrize("figures", [money("0.88", "0"), money("0", "0")], ids=["no amount", "nothing"])
def test_a_modification_to_nothing_must_be_a_reversal(figures: Money) -> None:
    with pytest.raises(TransitionError, match="reverse it instead"):
        modify(FRESH, money=figures, at=AT)


@pytest.mark.parametrize("figure", ["0.001", "NaN", "Infinity", "-0.01", "1E+16"])
def test_money_is_exact_and_never_negative(figure: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        money(figure, "1")


def test_zero_has_no_sign_on_the_wire() -> None:
    conversion = replace(SALE, money=money("-0", "0"))

    assert figures(track(conversion, at=AT)[1]) == ("0.00",) * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_date": AT.replace(tzinfo=None)}, "expected a date with an offset"),
        ({"creation_date": AT.replace(tzinfo=None)}, "expected a date with an offset"),
        ({"zone": timezone(timedelta(minutes=52, seconds=58))}, "offset of whole minutes, got 0:52:58"),
        ({"event_date": datetime(2007, 12, 31, tzinfo=UTC)}, "from 2008-01-01 on"),
        ({"event_date": datetime(2008, 1, 1, 6, 59, tzinfo=UTC)}, "from 2008-01-01 on"),
        ({"locking_date": AT}, "without a time"),
        ({"creation_date": datetime.min.replace(tzinfo=UTC)}, "in the years 1 to 9999"),
        ({"texts": {"Payout": "1.00"}}, "without a field of their own, got Payout"),
        ({"texts": {"CreationDate": "2020"}}, "without a field of their own, got CreationDate"),
    ],
    ids=[
        *("naive event", "naive creation", "offset with seconds", "too early", "too early in the zone"),
        *("lock inside a day", "out of range", "text for a figure", "text for a date"),
    ],
)
def test_a_conversion_that_the_wire_cannot_tell_is_refused(change: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {"campaign_id": 1, "sequence": 1, "zone": ZONE, "event_date": AT, "money": NOTHING}

    with pytest.raises((ValueError, TypeError), match=message):
        Conversion(**(fields | change))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - one changes


def test_every_date_is_told_in_the_program_s_zone_with_the_offset_of_its_day() -> None:
    """Whatever zones the caller's dates are in: winter time for a sale in March, summer time for its lock."""
    conversion = replace(
        SALE,
        zone=zone_named("Asia/Jerusalem"),
        event_date=datetime(2026, 3, 26, 23, 30, tzinfo=UTC),
        creation_date=datetime(2026, 3, 26, 19, 30, tzinfo=timezone(timedelta(hours=-5))),
        locking_date=date(2026, 4, 30),
    )
    action, tracked = track(conversion, at=datetime(2026, 3, 27, 0, 30, tzinfo=UTC))
    _, cleared = clear(approve(action), at=datetime(2026, 11, 1, 12, tzinfo=UTC))

    assert [cleared.values[f"{which}Date"] for which in ("Event", "Creation", "Locking", "Cleared")] == [
        "2026-03-27T01:30:00+02:00",
        "2026-03-27T03:30:00+03:00",
        "2026-04-30T00:00:00+03:00",
        "2026-11-01T14:00:00+02:00",
    ]
    assert tracked.at.isoformat() == "2026-03-27T03:30:00+03:00"


def test_an_event_can_be_compared_and_written_in_the_hour_that_comes_twice() -> None:
    """Its time holds the offset and not the zone, by which Python would compare clock faces."""
    zone = zone_named("Asia/Jerusalem")
    conversion = replace(SALE, zone=zone)
    first, second = (track(conversion, at=datetime(2026, 10, 25, 1, 30, tzinfo=zone, fold=fold))[1] for fold in (0, 1))

    assert second.at - first.at == timedelta(hours=1)
    assert [event.at.isoformat()[10:] for event in (first, second)] == ["T01:30:00+03:00", "T01:30:00+02:00"]
    for event in (first, second):
        assert decode_event(encode_event(event), number=1, source="test") == event


def test_a_thousand_modifications_are_all_an_action_allows() -> None:
    """Reversals and restorations do not count."""
    action = FRESH
    for _ in range(MAX_MODIFICATIONS // 2):
        action, _ = modify(action, money=money("0.50", "9.00"), at=AT)
        action, _ = restore(action, at=AT)
        action, _ = modify(action, money=money("0.40", "8.00"), at=AT)
    with pytest.raises(TransitionError, match="was modified 1000 times"):
        modify(action, money=money("0.50", "9.00"), at=AT)

    assert restore(reverse(action, reason="OTHER", at=AT)[0], at=AT)[0].current == action.intended


def test_status_details_can_be_the_brand_s_own() -> None:
    """On a pending action; once locked, those of the reports."""
    action, tracked = track(SALE, at=AT, status_detail="Open")
    action, modified = modify(action, money=money("0.50", "9.00"), at=AT, status_detail="ON_HOLD")
    action, restored = restore(action, at=AT, status_detail="CHECKED")
    _, cleared = clear(approve(action, status_detail="Paid"), at=AT)

    details = [event.values["StatusDetail"] for event in (tracked, modified, restored, cleared)]
    assert details == ["Open", "ON_HOLD", "CHECKED", "Paid"]
    assert values(approve(FRESH))["StatusDetail"] == "Payment Pending"


def test_money_has_two_decimals_in_every_currency() -> None:
    """Also where there are no cents."""
    _, event = track(replace(SALE, currency="JPY", money=money("120", "2400")), at=AT)

    assert figures(event) == ("120.00", "120.00", "120.00", "2400.00", "2400.00", "2400.00")


def test_figures_stay_exact_where_the_caller_computes_with_fewer_digits() -> None:
    with localcontext() as context:
        context.prec = 3
        action, _ = track(replace(SALE, money=money("12345678.90", "9999999999999999.99")), at=AT)
        _, event = modify(action, money=money("0.01", "0.01"), at=AT)

    assert event.values["DeltaPayout"] == "-12345678.89"
    assert event.values["DeltaAmount"] == "-9999999999999999.98"


cents = st.integers(1, 10**8).map(lambda number: Decimal(number) / 100)
instants = st.integers(2, 40 * 365 * 86_400).map(lambda s: datetime(2008, 1, 3, tzinfo=UTC) + timedelta(seconds=s))
# Ours, with their switches, and any other offset.
zones = st.one_of(st.sampled_from(ZONES), st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))))
WIRE_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
WIRE_MONEY = re.compile(r"-?\d+\.\d\d")


def take(data: st.DataObject, action: Action, step: Step, at: datetime) -> tuple[Action, Event | None]:
    """Take one step with any figures, and check what that step alone promises."""
    match step:
        case "modify":
            figures = Money(payout=data.draw(cents), amount=data.draw(cents))
            action, event = modify(action, money=figures, at=at)
            assert action.current == figures
            return action, event
        case "reverse":
            action, event = reverse(action, reason="OTHER", at=at)
            assert (action.current, action.status) == (NOTHING, "REVERSED")
            return action, event
        case "restore":
            action, event = restore(action, at=at)
            assert (action.current, action.items) == (action.intended, action.conversion.items)
            return action, event
        case "approve":
            return approve(action), None
        case "clear":
            return clear(action, at=at)


@given(data=st.data(), intended=st.builds(Money, payout=cents, amount=cents), zone=zones, at=instants)
def test_the_laws_of_an_action_hold_on_every_walk_through_the_transitions(
    data: st.DataObject, intended: Money, zone: tzinfo, at: datetime
) -> None:
    """Any steps the table allows, in any zone at any time.

    Deltas add up to the current figures; the intended ones stay and a restoration returns to them; only a reversed
    action has nothing; nothing but clearing follows approval; what an event tells is what the action holds.
    """
    conversion = replace(SALE, zone=zone, event_date=at, creation_date=at, locking_date=at.date(), money=intended)
    action, event = track(conversion, at=at)
    history = [(action, event)]
    for _ in range(data.draw(st.integers(0, 8))):
        at += timedelta(seconds=data.draw(st.integers(1, 10**7)))
        steps: list[Step] = [
            step for step in TRANSITIONS[action.stage] if step != "restore" or action.current != intended
        ]
        if not steps:
            break
        before = action
        action, report = take(data, action, data.draw(st.sampled_from(steps)), at)
        if report is None:
            assert (action.current, action.previous) == (before.current, before.previous)
            continue
        assert report.at == at
        assert report.kind == "action_clearing" or action.previous == before.current
        history.append((action, report))

    for what in ("payout", "amount"):
        updates = [action for action, event in history if event.kind == "action_lifecycle"]
        assert sum(getattr(action, f"delta_{what}") for action in updates) == getattr(updates[-1].current, what)
    for action, event in history:
        assert action.intended == intended
        assert (action.current == NOTHING) == (action.status == "REVERSED")
        assert (event.kind == "action_clearing") == (action.stage == "CLEARED")
        check_wire(action, event)


def check_wire(action: Action, event: Event) -> None:
    """Read the values of an event back, and compare them with what the action holds."""
    told = event.values
    held = {
        "Payout": action.current.payout,
        "Amount": action.current.amount,
        "DeltaPayout": action.delta_payout,
        "DeltaAmount": action.delta_amount,
        "IntendedPayout": action.intended.payout,
        "IntendedAmount": action.intended.amount,
    }
    assert all(WIRE_MONEY.fullmatch(told[name]) for name in held)
    assert {name: Decimal(told[name]) for name in held} == held
    assert (told["Status"], told["StatusDetail"]) == (action.status, action.status_detail)
    dates = {
        "EventDate": action.conversion.event_date,
        "CreationDate": action.conversion.creation_date,
        "LockingDate": action.conversion.locks_at,
        "ClearedDate": action.cleared_date,
    }
    for name, when in dates.items():
        if when is None:
            assert told[name] == ""
            continue
        assert WIRE_DATE.fullmatch(told[name])
        read = datetime.fromisoformat(told[name])
        assert read == when.replace(microsecond=0)
        assert read.utcoffset() == when.astimezone(action.conversion.zone).utcoffset()
