"""When a wait is over and how it ends, without a clock; and whether an order was kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from postback_receiver import Capture, OutOfOrder, SilenceBroken, WaitTimeout
from postback_receiver.matcher import method, path, query
from postback_receiver.matching import Match
from postback_receiver.order import Key, check_order
from postback_receiver.summary import one_line
from postback_receiver.waiting import CountWait, IdleWait, SilenceWait

S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """Captures of requests for given targets."""

    new_capture: Callable[[str], Capture]

    def __call__(self, *targets: str) -> list[Capture]:
        return [replace(self.new_capture(target), target=target) for target in targets]


@pytest.fixture
def traffic(new_capture: Callable[[str], Capture]) -> Traffic:
    return Traffic(new_capture)


def test_a_count_is_full_with_the_last_match_and_not_before(traffic: Traffic) -> None:
    one, other, last = traffic("/a", "/b", "/a?2")
    wait = CountWait(path("/a"), 2, now_ns=0, timeout_s=5)
    for capture in (one, other):
        wait.see(capture, S)
        assert not wait.is_over(S)
    assert wait.due_ns == 5 * S
    # Late, and yet in time for whoever looks only now.
    wait.see(last, 6 * S)
    assert wait.is_over(6 * S)
    assert wait.outcome() == [one, last]


def test_a_count_that_stays_short_tells_what_came_and_what_came_nearest(traffic: Traffic) -> None:
    wait = CountWait(path("/a") & query("token", "geheim"), 2, now_ns=0, timeout_s=0.5)
    for capture in traffic("/a?token=geheim", "/a?token=geheimer&x=1", "/b"):
        wait.see(capture, 0)
    assert not wait.is_over(S // 2 - 1)
    assert wait.is_over(S // 2)
    with pytest.raises(WaitTimeout) as caught:
        wait.outcome()
    assert str(caught.value) == (
        "Waited 0.5 s for 2 requests with path '/a' and query parameter token [hidden, 6 characters];"
        " 3 arrived, 1 of them such:\n"
        "  POST /a?token=[hidden] (2 bytes, answered 200)\n"
        "  POST /a?token=[hidden]&x=1 (2 bytes, answered 200)\n"
        "  POST /b (2 bytes, answered 200)\n"
        "Nearest miss: POST /a?token=[hidden]&x=1 (2 bytes, answered 200)\n"
        "  query parameter token: expected [hidden, 6 characters], got [hidden, 8 characters]"
    )
    assert caught.value.nearest is not None
    assert caught.value.nearest.capture.id == "/a?token=geheimer&x=1"


def test_a_wait_in_vain_is_told_in_bounds_however_much_arrived(traffic: Traffic) -> None:
    wait = CountWait(path("/x" * 1000), 1, now_ns=0, timeout_s=0)
    for capture in traffic(*(f"/{number}{'a' * 1000}" for number in range(700))):
        wait.see(capture, 0)
    with pytest.raises(WaitTimeout) as caught:
        wait.outcome()
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("; 700 arrived, none of them such:")
    assert lines[1] == "  … 680 earlier ones"
    assert len(lines) == 2 + 20 + 2
    assert max(map(len, lines)) < 600


def test_one_line_tells_what_was_done_to_an_answer_and_what_was_no_request(traffic: Traffic) -> None:
    [capture] = traffic("/a\x1b?access_token=t&b=1")
    shown = r"POST /a\x1b?access_token=[hidden]&b=1 (2 bytes, "
    assert one_line(capture) == f"{shown}answered 200)"
    assert one_line(replace(capture, fault="reset", answer=None)) == f"{shown}not answered, fault reset)"
    malformed = replace(capture, malformed="no request line", method="", target="", body=b"\0" * 3)
    assert one_line(malformed) == "malformed request: no request line (3 bytes)"


def test_quiet_begins_anew_with_each_arrival(traffic: Traffic) -> None:
    wait = IdleWait(2, now_ns=0, timeout_s=5)
    [capture] = traffic("/a")
    wait.see(capture, S)
    assert not wait.is_over(2 * S)
    assert wait.due_ns == 3 * S
    assert wait.is_over(3 * S)
    # It was quiet before this came, only nobody had looked.
    wait.see(capture, 4 * S)
    wait.outcome()


def test_requests_that_keep_coming_end_the_wait_for_quiet_at_its_timeout(traffic: Traffic) -> None:
    wait = IdleWait(2, now_ns=0, timeout_s=3)
    for number, capture in enumerate(traffic("/a", "/b"), 1):
        wait.see(capture, number * S)
    assert wait.due_ns == 3 * S
    with pytest.raises(WaitTimeout, match=r"Waited 3 s for 2 s without a request; 2 arrived:\n  POST /a .*\n  POST /b"):
        wait.outcome()


def test_silence_is_broken_by_what_was_ruled_out_and_only_in_its_time(traffic: Traffic) -> None:
    allowed, ruled_out = traffic("/b", "/a?key=k")
    wait = SilenceWait(path("/a"), now_ns=0, silence_s=2)
    wait.see(allowed, S)
    assert not wait.is_over(S)
    assert wait.is_over(2 * S)
    wait.see(ruled_out, 3 * S)
    wait.outcome()
    wait.see(ruled_out, S)
    assert wait.is_over(S)
    with pytest.raises(SilenceBroken) as caught:
        wait.outcome()
    assert isinstance(caught.value, AssertionError)
    assert caught.value.capture == ruled_out
    assert str(caught.value) == (
        "Expected no request with path '/a' for 2 s; this arrived:\n  POST /a?key=[hidden] (2 bytes, answered 200)"
    )


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="expected timeout as a number of seconds"):
        CountWait(None, 1, now_ns=0, timeout_s=seconds)


def test_a_quiet_longer_than_the_timeout_is_refused_since_it_would_always_fail() -> None:
    with pytest.raises(ValueError, match="at most the timeout of 1 s, got 2 s"):
        IdleWait(2, now_ns=0, timeout_s=1)


A, B, C = path("/a"), path("/b"), path("/c")


def whole_query(capture: Capture) -> str:
    return capture.query


@pytest.mark.parametrize(
    ("targets", "matches", "key"),
    [
        (["/a", "/b", "/c"], [A, B, C], None),
        (["/x", "/a", "/x", "/a", "/b", "/x"], [A, B], None),
        (["/a", "/b", "/a"], [A, B, A], None),
        (["/a", "/a", "/b"], [A | B, B], None),
        (["/a?id=1", "/a?id=2", "/b?id=2", "/b?id=1", "/x?id=3"], [A, B], query("id")),
        (["/a?id=1", "/a?id=2", "/b?id=2", "/b?id=1"], [A, B], whole_query),
    ],
    ids=range(6),
)
def test_an_order_that_was_kept_passes(
    traffic: Traffic, targets: list[str], matches: list[Match], key: Key | None
) -> None:
    check_order(traffic(*targets), matches, key=key)


@pytest.mark.parametrize(
    ("targets", "matches", "key", "told"),
    [
        ([], [A], None, "Expected first a request with path '/a'; none arrived."),
        (["/b", "/a"], [A, B], None, "Expected next a request with path '/a'\nbut there came\n  POST /b"),
        (["/a", "/b", "/a"], [A, B], None, "Expected next a request like the last one, or none after\n  POST /a"),
        (["/a", "/c"], [A, B, C], None, "'/b' after\n  POST /a (2 bytes, answered 200)\nbut there came\n  POST /c"),
        (["/a", "/x"], [A, B], None, "Expected next a request with path '/b'; none arrived after\n  POST /a"),
        (["/a"] * 30, [A, B], None, "none arrived after\n  … 20 earlier ones\n  POST /a"),
        (["/a?id=1", "/b?id=2", "/b?id=1", "/a?id=2"], [A, B], query("id"), "Of the event ('2',): Expected next"),
    ],
    ids=range(7),
)  # fmt: skip
def test_an_order_that_was_not_kept_is_told_with_the_place_where_it_broke(
    traffic: Traffic, targets: list[str], matches: Sequence[Match], key: Key | None, told: str
) -> None:
    with pytest.raises(OutOfOrder) as caught:
        check_order(traffic(*targets), matches, key=key)
    assert isinstance(caught.value, AssertionError)
    assert told in str(caught.value)


def test_an_order_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one matcher"):
        check_order([], [])


def test_a_key_names_its_event_by_the_value_of_a_field(traffic: Traffic) -> None:
    with pytest.raises(OutOfOrder, match="Of the event"):
        check_order(traffic("/a?id=1"), [method("POST"), B], key=query("id"))
