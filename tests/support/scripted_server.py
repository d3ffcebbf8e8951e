"""Servers that follow a script on each connection, and connections of the sender that ask them."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

from postback_sender.clock import Clock, SystemClock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import Connections, Resolve
from postback_sender.delivery.origin import split_url
from postback_sender.delivery.timeouts import Timeouts

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
PATIENT = Timeouts(total_ns=20 * SECOND)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Pause = Callable[[], Awaitable[None]]
RunInALoop = Callable[[Coroutine[Any, Any, list[Answer]]], list[Answer]]


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
    pause: Pause | None = None,
) -> list[Answer]:
    """Ask a server so many times, one after the other, with a pause between two."""
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
            if number and pause is not None:
                await pause()
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
    pause: Pause | None = None,
    run_in_a_loop: RunInALoop = asyncio.run,
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
                pause=pause,
            )

    return run_in_a_loop(main())


def saying(*each: bytes) -> Script:
    """Answer so many requests on one connection with these bytes, and close it."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in each:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

    return script
