"""The capture port speaks TLS with a certificate of one's own or a made one, and fails in the ways it is told to."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fork_server import PATIENCE_S
from postback_receiver import (
    Capture,
    CaptureServer,
    Endpoint,
    MemoryStore,
    ReceiverCounts,
    Reply,
    TlsError,
    always,
    new_event_loop,
)
from postback_receiver.tls import LOCAL_HOSTS, TlsFault, failed_handshakes, load_tls, make_tls

GET = b"GET /p HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, server.pem, server.key, both.pem, other.key and junk.pem."""
    folder = tmp_path_factory.mktemp("tls")
    mine, other = authority.issue_cert("localhost"), authority.issue_cert("other")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    mine.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    mine.private_key_pem.write_to_path(str(folder / "server.key"))
    mine.private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
    other.private_key_pem.write_to_path(str(folder / "other.key"))
    (folder / "junk.pem").write_text("junk")
    key = load_pem_private_key(mine.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    (folder / "locked.key").write_bytes(locked)
    return folder


def ask(
    context: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost", endpoint: Endpoint | None = None
) -> tuple[bytes, list[Capture], CaptureServer]:
    """Make one request over TLS; the answer's first line, and what was captured."""

    async def scenario() -> tuple[bytes, list[Capture], CaptureServer]:
        store = MemoryStore()
        async with CaptureServer(store, [endpoint or Endpoint()], ssl_context=context) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client, server_hostname=host)
            writer.write(GET)
            line = await reader.readline()
            writer.close()
        return line, list(store.captures()), server

    # The event loop that people run: TLS is where the two differ.
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scenario())


def trusting(ca_pem: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca_pem.decode())


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_a_made_certificate_is_trusted_by_whoever_trusts_its_authority(host: str) -> None:
    made = make_tls()
    line, [capture], server = ask(made.context, trusting(made.ca_pem), host)
    assert line == b"HTTP/1.1 200 OK\r\n"
    assert server.url.startswith("https://127.0.0.1:")
    assert capture.tls is not None
    assert capture.tls.version == "TLSv1.3"
    assert capture.tls.cipher.startswith("TLS_")
    # An address is no name, and so is not told.
    assert capture.tls.server_name == ("localhost" if host == "localhost" else None)
    assert capture.tls.client is None


@pytest.mark.parametrize("names", [("server.pem", "server.key"), ("both.pem", None)])
def test_a_certificate_of_ones_own_is_used(files: Path, authority: trustme.CA, names: tuple[str, str | None]) -> None:
    certificate, key = names
    line, _, _ = ask(load_tls(files / certificate, key and files / key), trusting(authority.cert_pem.bytes()))
    assert line == b"HTTP/1.1 200 OK\r\n"


def test_clients_show_a_certificate_when_they_have_to(files: Path, authority: trustme.CA) -> None:
    context = load_tls(files / "both.pem", client_ca=files / "ca.pem")
    client = trusting(authority.cert_pem.bytes())
    # With TLS 1.3 a client hears of it after the handshake: an alert, a reset or an early end, whichever comes first.
    answers: list[bytes] = []
    with suppress(OSError):
        answers.append(ask(context, client)[0])
    assert answers in ([], [b""])
    assert failed_handshakes(context) == 1
    authority.issue_cert(common_name="sender", organization_name="impact").configure_cert(client)  # pyright: ignore[reportUnknownMemberType]
    line, [capture], _ = ask(context, client)
    assert line == b"HTTP/1.1 200 OK\r\n"
    assert capture.tls is not None
    assert capture.tls.client is not None
    assert "CN=sender" in capture.tls.client
    assert "O=impact" in capture.tls.client


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("expired", "certificate has expired"),
        ("wrong-host", "certificate is not valid for 'localhost'"),
    ],
)
def test_a_certificate_that_nobody_should_take_is_refused_by_a_careful_client(fault: TlsFault, complaint: str) -> None:
    made = make_tls(fault=fault)
    with pytest.raises(ssl.SSLError, match=complaint):
        ask(made.context, trusting(made.ca_pem))


@pytest.mark.parametrize("fault", ["expired", "wrong-host"])
def test_a_client_that_takes_any_certificate_meets_a_fault_that_its_captures_name(fault: TlsFault) -> None:
    careless = ssl.create_default_context()
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    slow = Endpoint(replies=always(Reply(delay=0.001)))
    line, [capture], server = ask(make_tls(fault=fault).context, careless, endpoint=slow)
    assert line == b"HTTP/1.1 200 OK\r\n"
    assert capture.fault == f"tls-{fault} + delay 1ms"
    assert server.counts.faults == {f"tls-{fault} + delay": 1}


