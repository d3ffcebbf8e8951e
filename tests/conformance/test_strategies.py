"""Generated actions and events are legal, nasty, and the same for the same seed."""

import hashlib
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument, Unsatisfiable
from hypothesis.strategies import SearchStrategy

from fork_server import PATIENCE_S
from postback_conformance.generating.generation import generate
from postback_conformance.strategies import actions, events, items, lifecycles, wire_texts
from postback_sender.action import MAX_MODIFICATIONS, Action, Item, values
from postback_sender.event import Event, decode_event, encode_event
from postback_sender.tokens import CATALOGUE, EVENT_KINDS, EventKind

STARTED_AT = datetime(2026, 5, 11, 0, 7, 27, 500_000, tzinfo=UTC)
few = settings(max_examples=20, deadline=None)


@given(text=wire_texts())
def test_texts_can_stand_in_xml_and_on_the_wire(text: str) -> None:
    """No control characters but tab and line feed, no lone surrogates."""
    text.encode()
    assert not {character for character in text if unicodedata.category(character) == "Cc"} - {"\t", "\n"}
    assert not set(text) & {"\ufffe", "\uffff"}


def test_texts_are_nasty() -> None:
    """Quotes, markup, right to left, four bytes; also empty, with blanks at the end, and long."""
    texts = generate(wire_texts(), count=500, seed=1)

    for wanted in ('"', "&", "<", "]]>", "\\", "\n", "\N{GRINNING FACE}", "\N{HEBREW LETTER SHIN}"):
        assert any(wanted in text for text in texts), wanted
    assert "" in texts
    assert any(text.endswith(" ") for text in texts)
    assert max(map(len, texts)) > 900


@given(text=wire_texts(max_size=3))
def test_texts_keep_to_their_size(text: str) -> None:
    assert len(text) <= 3


@few
@given(life=lifecycles())
def test_a_life_is_one_action_from_tracking_on(life: list[Event]) -> None:
    """One action id; deltas add up; times increase; only clearing comes after approval, and it comes last."""
    updates = [event for event in life if event.kind == "action_lifecycle"]

    assert len({event.values["ActionId"] for event in life}) == 1
    assert all(earlier.at < later.at for earlier, later in pairwise(life))
    assert life[0].values["Payout"] == life[0].values["DeltaPayout"] == life[0].values["IntendedPayout"]
    for what in ("Payout", "Amount"):
        assert sum(Decimal(event.values[f"Delta{what}"]) for event in updates) == Decimal(updates[-1].values[what])
        assert len({event.values[f"Intended{what}"] for event in life}) == 1
    assert "APPROVED" not in {event.values["Status"] for event in updates}
    assert [event.values["Status"] for event in life if event not in updates] in ([], ["APPROVED"])
    assert life.index(updates[-1]) >= len(life) - 2


def test_only_a_reversed_action_returns_to_nothing() -> None:
    """So where the walk of its money ends tells its status, unless the action never had money at all."""
    for life in generate(lifecycles(max_items=0, texts=st.just("")), count=60, seed=4):
        without_money = [event.values["Payout"] == event.values["Amount"] == "0.00" for event in life]
        for event, nothing in zip(life, without_money, strict=True):
            if nothing and not all(without_money):
                assert event is life[0] or event.values["Status"] == "REVERSED"
        if all(without_money):
            assert [event.values["Status"] for event in life] in (
                ["PENDING"],
                ["PENDING", "REVERSED"],
                ["PENDING", "APPROVED"],
            )


@few
@given(event=st.one_of(events(kind="action_lifecycle"), events(kind="action_clearing")))
def test_the_lines_of_an_order_add_up(event: Event) -> None:
    if event.items:
        assert sum(Decimal(item["amt"]) for item in event.items) == Decimal(event.values["Amount"])


@few
@given(life=lifecycles())
def test_the_conversion_comes_first_and_the_lock_comes_after_all_updates(life: list[Event]) -> None:
    """Reporting takes from 2 seconds to 1 hour, by the dates on the wire; clearing follows the lock."""
    converted = datetime.fromisoformat(life[0].values["EventDate"])

    assert timedelta(seconds=2) <= life[0].at - converted <= timedelta(hours=1)
    if life[0].values["LockingDate"]:
        locked = datetime.fromisoformat(life[0].values["LockingDate"])
        assert (locked.hour, locked.minute, locked.second) == (0, 0, 0)
        assert all((event.at > locked) == (event.kind == "action_clearing") for event in life)


