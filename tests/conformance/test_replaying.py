"""Captures become requests in their order, get new ids where the notification has them, and answers are compared."""

import gzip
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.captured.capture_filter import parse_filter
from postback_conformance.captured.fresh_ids import IdPlaces, find_ids, fresh_number, with_fresh_ids
from postback_conformance.captured.replaying import Recorded, compare, freshened, outcome_of, select_captures
from postback_conformance.rules.examples import capture
from postback_conformance.strategies import events
from postback_receiver import Answer, Capture
from postback_sender import Event, Notification, render_postback
from postback_sender.delivery.answer import Answer as ReplayAnswer
from postback_sender.delivery.retry import Failure
from postback_sender.matcher import MAX_ANSWER_BYTES

ReadSettings = Callable[[str], Notification]

SETTINGS = """
url = "http://127.0.0.1/postback?id={ActionId}&click={RefClickId}"
method = "POST"
body_format = "json"
body = '''{"id": "{ActionId}", "n": "{SubId1}",
"items": [{join(items, i, "{\\"of\\": \\"{ActionId}\\", \\"s\\": \\"{i.sku}\\"}")}]}'''
"""
ID = "1000.4636.158133"
SECOND_NS = 1_000_000_000


def arrived(number: int, **changes: object) -> Capture:
    return replace(capture(b"{}"), **{"id": f"c{number}", "received_at_ns": number, "monotonic_ns": None, **changes})


def sent_for(notification: Notification, event: Event) -> Capture:
    postback = render_postback(notification, event)
    return arrived(1, target=postback.url.removeprefix("http://127.0.0.1"), body=postback.body)


def test_captures_are_sent_in_the_order_they_arrived_in_whatever_the_file_says() -> None:
    captures = [arrived(3), arrived(1), arrived(2, monotonic_ns=9), arrived(2, monotonic_ns=8, id="first of 2")]
    chosen = select_captures(captures)
    assert [one.request.id for one in chosen.recorded] == ["c1", "first of 2", "c2", "c3"]
    assert [one.request.recorded_ns for one in chosen.recorded] == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("jump_s", "gaps_s"), [(-3600, [1, 1, 1]), (-0.5, [1, 0.5, 1]), (3600, [1, 3601, 1])], ids=["back", "kept", "ahead"]
)
def test_a_clock_that_was_set_back_while_it_was_recorded_moves_nothing(jump_s: float, gaps_s: list[float]) -> None:
    """Of two runs the other one is told by nothing but the wall clock."""
    captures = [
        arrived(
            number,
            run="r",
            monotonic_ns=number * SECOND_NS,
            received_at_ns=round((7200 + number + (jump_s if number >= 2 else 0)) * SECOND_NS),
        )
        for number in range(4)
    ]
    other = arrived(9, run="s", monotonic_ns=0, received_at_ns=0)

    chosen = [each.request for each in select_captures([*captures[::-1], other]).recorded]

    assert [request.id for request in chosen] == [other.id, *(capture.id for capture in captures)]
    gaps_ns = [later.recorded_ns - earlier.recorded_ns for earlier, later in pairwise(chosen[1:])]
    assert gaps_ns == [gap_s * SECOND_NS for gap_s in gaps_s]


def test_what_cannot_or_shall_not_be_sent_is_left_out_and_counted() -> None:
    captures = [arrived(1, truncated=True), arrived(2, method="GET"), arrived(3, target="/a b"), arrived(4)]
    chosen = select_captures(captures, only=[parse_filter("method=POST"), parse_filter("id~c")])
    assert [one.request.id for one in chosen.recorded] == ["c4"]
    assert sorted(chosen.left_out.items()) == [
        ("its target holds blanks or control characters, or is empty", 1),
        ("not selected by --only", 1),
        ("the body is not all there", 1),
    ]


def test_secrets_that_were_hidden_are_counted() -> None:
    captures = [arrived(1, target="/?token=[hidden]"), arrived(2, headers=(("Auth", "[hidden]"),)), arrived(3)]
    assert select_captures(captures).hidden == 2


some_events = events(kind="action_lifecycle")


def fresh_id(old: str, *, seed: int, round_number: int) -> str:
    """The new id of one that ends plainly: with another last number."""
    return old.rstrip("0123456789") + fresh_number(old, seed=seed, round_number=round_number)


