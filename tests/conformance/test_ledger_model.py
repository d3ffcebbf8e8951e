"""What the model asserts is what every honest partner records, whatever comes, in whatever order, however often."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledgers import AddsDeltas, FollowsChain, Ledger
from ledgers import settings as ledger_settings
from postback_conformance.ledger.comparing import differences, is_comparable
from postback_conformance.ledger.making import Life
from postback_conformance.ledger.model import (
    MISSING,
    REPEATED,
    SAME_FIGURES,
    TOO_MANY,
    UNORDERED,
    UNREADABLE,
    Arrival,
    Expected,
    Tells,
    expected,
    tells,
    texts_of,
    update_of,
)
from postback_conformance.suite.probe import Recorded
from postback_sender.action import Conversion, Money
from postback_sender.event import Event

CONVERSION = Conversion(
    campaign_id=1,
    sequence=1,
    zone=UTC,
    event_date=datetime(2026, 5, 11, tzinfo=UTC),
    money=Money(payout=Decimal("0.02"), amount=Decimal("0.01")),
)
EVERYTHING = Tells(status=True, payout=True, amount=True, delta_payout=True, delta_amount=True)
NO_DELTAS = Tells(status=True, payout=True, amount=True, delta_payout=False, delta_amount=False)
few_figures = st.sampled_from((Decimal("0.01"), Decimal("0.02"), Decimal("0.03")))


@st.composite
def lives(draw: st.DrawFn) -> list[Event]:
    """Lives of few different figures, so that the same updates are made again."""
    life = Life(ledger_settings(), CONVERSION, CONVERSION.event_date)
    for step in draw(st.lists(st.sampled_from(("modify", "reverse", "restore", "clear")), max_size=6)):
        if step == "modify" and life.can_be_modified:
            life.modify(draw(few_figures), draw(few_figures))
        elif step == "reverse" and life.can_be_reversed:
            life.reverse()
        elif step == "restore" and life.can_be_restored:
            life.restore()
        elif step == "clear" and life.can_be_cleared:
            life.clear()
    return [update.event for update in life.updates]


@st.composite
def traffic(draw: st.DrawFn) -> list[tuple[int, Event]]:
    """Postbacks of one action as they arrive: some not at all, some twice, in any order, with their places in life."""
    life = list(enumerate(draw(lives())))
    arrived = draw(st.lists(st.sampled_from(life), min_size=1, max_size=2 * len(life)))
    return draw(st.permutations(draw(st.sampled_from((arrived, [*life, *arrived], life)))))


def asserted(arrived: list[tuple[int, Event]], told: Tells = EVERYTHING) -> Expected:
    return expected([Arrival(update_of(event.values, told), made) for made, event in arrived], told)


def recorded(ledger: Ledger, arrived: list[tuple[int, Event]]) -> Recorded:
    for _, event in arrived:
        ledger.take(event.values)
    record = ledger.record()
    return Recorded(id="A", status=record["status"], payout=Decimal(record["payout"]), amount=Decimal(record["amount"]))


@pytest.mark.parametrize("policy", [AddsDeltas, FollowsChain])
@settings(max_examples=50, deadline=None)
@given(arrived=traffic())
def test_two_honest_partners_agree_with_all_that_is_asserted(
    policy: type[Ledger], arrived: list[tuple[int, Event]]
) -> None:
    assert differences("A", asserted(arrived), recorded(policy(), arrived), ()) == ()


@settings(max_examples=50, deadline=None)
@given(arrived=traffic())
def test_what_is_asserted_is_what_the_newest_update_that_arrived_tells(arrived: list[tuple[int, Event]]) -> None:
    wanted = asserted(arrived)
    newest = dict(arrived)[max(made for made, _ in arrived)].values
    assert wanted.payout in {None, Decimal(newest["Payout"])}
    assert wanted.amount in {None, Decimal(newest["Amount"])}
    assert wanted.status in {None, newest["Status"]}


@settings(max_examples=50, deadline=None)
@given(life=lives(), data=st.data())
def test_once_every_different_update_has_come_the_end_of_the_life_is_certain(
    life: list[Event], data: st.DataObject
) -> None:
    updates = [update_of(event.values, EVERYTHING) for event in life]
    wanted = asserted(data.draw(st.permutations(list(enumerate(life)))))
    if len({(update.start, update.end) for update in updates if update.status != "APPROVED"}) == sum(
        update.status != "APPROVED" for update in updates
    ):
        assert wanted.payout == Decimal(life[-1].values["Payout"])
        assert wanted.amount == Decimal(life[-1].values["Amount"])
        assert wanted.status in {None, life[-1].values["Status"]}
    else:
        assert wanted.payout in {None, Decimal(life[-1].values["Payout"])}


@settings(max_examples=50, deadline=None)
@given(arrived=traffic(), data=st.data())
def test_the_order_of_arrival_changes_nothing_where_deltas_are_told(
    arrived: list[tuple[int, Event]], data: st.DataObject
) -> None:
    assert asserted(arrived) == asserted(data.draw(st.permutations(arrived)))


def told(payout: str, by: str, status: str = "PENDING") -> dict[str, str]:
    return {"Status": status, "Payout": payout, "DeltaPayout": by, "Amount": payout, "DeltaAmount": by}


TRACKED = told("10.00", "10.00")
REVERSED = told("0.00", "-10.00", "REVERSED")
LESS = told("8.00", "-2.00")
BACK = told("10.00", "2.00")
CLEARED = told("10.00", "10.00", "APPROVED")
ZERO = told("0.00", "0.00")


def after(*updates: Mapping[str, str], by: Tells = EVERYTHING, places: str = "") -> Expected:
    """Return what is asserted after arrivals in their order; `places` are those among the updates as they were made."""
    made = [int(place) for place in places] or range(len(updates))
    return expected([Arrival(update_of(values, by), place) for values, place in zip(updates, made, strict=True)], by)


def certain(status: str, money: str) -> Expected:
    return Expected(status=status, payout=Decimal(money), amount=Decimal(money))


@pytest.mark.parametrize(
    ("arrived", "wanted"),
    [
        ([TRACKED], certain("PENDING", "10")),
        ([TRACKED, TRACKED], certain("PENDING", "10")),
        ([REVERSED, TRACKED], certain("REVERSED", "0")),
        ([LESS, BACK, TRACKED], certain("PENDING", "10")),
        ([TRACKED, CLEARED], certain("APPROVED", "10")),
        ([CLEARED], certain("APPROVED", "10")),
        ([TRACKED, BACK], Expected(why=(MISSING,))),
        ([LESS], Expected(why=(MISSING,))),
        ([CLEARED, told("7.00", "-1.00")], Expected(why=(MISSING,))),
        ([TRACKED, REVERSED, TRACKED], Expected(why=(REPEATED,))),
        ([TRACKED, LESS, BACK, LESS], Expected(why=(REPEATED,))),
        # Only who counts can tell that it was tracked twice; who drops equal ones cannot.
        ([TRACKED, REVERSED, TRACKED, LESS], Expected(why=(REPEATED,))),
        ([ZERO, {**ZERO, "Status": "REVERSED"}], Expected(payout=Decimal(0), amount=Decimal(0), why=(SAME_FIGURES,))),
        ([told("ten", "10.00")], Expected(why=(UNREADABLE,))),
        ([TRACKED] * 65, Expected(why=(TOO_MANY,))),
    ],
    ids=[
        "tracked",
        "twice",
        "reversed, which came first",
        "there and back, in any order",
        "cleared",
        "cleared, and nothing else is reported",
        "something is missing",
        "its beginning is missing",
        "cleared somewhere else",
        "restored, or tracked again",
        "less again, or once more",
        "restored for sure, for who counts",
        "without money, and reversed",
        "no number",
        "very many",
    ],
)
def test_what_is_certain_of_an_action(arrived: list[dict[str, str]], wanted: Expected) -> None:
    assert after(*arrived) == wanted


@pytest.mark.parametrize(
    ("arrived", "places", "wanted"),
    [
        ([TRACKED, TRACKED, LESS, LESS], "0011", certain("PENDING", "8")),
        ([REVERSED, REVERSED], "11", certain("REVERSED", "0")),
        ([LESS, TRACKED], "10", Expected(why=(UNORDERED,))),
        ([TRACKED, LESS, TRACKED], "012", Expected(why=(REPEATED,))),
        ([CLEARED, TRACKED], "10", certain("APPROVED", "10")),
    ],
    ids=["in their order", "one only", "late", "back again", "approved is final"],
)
def test_without_deltas_only_the_order_of_arrival_tells_what_is_new(
    arrived: list[dict[str, str]], places: str, wanted: Expected
) -> None:
    assert after(*arrived, by=NO_DELTAS, places=places) == wanted


def test_nothing_is_certain_while_an_update_is_missing_even_if_the_others_look_complete() -> None:
    # Tracked and reversed did not arrive: who knows both stands at 10, who knows neither at 8.
    assert after(LESS, TRACKED, places="13") == Expected(why=(MISSING,))


DATE = "2026-05-11T00:07:27+03:00"
TEXTS = replace(EVERYTHING, texts=("Currency", "EventDate", "SubId1", "Text1"))


def with_texts(*texts: Mapping[str, str]) -> Expected:
    updates = [{**update, **each} for update, each in zip((TRACKED, LESS), texts, strict=True)]
    return expected(
        [Arrival(update_of(one, TEXTS), made, texts_of(one, TEXTS)) for made, one in enumerate(updates)], TEXTS
    )


def test_a_text_is_certain_as_long_as_all_updates_tell_it_alike() -> None:
    alike = {"Currency": "USD", "EventDate": DATE, "SubId1": " a "}
    assert with_texts({**alike, "Text1": "x"}, {**alike, "Text1": "y", "SubId2": "b"}).texts == alike
    assert with_texts({"SubId1": "a"}, {"SubId1": ""}).texts == {}


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        ({"currency": "USD", "event_date": "2026-05-10T21:07:27Z", "texts": {"sub_id1": " a ", "other": "b"}}, []),
        ({}, []),
        ({"currency": "EUR"}, [("currency", "USD", "'EUR'")]),
        ({"event_date": "2026-05-11T00:07:27Z"}, [("event_date", f"{DATE}, in any zone", "'2026-05-11T00:07:27Z'")]),
        ({"event_date": "2026-05-11T00:07:27"}, []),
        ({"event_date": "yesterday"}, []),
        ({"texts": {"SubId1": "a"}}, [("SubId1", "' a '", "'a'")]),
    ],
    ids=["in another zone", "silent", "currency", "another instant", "no instant", "no date", "trimmed"],
)
def test_texts_and_dates_are_compared_as_far_as_the_probe_tells_them(
    record: dict[str, Any], wrong: list[tuple[str, str, str]]
) -> None:
    wanted = with_texts(*[{"Currency": "USD", "EventDate": DATE, "SubId1": " a "}] * 2)
    found = differences("A", wanted, Recorded(id="A", **record), ())
    assert [(one.field, one.expected, one.actual) for one in found] == wrong


def test_an_amount_without_delta_is_certain_where_all_that_may_be_last_tell_it() -> None:
    by = Tells(status=False, payout=True, amount=True, delta_payout=True, delta_amount=False)
    assert after(TRACKED, LESS, by=by) == Expected(payout=Decimal(8), amount=Decimal(8))
    other = {**BACK, "Amount": "11.00"}
    assert after(TRACKED, LESS, other, by=by) == Expected(payout=Decimal(10), why=(SAME_FIGURES,))


def test_figures_that_the_templates_do_not_tell_are_never_asserted() -> None:
    by = tells(ledger_settings('url = "http://127.0.0.1/p?id={ActionId}&p={Payout}&dp={DeltaPayout}"'))
    assert after(TRACKED, LESS, by=by) == Expected(payout=Decimal(8))


@pytest.mark.parametrize(
    ("actual", "looks_like"),
    [
        ("8.0000000001", "binary floating point"),
        ("10", "arrived last"),
        ("18", "every postback added up"),
        ("28", "as if each were of another action"),
        ("0", "nothing booked"),
        ("5", ""),
        ("1e999999", ""),
    ],
)
def test_a_wrong_figure_is_told_with_the_mistake_that_gives_it(actual: str, looks_like: str) -> None:
    arrivals = [Arrival(update_of(one, EVERYTHING), place) for place, one in enumerate((LESS, TRACKED, TRACKED))]
    arrivals = [arrivals[1], arrivals[0], arrivals[2]]
    (found,) = differences("A", Expected(payout=Decimal(8)), Recorded(id="A", payout=Decimal(actual)), arrivals)
    assert looks_like in found.looks_like
    assert bool(found.looks_like) is bool(looks_like)
    assert len(found.actual) < 50


def test_without_deltas_nothing_is_said_to_have_been_added_up() -> None:
    free = TRACKED | {"Payout": "0.00"}
    arrivals = [Arrival(update_of(one, NO_DELTAS), place) for place, one in enumerate((free, LESS))]
    (found,) = differences("A", Expected(payout=Decimal(8)), Recorded(id="A", payout=Decimal(0)), arrivals)
    assert "arrived first" in found.looks_like


def test_what_a_probe_does_not_tell_is_not_compared_and_nothing_at_all_is_a_difference() -> None:
    silent = Recorded(id="A")
    assert differences("A", certain("PENDING", "10"), silent, ()) == ()
    assert not is_comparable(certain("PENDING", "10"), silent)
    (found,) = differences("A", Expected(why=(MISSING,)), None, ())
    assert (found.field, found.actual) == ("record", "nothing")