@few
@given(life=lifecycles(started_at=STARTED_AT, max_updates=2, max_gap=timedelta(milliseconds=20), clearing=False))
def test_the_caller_can_pin_the_clock_and_pack_a_life_tightly(life: list[Event]) -> None:
    assert life[0].at == STARTED_AT
    assert len(life) <= 3
    assert life[-1].at - STARTED_AT <= timedelta(milliseconds=40)
    assert {event.kind for event in life} == {"action_lifecycle"}
    assert (
        timedelta(seconds=2) <= STARTED_AT - datetime.fromisoformat(life[0].values["EventDate"]) <= timedelta(hours=1)
    )


@few
@given(event=events())
def test_events_hold_catalogue_names_with_legal_values_and_survive_their_line(event: Event) -> None:
    assert event.values.keys() <= {token.name for token in CATALOGUE.tokens(event.kind)}
    for token in CATALOGUE.tokens(event.kind):
        text = event.values.get(token.name, "")
        assert text or token.may_be_empty or token.certainty != "official"
        assert not text or not token.values or text in token.values
    assert decode_event(encode_event(event), number=1, source="generated") == event


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_events_are_of_the_kind_that_was_asked_for(kind: EventKind) -> None:
    assert {event.kind for event in generate(events(kind=kind), count=5, seed=3)} == {kind}


def test_lives_include_every_step_and_every_size() -> None:
    lives = generate(lifecycles(texts=st.just("")), count=60, seed=5)
    statuses = {
        (earlier.values["Status"], later.values["Status"]) for life in lives for earlier, later in pairwise(life)
    }

    assert statuses == {
        ("PENDING", "PENDING"),
        ("PENDING", "REVERSED"),
        ("REVERSED", "PENDING"),
        ("PENDING", "APPROVED"),
    }
    assert {len(event.items) for life in lives for event in life} == {0, 1, 2, 3, 4, 1000}
    assert len({event.at.utcoffset() for life in lives for event in life}) > 10


def test_actions_live_across_the_switches_of_their_clocks() -> None:
    """Sales in winter that lock in summer, and some in the hour that comes twice, told with either offset."""
    drawn = generate(actions(max_items=0, texts=st.just("")), count=120, seed=6)
    dates = [(values(action)["EventDate"], values(action)["LockingDate"]) for action in drawn]
    sold = [action.conversion.event_date.astimezone(action.conversion.zone) for action in drawn]
    # A clock face is shown twice where its two readings differ, and the first of them is the earlier one.
    twice = [face for face in sold if face.replace(fold=0).utcoffset() != face.replace(fold=1).utcoffset()]

    assert sum(event[-6:] != lock[-6:] for event, lock in dates if lock) > 12
    assert {face.fold for face in twice} == {0, 1}


def test_the_number_of_lines_can_be_bounded() -> None:
    lives = generate(lifecycles(max_items=1, texts=st.just("")), count=40, seed=5)

    assert {len(event.items) for life in lives for event in life} == {0, 1}


def test_texts_can_be_replaced() -> None:
    """By texts with control characters, for instance."""
    lives = generate(lifecycles(texts=st.just("\x00")), count=20, seed=5)

    assert {life[0].values.get("SubId1", "") for life in lives} == {"", "\x00"}