@settings(max_examples=30, deadline=None)
@given(event=some_events, seed=st.integers(0, 2**32), round_number=st.integers(0, 3))
def test_a_fresh_request_says_the_same_with_another_id(
    event: Event, seed: int, round_number: int, read_settings: ReadSettings
) -> None:
    notification = read_settings(SETTINGS)
    one = sent_for(notification, event)
    [recorded] = select_captures([one], notifications=notification).recorded
    fresh = freshened(recorded, seed=seed, round_number=round_number)

    new_id = fresh_id(event.values["ActionId"], seed=seed, round_number=round_number)
    values = {**event.values, "ActionId": new_id}
    expected = sent_for(notification, Event(kind=event.kind, at=event.at, values=values, items=event.items))
    assert (fresh.target, fresh.body) == (expected.target, expected.body)
    assert replace(fresh, target=one.target, body=one.body) == recorded.request


def test_an_action_keeps_its_new_id_within_a_round_and_gets_another_in_the_next() -> None:
    new = fresh_id(ID, seed=1, round_number=0)
    assert new == fresh_id(ID, seed=1, round_number=0)
    assert new.startswith("1000.4636.")
    others = {
        fresh_id(ID, seed=1, round_number=1),
        fresh_id(ID, seed=2, round_number=0),
        fresh_id("1000.4636.158134", seed=1, round_number=0),
    }
    assert len({ID, new, *others}) == 5


@pytest.mark.parametrize("old", ["", "abc", "1234567890", "8882.4335", "a-1-é", "٣"])
def test_whatever_an_id_looks_like_there_is_a_new_one_that_needs_no_escaping(old: str) -> None:
    new = fresh_id(old, seed=1, round_number=0)
    assert new != old
    assert new.startswith(old.rstrip("0123456789"))
    assert int(new[-15:]) < 2**53


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b"{}"},
        {"body": gzip.compress(b"{}")},
        {"target": "/elsewhere?id=1.2.3&click=x"},
        {"target": "/postback?id=&click=x"},
    ],
    ids=["another body", "a compressed body", "another path", "no id"],
)
def test_where_the_id_cannot_be_told_nothing_is_changed(
    changes: dict[str, object], read_settings: ReadSettings
) -> None:
    whole = {"target": "/postback?id=1.2.3&click=x", "body": b'{"id": "1.2.3", "n": "",\n"items": []}'}
    notification = read_settings(SETTINGS)
    assert find_ids(arrived(1, **whole), notification)
    chosen = select_captures([arrived(1, **{**whole, **changes})], notifications=notification)
    assert (chosen.without_id, chosen.recorded[0].ids) == (1, IdPlaces())
    assert freshened(chosen.recorded[0], seed=1, round_number=0) == chosen.recorded[0].request


@pytest.mark.parametrize(
    ("target", "changed"),
    [
        ("/p?id=a%20b%26c%3D1", "/p?id=a%20b%26c%3D{}"),
        (
            "/p?id=9%20HTTP/1.1%0D%0AX-Injected:%20yes%0D%0AX:%201",
            "/p?id=9%20HTTP/1.1%0D%0AX-Injected:%20yes%0D%0AX:%20{}",
        ),
        ("/p?id=%C3%BC7", "/p?id=%C3%BC{}"),
        ("/p?id=%31", "/p?id=%31{}"),
        ("/p?id=abc", "/p?id=abc{}"),
    ],
    ids=["escapes", "a line break", "beyond ASCII", "an escaped digit", "no number"],
)
def test_however_an_id_is_escaped_it_stays_so(target: str, changed: str, read_settings: ReadSettings) -> None:
    notification = read_settings('url = "http://127.0.0.1/p?id={ActionId}"')
    places = find_ids(arrived(1, target=target), notification)
    [(_, _, old)] = places.target

    number = fresh_number(old, seed=1, round_number=0)

    assert with_fresh_ids(target, b"", places, seed=1, round_number=0) == (changed.format(number), b"")


def test_an_id_is_made_new_alike_wherever_it_stands(read_settings: ReadSettings) -> None:
    notification = read_settings('url = "http://127.0.0.1/p?id={ActionId}"\nbody = \'{"id": "{ActionId}"}\'')
    capture = arrived(1, target="/p?id=a%31", body=b'{"id": "a1"}')

    target, body = with_fresh_ids(capture.target, capture.body, find_ids(capture, notification), seed=1, round_number=0)

    number = fresh_number("a1", seed=1, round_number=0)
    assert (target, body) == (f"/p?id=a%31{number}", f'{{"id": "a1{number}"}}'.encode())


