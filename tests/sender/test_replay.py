"""Recorded requests go out again byte for byte and on time, and whatever a server does is an outcome."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from postback_sender import TargetError
from postback_sender.clock import SystemClock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.origin import Origin
from postback_sender.replay.replayer import Replayed, Replayer
from postback_sender.replay.request import (
    Destination,
    HeaderChange,
    HeaderChangeError,
    RecordedRequest,
    outgoing_headers,
    request_bytes,
    unsendable,
)
from postback_sender.replay.schedule import schedule_of

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
HERE = Destination.parse("http://127.0.0.1:8080")
RECORDED = RecordedRequest(
    id="c1",
    recorded_ns=0,
    method="POST",
    target="/a/../b//c?x=%zz&bare&",
    headers=(
        ("x-First", "1"),
        ("HOST", "old.example"),
        ("X-Repeat", "a"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "dropped"),
        ("Keep-Alive", "timeout=5"),
        ("X-Bytes", "\xff\xc3\xa9"),
        ("content-length", "9"),
        ("x-repeat", "b"),
        ("Content-Encoding", "gzip"),
    ),
    body=b"\x00\xff\r\n\r\n",
)


class LateClock:
    """A clock that moves only when somebody sleeps, and wakes them late: by `late_ns`, and once by `hiccup_ns`."""

    def __init__(self, late_ns: int, *, hiccup_at_ns: int = -1, hiccup_ns: int = 0) -> None:
        self._now_ns = 10**12
        self._late_ns = late_ns
        self._hiccup_at_ns = self._now_ns + hiccup_at_ns
        self._hiccup_ns = hiccup_ns

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, monotonic_ns: int) -> None:
        # Whoever was started meanwhile gets its turn before time goes on.
        await asyncio.sleep(0)
        if monotonic_ns > self._now_ns:
            self._now_ns = monotonic_ns + self._late_ns
        if self._hiccup_ns and monotonic_ns >= self._hiccup_at_ns:
            self._now_ns, self._hiccup_ns = self._now_ns + self._hiccup_ns, 0


async def replay_on(clock: LateClock, gaps_ns: list[int]) -> list[Replayed]:
    """Replay requests so far apart, which are answered at once."""

    async def exchange(_origin: Origin, _data: bytes, _method: str) -> Answer:
        return Answer(sent_ns=clock.monotonic_ns(), finished_ns=clock.monotonic_ns(), status=200)

    times_ns = [sum(gaps_ns[:place]) for place in range(len(gaps_ns) + 1)]
    done: list[Replayed] = []
    replayer = Replayer(HERE, exchange, clock=clock)
    await replayer.replay(lambda _place, _round: RECORDED, schedule_of(times_ns), done.append)
    return done


def test_after_ten_minutes_the_last_request_is_as_punctual_as_the_first() -> None:
    done = asyncio.run(replay_on(LateClock(MILLISECOND), [100 * MILLISECOND] * 6000))
    lateness = [one.lateness_ns for one in done]
    assert len(done) == 6001
    # The first one is due when the replay starts, and nobody sleeps until then.
    assert set(lateness[1:]) == {MILLISECOND}


def test_a_request_that_is_late_makes_no_other_one_late() -> None:
    clock = LateClock(MILLISECOND, hiccup_at_ns=SECOND, hiccup_ns=SECOND)
    lateness = [one.lateness_ns for one in asyncio.run(replay_on(clock, [100 * MILLISECOND] * 100))]
    assert lateness[10] == SECOND + MILLISECOND
    assert lateness[15] == SECOND // 2 + MILLISECOND
    assert set(lateness[21:]) == {MILLISECOND}


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_requests_are_under_way_than_allowed(concurrency: int) -> None:
    async def replay() -> int:
        under_way = most = 0

        async def exchange(_origin: Origin, _data: bytes, _method: str) -> Answer:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(5):
                await asyncio.sleep(0)
            under_way -= 1
            return Answer(status=200)

        replayer = Replayer(HERE, exchange, clock=LateClock(0), concurrency=concurrency)
        await replayer.replay(lambda _place, _round: RECORDED, schedule_of([0] * 20, speed=None), lambda _done: None)
        return most

    assert asyncio.run(replay()) == concurrency


def test_stopping_finishes_what_is_under_way_and_cutting_does_not() -> None:
    async def replay(end: Callable[[Replayer], None]) -> int:
        started, released = asyncio.Event(), asyncio.Event()

        async def exchange(_origin: Origin, _data: bytes, _method: str) -> Answer:
            started.set()
            await released.wait()
            return Answer(status=200)

        done: list[Replayed] = []
        replayer = Replayer(HERE, exchange, clock=SystemClock(), concurrency=1)
        schedule = schedule_of([0, 3600 * SECOND])
        replaying = asyncio.create_task(replayer.replay(lambda _place, _round: RECORDED, schedule, done.append))
        await started.wait()
        end(replayer)
        released.set()
        await replaying
        return len(done)

    assert asyncio.run(replay(Replayer.stop)) == 1
    assert asyncio.run(replay(Replayer.cut)) == 0


def test_a_fault_of_whoever_listens_ends_the_replay_and_is_told() -> None:
    def break_down(_replayed: Replayed) -> None:
        raise ZeroDivisionError

    async def replay() -> None:
        async def exchange(_origin: Origin, _data: bytes, _method: str) -> Answer:
            return Answer(status=200)

        replayer = Replayer(HERE, exchange, clock=SystemClock())
        await replayer.replay(lambda _place, _round: RECORDED, schedule_of([0, 3600 * SECOND]), break_down)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(replay())


def test_a_request_goes_out_as_it_was_but_for_what_belongs_to_the_connection() -> None:
    assert request_bytes(RECORDED, HERE) == (
        b"POST /a/../b//c?x=%zz&bare& HTTP/1.1\r\n"
        b"x-First: 1\r\nHOST: 127.0.0.1:8080\r\nX-Repeat: a\r\nX-Bytes: \xff\xc3\xa9\r\n"
        b"content-length: 6\r\nx-repeat: b\r\nContent-Encoding: gzip\r\n\r\n"
        b"\x00\xff\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("headers", "body", "sent"),
    [
        ((), b"", [("Host", "127.0.0.1:8080")]),
        ((), b"x", [("Host", "127.0.0.1:8080"), ("Content-Length", "1")]),
        ((("Host", "a"), ("host", "b")), b"", [("Host", "127.0.0.1:8080")]),
        (
            (("transfer-encoding", "chunked"), ("Host", "a")),
            b"xy",
            [("Content-Length", "2"), ("Host", "127.0.0.1:8080")],
        ),
        ((("Host", "a"), ("Content-Length", "0")), b"", [("Host", "127.0.0.1:8080"), ("Content-Length", "0")]),
    ],
    ids=["none", "a body without a length", "two hosts", "chunks become a length", "an empty body"],
)
def test_where_a_body_ends_and_whom_it_is_for_is_worked_out(
    headers: tuple[tuple[str, str], ...], body: bytes, sent: list[tuple[str, str]]
) -> None:
    assert list(outgoing_headers(replace(RECORDED, headers=headers, body=body), HERE)) == sent


@pytest.mark.parametrize(
    ("to", "recorded", "sent"),
    [
        ("http://h:1", "/a?b", "/a?b"),
        ("http://h:1/", "/a?", "/a?"),
        ("http://h:1/new", "/a?b", "/new?b"),
        ("http://h:1/new?c", "/a?b", "/new?c"),
        ("http://h:1?c", "/a", "/a?c"),
        ("http://h:1", "http://old:9/a?b", "/a?b"),
        ("http://h:1", "http://old:9?b", "/?b"),
        ("http://h:1", "//a//", "//a//"),
        ("http://h:1", "/a?b?c#d", "/a?b?c#d"),
        ("http://h:1", "*", "*"),
    ],
)
def test_a_destination_replaces_what_it_has_and_nothing_else(to: str, recorded: str, sent: str) -> None:
    assert Destination.parse(to).target(recorded) == sent


@pytest.mark.parametrize(
    "to",
    ["", "127.0.0.1", "ftp://h", "http://", "http://[", "http://h:x", "http://u:p@h/", "http://h/a b", "http://h/é"],
)
def test_what_is_no_destination_is_refused_without_repeating_it(to: str) -> None:
    with pytest.raises(TargetError, match="expected a URL such as") as caught:
        Destination.parse(to)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        ("X-Repeat: new", [("x-First", "1"), ("X-Repeat", "new"), ("x-last", "2")]),
        ("X-FIRST:", [("X-Repeat", "a"), ("X-Repeat", "b"), ("x-last", "2")]),
        ("X-Other:  é ", [("x-First", "1"), ("X-Repeat", "a"), ("X-Repeat", "b"), ("x-last", "2"), ("X-Other", "Ã©")]),
        ("X-Missing:", [("x-First", "1"), ("X-Repeat", "a"), ("X-Repeat", "b"), ("x-last", "2")]),
    ],
    ids=["replace", "remove", "add", "remove what is not there"],
)
def test_a_header_can_be_set_at_its_place_or_left_out(change: str, sent: list[tuple[str, str]]) -> None:
    headers = (("x-First", "1"), ("X-Repeat", "a"), ("X-Repeat", "b"), ("x-last", "2"))
    assert list(HeaderChange.parse(change).apply(headers)) == sent


@pytest.mark.parametrize(
    "text", ["s3cret", "", ": s3cret", "a b: s3cret", "Content-Length: 9", "TE: s3cret", "X: s3\ncret"]
)
def test_a_header_that_cannot_be_set_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(HeaderChangeError) as caught:
        HeaderChange.parse(text)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "CONNECT"},
        {"method": "GET /"},
        {"target": "/a b"},
        {"target": "/\r\nX: y"},
        {"target": ""},
        {"headers": (("X", "a\r\nY: b"),)},
        {"headers": (("X Y", ""),)},
    ],
    ids=["tunnel", "method", "blank", "line end", "empty", "value", "name"],
)
def test_what_would_be_another_request_on_the_wire_is_not_sent(changes: dict[str, str]) -> None:
    assert unsendable(RECORDED) is None
    assert unsendable(replace(RECORDED, **changes)) is not None