def test_a_failing_life_shrinks_to_the_fewest_plain_events() -> None:
    """The shortest life with an order that is reversed: one line of one cent, no texts, in London's winter."""
    life = find(
        lifecycles(max_items=2, max_updates=2, clearing=False, texts=st.sampled_from(("", "x"))),
        lambda life: life[-1].values["Status"] == "REVERSED" and bool(life[0].items),
        settings=settings(max_examples=2000, database=None, phases=(Phase.generate, Phase.shrink), derandomize=True),
    )

    assert [event.values["Status"] for event in life] == ["PENDING", "REVERSED"]
    assert [event.values["DeltaPayout"] for event in life] == ["0.01", "-0.01"]
    assert life[0].at == datetime(2020, 1, 1, tzinfo=UTC)
    assert life[1].at == datetime(2020, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert [item["amt"] for item in life[0].items] == ["0.01"]
    assert "x" not in {*life[0].values.values(), *life[0].items[0].values()}
    filled = {name for name, text in life[0].values.items() if text}
    official = {token.name for token in CATALOGUE.tokens("action_lifecycle") if not token.may_be_empty}
    assert filled == official | {"OriginalCurrency", "OriginalAmount", "LockingDate"}


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(lambda: lifecycles(started_at=STARTED_AT.replace(tzinfo=None)), id="naive time"),
        pytest.param(lambda: lifecycles(started_at=datetime(1999, 1, 1, tzinfo=UTC)), id="before day numbers"),
        pytest.param(lambda: lifecycles(max_gap=timedelta(0)), id="no time between updates"),
        pytest.param(lambda: lifecycles(max_updates=-1), id="negative number"),
        pytest.param(lambda: lifecycles(max_updates=MAX_MODIFICATIONS + 1), id="more updates than allowed"),
        pytest.param(lambda: actions(max_items=-1), id="negative size"),
        pytest.param(lambda: wire_texts(max_size=-1), id="negative text size"),
        pytest.param(lambda: events(kind="action_clearing_events"), id="no such kind"),
    ],
)
def test_wrong_options_are_refused_when_a_value_is_drawn(strategy: Callable[[], SearchStrategy[object]]) -> None:
    """Not where the strategy is written: a module that holds one can still be imported."""
    unused = strategy()

    with pytest.raises(InvalidArgument):
        generate(unused, count=1, seed=0)


@few
@given(item=..., action=..., event=...)
def test_types_are_enough_to_get_values(item: Item, action: Action, event: Event) -> None:
    assert item.quantity >= 1
    assert action.action_id.count(".") == 2
    assert event.kind in EVENT_KINDS


@given(item=items())
def test_article_numbers_are_at_most_forty_characters(item: Item) -> None:
    assert len(item.sku) <= 40


def test_actions_are_met_in_every_stage() -> None:
    assert {action.stage for action in generate(actions(max_items=1, texts=st.just("")), count=80, seed=1)} == {
        "PENDING",
        "APPROVED",
        "REVERSED",
        "CLEARED",
    }


def test_generation_gives_exactly_as_many_values_as_asked_for() -> None:
    """Also when there are fewer different ones, and when the strategy throws most of them away."""
    assert generate(st.just(1), count=50, seed=1) == [1] * 50
    assert len(generate(st.integers(0, 99).filter(lambda number: number < 2), count=50, seed=1)) == 50
    assert generate(st.integers(), count=0, seed=1) == []


def test_more_values_of_a_seed_begin_with_the_same_ones() -> None:
    longer = generate(lifecycles(max_items=2), count=12, seed=9)

    assert generate(lifecycles(max_items=2), count=5, seed=9) == longer[:5]
    assert generate(lifecycles(max_items=2), count=5, seed=10) != longer[:5]


def test_a_strategy_that_rejects_everything_is_reported() -> None:
    with pytest.raises(Unsatisfiable, match="does it filter too much"):
        generate(st.integers().filter(lambda _: False), count=1, seed=1)


DIGEST = """
import hashlib
from postback_conformance.generating.generation import generate
from postback_conformance.strategies import events, lifecycles
from postback_sender.event import encode_event
drawn = [*generate(events(), count=15, seed=2026), *sum(generate(lifecycles(), count=10, seed=2026), [])]
print(hashlib.sha256(b"".join(map(encode_event, drawn))).hexdigest())
"""
# Local modules with constants of their own, of which Hypothesis would draw some if it ran the show.
IMPORTS_MORE = "import local_constants\nimport postback_receiver, postback_sender.notification\n"


def test_a_seed_means_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever the process has imported, however it hashes, and without the machine's time zone data."""
    (tmp_path / "local_constants.py").write_text(f"NUMBERS = {list(range(100, 5000, 7))}\nTEXT = 'local'\n")
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(tmp_path), "PYTHONTZPATH": ""},
            capture_output=True,
            check=True,
            text=True,
            timeout=PATIENCE_S,
        ).stdout
        for program, hash_seed in [(DIGEST, "1"), (IMPORTS_MORE + DIGEST, "2")]
    ]

    drawn = [*generate(events(), count=15, seed=2026)]
    drawn += [event for life in generate(lifecycles(), count=10, seed=2026) for event in life]
    here = hashlib.sha256(b"".join(map(encode_event, drawn))).hexdigest()
    assert outputs == [f"{here}\n"] * 2