def test_an_id_whose_end_nobody_can_tell_is_left_alone(read_settings: ReadSettings) -> None:
    notification = read_settings('url = "http://127.0.0.1/{ActionId}{Status}"')
    assert not find_ids(arrived(1, target="/1.2.3PENDING"), notification)


def test_each_endpoint_has_its_own_notification(read_settings: ReadSettings) -> None:
    notifications: dict[str | None, Notification] = {
        "/a": read_settings('url = "http://127.0.0.1/a?x={ActionId}"'),
        "/b": read_settings('event = "action_inquiry"\nurl = "http://127.0.0.1/b?y={Id}"'),
    }
    captures = [
        arrived(1, endpoint="/a", target="/a?x=1.2.3"),
        arrived(2, endpoint="/b", target="/b?y=77"),
        arrived(3, endpoint=None, target="/a?x=1.2.3"),
    ]
    chosen = select_captures(captures, notifications=notifications)
    assert [bool(one.ids) for one in chosen.recorded] == [True, True, False]
    target, _ = with_fresh_ids("/b?y=77", b"", chosen.recorded[1].ids, seed=1, round_number=0)
    assert target == f"/b?y={fresh_id('77', seed=1, round_number=0)}"


OK = Answer(status=200, body=b"OK\nsecond\n")


@pytest.mark.parametrize(
    ("answer", "recorded", "verdict", "told"),
    [
        (ReplayAnswer(status=200, body=OK.body), OK, "same", ""),
        (ReplayAnswer(status=200, body=b"OK\nfirst\n"), OK, "body differs", "-second\n+first"),
        (ReplayAnswer(status=500, body=OK.body), OK, "status differs", "status 200 then, 500 now"),
        (
            ReplayAnswer(status=200, body=b"\xff\x01"),
            Answer(status=200, body=b"\xff\x00"),
            "body differs",
            "byte is 1,",
        ),
        (ReplayAnswer(status=200, body=b"a\r\n"), Answer(status=200, body=b"a\n"), "body differs", "byte is 1,"),
        (ReplayAnswer(status=200, body=b""), Answer(status=200, body=b"\xff"), "body differs", "now       the end"),
        (
            ReplayAnswer(status=200, body=gzip.compress(b"hi"), headers=(("content-encoding", "GZIP"),)),
            Answer(status=200, body=b"hi"),
            "same",
            "",
        ),
        (
            ReplayAnswer(status=200, body=b"no gzip", headers=(("content-encoding", "gzip"),)),
            Answer(status=200, body=b"hi"),
            "body differs",
            "-hi",
        ),
        (
            ReplayAnswer(status=200, body=b"x" * MAX_ANSWER_BYTES, cut=True),
            Answer(status=200, body=b"x" * (MAX_ANSWER_BYTES + 5)),
            "same",
            "",
        ),
        (ReplayAnswer(status=200), None, "nothing to compare", ""),
        (ReplayAnswer(failure=Failure.TIMEOUT), OK, "nothing to compare", ""),
    ],
    ids=[
        *("same", "text", "status", "bytes", "line ends", "shorter", "compressed now", "not what it says", "both cut"),
        *("not recorded", "no answer"),
    ],
)
def test_an_answer_is_compared_with_the_recorded_one(
    answer: ReplayAnswer, recorded: Answer | None, verdict: str, told: str
) -> None:
    found = compare(answer, recorded)
    assert found.verdict == verdict
    assert told in found.difference
    assert found.differs is verdict.endswith("differs")


def test_a_long_difference_is_cut() -> None:
    body = "\n".join(f"{number} " + "x" * 200 for number in range(100)).encode()
    found = compare(ReplayAnswer(status=200, body=body), Answer(status=200, body=b"one"))
    lines = found.difference.split("\n")
    assert len(lines) == 13
    assert all(len(line) <= 121 for line in lines)


@pytest.mark.parametrize(
    ("status", "recorded", "outcome"),
    [
        (200, 200, "answered"),
        (503, 503, "answered"),
        (503, 200, "refused"),
        (302, None, "refused"),
        (204, None, "answered"),
        (None, 200, "no answer"),
    ],
)
def test_refused_means_worse_than_recorded(status: int | None, recorded: int | None, outcome: str) -> None:
    before = None if recorded is None else Answer(status=recorded)
    assert outcome_of(ReplayAnswer(status=status), before) == outcome


def test_what_is_recorded_keeps_the_answer_of_then() -> None:
    [recorded] = select_captures([arrived(1, answer=OK)]).recorded
    assert isinstance(recorded, Recorded)
    assert recorded.answer == OK
