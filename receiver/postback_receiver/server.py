"""The capture port: an HTTP server that first records a request and only then answers it.

    head parsed ─► body read ─► reply chosen ─► store.append ─► answer written ─► time of the answer noted

The order is the promise: whoever got an answer finds the request in the store, even if the receiver was killed in the
next microsecond. When the store fails, the sender is told so with a 503 and nothing else.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Final, Self, cast

from aiohttp import web
from msgspec.structs import replace

from postback_receiver.body import STALL_TIMEOUT_S, Ending, read_body
from postback_receiver.capture import Answer, Capture, path_of
from postback_receiver.connection import CaptureConnection, CaptureRequest
from postback_receiver.endpoint import Endpoint, EndpointTable
from postback_receiver.errors import StoreError
from postback_receiver.lateness import INTERVAL_NS, LatenessGauge
from postback_receiver.listening import base_url, listen
from postback_receiver.reply import Reply, text_reply
from postback_receiver.stamps import Clock, SystemClock, random_id
from postback_receiver.store import CaptureStore

_log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024
"""Kept of one body: hundreds of times a usual postback (1 to 4 KiB), and room for a thousand items. nginx, too, takes
1 MiB by default."""

CLOSE_GRACE_S: Final = 5.0
"""How long requests in flight may take to finish when the server closes; then their connections are cut."""

_NOT_STORED: Final = text_reply(503, "The request could not be recorded and is not acknowledged. Send it again later.")
_SCRIPT_FAILED: Final = text_reply(500, "The request was recorded, but the receiver's own reply script failed.")
_STALLED: Final = text_reply(408, "The body stopped arriving before its end. What came of it was recorded.")

Observer = Callable[[Capture], None]


class CaptureServer:
    """Listens on one address and records every request into a store.

    Use it with `async with`. The store stays the caller's: it is flushed on leaving, not closed. Both observers run on
    the event loop: `on_arrival` once a capture is stored and before it is answered, `on_capture` after the answer, with
    the time it left. What they raise is logged and never reaches the peer.
    """

    def __init__(
        self,
        store: CaptureStore,
        endpoints: Iterable[Endpoint],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        max_body_bytes: int = MAX_BODY_BYTES,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        close_grace_s: float = CLOSE_GRACE_S,
        clock: Clock | None = None,
        new_id: Callable[[], str] = random_id,
        on_arrival: Observer | None = None,
        on_capture: Observer | None = None,
    ) -> None:
        self._store = store
        self._endpoints = EndpointTable(endpoints)
        self._host = host
        self._port = port
        self._max_body_bytes = max_body_bytes
        self._stall_timeout_s = stall_timeout_s
        self._close_grace_s = close_grace_s
        self._clock = clock or SystemClock()
        self._new_id = new_id
        self._on_arrival = on_arrival
        self._on_capture = on_capture
        self._gauge = LatenessGauge()
        self._closing = False
        self._store_failures = 0
        self._unreadable_requests = 0
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = AsyncExitStack()

    @property
    def port(self) -> int:
        """The port in use; the one the system chose when 0 was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Where to send postbacks on this machine, without a path."""
        return base_url(self._host, self._port)

    @property
    def store_failures(self) -> int:
        """Requests that were answered 503 because the store could not keep them."""
        return self._store_failures

    @property
    def unreadable_requests(self) -> int:
        """Requests that could not be read as HTTP: answered with 400, and not recorded."""
        return self._unreadable_requests

    def _unreadable(self, reason: str) -> None:
        self._unreadable_requests += 1
        _log.warning("A request could not be read as HTTP (%s): answered 400, not recorded", reason)

    async def __aenter__(self) -> Self:
        """Start to listen; ListenError when the port cannot be had, StoreError when the store cannot be written."""
        await self._store.set_endpoints(self._endpoints.settings())
        loop = asyncio.get_running_loop()
        web_server = web.Server(self._handle, request_factory=CaptureRequest)
        numbers = itertools.count(1)

        def connect() -> CaptureConnection:
            name = f"c{next(numbers)}"
            return CaptureConnection(web_server, loop=loop, name=name, on_unreadable=self._unreadable)

        listener = await listen(connect, host=self._host, port=self._port)
        self._host, self._port = listener.sockets[0].getsockname()[:2]
        sampler = asyncio.create_task(self._sample_lateness())
        self._running.push_async_callback(self._store.flush)
        self._running.callback(sampler.cancel)
        self._running.push_async_callback(self._finish, listener, web_server)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop accepting, let requests in flight finish, cut those that do not, and flush the store."""
        await self._running.aclose()

    async def _finish(self, listener: asyncio.Server, web_server: web.Server) -> None:
        self._closing = True
        listener.close()
        await self._drain()
        for connection in web_server.connections:
            connection.force_close()
        # A request that was cut in its body is recorded like one whose peer left, and that takes a moment.
        await self._drain()
        await web_server.shutdown(self._close_grace_s)

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._close_grace_s):
                await self._idle.wait()

    async def _sample_lateness(self) -> None:
        while True:
            self._gauge.expect(self._clock.monotonic_ns() + INTERVAL_NS)
            await asyncio.sleep(INTERVAL_NS / 1e9)
            self._gauge.woke(self._clock.monotonic_ns())

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._in_flight += 1
        self._idle.clear()
        try:
            return await self._record_and_answer(cast(CaptureRequest, request))
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _record_and_answer(self, request: CaptureRequest) -> web.StreamResponse:
        capture, ending = await self._capture(request)
        reply = self._choose_reply(capture, ending)
        if reply is not None:
            capture = replace(capture, answer=Answer(status=reply.status, headers=reply.headers, body=reply.body))
        # After a body that did not end well, nobody knows where the next request would begin.
        keep_alive = ending is Ending.COMPLETE and not self._closing
        try:
            await self._store.append(capture)
        except StoreError:
            self._store_failures += 1
            _log.exception("Could not record %s %s; answered 503", capture.method, capture.path)
            return _response(_NOT_STORED, keep_alive=keep_alive)
        _tell(self._on_arrival, capture)
        response = _response(reply or Reply(), keep_alive=keep_alive)
        if capture.answer is not None and await _was_sent(response, request):
            sent_at_ns = self._clock.now_ns()
            self._store.record_answer_sent(capture.id, sent_at_ns)
            capture = replace(capture, answer=replace(capture.answer, sent_at_ns=sent_at_ns))
        _tell(self._on_capture, capture)
        return response

    async def _capture(self, request: CaptureRequest) -> tuple[Capture, Ending]:
        received_at_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        lateness_ns = self._gauge.worst_ns(monotonic_ns)
        remote = request.connection.remote
        endpoint = self._endpoints.match(path_of(request.target))
        body = await read_body(request, max_bytes=self._max_body_bytes, stall_timeout_s=self._stall_timeout_s)
        whole = body.ending is Ending.COMPLETE
        capture = Capture(
            id=self._new_id(),
            endpoint=endpoint.prefix if endpoint else None,
            received_at_ns=received_at_ns,
            monotonic_ns=monotonic_ns,
            body_done_ns=self._clock.monotonic_ns() if whole else None,
            lateness_ns=lateness_ns,
            connection=request.connection.name,
            connection_request=request.connection_request,
            remote=remote,
            http_version=f"{request.version.major}.{request.version.minor}",
            method=request.method,
            target=request.target,
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers),
            body=body.data,
            truncated=not whole,
        )
        return capture, body.ending

    def _choose_reply(self, capture: Capture, ending: Ending) -> Reply | None:
        """The reply to plan; None when nobody is left to get it."""
        match ending:
            case Ending.COMPLETE:
                return self._scripted_reply(capture)
            case Ending.TOO_LARGE:
                limit = f"This receiver takes bodies of up to {self._max_body_bytes} bytes."
                return text_reply(413, f"{limit} The first {len(capture.body)} bytes were recorded.")
            case Ending.STALLED:
                return _STALLED
            case Ending.PEER_LEFT:
                return None

    def _scripted_reply(self, capture: Capture) -> Reply:
        if capture.endpoint is None:
            known = ", ".join(self._endpoints.prefixes()) or "none"
            return text_reply(404, f"No endpoint takes this path. Endpoints: {known}. The request was recorded.")
        try:
            return self._endpoints[capture.endpoint].replies(capture)
        except Exception:  # noqa: BLE001 -- somebody else's function
            _log.exception("The reply script of endpoint %s failed; answered 500", capture.endpoint)
            return _SCRIPT_FAILED


def _response(reply: Reply, *, keep_alive: bool) -> web.Response:
    response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    if not keep_alive:
        response.force_close()
    return response


async def _was_sent(response: web.Response, request: web.BaseRequest) -> bool:
    """Send the answer; False when the peer had left. (aiohttp would send it after us, and not say when.)"""
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return False
    return True


def _tell(observer: Observer | None, capture: Capture) -> None:
    if observer is None:
        return
    try:
        observer(capture)
    except Exception:  # noqa: BLE001 -- somebody else's function
        _log.exception("An observer failed on capture %s; the receiver goes on", capture.id)
