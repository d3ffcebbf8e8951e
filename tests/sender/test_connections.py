"""Connections: one request, one outcome, and every way in which there can be no answer has its name."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import cast

import pytest
import trustme

from postback_sender.clock import Clock, ScaledClock, SystemClock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import Connections, Resolve
from postback_sender.delivery.origin import split_url
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.matcher import MAX_ANSWER_BYTES

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
PATIENT = Timeouts(total_ns=20 * SECOND)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """A server that does what the script says on each connection; yields its port."""
    done: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done.append(cast("asyncio.Task[None]", asyncio.current_task()))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*done)


async def asked_at(
    url: str,
    times: int = 1,
    *,
    method: str = "GET",
    timeouts: Timeouts = PATIENT,
    resolve: Resolve | None = None,
    allowed_hosts: tuple[str, ...] = (),
    trust: ssl.SSLContext | bool = True,
    clock: Clock | None = None,
    pause_s: float = 0,
) -> list[Answer]:
    """Ask a server so many times, one after the other."""
    server, target = split_url(url)
    request = f"{method} {target} HTTP/1.1\r\nHost: {server.authority}\r\n\r\n".encode()
    got: list[Answer] = []
    async with (
        Connections(
            timeouts, allowed_hosts=allowed_hosts, clock=clock or SystemClock(), trust=trust, resolve=resolve
        ) as connections,
        asyncio.timeout(60),
    ):
        for number in range(times):
            await asyncio.sleep(pause_s if number else 0)
            got.append(await connections.exchange(server.origin, request, method))
    return got


def answers_of(
    script: Script,
    times: int = 1,
    *,
    method: str = "GET",
    timeouts: Timeouts = PATIENT,
    host: str = "127.0.0.1",
    path: str = "/",
    resolve: Resolve | None = None,
    allowed_hosts: tuple[str, ...] = (),
    tls: ssl.SSLContext | None = None,
    trust: ssl.SSLContext | bool = True,
    clock: Clock | None = None,
    pause_s: float = 0,
) -> list[Answer]:
    """Ask a server of our own that does what the script says."""

    async def main() -> list[Answer]:
        async with serving(script, tls=tls) as port:
            return await asked_at(
                f"{'https' if tls else 'http'}://{host}:{port}{path}",
                times,
                method=method,
                timeouts=timeouts,
                resolve=resolve,
                allowed_hosts=allowed_hosts,
                trust=trust,
                clock=clock,
                pause_s=pause_s,
            )

    return asyncio.run(main())


def saying(*each: bytes) -> Script:
    """Answer so many requests on one connection with these bytes, and close it."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in each:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

    return script


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


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 503\r\ncontent-length: 0\r\n\r\n", 503, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n1\r\n!\r\n0\r\nT: t\r\n\r\n",
            200,
            b"hi!",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, b""),
    ],
    ids=["length", "no reason", "until the end", "chunks", "interim", "no body", "redirect"],
)
def test_an_answer_is_read_to_its_end(answer: bytes, status: int, body: bytes) -> None:
    [got] = answers_of(saying(answer))

    assert (got.failure, got.status, got.body, got.cut) == (None, status, body, False)
    assert got.sent_ns is not None
    assert got.sent_ns <= got.finished_ns


def test_an_answer_to_head_has_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"

    assert [one.status for one in answers_of(saying(head, head), 2, method="HEAD")] == [200, 200]


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


HUGE = b"x" * (MAX_ANSWER_BYTES + 10)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + HUGE), id="length"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n" + HUGE), id="chunks"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\n\r\n" + HUGE), id="until the end"),
        pytest.param(endless, id="without end"),
    ],
)
def test_of_a_huge_answer_the_beginning_is_kept(script: Script) -> None:
    [got] = answers_of(script)

    assert (got.failure, got.status, got.cut, got.body) == (None, 200, True, b"x" * MAX_ANSWER_BYTES)


