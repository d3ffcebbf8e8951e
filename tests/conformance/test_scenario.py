"""Scenarios: a script is read with care, played by the rules of life cycles, and means the same every time."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.generation import generate
from postback_conformance.scenario import MAX_EVENTS, PlannedSend, Scenario, drafts, plan, read_scenario
from postback_conformance.scenario.script import KEYS, ActionFile, ItemFile, ScenarioFile, StepFile
from postback_sender import Notification, SenderError, encode_event, render_postback
from postback_sender.action import REVERSAL_REASONS, TRANSITIONS, Stage
from postback_sender.settings_table import NotificationError
from postback_sender.subscription import happened_ns

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "scenarios.md").read_text(encoding="utf-8")
EXAMPLES = {path.stem: path for path in sorted((REPOSITORY / "examples" / "scenarios").glob("*.toml"))}
STARTED_AT = datetime(2026, 5, 11, 0, 7, 27, 500_000, tzinfo=UTC)
SECOND_NS = 10**9

ReadSettings = Callable[[str], Notification]

ORDER = """
[actions.shoes]
payout = "8.40"
amount = "84.00"
"""


def step(do: str, action: str = "shoes", **keys: str | int) -> str:
    given = {"do": do, "action": action, **keys}
    return "[[step]]\n" + "".join(f"{key} = {value!r}\n" for key, value in given.items())


def read(text: str) -> Scenario:
    return read_scenario(text, name="s.toml")


def played(text: str, *, seed: int = 7) -> list[PlannedSend]:
    return list(plan(read(text), started_at=STARTED_AT, seed=seed))


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


# Slips


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a =", "s.toml: not valid TOML", id="not TOML"),
        pytest.param("seed = " + "9" * 5000, "s.toml: not valid TOML", id="number without end"),
        pytest.param("", "s.toml: no step; expected some", id="empty"),
        pytest.param("sed = 1", "s.toml, line 1: unknown key 'sed'; did you mean \"seed\"?", id="unknown key"),
        pytest.param("seed = -1", "line 1: seed: expected whole number >= 0", id="seed"),
        pytest.param('zone = "Europe/Berln"', "got 'Europe/Berln'; did you mean \"Europe/Berlin\"?", id="zone"),
        pytest.param('zone = "../x"', "line 1: zone: expected a time zone", id="zone that is a path"),
        pytest.param("step = 5", "line 1: step: expected list, got whole number", id="steps that are none"),
        pytest.param(
            step("track") + "[[step]]", "line 4: step 2: do is missing; expected at least do, action", id="do"
        ),
        pytest.param("[[step]]\ndo = 'track'", "line 1: step 1: action is missing", id="no action"),
        pytest.param(step("trak"), 'line 2: step 1.do: expected one of "track", "modify"', id="unknown step"),
        pytest.param(
            step("track") + step("reverse", afer="2s"),
            "line 7: unknown key 'step 2.afer'; did you mean \"after\"?",
            id="unknown key of the second step",
        ),
        pytest.param(
            step("track") + step("reverse", payout="1"),
            "line 7: step 2: reverse has no payout; its keys are do, action, after, within, late, reason",
            id="key of another step",
        ),
        pytest.param(step("track", after="2x"), "line 4: step 1.after: expected a duration", id="duration"),
        pytest.param(step("track", after="99y"), "step 1.after: expected a duration", id="unit"),
        pytest.param(step("track", after="9999d"), "line 1: step 1: the script takes longer than 7300 days", id="long"),
        pytest.param(step("track", late="9999d"), "the script takes longer than", id="later than long"),
        pytest.param(
            step("track") + step("modify", payout="1,50"),
            'line 7: step 2.payout: expected an amount such as "84.00", of at most 16 digits and two decimals, got',
            id="amount",
        ),
        pytest.param("[actions.a]\namount = 12345678901234.56", "got 12345678901234.56; put it in", id="inexact"),
        pytest.param(step("track") + step("modify", amount="-1"), "step 2.amount: expected an amount", id="negative"),
        pytest.param(step("track") + step("modify", amount="0.001"), "expected an amount", id="fraction of a cent"),
        pytest.param(
            step("track") + step("duplicate", times=0), "step 2.times: expected whole number >= 1", id="times"
        ),
        pytest.param(
            step("track") + step("modify", "shoe"),
            "line 6: step 2: no step before it tracks 'shoe'; did you mean \"shoes\"?",
            id="nobody",
        ),
        pytest.param(ORDER + step("track", "other"), "line 2: actions.shoes: no step tracks it", id="unused"),
        pytest.param(
            f"[actions.a]\ncount = {MAX_EVENTS}\n" + step("track", "a") + step("duplicate", "a"),
            f"line 6: step 2: with it there are {2 * MAX_EVENTS} events; expected at most {MAX_EVENTS}",
            id="too many",
        ),
        pytest.param("[actions.a]\ncount = 0", "line 2: actions.a.count: expected whole number >= 1", id="count"),
        pytest.param(
            "[actions.a]\npayot = 1", "line 2: unknown key 'actions.a.payot'; did you mean \"payout\"?", id="key"
        ),
        pytest.param(
            '[actions.a]\ntexts = { SubID1 = "" }',
            "line 2: actions.a.texts: no action has a token 'SubID1'; did you mean \"SubId1\"?",
            id="token",
        ),
        pytest.param(
            '[actions.a]\ntexts = { Color = "" }', "; declare it under [tokens] in the notification", id="own token"
        ),
        pytest.param(
            '[actions.a]\ntexts = { Payout = "1" }', "Payout is told by the action and its steps", id="token with a key"
        ),
        pytest.param("[actions.a]\nitems = [{}]", "actions.a.items 1: sku is missing", id="line without an article"),
        pytest.param(
            '[actions.a]\n[[actions.a.items]]\nsku = "A"\namount = 1\n[[actions.a.items]]\nsku = "B"\namout = 1',
            "line 5: actions.a.items 2: amount is missing",
            id="line without an amount",
        ),
        pytest.param(
            step("track")
            + step("modify")
            + '[[step.items]]\nsku = "A"\namount = 1\n[[step.items]]\nsku = "B"\namount = 1\nquantity = -1',
            "line 13: step 2.items 2.quantity: expected whole number >= 0",
            id="quantity of a line of a step",
        ),
    ],
)
def test_a_slip_is_one_message_with_its_place(text: str, message: str) -> None:
    with pytest.raises(NotificationError) as caught:
        read(text)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            step("track") + step("approve") + step("clear") + step("reverse"),
            "s.toml, line 10: step 4 (reverse shoes): action ",
            id="after clearing",
        ),
        pytest.param(step("track") + step("approve") + step("modify"), "allowed: clear", id="after approval"),
        pytest.param(step("track") + step("clear"), "allowed: modify, reverse, restore, approve", id="before approval"),
        pytest.param(step("track") + step("restore"), "nothing to restore", id="nothing to restore"),
        pytest.param(ORDER + step("track") + step("modify", amount="0"), "reverse it instead", id="to nothing"),
        pytest.param(step("track") + step("track"), "step 2 (track shoes): shoes is tracked already", id="twice"),
        pytest.param(
            '[actions.shoes]\nlocks_after = "1s"\n' + step("track") + step("reverse", after="1d"),
            "step 2 (reverse shoes): action ",
            id="locked",
        ),
        pytest.param(
            "[actions.a]\ncount = 3\nsequence = 5\n[actions.b]\nsequence = 7\n"
            + step("track", "a")
            + step("track", "b"),
            "s.toml, line 5: actions.b.sequence: 7 is taken by a; choose another",
            id="one id twice",
        ),
        pytest.param(
            "[actions.a]\nitems = [{ sku = 'A', amount = '9999999999999999' }, { sku = 'B', amount = 1 }]\n"
            + step("track", "a"),
            "line 3: step 1 (track a): expected an amount of at most 16 digits",
            id="sum beyond all money",
        ),
    ],
)
def test_a_step_that_is_not_legal_is_refused_with_what_is(text: str, message: str) -> None:
    with pytest.raises(NotificationError) as caught:
        played(text)

    assert message in str(caught.value)


def test_a_start_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a start with an offset"):
        plan(read(step("track")), started_at=STARTED_AT.replace(tzinfo=None), seed=1)


WORDS = st.sampled_from(
    [
        *("do", "action", "after", "late", "track", "modify", "duplicate", "shoes", "[[step]]", "[actions.shoes]", "="),
        *("[[step.items]]", "items", "texts", "seed", "1", '"1s"', "'track'", "{", "}", "[", "]", "\n", ",", "amount"),
        *(
            "-1",
            "1e400",
            "nan",
            "0x" + "f" * 400,
            "true",
            "2026-05-11",
            '"\\u0000"',
            "payout",
            "count",
            "zone",
            '"a/b"',
        ),
    ]
)


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=30).map(" ".join), st.lists(WORDS).map("\n".join)))
def test_any_text_is_a_scenario_or_one_error(text: str) -> None:
    try:
        scenario = read(text)
    except SenderError as error:
        assert "s.toml" in str(error)  # noqa: PT017
    else:
        assert scenario.steps


VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.just(10**500),
    st.floats(),
    st.sampled_from(["", "1", "2s", "track", "a", "\0", "/etc/x", "Europe"]),
    st.just([{"sku": "A", "amount": 1, "x": []}]),
    st.dictionaries(st.sampled_from(["SubId1", "Payout", "a.b", ""]), st.text(max_size=3), max_size=2),
)


def any_table(record: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, object]]:
    names = [field.name for field in msgspec.structs.fields(record)]
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=4)


def toml(value: object) -> str:
    match value:
        case dict():
            table = cast("dict[str, object]", value)
            return "{" + ", ".join(f"{toml(key)} = {toml(entry)}" for key, entry in table.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, cast("list[object]", value))) + "]"
        case bool():
            return str(value).lower()
        case int():
            # Beyond 4300 digits Python itself refuses decimals, but not these.
            return hex(value) if value >= 0 else str(value)
        case float():
            return str(value)
        case _:
            return '"' + "".join(f"\\U{ord(letter):08X}" for letter in str(value)) + '"'


@settings(max_examples=40, deadline=None)
@given(
    top=any_table(ScenarioFile),
    action=any_table(ActionFile),
    steps=st.lists(any_table(StepFile).map(lambda keys: {"do": "track", "action": "a", **keys}), max_size=3),
)
def test_any_value_of_any_key_is_read_or_is_one_error(
    top: dict[str, object], action: dict[str, object], steps: list[dict[str, object]]
) -> None:
    text = "".join(f"{key} = {toml(value)}\n" for key, value in top.items() if key not in {"actions", "step"})
    text += f"actions = {{ a = {toml(action)} }}\nstep = {toml(steps)}\n"
    try:
        scenario = read(text)
    except NotificationError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert len(scenario.steps) == len(steps)


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
