"""Serves what aiohttp can run on a free port of this machine, in an event loop on a thread of its own."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from aiohttp import HttpVersion11, web

from postback_conformance.hosting.hosted import ENDS_WITHIN_S, LOOPBACK
from postback_receiver.loop_thread import LoopThread

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Of one request that is handed to an application as a whole; larger than any body of the suite."""


@contextmanager
def served(listening: AbstractAsyncContextManager[str]) -> Generator[str]:
    """Serve for as long as the block lasts; gives the URL, without a path."""
    thread = LoopThread(listening, name="postback endpoint under test")
    url = thread.start()
    try:
        yield url
    finally:
        thread.stop()


@asynccontextmanager
async def listening_aiohttp(app: web.Application) -> AsyncGenerator[str]:
    """Listen for an aiohttp application, which is started and cleaned up with it."""
    async with listening(web.AppRunner(app, access_log=None, shutdown_timeout=ENDS_WITHIN_S)) as url:
        yield url


def answering(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> web.ServerRunner:
    """Return what runs a function that answers requests; their bodies are as they were sent."""
    return web.ServerRunner(web.Server(answer, access_log=None, auto_decompress=False))


async def tell_to_continue(request: web.BaseRequest) -> None:
    """Ask for the body of a request whose sender waits to be asked (RFC 9110 §10.1.1)."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What is counted is the answer.
        request.writer.output_size = 0


@asynccontextmanager
async def listening(runner: web.AppRunner | web.ServerRunner) -> AsyncGenerator[str]:
    """Listen for whatever a runner runs."""
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
