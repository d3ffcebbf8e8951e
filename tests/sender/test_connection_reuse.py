"""Connections that are kept: used again while they are good, and nothing is ever sent twice over one that breaks."""

import asyncio
from fractions import Fraction
from functools import partial

import pytest

from postback_sender.clock import ScaledClock, SystemClock
from postback_sender.delivery.connections import Connections
from postback_sender.delivery.origin import split_url
from postback_sender.delivery.retry import Failure
from scripted_server import OK, PATIENT, answers_of, serving
from stopped_loop import passed, run_stopped


class Counted:
    """Answers every request and counts connections; `farewell` comes unasked after the second answer."""

    def __init__(self, farewell: bytes = b"", *, closes_after: int = 100) -> None:
        self.farewell = farewell
        self.closes_after = closes_after
        self.connections = 0
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for number in range(1, self.closes_after + 1):
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            writer.write(OK + (self.farewell if number == 2 else b""))


def test_a_connection_is_used_again_but_not_with_bytes_on_it_that_nobody_asked_for() -> None:
    server = Counted(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    assert [one.status for one in answers_of(server, 4, run_in_a_loop=run_stopped)] == [200] * 4
    assert server.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    server = Counted(closes_after=1)

    assert [one.status for one in answers_of(server, 3, pause=partial(asyncio.sleep, 0.02))] == [200] * 3
    assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
    ids=["close", "old", "another protocol"],
)
def test_a_connection_that_its_server_will_close_is_not_used_again(answer: bytes) -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    assert [one.failure for one in answers_of(script, 2)] == [None, None]
    assert connections == 2


@pytest.mark.parametrize(
    ("scale", "pause_s", "connections"),
    [(Fraction(10**6), 0.95, 1), (Fraction(1, 10**6), 1.05, 2)],
    ids=["fast", "slow"],
)
def test_how_long_a_connection_is_kept_is_a_matter_of_the_servers_time(
    scale: Fraction, pause_s: float, connections: int
) -> None:
    """Whatever the clock of the sender says: servers close what is idle after two seconds or more of their own."""
    server = Counted()
    clock = ScaledClock(SystemClock(), scale)

    answers_of(server, 2, clock=clock, pause=partial(passed, pause_s), run_in_a_loop=run_stopped)

    assert server.connections == connections


def test_kept_connections_that_have_grown_old_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postback_sender.delivery.connections._MOST_IDLE", 1)
    first, second = Counted(), Counted()

    async def main() -> None:
        async with (
            serving(first) as first_port,
            serving(second) as second_port,
            Connections(PATIENT, allowed_hosts=(), clock=SystemClock()) as connections,
        ):

            async def ask(port: int) -> None:
                server, target = split_url(f"http://127.0.0.1:{port}/")
                request = f"GET {target} HTTP/1.1\r\nHost: {server.authority}\r\n\r\n".encode()
                assert (await connections.exchange(server.origin, request, "GET")).status == 200

            for port in (first_port, second_port, second_port):
                await ask(port)
            assert (first.connections, second.connections) == (1, 2)
            await passed(1.05)
            for _ in range(2):
                await ask(second_port)

    run_stopped(main())
    assert (first.connections, second.connections) == (1, 3)


def test_nothing_is_sent_twice_when_a_kept_connection_breaks() -> None:
    """An HTTP client would quietly send a GET again; the log would show one attempt for two."""
    requests = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        requests += 1

    assert [one.failure for one in answers_of(script, 2, run_in_a_loop=run_stopped)] == [None, Failure.CONNECTION]
    assert requests == 2
