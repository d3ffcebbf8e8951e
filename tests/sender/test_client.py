"""The client: one request, one outcome, and every way in which there can be no answer has its name."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from postback_sender.delivery.client import Answer, Client
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.timeouts import Timeouts

SECOND = 1_000_000_000
PATIENT = Timeouts(total_ns=20 * SECOND)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


class Resolver(AbstractResolver):
    """Knows one address for every name, and counts how often it was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        return [ResolveResult(hostname=host, host=self.address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing to close."""


def answers(
    reply: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    timeouts: Timeouts = PATIENT,
    host: str = "127.0.0.1",
    path: str = "/",
    resolver: AbstractResolver | None = None,
    allowed_hosts: tuple[str, ...] = (),
    server_tls: ssl.SSLContext | None = None,
    trust: ssl.SSLContext | bool = True,
) -> Answer:
    """Make one request to a server that replies like that."""

    async def main() -> Answer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                await reply(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls)
        port = server.sockets[0].getsockname()[1]
        client = Client(
            timeouts,
            connections=1,
            allowed_hosts=allowed_hosts,
            now_ns=lambda: 0,
            resolver=resolver,
            trust=trust,
        )
        scheme = "https" if server_tls else "http"
        async with server, client, asyncio.timeout(60):
            return await client.request("GET", f"{scheme}://{host}:{port}{path}", [], b"")

    return asyncio.run(main())


def saying(data: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def reply(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return reply


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    # Until the client has left.
    await reader.read()


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    await writer.drain()
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def dribble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("reply", "failure", "status"),
    [
        pytest.param(saying(b""), Failure.CONNECTION, None, id="closed without an answer"),
        pytest.param(saying(b"HTTP/1.1 200"), Failure.CONNECTION, None, id="closed in the status line"),
        pytest.param(saying(b"\x16\x03\x01garbage\r\n\r\n"), Failure.BROKEN_ANSWER, None, id="garbage"),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nab"), Failure.BROKEN_ANSWER, 200, id="too short"
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab"), Failure.BROKEN_ANSWER, None, id="no length"
        ),
    ],
)
def test_a_broken_answer_has_a_name(
    reply: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    failure: Failure,
    status: int | None,
) -> None:
    answer = answers(reply)

    assert (answer.failure, answer.status) == (failure, status)
    assert answer.detail


@pytest.mark.parametrize(
    "reply",
    [saying(b"garbage\r\n\r\n"), saying(b""), saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")],
    ids=["garbage", "nothing", "no length"],
)
def test_no_detail_tells_the_url_which_may_hold_a_secret(
    reply: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    answer = answers(reply, path="/p?token=s3cret")

    assert answer.failure
    assert answer.detail
    assert "s3cret" not in answer.detail


@pytest.mark.parametrize("host", ["a..b", "\N{FULLWIDTH FULL STOP}"], ids=["empty label", "no name"])
def test_a_host_that_is_no_name_is_a_malformed_url(host: str) -> None:
    assert answers(saying(OK), host=host, allowed_hosts=(host,)).failure in {
        Failure.MALFORMED_URL,
        Failure.HOST_NOT_FOUND,
    }


def test_a_connection_that_is_reset_in_the_middle_of_an_answer_is_no_answer() -> None:
    assert answers(reset).failure in {Failure.CONNECTION, Failure.BROKEN_ANSWER}


@pytest.mark.parametrize(
    ("reply", "timeouts", "detail"),
    [
        pytest.param(silence, Timeouts(total_ns=SECOND // 10), "not done within 100ms", id="all of it"),
        pytest.param(
            silence, Timeouts(total_ns=20 * SECOND, read_ns=SECOND // 10), "silent for 100ms", id="any silence"
        ),
        pytest.param(
            dribble,
            Timeouts(total_ns=SECOND // 2, read_ns=SECOND * 10),
            "not done within 500ms",
            id="a body that dribbles",
        ),
    ],
)
def test_a_time_out_says_which_phase_took_too_long(
    reply: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], timeouts: Timeouts, detail: str
) -> None:
    answer = answers(reply, timeouts=timeouts)

    assert (answer.failure, answer.detail) == (Failure.TIMEOUT, detail)


def test_an_answer_may_ask_to_be_left_alone_for_a_while() -> None:
    head = b"HTTP/1.1 503 Busy\r\nRetry-After: 2.5\r\nContent-Length: 0\r\n\r\n"

    assert answers(saying(head)).retry_after_ns == 5 * SECOND // 2


def test_an_answer_without_end_is_read_up_to_the_limit() -> None:
    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    answer = answers(endless)

    assert (answer.status, answer.failure, len(answer.body)) == (200, None, 64 * 1024)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1"])
def test_a_name_that_leads_into_a_private_network_is_not_followed(address: str) -> None:
    answer = answers(saying(OK), host="public.example", resolver=Resolver(address), allowed_hosts=("public.example",))

    assert answer.failure is Failure.FORBIDDEN_ADDRESS
    assert f"public.example leads to {address}" in answer.detail


def test_a_private_address_that_is_allowed_by_itself_is_connected_to() -> None:
    resolver = Resolver("127.0.0.1")
    answer = answers(
        saying(OK), host="staging.example", resolver=resolver, allowed_hosts=("staging.example", "127.0.0.0/8")
    )

    assert answer.status == 200
    # The address that was checked is the one that is connected to: nobody asks again in between.
    assert resolver.asked == 1


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

    assert answers(saying(OK), server_tls=server).failure is Failure.TLS
    assert answers(saying(OK), server_tls=server, trust=False).status == 200
    assert answers(saying(OK), server_tls=server, trust=trusting).status == 200


def test_a_certificate_for_another_host_is_refused() -> None:
    server, trusting = certified("other.example")

    assert answers(saying(OK), server_tls=server, trust=trusting).failure is Failure.TLS
