"""Whom a connection leads to: an address that is allowed, and a server that shows who it is."""

import asyncio
import socket
import ssl
from collections.abc import Sequence

import pytest
import trustme

from kept_port import kept_port
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import Resolve
from postback_sender.delivery.retry import Failure
from scripted_server import OK, answers_of, asked_at, saying, serving


@pytest.mark.parametrize("host", ["a..b", "\N{FULLWIDTH FULL STOP}"], ids=["empty label", "no name"])
def test_a_host_that_is_no_name_is_a_malformed_url(host: str) -> None:
    [got] = answers_of(saying(OK), host=host, allowed_hosts=(host,))

    assert got.failure in {Failure.MALFORMED_URL, Failure.HOST_NOT_FOUND}


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
    with kept_port() as port:
        [got] = asyncio.run(asked_at(f"http://127.0.0.1:{port}/"))

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
