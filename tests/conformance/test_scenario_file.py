"""A scenario file is read with care: a slip is one message with its place, and any text is a scenario or one error."""

from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.scenario import MAX_EVENTS, plan
from postback_conformance.scenario.script import ActionFile, ScenarioFile, StepFile
from postback_sender import SenderError
from postback_sender.settings_table import NotificationError
from scripts import ORDER, STARTED_AT, played, read, step


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
