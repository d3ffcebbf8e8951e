"""An action keeps its money relations whatever happens to it, and refuses steps its stage does not allow."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender.action import (
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
from postback_sender.event import Event
from postback_sender.tokens import find, item_fields

ZONE = timezone(timedelta(hours=-7))
AT = datetime(2020, 9, 10, 10, 51, 23, tzinfo=ZONE)


def money(payout: str, amount: str) -> Money:
    return Money(payout=Decimal(payout), amount=Decimal(amount))


BALLS = Item(sku="APP-0016", amount=Decimal("21.99"), quantity=2, cart_amount=Decimal("21.99"), name="Tennis balls ")
SALE = Conversion(
    campaign_id=1000,
    sequence=158133,
    event_date=datetime(2020, 9, 10, 10, 42, 38, 999_999, tzinfo=ZONE),
    money=money("0.88", "21.99"),
    original_currency="EUR",
    original_amount=Decimal("18.5"),
    locking_date=datetime(2020, 9, 26, tzinfo=ZONE),
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
    assert all(find("action_lifecycle", name) for name in TRACKED.values)
    assert TRACKED.items[0].keys() <= {field.name for field in item_fields("action_lifecycle")}


def test_utc_is_written_as_an_offset_never_as_z() -> None:
    conversion = Conversion(campaign_id=1, sequence=1, event_date=AT.astimezone(UTC), money=NOTHING)

    assert values(track(conversion, at=AT)[0])["EventDate"] == "2020-09-10T17:51:23+00:00"


@pytest.mark.parametrize(
    ("event_date", "day"),
    [("2008-01-01T00:00:00+03:00", 0), ("2020-07-15T09:00:00-05:00", 4579), ("2017-01-12T23:59:59-08:00", 3299)],
)
def test_the_action_id_counts_days_from_2008_in_the_action_s_own_zone(event_date: str, day: int) -> None:
    conversion = Conversion(
        campaign_id=10014, sequence=3292, event_date=datetime.fromisoformat(event_date), money=NOTHING
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
    conversion = Conversion(campaign_id=1, sequence=1, event_date=AT, money=money("-0", "0"))

    assert figures(track(conversion, at=AT)[1]) == ("0.00",) * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_date": AT.replace(tzinfo=None)}, "offset of whole minutes"),
        ({"event_date": AT.astimezone(timezone(timedelta(minutes=52, seconds=58)))}, "offset of whole minutes"),
        ({"event_date": datetime(2007, 12, 31, tzinfo=UTC)}, "from 2008-01-01 on"),
        ({"locking_date": AT}, "at midnight"),
        ({"texts": {"Payout": "1.00"}}, "without a field of their own, got Payout"),
    ],
    ids=["naive", "odd offset", "too early", "lock inside a day", "text for a typed field"],
)
def test_a_conversion_that_the_wire_cannot_tell_is_refused(change: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {"campaign_id": 1, "sequence": 1, "event_date": AT, "money": NOTHING}

    with pytest.raises(ValueError, match=message):
        Conversion(**(fields | change))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - one changes


cents = st.integers(1, 10**8).map(lambda number: Decimal(number) / 100)


@given(data=st.data(), payout=cents, amount=cents)
def test_money_relations_hold_on_every_walk(data: st.DataObject, payout: Decimal, amount: Decimal) -> None:
    """Deltas add up to the current figures, the intended ones stay, and only a reversed action has nothing."""
    conversion = Conversion(
        campaign_id=1, sequence=1, event_date=AT, money=Money(payout=payout, amount=amount), items=(BALLS,)
    )
    action, event = track(conversion, at=AT)
    events = [event]
    while data.draw(st.booleans()):
        steps = ["restore"] if action.stage == "REVERSED" else ["modify", "reverse"]
        if action.stage == "PENDING" and action.current != action.intended:
            steps.append("restore")
        match data.draw(st.sampled_from(steps)):
            case "modify":
                new = Money(payout=data.draw(cents), amount=data.draw(cents))
                action, event = modify(action, money=new, at=AT)
            case "reverse":
                action, event = reverse(action, reason="OTHER", at=AT)
            case _:
                action, event = restore(action, at=AT)
        events.append(event)

    for what, intended in (("Payout", payout), ("Amount", amount)):
        assert sum(Decimal(event.values[f"Delta{what}"]) for event in events) == Decimal(events[-1].values[what])
        assert {Decimal(event.values[f"Intended{what}"]) for event in events} == {intended}
        previous = Decimal(0)
        for event in events:
            assert Decimal(event.values[what]) - previous == Decimal(event.values[f"Delta{what}"])
            previous = Decimal(event.values[what])
    for event in events:
        nothing = event.values["Payout"] == event.values["Amount"] == "0.00"
        assert nothing == (event.values["Status"] == "REVERSED")