@pytest.mark.parametrize(
    ("script", "failure", "status"),
    [
        pytest.param(saying(b""), Failure.CONNECTION, None, id="closed without an answer"),
        pytest.param(saying(b"HTTP/1.1 200"), Failure.BROKEN_ANSWER, None, id="closed in the status line"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\n"), Failure.BROKEN_ANSWER, None, id="half a head"),
        pytest.param(saying(b"\x16\x03\x01garbage\r\n\r\n"), Failure.BROKEN_ANSWER, None, id="garbage"),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nab"), Failure.BROKEN_ANSWER, 200, id="too short"
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"),
            Failure.BROKEN_ANSWER,
            200,
            id="half a chunk",
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n"),
            Failure.BROKEN_ANSWER,
            200,
            id="no size",
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab"), Failure.BROKEN_ANSWER, None, id="no length"
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            Failure.BROKEN_ANSWER,
            None,
            id="two lengths",
        ),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), Failure.BROKEN_ANSWER, None, id="no header"),
        pytest.param(saying(b"HTTP/1.1 100 Continue\r\n\r\n" * 20), Failure.BROKEN_ANSWER, None, id="interim for ever"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000), Failure.BROKEN_ANSWER, None, id="endless head"),
    ],
)
def test_a_broken_answer_has_a_name(script: Script, failure: Failure, status: int | None) -> None:
    [got] = answers_of(script)

    assert (got.failure, got.status) == (failure, status)
    assert got.detail
    assert got.detail.startswith("connection lost after the request was sent; ") == (failure is Failure.CONNECTION)


