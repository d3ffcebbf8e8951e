"""Serves what aiohttp can run on a free port of this machine, in an event loop on a thread of its own."""

from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from aiohttp import web

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


@asynccontextmanager
async def listening(runner: web.AppRunner | web.ServerRunner) -> AsyncGenerator[str]:
    """Listen for whatever a runner runs."""
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
