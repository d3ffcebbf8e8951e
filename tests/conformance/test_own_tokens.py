"""Generated events of a notification with tokens and kinds of its own."""

from collections import defaultdict
from datetime import datetime

import pytest

from postback_conformance.driving import generated_events
from postback_conformance.generating.generation import generate
from postback_conformance.strategies import events
from postback_sender import Event, Notification, NotificationSource, parse_notification
from postback_sender.tokens import CATALOGUE

TOKENS = """
[tokens.Tier]
type = "enum"
values = ["SILVER", "GOLD"]
may_be_empty = false
[tokens.Since]
type = "datetime"
[tokens.Status]
type = "enum"
values = ["GIVEN", "TAKEN"]
[tokens.Motto]
example = "So be it."
may_be_empty = false
[tokens.color]
of_items = true
type = "enum"
values = ["red", "green"]
may_be_empty = false
"""
KINDS = [*CATALOGUE.kinds, "credited", "cleared", "pinged"]


def notification(kind: str, tokens: str = TOKENS) -> Notification:
    text = f"""event = "{kind}"
[kinds.credited]
like = "action_lifecycle"
[kinds.cleared]
like = "action_clearing"
[kinds.pinged]
{tokens}"""
    return parse_notification(NotificationSource(name="n.toml", text=text), {})


def assert_has_own_values(event: Event) -> None:
    assert event.values["Tier"] in {"SILVER", "GOLD"}
    assert datetime.fromisoformat(event.values.get("Since", "2026-01-01")).year >= 2020
    assert event.values.get("Status", "") in {"GIVEN", "TAKEN", ""}
    assert event.values["Motto"]
    assert all(item["color"] in {"red", "green"} for item in event.items)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_events_have_values_for_own_tokens(kind: str) -> None:
    for event in generate(events(kind=kind, catalogue=notification(kind).catalogue), count=10, seed=6):
        assert event.kind == kind
        assert_has_own_values(event)


@pytest.mark.parametrize("kind", KINDS)
def test_events_generated_for_a_notification_have_values_for_its_own_tokens(kind: str) -> None:
    generated = generated_events(notification(kind), count=12, seed=1)

    assert [event.kind for event in generated] == [kind] * 12
    for event in generated:
        assert_has_own_values(event)


def test_all_events_of_one_action_have_the_same_own_values() -> None:
    told: dict[str, set[tuple[str | None, ...]]] = defaultdict(set)
    for event in generated_events(notification("credited"), count=30, seed=2):
        told[event.values["ActionId"]].add(tuple(map(event.values.get, ("Tier", "Since", "Status", "Motto"))))

    assert len(told) > 3
    assert {len(values) for values in told.values()} == {1}


def test_an_own_kind_without_own_tokens_lives_like_the_one_it_is_like() -> None:
    generated = generated_events(notification("credited", tokens=""), count=30, seed=3)

    assert {event.values["Status"] for event in generated} == {"PENDING", "REVERSED"}
    assert any(event.items for event in generated)


def test_items_of_a_kind_like_no_other_have_its_own_fields() -> None:
    generated = generated_events(notification("pinged"), count=30, seed=4)

    assert {field for event in generated for item in event.items for field in item} == {"color"}
    assert {name for event in generated for name in event.values} == {"Tier", "Since", "Status", "Motto"}


def test_every_item_of_a_large_order_has_its_own_fields() -> None:
    """There are fewer different ones than lines: they come round again."""
    catalogue = notification("action_lifecycle").catalogue
    large = events(kind="action_lifecycle", catalogue=catalogue).filter(lambda event: len(event.items) > 4)

    for event in generate(large, count=3, seed=5):
        assert_has_own_values(event)
