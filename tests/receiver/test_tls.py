"""The capture port speaks TLS with a certificate of one's own or a made one, and fails in the ways it is told to."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from postback_receiver import Capture, CaptureServer, Endpoint, MemoryStore, TlsError, new_event_loop
from postback_receiver.tls import LOCAL_HOSTS, TlsFault, load_tls, make_tls

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
    context: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost"
) -> tuple[bytes, list[Capture], CaptureServer]:
    """Make one request over TLS; the answer's first line, and what was captured."""

    async def scenario() -> tuple[bytes, list[Capture], CaptureServer]:
        store = MemoryStore()
        async with CaptureServer(store, [Endpoint()], ssl_context=context) as server:
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
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET)
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
            return server.counts.handshakes_failed

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(scenario()) == 2
    told = sorted(record.getMessage() for record in caplog.records)
    assert told[0].startswith("A TLS handshake failed: the client does not trust the certificate (")
    assert told[1].startswith("A TLS handshake failed: the client speaks plain HTTP, and the port https:// (")


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
