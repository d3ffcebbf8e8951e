"""What is remembered of an action: enough to judge its next capture, in little room, and never more than known."""

import sys
from collections.abc import Callable

import pytest

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.histories import MAX_MOVES, Change, Histories, History
from postback_conformance.judging.walks import Move
from postback_conformance.judging.wire_money import UNITS, money_text, wire_money
from postback_conformance.rules.examples import capture
from postback_receiver import Capture
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]
SETTINGS = (
    'url = "http://127.0.0.1/p?id={ActionId}&s={Status}&p={Payout}&dp={DeltaPayout}&a={Amount}&da={DeltaAmount}'
    '&ip={IntendedPayout}&at={EventDate}"'
)


class Told:
    """Histories of one endpoint, fed with captures of a few words."""

    def __init__(self, notification: Notification, most: int = 1000) -> None:
        self.notification = notification
        self.histories = Histories(notification, most=most)
        self.number = 0

    def of(self, action: str = "A", status: str = "PENDING", payout: str = "1", by: str = "1") -> History | None:
        """See a capture of an action with a payout, which changed by so much."""
        self.number += 1
        target = f"/p?id={action}&s={status}&p={payout}&dp={by}&a=5.00&da=0.00&ip=1&at=2026-05-11T00:07:27%2B03:00"
        return self.see(capture(method="GET", target=target, at_s=self.number))

    def see(self, arrived: Capture) -> History | None:
        return self.histories.see(arrived.id, Evidence(self.notification, arrived).texts)


@pytest.fixture
def told(read_settings: ReadSettings) -> Told:
    return Told(read_settings(SETTINGS))


def test_the_first_capture_of_an_action_has_nothing_before_it(told: Told) -> None:
    history = told.of()
    assert history is not None
    assert (history.before, history.changes) == (None, ())
    assert (history.now.action, history.now.first_id, history.now.latest_id) == ("A", *["example-1000000000"] * 2)


def test_the_next_one_knows_the_first(told: Told) -> None:
    first, _, next_one = told.of(), told.of("B"), told.of(payout="2")
    assert first is not None
    assert next_one is not None
    assert next_one.before == first.now
    assert next_one.now.first_id == first.now.first_id
    assert next_one.now.latest_id == "example-3000000000"


def test_what_should_be_the_same_and_is_not_is_told(told: Told) -> None:
    told.of()
    target = "/p?id=A&s=&p=&dp=&a=&da=&ip=2&at=2026-05-10T21:07:27%2B00:00"
    history = told.see(capture(method="GET", target=target))
    assert history is not None
    assert history.changes == (Change("IntendedPayout", "1", "2"),)


def test_moves_are_told_with_how_often_they_may_have_been_made(told: Told) -> None:
    for payout, status in [("1", "PENDING"), ("1", "PENDING"), ("1", "APPROVED"), ("2", "PENDING")]:
        told.of(payout=payout, status=status)
    (story,) = told.histories.stories()
    amount = 5 * UNITS
    assert list(story.updates()) == [
        Move((0, amount), (UNITS, amount), 1, 2),
        Move((UNITS, amount), (2 * UNITS, amount), 1, 1),
    ]


def test_an_approval_by_itself_may_be_no_move(told: Told) -> None:
    told.of(status="APPROVED")
    (story,) = told.histories.stories()
    assert [(move.least, move.most) for move in story.updates()] == [(0, 1)]
    assert told.histories.approved_at(story) == (UNITS, 5 * UNITS)


def test_what_is_forgotten_is_the_action_told_of_longest_ago_and_it_is_counted(read_settings: ReadSettings) -> None:
    told = Told(read_settings(SETTINGS), most=2)
    for action in ("A", "B", "A", "C"):
        told.of(action)
    assert [story.action for story in told.histories.stories()] == ["A", "C"]
    assert told.histories.forgotten == 1
    again = told.of("B")
    assert again is not None
    assert again.before is None


def test_a_capture_without_an_action_is_counted(told: Told) -> None:
    assert told.of("") is None
    elsewhere = capture(method="GET", target="/elsewhere")
    assert told.see(elsewhere) is None
    assert told.histories.untold == 2


def test_a_notification_that_is_about_no_action_remembers_nothing(read_settings: ReadSettings) -> None:
    notification = read_settings('event = "action_inquiry"\nurl = "http://127.0.0.1/p?id={ActionId}"')
    told = Told(notification)
    assert told.see(capture(method="GET", target="/p?id=A")) is None
    assert (list(told.histories.stories()), told.histories.untold) == ([], 0)


def test_more_moves_than_are_kept_make_the_action_unclear(told: Told) -> None:
    for number in range(1, MAX_MOVES + 1):
        told.of(payout=str(number))
    (story,) = told.histories.stories()
    assert not story.is_unclear
    told.of(payout=str(MAX_MOVES + 1))
    (story,) = told.histories.stories()
    assert (story.is_unclear, len(list(story.updates()))) == (True, MAX_MOVES)


def test_a_move_that_arrives_without_end_is_counted_up_to_a_bound(told: Told) -> None:
    for _ in range(300):
        told.of()
    (story,) = told.histories.stories()
    assert [move.most for move in story.updates()] == [255]


def test_an_action_takes_as_little_room_as_is_said(read_settings: ReadSettings) -> None:
    """Of the documented sample, with ids as the receiver makes them; and the garbage collector need not look at it."""
    told = Told(read_settings(SETTINGS))
    history = told.of("1000.6705.158133", payout="0.88", by="0.88")
    assert history is not None
    story = history.now
    parts = [getattr(story, name) for name in story.__struct_fields__]
    assert sys.getsizeof(story) + sum(sys.getsizeof(part) for part in parts if isinstance(part, (str, bytes))) < 700
    assert not story.__struct_config__.gc


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("12.50", 125_000),
        ("-0.01", -100),
        ("0", 0),
        ("32252.1922", 322_521_922),
        ("99999999999999.9999", 999_999_999_999_999_999),
        ("", None),
        ("1,234.50", None),
        ("$1", None),
        ("1e-05", None),
        ("0.30000000000000004", None),
        ("1.", None),
        (".5", None),
        ("+1", None),
        (" 1", None),
        ("1\n", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
        ("100000000000000", None),
    ],
)
def test_money_is_read_exactly_or_not_at_all(text: str, units: int | None) -> None:
    assert wire_money(text) == units


@pytest.mark.parametrize(("units", "text"), [(0, "0.00"), (-100, "-0.01"), (125_000, "12.50"), (12_501, "1.2501")])
def test_money_is_shown_with_two_decimals_or_four(units: int, text: str) -> None:
    assert money_text(units) == text
