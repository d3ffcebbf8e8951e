"""Scenarios: a script is played by the rules of life cycles, and means the same every time."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import strategies as st

from postback_conformance.generating.generation import generate
from postback_conformance.scenario import MAX_EVENTS, PlannedSend, drafts, plan, read_scenario
from postback_conformance.scenario.script import KEYS, ActionFile, ItemFile, ScenarioFile, StepFile
from postback_sender import Notification, encode_event, render_postback
from postback_sender.action import REVERSAL_REASONS, TRANSITIONS, Stage
from postback_sender.settings_table import NotificationError
from postback_sender.subscription import happened_ns
from scripts import ORDER, STARTED_AT, played, read, step

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "scenarios.md").read_text(encoding="utf-8")
EXAMPLES = {path.stem: path for path in sorted((REPOSITORY / "examples" / "scenarios").glob("*.toml"))}
SECOND_NS = 10**9

ReadSettings = Callable[[str], Notification]


def seconds(sends: Iterable[PlannedSend]) -> list[float]:
    return [send.offset_ns / SECOND_NS for send in sends]


def told(sends: Iterable[PlannedSend], token: str) -> list[str]:
    return [send.event.values[token] for send in sends]


# What a script says


def test_a_script_is_told_step_by_step() -> None:
    sends = played(
        ORDER
        + step("track")
        + step("modify", after="2s", payout="4.20", amount="42.00")
        + step("reverse", after="500ms", reason="ITEM_RETURNED")
        + step("restore", after=1)
        + step("approve", after="1s")
        + step("clear", after="1s")
    )

    assert seconds(sends) == [0, 2, 2.5, 3.5, 5.5]
    assert told(sends, "Status") == ["PENDING", "PENDING", "REVERSED", "PENDING", "APPROVED"]
    assert told(sends, "Payout") == ["8.40", "4.20", "0.00", "8.40", "8.40"]
    assert told(sends, "DeltaAmount") == ["84.00", "-42.00", "-42.00", "84.00", "84.00"]
    assert told(sends, "StatusDetail") == ["", "", "ITEM_RETURNED", "", "Payment Pending"]
    assert [send.event.kind for send in sends] == [*["action_lifecycle"] * 4, "action_clearing"]
    assert [send.event.at - STARTED_AT for send in sends] == [timedelta(seconds=at) for at in seconds(sends)]
    assert all(send.in_order for send in sends)
    assert [send.is_first for send in sends] == [True, False, False, False, True]


def test_everything_that_an_action_says_is_on_the_wire() -> None:
    [send] = played("""
        zone = "Asia/Kathmandu"
        campaign_id = 4711
        [actions.shoes]
        payout = 1.5
        amount = 84
        currency = "EUR"
        original_amount = "90.00"
        original_currency = "USD"
        items = [{ sku = "A", amount = "84.00", quantity = 2, category = "c", name = "n", cart_amount = 85, rebate = 1}]
        texts = { SubId1 = "abc ", SubId2 = "" }
        sequence = 12
        locks_after = "30d"
        [[step]]
        do = "track"
        action = "shoes"
        status_detail = "Open"
    """)

    wanted = {
        "CampaignId": "4711",
        "ActionId": "4711.6705.12",
        "Payout": "1.50",
        "Amount": "84.00",
        "Currency": "EUR",
        "OriginalAmount": "90.00",
        "OriginalCurrency": "USD",
        "SubId1": "abc ",
        "StatusDetail": "Open",
        "LockingDate": "2026-06-11T00:00:00+05:45",
    }
    assert {name: send.event.values[name] for name in wanted} == wanted
    assert "SubId2" not in send.event.values
    assert send.event.items == (
        {"sku": "A", "amt": "84.00", "qty": "2", "cat": "c", "name": "n", "cartamt": "85.00", "rbt": "1.00"},
    )


def test_what_is_late_is_overtaken_and_keeps_its_time() -> None:
    sends = played(ORDER + step("track") + step("modify", after="2s", late="5s") + step("reverse", after="1s"))

    assert seconds(sends) == [0, 7, 3]
    assert [send.in_order for send in sends] == [True, False, True]
    assert [send.event.at - STARTED_AT for send in sends] == [timedelta(seconds=at) for at in (0, 2, 3)]


def test_a_duplicate_is_the_last_postback_once_more(read_settings: ReadSettings) -> None:
    settings = read_settings(
        "url = 'http://127.0.0.1/?{ActionId}&{Payout}'\nbody = '{EventDate}{SubId1}{StatusDetail}'"
    )
    sends = played(
        step("track") + step("modify") + step("duplicate", after="1s", times=3, within="3s") + step("reverse")
    )

    track, modify, *copies, reverse = (render_postback(settings, send.event) for send in sends)
    assert copies == [modify] * 3
    assert track != modify != reverse
    assert seconds(sends) == [0, 0, 1, 2, 3, 4]
    assert [send.in_order for send in sends] == [True, True, False, False, False, True]


def test_a_count_is_a_burst_of_actions_that_each_take_every_step() -> None:
    sends = played("[actions.rush]\ncount = 20\n" + step("track", "rush", within="1s") + step("reverse", "rush"))

    tracks, reversals = sends[:20], sends[20:]
    assert seconds(tracks) == [number / 20 for number in range(20)]
    assert seconds(reversals) == [1] * 20
    assert len(set(told(tracks, "ActionId"))) == 20
    assert told(tracks, "ActionId") == told(reversals, "ActionId")
    assert set(told(reversals, "Status")) == {"REVERSED"}


def test_a_burst_is_planned_one_by_one_and_its_actions_are_all_different() -> None:
    count = 150
    sends = plan(read(f"[actions.rush]\ncount = {MAX_EVENTS}\n" + step("track", "rush")), started_at=STARTED_AT, seed=1)

    ids = {next(sends).event.values["ActionId"] for _ in range(count)}

    assert len(ids) == count


def test_given_sequences_are_given_to_nobody_else() -> None:
    first = played(step("track", "other"))[0].event.values["ActionId"].rpartition(".")[2]
    sends = played(f"[actions.shoes]\ncount = 2\nsequence = {first}\n" + step("track", "other") + step("track"))

    assert [action.rpartition(".")[2] for action in told(sends, "ActionId")] == [
        str(int(first) + 2),
        first,
        str(int(first) + 1),
    ]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"amount": "42.00"}, ["42.00", "0.00"]),
        ({"amount": "90.00"}, ["60.00", "30.00"]),
        ({"payout": "1.00"}, ["60.00", "24.00"]),
        ({}, None),
    ],
    ids=["less", "more", "payout alone", "generated"],
)
def test_lines_that_add_up_still_do(change: Mapping[str, str], lines: list[str] | None) -> None:
    order = '[actions.shoes]\nitems = [{ sku = "A", amount = "60.00" }, { sku = "B", amount = "24.00" }]\n'
    tracked, modified = played(order + step("track") + step("modify", **change))

    assert tracked.event.values["Amount"] == "84.00"
    amounts = [item["amt"] for item in modified.event.items]
    assert sum(map(Decimal, amounts)) == Decimal(modified.event.values["Amount"])
    assert lines in (None, amounts)


def test_given_lines_are_the_amount_of_a_modification() -> None:
    items = 'items = [{ sku = "B", amount = "10.50" }]\n'
    tracked, modified = played(ORDER + step("track") + step("modify") + items)

    assert tracked.event.items == ()
    assert (modified.event.values["Amount"], modified.event.values["Payout"]) == ("10.50", "8.40")
    assert [item["sku"] for item in modified.event.items] == ["B"]


def test_generated_reasons_are_known_ones_and_generated_figures_leave_something_to_restore() -> None:
    script = step("track") + step("modify") + step("restore") + step("modify") + step("reverse") + step("restore")
    for seed in range(10):
        sends = played(script, seed=seed)

        assert sends[4].event.values["StatusDetail"] in REVERSAL_REASONS
        assert told(sends, "Payout")[1] != told(sends, "Payout")[0] == told(sends, "Payout")[2]


def test_an_action_locks_after_its_script_and_on_no_day_when_the_script_approves_it() -> None:
    for seed in range(5):
        script = step("track", "a") + step("track", "b") + step("approve", "b") + step("reverse", "a", after="100d")
        open_ended, approved, _ = played(script, seed=seed)

        locks = open_ended.event.values["LockingDate"]
        assert not locks or datetime.fromisoformat(locks) > STARTED_AT + timedelta(days=100)
        assert approved.event.values["LockingDate"] == ""


# Laws


@st.composite
def scripts(draw: st.DrawFn) -> str:
    """A legal script of three actions, one of them tenfold; a few steps are late, spread out, or followed by copies."""
    stages: dict[str, Stage] = {}
    modified: set[str] = set()
    text = '[actions.many]\ncount = 3\ntexts = { SubId1 = "x" }\n'
    gaps = st.sampled_from(("0s", "1ms", "2s", "1d"))
    for name in ("many", *draw(st.lists(st.sampled_from(("a", "b", "many")), min_size=1, max_size=15))):
        keys: dict[str, str | int] = {"after": draw(gaps), "within": draw(gaps)}
        do = "track"
        if name not in stages:
            stages[name] = "PENDING"
        else:
            moves: dict[str, Stage] = {
                "duplicate": stages[name],
                **{str(do): stage for do, stage in TRANSITIONS[stages[name]].items()},
            }
            if stages[name] == "PENDING" and name not in modified:
                del moves["restore"]
            do = draw(st.sampled_from(sorted(moves)))
            stages[name] = moves[do]
        if do == "modify":
            modified.add(name)
        elif do != "duplicate":
            modified.discard(name)
        if do != "approve":
            keys["late"] = draw(gaps)
        text += step(do, name, **keys)
    return text


@pytest.fixture(scope="module")
def some_plays() -> dict[str, list[PlannedSend]]:
    return {script: played(script) for script in generate(scripts(), count=15, seed=5)}


def test_times_never_go_back_and_events_of_an_action_follow_its_life(
    some_plays: Mapping[str, Sequence[PlannedSend]],
) -> None:
    ways = {(before, after) for before, steps in TRANSITIONS.items() for after in steps.values() if after != "CLEARED"}
    for sends in some_plays.values():
        originals = [send for number, send in enumerate(sends) if send.event not in [s.event for s in sends[:number]]]

        assert all(earlier.event.at <= later.event.at for earlier, later in pairwise(originals))
        assert all(send.offset_ns >= happened_ns(send.event) - happened_ns(sends[0].event) for send in sends)
        for action in set(told(sends, "ActionId")):
            life = [send.event for send in originals if send.event.values["ActionId"] == action]
            stages = [event.values["Status"] for event in life]
            assert life[0].values["DeltaPayout"] == life[0].values["Payout"] == life[0].values["IntendedPayout"]
            assert [event.kind for event in life].count("action_clearing") == ("APPROVED" in stages)
            assert all(
                way in ways or (way == ("PENDING", "APPROVED") and life[-1].kind == "action_clearing")
                for way in pairwise(stages)
            )
            updates = [event for event in life if event.kind == "action_lifecycle"]
            for earlier, later in pairwise(updates):
                was, became, by = (
                    Decimal(event.values[token])
                    for event, token in ((earlier, "Payout"), (later, "Payout"), (later, "DeltaPayout"))
                )
                assert became - was == by


def test_what_is_in_order_leaves_in_the_order_in_which_it_happened(
    some_plays: Mapping[str, Sequence[PlannedSend]],
) -> None:
    for play in some_plays.values():
        sends = [send for send in play if send.in_order]
        for action in set(told(sends, "ActionId")):
            offsets = [send.offset_ns for send in sends if send.event.values["ActionId"] == action]
            assert offsets == sorted(offsets)


def test_the_same_file_start_and_seed_give_the_same_events(some_plays: Mapping[str, Sequence[PlannedSend]]) -> None:
    for script, first in list(some_plays.items())[:3]:
        again, other = played(script), played(script, seed=8)

        assert first == again
        assert [encode_event(send.event) for send in first] == [encode_event(send.event) for send in again]
        assert first != other


# What is sent


def test_a_notification_is_sent_what_it_reports(read_settings: ReadSettings) -> None:
    script = ORDER + step("track") + step("modify", late="1s") + step("duplicate") + step("approve") + step("clear")
    sends = played(script)
    start_ns = 1_778_458_047_500_000_000

    lifecycle = list(drafts(sends, read_settings('minimum_delay = "2s"'), started_at=STARTED_AT))
    clearing = list(drafts(sends, read_settings('event = "action_clearing"'), started_at=STARTED_AT))
    events = list(drafts(sends, read_settings('level = "event"'), started_at=STARTED_AT))
    own = read_settings('event = "paid"\n[kinds.paid]\nlike = "action_clearing"\n[kinds.odd]')
    odd = read_settings('event = "odd"\n[kinds.odd]')

    action = sends[0].event.values["ActionId"]
    assert happened_ns(sends[0].event) == start_ns
    assert [(draft.key, (draft.due_ns - start_ns) / SECOND_NS) for draft in lifecycle] == [
        (action, 2),
        ("", 3),
        ("", 2),
    ]
    assert [draft.event for draft in clearing] == [sends[3].event]
    assert [draft.event for draft in events] == [sends[0].event]
    assert [draft.event.kind for draft in drafts(sends, own, started_at=STARTED_AT)] == ["paid"]
    assert list(drafts(sends, odd, started_at=STARTED_AT)) == []


def test_a_notification_at_event_level_is_sent_copies_of_the_first_event_too(read_settings: ReadSettings) -> None:
    sends = played(step("track") + step("duplicate") + step("modify") + step("duplicate"))

    sent = list(drafts(sends, read_settings('level = "event"'), started_at=STARTED_AT))

    assert [draft.event for draft in sent] == [sends[0].event, sends[1].event]


def test_own_tokens_of_the_notification_can_be_told(read_settings: ReadSettings) -> None:
    settings = read_settings('event = "paid"\n[kinds.paid]\nlike = "action_lifecycle"\n[tokens.Rank]')
    text = '[actions.shoes]\ntexts = { Rank = "gold" }\n' + step("track")
    scenario = read_scenario(text, name="s.toml", catalogue=settings.catalogue)

    [draft] = drafts(plan(scenario, started_at=STARTED_AT, seed=1), settings, started_at=STARTED_AT)

    assert draft.event.values["Rank"] == "gold"


# Pages and examples


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_can_be_played(name: str) -> None:
    scenario = read_scenario(EXAMPLES[name].read_text(encoding="utf-8"), name=name)

    assert scenario.seed is not None
    assert len(list(plan(scenario, started_at=STARTED_AT, seed=scenario.seed))) >= 3


def test_the_overtaken_example_is_one() -> None:
    sends = played(EXAMPLES["overtaken"].read_text(encoding="utf-8"))

    assert told(sorted(sends, key=lambda send: send.offset_ns), "Status") == ["PENDING", "REVERSED", "PENDING"]


def test_after_its_approval_the_example_refuses_a_refund() -> None:
    text = EXAMPLES["refund_after_clearing"].read_text(encoding="utf-8")

    with pytest.raises(NotificationError, match=r"cannot reverse it; allowed: nothing"):
        played(text + step("reverse", "approved"))


@pytest.mark.parametrize(
    ("heading", "record"),
    [("Scenarios", ScenarioFile), ("Actions", ActionFile), ("Lines of an order", ItemFile), ("Steps", StepFile)],
    ids=["scenario", "action", "item", "step"],
)
def test_the_page_lists_every_key_with_its_default(heading: str, record: type[msgspec.Struct]) -> None:
    [table] = [part for part in PAGE.removeprefix("# ").split("\n## ") if part.startswith(f"{heading}\n")]
    rows = re.findall(r"^\| `(\w+)` \|(?: (?:all|`)[^|]*\|)? ([^|]*?) \|[^|]*\|$", table, re.MULTILINE)
    fields = msgspec.structs.fields(record)

    assert [key for key, _ in rows] == [field.name for field in fields]
    for (key, default), field in zip(rows, fields, strict=True):
        if field.required or key == "step":
            assert default == "needed", key
        elif isinstance(field.default, str) and not field.default:
            assert default == '`""`', key
        elif field.default not in (None, msgspec.NODEFAULT):
            assert default == f"`{field.default}`", key
        else:
            assert not default.startswith("`"), key


def test_the_page_says_which_steps_have_a_key() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (all(?: but [^|]*)?|`[^|]*`) \| [^|]+ \| [^|]*\|$", PAGE, re.MULTILINE)
    said: dict[str, AbstractSet[str]] = {}
    for key, steps in rows:
        named = set(re.findall(r"`(\w+)`", steps))
        said[key] = {*KEYS} - named if steps.startswith("all") else named

    for key in (field.name for field in msgspec.structs.fields(StepFile)):
        assert said[key] == {do for do, keys in KEYS.items() if key in keys}, key
