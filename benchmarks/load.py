"""Load for a server that captures: the same postback again and again, over kept connections, from one core."""

import asyncio
import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import cast

from postback_receiver import new_event_loop

CONNECTIONS = 64

BODY = (
    Path(__file__).parents[1] / "conformance/postback_conformance/demo_notifications/corrected.json.txt"
).read_bytes()
REQUEST = b"\r\n".join(
    (
        b"POST /postback?click=abc123 HTTP/1.1",
        b"Host: 127.0.0.1:8080",
        b"User-Agent: impact/1.0",
        b"Accept: */*",
        b"Accept-Encoding: gzip, br",
        b"Content-Type: application/json",
        b"X-Api-Key: 0123456789abcdef",
        b"Content-Length: %d" % len(BODY),
        b"",
        BODY,
    )
)

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def pin(core: int) -> bool:
    """Stay on this core, where the system can do that and there is more than one."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        return False
    os.sched_setaffinity(0, {core})
    return True


def on_core(core: int) -> tuple[str, ...]:
    """Return what to put before a server's command so that it has this core; the load, which is us, goes to the other.

    Empty where there are no cores to choose from.
    """
    return ("taskset", "-c", str(core)) if pin(1 - core) else ()


def load(port: int, count: int, requests: Iterable[bytes] = repeat(REQUEST)) -> None:
    """Send so many requests over all connections; RuntimeError when one is not answered with 200."""

    async def main() -> None:
        todo = islice(requests, count)
        await asyncio.gather(*(_send_over_one(port, todo) for _ in range(CONNECTIONS)))

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


async def _send_over_one(port: int, todo: Iterator[bytes]) -> None:
    """Send over one connection, and over the next one when the server wants this one closed after an answer."""
    loop = asyncio.get_running_loop()
    is_for_one = True
    while is_for_one:
        closed: asyncio.Future[bool] = loop.create_future()
        await loop.create_connection(partial(_Connection, todo, closed), "127.0.0.1", port)
        is_for_one = await closed


class _Connection(asyncio.Protocol):
    """Sends a request, waits for the answer, and sends the next one, until there are no more to send."""

    def __init__(self, todo: Iterator[bytes], closed: "asyncio.Future[bool]") -> None:
        self._todo = todo
        self._closed = closed
        self._answer = b""
        self._is_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, is_whole, body = self._answer.partition(b"\r\n\r\n")
        if not is_whole:
            return
        length = _LENGTH.search(head)
        if head[8:13] != b" 200 " or length is None:
            self._fail(f"answered without 200 or without a length: {head!r}")
        elif len(body) < int(length[1]):
            return
        elif b"\r\nconnection: close" in head.lower():
            # At once, as the server may wait for it.
            self._is_answered = True
            self._transport.close()
        else:
            self._answer = b""
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            if self._is_answered:
                self._closed.set_result(True)
            else:
                self._fail(f"closed without a whole answer: {exc or self._answer[:60]!r}")

    def _send(self) -> None:
        request = next(self._todo, None)
        if request is None:
            self._closed.set_result(False)
            self._transport.close()
        else:
            self._transport.write(request)

    def _fail(self, why: str) -> None:
        self._closed.set_exception(RuntimeError(why))
        self._transport.close()
