"""How long a request may take: which phase took too long, and what counts as part of it."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

import pytest

from postback_sender.clock import SystemClock
from postback_sender.delivery.connections import Resolve
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.timeouts import Timeouts
from scripted_server import MILLISECOND, OK, SECOND, Script, answers_of, saying
from stopped_loop import passed, run_stopped


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    # Until the other side has left.
    await reader.read()


async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def never(_host: str, _port: int) -> Sequence[str]:
    await asyncio.Event().wait()
    return []


@pytest.mark.parametrize(
    ("script", "resolve", "timeouts", "detail"),
    [
        pytest.param(silence, None, Timeouts(total_ns=50 * MILLISECOND), "not done within 50ms", id="all of it"),
        pytest.param(
            silence,
            None,
            Timeouts(total_ns=20 * SECOND, read_ns=50 * MILLISECOND),
            "silent for 50ms",
            id="any silence",
        ),
        pytest.param(
            dribble,
            None,
            Timeouts(total_ns=200 * MILLISECOND, read_ns=SECOND * 10),
            "not done within 200ms",
            id="a body that dribbles",
        ),
        pytest.param(
            saying(OK),
            never,
            Timeouts(total_ns=20 * SECOND, connect_ns=50 * MILLISECOND),
            "no connection within 50ms",
            id="the connection",
        ),
        pytest.param(
            saying(OK),
            never,
            Timeouts(total_ns=50 * MILLISECOND),
            "not done within 50ms",
            id="all, no connection",
        ),
    ],
)
def test_a_time_out_says_which_phase_took_too_long(
    script: Script, resolve: Resolve | None, timeouts: Timeouts, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        [got] = answers_of(script, timeouts=timeouts, resolve=resolve)

    assert (got.failure, got.detail) == (Failure.TIMEOUT, detail)
    # Nothing is left behind that nobody asks for any more.
    assert caplog.records == []


class LoopClock(SystemClock):
    """A clock that shows the time of the loop."""

    def monotonic_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * SECOND)


async def slowly(_host: str, _port: int) -> Sequence[str]:
    await passed(6)
    return ["127.0.0.1"]


def test_what_connecting_took_is_part_of_the_time_for_all_of_it() -> None:
    """The second request goes over the connection that the first one left open, and has all the time."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for pause_s in (0, 6):
            await reader.readuntil(b"\r\n\r\n")
            await passed(pause_s)
            writer.write(OK)

    async def script_that_is_slow_at_once(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for pause_s in (3.9, 0.2, 20):
            await passed(pause_s)

    asked = partial(
        answers_of,
        timeouts=Timeouts(total_ns=10 * SECOND),
        resolve=slowly,
        clock=LoopClock(),
        run_in_a_loop=run_stopped,
    )
    assert [one.failure for one in asked(script, 2)] == [None, None]
    [got] = asked(script_that_is_slow_at_once)
    assert (got.failure, got.detail) == (Failure.TIMEOUT, "not done within 10s")
    assert got.sent_ns is not None
    assert (got.finished_ns - got.sent_ns) / SECOND == pytest.approx(4.1)


def test_what_never_left_tells_when_we_began_to_connect_and_when_we_gave_up() -> None:
    [got] = answers_of(saying(OK), timeouts=Timeouts(total_ns=50 * MILLISECOND), resolve=never)

    assert got.sent_ns is None
    assert got.finished_ns - got.began_ns >= 49 * MILLISECOND