@pytest.mark.parametrize(
    "script",
    [saying(b"garbage\r\n\r\n"), saying(b""), saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")],
    ids=["garbage", "nothing", "no length"],
)
def test_no_detail_tells_the_url_which_may_hold_a_secret(script: Script) -> None:
    [got] = answers_of(script, path="/p?token=s3cret")

    assert got.failure
    assert got.detail
    assert "s3cret" not in got.detail


@pytest.mark.parametrize("host", ["a..b", "\N{FULLWIDTH FULL STOP}"], ids=["empty label", "no name"])
def test_a_host_that_is_no_name_is_a_malformed_url(host: str) -> None:
    [got] = answers_of(saying(OK), host=host, allowed_hosts=(host,))

    assert got.failure in {Failure.MALFORMED_URL, Failure.HOST_NOT_FOUND}


@pytest.mark.parametrize("length", [b"Content-Length: 10\r\n", b""], ids=["a body with a length", "a body to the end"])
def test_a_connection_that_is_reset_in_the_middle_of_an_answer_is_no_answer(length: bytes) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\nabc")
        await writer.drain()
        # Not before the client, in the same loop, has read what there is.
        for _ in range(10):
            await asyncio.sleep(0)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    assert answers_of(reset)[0].failure in {Failure.CONNECTION, Failure.BROKEN_ANSWER}


async def slowly(_host: str, _port: int) -> Sequence[str]:
    await asyncio.sleep(0.5)
    return ["127.0.0.1"]


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


def test_what_connecting_took_is_part_of_the_time_for_all_of_it() -> None:
    """The second request goes over the connection that the first one left open, and has all the time."""
    heard: list[float] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for pause_s in (0.0, 0.75):
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(pause_s)
            writer.write(OK)

    async def script_that_is_slow_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(asyncio.get_running_loop().time())
        await reader.read()
        heard.append(asyncio.get_running_loop().time())
        writer.close()

    timeouts = Timeouts(total_ns=1000 * MILLISECOND)
    assert [one.failure for one in answers_of(script, 2, timeouts=timeouts, resolve=slowly)] == [None, None]
    [got] = answers_of(script_that_is_slow_at_once, timeouts=timeouts, resolve=slowly)
    assert (got.failure, got.detail) == (Failure.TIMEOUT, "not done within 1s")
    assert heard[1] - heard[0] < 0.75


def test_what_never_left_tells_when_we_began_to_connect_and_when_we_gave_up() -> None:
    [got] = answers_of(saying(OK), timeouts=Timeouts(total_ns=50 * MILLISECOND), resolve=never)

    assert got.sent_ns is None
    assert got.finished_ns - got.began_ns >= 49 * MILLISECOND


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

    assert [one.status for one in answers_of(server, 4)] == [200] * 4
    assert server.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    server = Counted(closes_after=1)

    assert [one.status for one in answers_of(server, 3, pause_s=0.02)] == [200] * 3
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


@pytest.mark.parametrize(("scale", "connections"), [(Fraction(1000), 1), (Fraction(1, 1000), 2)], ids=["fast", "slow"])
def test_how_long_a_connection_is_kept_is_a_matter_of_the_servers_time(scale: Fraction, connections: int) -> None:
    """Whatever the clock of the sender says: servers close what is idle after two seconds or more of their own."""
    server = Counted()
    pause_s = 0.02 if scale > 1 else 1.05

    answers_of(server, 2, clock=ScaledClock(SystemClock(), scale), pause_s=pause_s)

    assert server.connections == connections


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

    assert [one.failure for one in answers_of(script, 2)] == [None, Failure.CONNECTION]
    assert requests == 2


class Resolving:
    """Knows the same addresses for every name, and counts how often it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return self.addresses


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1"])
def test_a_name_that_leads_into_a_private_network_is_not_followed(address: str) -> None:
    [got] = answers_of(saying(OK), host="public.example", resolve=Resolving(address), allowed_hosts=("public.example",))

    assert got.failure is Failure.FORBIDDEN_ADDRESS
    assert f"public.example leads to {address}" in got.detail


def test_a_private_address_that_is_allowed_by_itself_is_connected_to() -> None:
    resolve = Resolving("127.0.0.1")
    [got] = answers_of(
        saying(OK), host="staging.example", resolve=resolve, allowed_hosts=("staging.example", "127.0.0.0/8")
    )

    assert got.status == 200
    # The address that was checked is the one that is connected to: nobody asks again in between.
    assert resolve.asked == 1


def test_of_several_addresses_the_first_that_is_allowed_and_answers_is_taken() -> None:
    resolve = Resolving("10.0.0.7", "127.0.0.2", "127.0.0.1")

    # Nobody listens at the second of them.
    [got] = answers_of(saying(OK), host="localhost", resolve=resolve)

    assert (got.status, resolve.asked) == (200, 1)


async def not_found(host: str, _port: int) -> Sequence[str]:
    raise socket.gaierror(f"no such host: {host}")


@pytest.mark.parametrize("resolve", [not_found, Resolving()], ids=["an error", "no address"])
def test_a_name_that_leads_nowhere_is_a_host_that_was_not_found(resolve: Resolve) -> None:
    [got] = answers_of(saying(OK), host="localhost", resolve=resolve)

    assert got.failure is Failure.HOST_NOT_FOUND
    assert "localhost" in got.detail


def test_nobody_listening_is_an_outcome() -> None:
    async def ask_a_port_that_was_closed() -> Answer:
        async with serving(saying()) as port:
            pass
        [got] = await asked_at(f"http://127.0.0.1:{port}/")
        return got

    got = asyncio.run(ask_a_port_that_was_closed())
    assert (got.failure, got.sent_ns) == (Failure.CONNECTION, None)


def test_an_address_that_nobody_allowed_is_not_connected_to() -> None:
    [got] = asyncio.run(asked_at("http://10.255.255.1:9"))

    assert got.failure is Failure.FORBIDDEN_ADDRESS


def certified(host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server of that name shows, and what trusts the authority behind it."""
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    # trustme says that it takes contexts of another library as well, which is not installed.
    authority.issue_cert(host).configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    authority.configure_trust(trusting)  # pyright: ignore[reportUnknownMemberType]
    return server, trusting


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_it_is_trusted() -> None:
    server, trusting = certified("127.0.0.1")

    [refused] = answers_of(saying(OK), tls=server)
    assert refused.failure is Failure.TLS
    for trust in (False, trusting):
        # Over one connection: kept ones are as good with TLS.
        assert [one.status for one in answers_of(saying(OK, OK), 2, tls=server, trust=trust)] == [200, 200]


def test_a_certificate_for_another_host_is_refused() -> None:
    server, trusting = certified("other.example")

    assert answers_of(saying(OK), tls=server, trust=trusting)[0].failure is Failure.TLS


def test_a_server_that_does_not_speak_tls_is_not_trusted() -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def connect() -> Answer:
        async with serving(script) as port:
            [got] = await asked_at(f"https://127.0.0.1:{port}/")
            return got

    got = asyncio.run(connect())
    assert got.failure is Failure.TLS
    assert "does not speak TLS" in got.detail
