"""Replies are checked when they are written down, and scripts are walked through by each event on its own."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from postback_receiver import (
    Capture,
    Case,
    End,
    Endpoint,
    RandomDelay,
    Reply,
    ReplyScript,
    always,
    slow_headers,
)

BUSY, FINE = Reply(status=503), Reply(status=200)


def _click(capture: Capture) -> str:
    return capture.query


@pytest.mark.parametrize(
    ("end", "statuses"),
    [("last", [503, 200, 200, 200, 200]), ("cycle", [503, 200, 503, 200, 503]), ("error", [503, 200, 500, 500, 500])],
)
def test_the_end_of_a_script_is_as_chosen(new_capture: Callable[[str], Capture], end: End, statuses: list[int]) -> None:
    script = ReplyScript([BUSY, FINE], key=_click, end=end)
    assert [script(new_capture("a")).status for _ in statuses] == statuses


def test_each_event_starts_the_script_anew(new_capture: Callable[[str], Capture]) -> None:
    script = ReplyScript([BUSY, FINE], key=_click)
    capture = new_capture("a")
    targets = ["/?e=1", "/?e=2", "/?e=1", "/?e=2"]
    assert [script(replace(capture, target=target)).status for target in targets] == [503, 503, 200, 200]


def test_the_event_heard_of_longest_ago_is_forgotten_first(new_capture: Callable[[str], Capture]) -> None:
    script = ReplyScript([BUSY, FINE], key=_click, max_keys=2)
    capture = new_capture("a")
    targets = ["/?e=1", "/?e=2", "/?e=1", "/?e=3", "/?e=1", "/?e=2"]
    assert [script(replace(capture, target=target)).status for target in targets] == [503, 503, 200, 503, 200, 503]


def test_an_exhausted_script_says_so(new_capture: Callable[[str], Capture]) -> None:
    script = ReplyScript([FINE], key=_click, end="error")
    script(new_capture("a"))
    assert script(new_capture("a")).body.startswith(b"This reply script had 1 replies for each event")


def test_always_is_always(new_capture: Callable[[str], Capture]) -> None:
    assert always(FINE)(new_capture("a")) is FINE


@pytest.mark.parametrize("status", [0, 100, 199, 600])
def test_a_status_that_is_no_final_answer_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=f"not {status}"):
        Reply(status=status)


@pytest.mark.parametrize("header", [("", "x"), ("X", "a\r\nY: b"), ("X\n", ""), ("X", "é"), ("X", "\0")])
def test_a_header_that_would_break_the_answer_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="ASCII text without line breaks"):
        Reply(headers=(header,))


def test_an_empty_script_and_an_unknown_end_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one reply"):
        ReplyScript([], key=_click)
    with pytest.raises(ValueError, match="last, cycle, error, not 'stop'"):
        ReplyScript([FINE], key=_click, end="stop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("build", "given", "told"),
    [
        (Reply, {"status": "200"}, "a reply's status: expected a number such as 200, got '200'"),
        (Reply, {"status": True}, "a reply's status: expected a number such as 200, got True"),
        (Reply, {"body": "OK"}, "a reply's body: expected bytes such as b'OK', got 'OK'"),
        (Reply, {"delay": "0.2s"}, "a reply's delay: expected seconds as a number, got '0.2s'"),
        (RandomDelay, {"least": "10ms", "most": 1}, "least: expected seconds as a number, got '10ms'"),
        (Reply, {"headers": {"X-A": "1"}}, "a reply's headers: expected a tuple such as .*, got {'X-A': '1'}"),
        (Reply, {"headers": (("X-A", 1),)}, "a reply's headers: expected a tuple such as .*, got .*'X-A', 1"),
        (Reply, {"faults": "reset"}, r"a reply's faults: .* a tuple of them such as \(reset\(\),\), got 'reset'"),
        (Reply, {"faults": ("reset",)}, "a reply's faults: expected a tuple of them .*, got .*'reset'"),
        (slow_headers, {"seconds": "2s"}, "slow_headers: expected seconds as a number, got '2s'"),
        (ReplyScript, {"replies": [503]}, r"expected a reply such as Reply\(status=503\), got 503"),
        (always, {"reply": 503}, r"expected a reply such as Reply\(status=503\), got 503"),
        (Case, {"reply": 503}, r"expected a reply such as Reply\(status=503\), got 503"),
        (Case, {"reply": FINE, "when": "/a"}, "a matcher such as .*, not '/a'"),
        (Endpoint, {"replies": FINE}, r"an endpoint's replies: expected a function .*, got Reply\("),
        (Endpoint, {"prefix": 5}, "an endpoint's prefix: expected a text, got 5"),
    ],
    ids=[
        *("status", "true", "body", "delay", "random delay", "headers", "header value", "faults", "fault", "seconds"),
        *("script", "always", "case", "condition", "endpoint", "prefix"),
    ],
)
def test_what_is_of_another_type_is_refused_before_there_is_a_request(
    build: Callable[..., object], given: dict[str, object], told: str
) -> None:
    with pytest.raises(TypeError, match=told):
        build(**given)


def test_a_case_goes_first_and_leaves_the_sequence_where_it_was(new_capture: Callable[[str], Capture]) -> None:
    script = ReplyScript(
        [Reply(status=500), Reply(status=200)],
        cases=[
            Case(reply=Reply(status=503), attempts=(1, 2)),
            Case(reply=Reply(status=409), when=lambda capture: capture.method == "PUT"),
            Case(reply=Reply(status=410), attempts=(5, None)),
        ],
    )
    capture = new_capture("a")
    assert [script(capture).status for _ in range(6)] == [503, 503, 500, 200, 410, 410]


@pytest.mark.parametrize("attempts", [(0, None), (2, 1), (-1, 3)])
def test_attempts_that_are_no_range_are_refused(attempts: tuple[int, int | None]) -> None:
    with pytest.raises(ValueError, match="a range from 1 up"):
        Case(reply=Reply(), attempts=attempts)


def test_a_turn_that_is_given_back_is_the_next_one_again(new_capture: Callable[[str], Capture]) -> None:
    script = ReplyScript(
        [Reply(status=500), Reply(status=200)], cases=[Case(reply=Reply(status=503), attempts=(1, 1))], max_keys=1
    )
    capture = new_capture("a")
    taken = [script.take(capture) for _ in range(3)]
    assert [reply.status for reply, _ in taken] == [503, 500, 200]
    for _, give_back in taken:
        give_back()
    assert [script(capture).status for _ in range(2)] == [503, 500]
    _, too_late = script.take(capture)
    script(replace(capture, target="/other"))
    too_late()
    assert script(capture).status == 503
