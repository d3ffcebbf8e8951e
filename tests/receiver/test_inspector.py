"""The inspector port: who may ask, and what is answered."""

import asyncio
from collections.abc import Iterable

import pytest

from postback_receiver.errors import ListenError
from postback_receiver.inspector import Inspector, is_own_host
from postback_receiver.metrics import CONTENT_TYPE, Metric, counter


class Asked:
    """The receiver behind an inspector."""

    def __init__(self) -> None:
        self.reason: str | None = None

    async def why_unready(self) -> str | None:
        return self.reason

    async def metrics(self) -> Iterable[Metric]:
        return [counter("asked_total", "Questions.", 1)]

    def inspector(self, port: int = 0) -> Inspector:
        return Inspector(why_unready=self.why_unready, read_metrics=self.metrics, port=port)


async def ask(inspector: Inspector, line: str, *headers: str) -> tuple[int, str, str]:
    """Send one request; status, head and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", inspector.port)
    writer.write("\r\n".join((line, *headers, "Connection: close", "", "")).encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), head, body


def test_health_readiness_and_numbers_are_served_and_nothing_else() -> None:
    async def run() -> None:
        asked = Asked()
        async with asked.inspector() as inspector:
            host = f"Host: localhost:{inspector.port}"
            assert (await ask(inspector, "GET /healthz HTTP/1.1", host))[::2] == (200, "alive\n")
            assert (await ask(inspector, "GET /readyz HTTP/1.1", host))[::2] == (200, "ready\n")
            asked.reason = "the store fails"
            assert (await ask(inspector, "GET /readyz HTTP/1.1", host))[::2] == (503, "not ready: the store fails\n")
            assert (await ask(inspector, "GET /healthz HTTP/1.1", host))[0] == 200
            status, head, body = await ask(inspector, "GET /metrics HTTP/1.1", host, "Origin: http://evil.example")
            assert (status, body.splitlines()[-1]) == (200, "asked_total 1")
            assert f"Content-Type: {CONTENT_TYPE}" in head
            assert "Access-Control" not in head
            assert (await ask(inspector, "GET /captures HTTP/1.1", host))[0] == 404
            assert (await ask(inspector, "POST /metrics HTTP/1.1", host))[0] == 405
            for other in ("Host: evil.example", "Host:", "X: no host"):
                assert (await ask(inspector, "GET /metrics HTTP/1.1", other))[0] in {400, 403}
            with pytest.raises(ListenError, match="already in use"):
                await asked.inspector(inspector.port).__aenter__()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("header", "is_own"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("127.0.0.1:4040", True),
        ("127.8.9.1", True),
        ("[::1]:4040", True),
        ("kit.internal:4040", True),
        ("10.0.0.7", True),
        ("10.0.0.8", False),
        ("localhost.evil.example", False),
        ("evil.example", False),
        ("[::1", False),
        ("[::1]evil", False),
        ("::1", False),
        ("", False),
    ],
)
def test_only_names_of_this_machine_are_answered(header: str, *, is_own: bool) -> None:
    assert is_own_host(header, ["kit.internal", "10.0.0.7", ""]) == is_own
