"""TLS as `receiver.toml` asks for it: who gets in, and what the captures say of a certificate that is wrong."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from fork_server import PATIENCE_S
from postback_conformance.cli.listen_settings import ListenSettings
from postback_conformance.cli.operation_log import TextLog
from postback_conformance.cli.receiving import Reception, receiving
from postback_conformance.receiving.receiver_file import load_receiver_file
from postback_receiver import Capture


def received(folder: Path, toml: str, *clients: ssl.SSLContext) -> tuple[list[Capture], Reception]:
    """What a receiver with these settings captures of one request from each client that gets that far."""
    (folder / "receiver.toml").write_text(toml)
    file = load_receiver_file(folder / "receiver.toml")
    settings = ListenSettings(
        host="127.0.0.1", port=0, store=folder / "c.sqlite", max_body_bytes=99, tls=file.tls, file=file.source
    )
    seen: list[Capture] = []

    async def run() -> Reception:
        async with receiving(settings, log=TextLog(), on_capture=seen.append) as reception:
            for client in clients:
                with suppress(OSError):
                    await ask(reception.server.port, client)
        return reception

    return seen, asyncio.run(run())


async def ask(port: int, client: ssl.SSLContext) -> None:
    """Make one request and wait for the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def careless() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_only_clients_of_the_authority_get_in_and_the_others_are_counted(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    known = careless()
    authority.issue_cert(common_name="sender").configure_cert(known)  # pyright: ignore[reportUnknownMemberType]
    toml = "[tls]\ncertificate = 'server.pem'\nclient_ca = 'ca.pem'"
    [capture], reception = received(tmp_path, toml, careless(), known)
    assert capture.tls is not None
    assert "CN=sender" in (capture.tls.client or "")
    assert capture.fault is None
    assert reception.server.counts.handshakes_failed == 1


@pytest.mark.parametrize("fault", ["expired", "wrong-host"])
def test_a_certificate_that_is_wrong_on_purpose_stands_on_the_captures(tmp_path: Path, fault: str) -> None:
    toml = f"[tls]\ngenerated = true\nfault = '{fault}'\n[[endpoint]]\n[[endpoint.reply]]\nfault = 'reset'"
    [capture], reception = received(tmp_path, toml, careless())
    assert capture.fault == f"tls-{fault} + reset"
    assert reception.server.counts.faults == {f"tls-{fault} + reset": 1}