@pytest.mark.parametrize("fault", get_args(TlsFault))
def test_a_handshake_that_fails_counts_its_fault_but_not_one_that_nobody_met(fault: TlsFault) -> None:
    made = make_tls(fault=fault)

    def knock(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection, pytest.raises((ssl.SSLError, OSError)):
            trusting(made.ca_pem).wrap_socket(connection, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", port)) as connection, suppress(OSError):
            connection.sendall(GET)
            connection.recv(1)

    async def scenario() -> ReceiverCounts:
        async with CaptureServer(MemoryStore(), [Endpoint()], ssl_context=made.context) as server:
            await asyncio.to_thread(knock, server.port)
        return server.counts

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        counts = runner.run(scenario())
    assert counts.handshakes_failed == 2
    assert counts.faults == {f"tls-{fault}": 1}


@pytest.mark.parametrize("new_loop", [new_event_loop, asyncio.new_event_loop], ids=["usual loop", "asyncio"])
def test_a_handshake_that_fails_is_logged_with_its_reason_and_counted(
    new_loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    def distrust(port: int) -> None:
        # Not asyncio's, which leaves without the alert that others send.
        with socket.create_connection(("127.0.0.1", port)) as connection, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(connection, server_hostname="localhost")

    async def scenario() -> int:
        async with CaptureServer(MemoryStore(), [Endpoint()], ssl_context=make_tls().context) as server:
            await asyncio.to_thread(distrust, server.port)
            # The alert is on its way, and whoever sent it knows no more.
            async with asyncio.timeout(PATIENCE_S):
                while not server.counts.handshakes_failed:  # noqa: ASYNC110 -- nobody is told
                    await asyncio.sleep(0)
        return server.counts.handshakes_failed

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(scenario()) == 1
    [told] = [record.getMessage() for record in caplog.records if record.name == "postback_receiver.tls"]
    assert told.startswith("A TLS handshake failed: the client does not trust the certificate (")


@pytest.mark.parametrize("new_loop", [new_event_loop, asyncio.new_event_loop], ids=["usual loop", "asyncio"])
def test_who_sends_plain_http_to_https_is_told_so_counted_and_recorded(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> tuple[bytes, list[Capture], ReceiverCounts]:
        store = MemoryStore()
        async with CaptureServer(store, [Endpoint()], ssl_context=make_tls().context) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET)
            answer = await reader.read()
            writer.close()
            # One that never says a word does not keep the port open.
            _, silent = await asyncio.open_connection("127.0.0.1", server.port)
        silent.close()
        return answer, list(store.captures()), server.counts

    with asyncio.Runner(loop_factory=new_loop) as runner:
        answer, [capture], counts = runner.run(scenario())
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"this port takes nothing else: send to https://" in answer
    assert (capture.body, capture.tls, capture.answer and capture.answer.status) == (GET, None, 400)
    assert capture.malformed is not None
    assert (counts.handshakes_failed, counts.malformed) == (1, 1)


@pytest.mark.parametrize("new_loop", [new_event_loop, asyncio.new_event_loop], ids=["usual loop", "asyncio"])
def test_a_handshake_in_single_bytes_is_one(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    made = make_tls()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting(made.ca_pem).wrap_bio(incoming, outgoing, server_hostname="localhost")

    async def scenario() -> bytes:
        async with CaptureServer(MemoryStore(), [Endpoint()], ssl_context=made.context) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

            async def until_done(step: Callable[[], object]) -> object:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        for byte in outgoing.read():
                            writer.write(bytes([byte]))
                            await asyncio.sleep(0)
                        incoming.write(await reader.read(65_536))

            await until_done(client.do_handshake)
            # The request goes out along with the end of the handshake.
            client.write(GET)
            answer = await until_done(lambda: client.read(15))
            writer.close()
        assert isinstance(answer, bytes)
        return answer

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(asyncio.wait_for(scenario(), PATIENCE_S)) == b"HTTP/1.1 200 OK"


def ask_over(client: ssl.SSLObject) -> None:
    client.write(GET)


def ask_over_and_end(client: ssl.SSLObject) -> None:
    client.write(GET)
    client.unwrap()


def shake_hands_and_leave(port: int, parting: Callable[[ssl.SSLObject], object], *, resets: bool) -> None:
    """Send the end of a handshake in one go with what comes after it, and leave at once."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65_536))
        with suppress(ssl.SSLError):
            parting(client)
        connection.sendall(outgoing.read())
        if resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("new_loop", [new_event_loop, asyncio.new_event_loop], ids=["usual loop", "asyncio"])
@pytest.mark.parametrize(
    ("parting", "resets", "captured"),
    [
        (ssl.SSLObject.version, True, 0),
        (ask_over, True, 6),
        (ask_over_and_end, False, 6),
    ],
    ids=["silent and reset", "asks and resets", "asks and ends"],
)
def test_who_leaves_right_after_the_handshake_leaves_nothing_open(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    parting: Callable[[ssl.SSLObject], object],
    resets: bool,  # noqa: FBT001
    captured: int,
) -> None:
    store = MemoryStore()

    async def scenario() -> None:
        async with CaptureServer(store, [Endpoint()], ssl_context=make_tls().context) as server:
            for _ in range(6):
                await asyncio.to_thread(shake_hands_and_leave, server.port, parting, resets=resets)
            async with asyncio.timeout(PATIENCE_S):
                while server.counts.connections < 6 or server.counts.connections_open:  # noqa: ASYNC110 -- nobody is told
                    await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())
    assert store.count() == captured


@pytest.mark.parametrize("new_loop", [new_event_loop, asyncio.new_event_loop], ids=["usual loop", "asyncio"])
def test_connections_and_handshakes_have_one_limit_and_who_asks_still_gets_through(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    made = make_tls()

    async def is_over(reader: asyncio.StreamReader) -> bool:
        with suppress(ConnectionError):
            return await reader.read() == b""
        return True

    async def scenario() -> None:
        async with CaptureServer(MemoryStore(), [Endpoint()], ssl_context=made.context, max_connections=4) as server:

            async def knock() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                return await asyncio.open_connection("127.0.0.1", server.port)

            async def enter() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                client = trusting(made.ca_pem)
                return await asyncio.open_connection("127.0.0.1", server.port, ssl=client, server_hostname="localhost")

            async with asyncio.timeout(PATIENCE_S):
                idle = [await enter() for _ in range(3)]
                silent = [await knock() for _ in range(2)]
                # The second stands in the place of the first, and then makes room itself, as no idle one has to.
                assert await is_over(silent[0][0])
                entered = await enter()
                assert await is_over(silent[1][0])
                entered[1].write(GET)
                assert (await entered[0].readline()).startswith(b"HTTP/1.1 200")
                assert server.counts.connections_refused == 2
                # With no handshake left to make room, whoever has been idle longest does.
                last = await knock()
                assert await is_over(idle[0][0])
                assert server.counts.connections_refused == 3
                for _, writer in (*idle, *silent, entered, last):
                    writer.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["names a host", "names none"])
def test_a_handshake_is_broken_off_whoever_asks(host: str) -> None:
    made = make_tls(fault="handshake-abort")
    with pytest.raises(ConnectionResetError):
        ask(made.context, trusting(made.ca_pem), host)


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "problem"),
    [
        ("absent.pem", None, None, "absent.pem cannot be read: No such file"),
        ("junk.pem", None, None, "junk.pem holds no certificate or key in PEM form"),
        ("server.pem", None, None, "server.pem holds no certificate or key in PEM form"),
        ("server.pem", "other.key", None, "this is not the key of the certificate"),
        ("server.pem", "locked.key", None, "the key is locked with a password. Take its password off"),
        ("both.pem", None, "junk.pem", "junk.pem holds no certificate"),
        ("both.pem", None, "absent.pem", "absent.pem cannot be read"),
    ],
    ids=["absent", "junk", "no key", "another key", "locked key", "junk authority", "absent authority"],
)
def test_files_that_are_no_good_are_an_error_that_helps(
    files: Path, certificate: str, key: str | None, client_ca: str | None, problem: str
) -> None:
    with pytest.raises(TlsError, match=problem):
        load_tls(files / certificate, key and files / key, client_ca=client_ca and files / client_ca)


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="one of expired, wrong-host, handshake-abort, not 'late'"):
        make_tls(fault="late")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
