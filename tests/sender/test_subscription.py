"""Which events a notification reports, and whose values a postback carries when it leaves."""

from datetime import UTC, datetime, timedelta

import pytest

from postback_conformance.generating.zones import zone_named
from postback_sender import Event, Notification, NotificationSource, parse_notification
from postback_sender.subscription import happened_ns, histories, newest, reported
from postback_sender.tokens import EventKind

AT = datetime(2026, 5, 11, 12, tzinfo=UTC)


def event(name: str, *, after: int = 0, action: str = "1", kind: EventKind = "action_lifecycle") -> Event:
    return Event(kind=kind, at=AT + timedelta(seconds=after), values={"ActionId": action, "Text1": name})


def settings(text: str = "") -> Notification:
    return parse_notification(NotificationSource(name="n.toml", text=f'url = "http://127.0.0.1/"\n{text}'), {})


TRACKED = event("tracked")
MODIFIED = event("modified", after=10)
REVERSED = event("reversed", after=20)
LIFE = [TRACKED, MODIFIED, REVERSED]
CLEARED = event("cleared", after=30, kind="action_clearing")
OTHER = event("other", after=5, action="2")
NAMELESS = event("nameless", action="")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("global", ["tracked", "modified", "reversed", "other", "nameless", "nameless"]),
        ("event", ["tracked", "other", "nameless", "nameless"]),
    ],
    ids=["global", "event"],
)
def test_event_level_reports_the_first_event_of_each_action_only(level: str, expected: list[str]) -> None:
    """Of its kind; an event that names no action is the first of its own."""
    told = reported(settings(f'level = "{level}"'), [*LIFE, CLEARED, OTHER, NAMELESS, NAMELESS])

    assert [event.values["Text1"] for event in told] == expected


@pytest.mark.parametrize("level", ["global", "event"])
def test_the_history_of_an_action_is_all_of_its_kind_reported_or_not(level: str) -> None:
    notification = settings(f'level = "{level}"\n[template]\nvalues_at = "send"')

    assert histories(notification, [*LIFE, CLEARED, OTHER, NAMELESS]) == {"1": LIFE, "2": [OTHER]}


def test_without_the_setting_nothing_but_an_event_itself_counts() -> None:
    assert histories(settings(), LIFE) == {}
    assert newest(TRACKED, (), happened_ns(REVERSED)) is TRACKED


@pytest.mark.parametrize(
    ("own", "after", "expected"),
    [
        (TRACKED, 0, TRACKED),
        (TRACKED, 9, TRACKED),
        (TRACKED, 10, MODIFIED),
        (TRACKED, 1000, REVERSED),
        (MODIFIED, 15, MODIFIED),
        (REVERSED, 20, REVERSED),
        # A wall clock that was set back: an event never gives way to an older one.
        (REVERSED, 0, REVERSED),
    ],
    ids=["at once", "just before", "just then", "much later", "older ones", "the last", "clock set back"],
)
@pytest.mark.parametrize("history", [LIFE, LIFE[::-1]], ids=["in order", "backwards"])
def test_the_newest_values_are_of_the_latest_event_that_has_happened(
    own: Event, after: int, expected: Event, history: list[Event]
) -> None:
    assert newest(own, history, happened_ns(TRACKED) + after * 1_000_000_000) is expected


def test_of_two_events_at_one_time_the_later_in_the_history_counts() -> None:
    first, second = event("first"), event("second")

    for own in (first, second):
        assert newest(own, [first, second], happened_ns(own)) is second


def test_an_event_happened_when_it_did_whatever_zone_tells_it() -> None:
    """To the microsecond, also in the hour that the clocks show twice."""
    twice = datetime(2026, 10, 25, 1, 30, 0, 1, tzinfo=zone_named("Asia/Jerusalem"))
    first, second = (
        happened_ns(Event(kind="action_lifecycle", at=twice.replace(fold=fold), values={})) for fold in (0, 1)
    )

    assert first == happened_ns(Event(kind="action_lifecycle", at=twice.astimezone(UTC), values={}))
    assert second - first == 3_600_000_000_000
    assert first % 1_000_000_000 == 1000
