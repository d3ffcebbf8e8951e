"""Serves an ASGI callable (Starlette, FastAPI, Django): HTTP and lifespan of ASGI 3.0, without WebSocket."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast
from urllib.parse import unquote_to_bytes

from aiohttp import ClientPayloadError, web
from multidict import CIMultiDict

from postback_conformance.hosting.hosted import ENDS_WITHIN_S, STARTS_WITHIN_S, HostingError
from postback_conformance.hosting.serving import answering, listening, tell_to_continue

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_logger = logging.getLogger(__name__)
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_READ_BYTES = 64 * 1024


@asynccontextmanager
async def listening_asgi(app: AsgiApp) -> AsyncGenerator[str]:
    """Listen for an ASGI application; `HostingError` when it says that its start-up failed."""
    state: dict[str, Any] = {}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await _Exchange(request).run(app, state)

    async with _lifespan(app, state), listening(answering(answer)) as url:
        yield url


class _Exchange:
    """One request, and the answer as the application sends it piece by piece."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._response: web.StreamResponse | None = None
        self._is_begun = self._is_read = self._is_answered = False
        self._ended = asyncio.Event()

    async def run(self, app: AsgiApp, state: dict[str, Any]) -> web.StreamResponse:
        try:
            await app(_scope(self._request, state), self._receive, self._send)
        except Exception:
            if not self._is_answered:
                raise
            # Starlette answers with 500, and raises then. The connection is as good as before.
            _logger.exception("the ASGI application failed after it had answered")
        finally:
            self._ended.set()
        if self._response is None:
            raise RuntimeError("the ASGI application returned without an answer")
        return self._response

    async def _receive(self) -> Message:
        if self._is_read:
            # Whoever listens for this while it answers is told once it has.
            await self._ended.wait()
            return {"type": "http.disconnect"}
        try:
            if not self._is_begun and self._response is None:
                self._is_begun = True
                await tell_to_continue(self._request)
            body = await self._request.content.read(_READ_BYTES)
        except (ClientPayloadError, ConnectionError, asyncio.IncompleteReadError):
            self._is_read = True
            self._ended.set()
            return {"type": "http.disconnect"}
        self._is_read = self._request.content.at_eof()
        return {"type": "http.request", "body": body, "more_body": not self._is_read}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._response = web.StreamResponse(
                status=message["status"],
                headers=_fields(cast("Iterable[tuple[bytes, bytes]]", message.get("headers", ()))),
            )
            await self._response.prepare(self._request)
        elif message["type"] == "http.response.body":
            if self._response is None:
                raise RuntimeError("the ASGI application sent a body before it said which answer it belongs to")
            if body := message.get("body", b""):
                await self._response.write(body)
            if not message.get("more_body", False):
                await self._response.write_eof()
                self._is_answered = True
                self._ended.set()


def _scope(request: web.BaseRequest, state: dict[str, Any]) -> Message:
    path, _, query = request.raw_path.partition("?")
    version = request.version
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": f"{version.major}.{version.minor}",
        "method": request.method,
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": _address(request, "peername"),
        "server": _address(request, "sockname"),
        "state": dict(state),
    }


def _address(request: web.BaseRequest, which: str) -> tuple[str, int] | None:
    found = request.get_extra_info(which)
    return (found[0], found[1]) if found else None


def _fields(headers: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


@asynccontextmanager
async def _lifespan(app: AsgiApp, state: dict[str, Any]) -> AsyncGenerator[None]:
    """Tell the application that it starts and ends; one that has no use for that raises, which is all right."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    scope: Message = {"type": "lifespan", "asgi": _ASGI, "state": state}
    running = asyncio.ensure_future(app(scope, told.get, said.put))
    try:
        await _told_of(told, said, running, "startup", STARTS_WITHIN_S)
        yield
        await _told_of(told, said, running, "shutdown", ENDS_WITHIN_S)
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=ENDS_WITHIN_S)
        if running.done() and not running.cancelled():
            # Looked at, so that asyncio does not complain: it was told about, or meant that there is no lifespan.
            running.exception()


async def _told_of(
    told: asyncio.Queue[Message],
    said: asyncio.Queue[Message],
    running: asyncio.Future[None],
    what: str,
    within_s: float,
) -> None:
    if running.done():
        return
    await told.put({"type": f"lifespan.{what}"})
    answer = asyncio.ensure_future(said.get())
    try:
        either: list[asyncio.Future[Any]] = [answer, running]
        await asyncio.wait(either, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() and answer.result()["type"] == f"lifespan.{what}.failed":
            raise HostingError(
                f"the ASGI application says that its {what} failed: {answer.result().get('message', '')}"
            )
        if not answer.done() and not running.done():
            raise HostingError(f"the ASGI application took more than {within_s:g} s for its {what}")
    finally:
        answer.cancel()
