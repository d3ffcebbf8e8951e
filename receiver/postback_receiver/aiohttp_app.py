"""The receiver as an aiohttp application: a part of a program that is there already, with its middlewares and its TLS.

    program.add_subapp("/hooks", capture_app(store, [Endpoint(prefix="/postback")]))

Every request below the mount is recorded first and answered second, as on the capture port. But it is aiohttp that
reads it, and so a capture can tell less:

- What aiohttp refuses never gets here: what is no HTTP, a target with raw letters beyond ASCII, heads over its limits.
  A chunk without a size is not told; the body stops arriving, and the sender gets a 408.
- Trailers cannot be had. aiohttp takes them for headers of the next request, so a chunked one is the last on its line.
- `connected_ns` is unknown, and the SNI name, too. The other stamps are taken when the program's middlewares let the
  request through. `connection_request` counts the requests that got here.
- A peer that closes its half has left, for aiohttp. One that leaves before its turn is not recorded.
- A compressed body is recorded as it was sent only where aiohttp leaves it alone: with
  `handler_args={"auto_decompress": False}` of the outermost application. Run alone, this one sees to that itself.
  Elsewhere such a body is not kept, and the sender gets a 415.
- The fault `down` cannot close the program's port. For as long as it lasts, requests are recorded and then reset.

Target, header fields and all other bodies are exact.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import Final, cast

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import Handler

from postback_receiver.answer_plan import ends_connection
from postback_receiver.answering import write_answer
from postback_receiver.capture_request import CaptureRequest, RequestEnd
from postback_receiver.endpoint import Endpoint
from postback_receiver.faults import reset, span
from postback_receiver.line import Line
from postback_receiver.recording import MAX_BODY_BYTES, STALL_TIMEOUT_S, Observer, Recorder
from postback_receiver.reply import Reply
from postback_receiver.request_head import Malformed
from postback_receiver.stamps import Clock, SystemClock, random_id
from postback_receiver.store import CaptureStore

_CLOSE_GRACE_S: Final = 5.0
_ANY_PATH: Final = "/{path}"
_CLIENT_LEFT: Final = 499
"""What the program's access log says of a request that nobody was left to answer; nginx says so, too."""


def capture_app(
    store: CaptureStore,
    endpoints: Iterable[Endpoint],
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    stall_timeout_s: float = STALL_TIMEOUT_S,
    clock: Clock | None = None,
    new_id: Callable[[], str] = random_id,
    on_arrival: Observer | None = None,
    on_capture: Observer | None = None,
) -> web.Application:
    """Return an application that records every request into a store and answers it, to be mounted or run alone.

    Endpoints are prefixes of what follows the mount; a capture has the whole target. The store stays the caller's: it
    is flushed when the program cleans up, not closed; a StoreError at the program's start when it cannot be written.
    For all else see `CaptureServer`.
    """
    clock = clock or SystemClock()
    recorder = Recorder(
        store,
        endpoints,
        max_body_bytes=max_body_bytes,
        clock=clock,
        new_id=new_id,
        on_arrival=on_arrival,
        on_capture=on_capture,
    )
    receiver = _MountedReceiver(store, recorder, clock, max_body_bytes, stall_timeout_s)
    # A middleware also sees what no route takes: the mount itself without a slash, or CONNECT.
    app = web.Application(middlewares=[receiver.capture], handler_args={"auto_decompress": False})
    route = app.router.add_route("*", "/{path:(?s:.*)}", _never, expect_handler=_invite)
    app.cleanup_ctx.append(receiver.run)
    app.on_shutdown.append(receiver.shut_down)
    receiver.route = route
    return app


class _AppLine(Line):
    """A line of an aiohttp server, with an ear on what the event loop tells that."""

    def __init__(self, owner: "_MountedReceiver", server: asyncio.Protocol, transport: asyncio.Transport) -> None:
        super().__init__(f"c{next(owner.line_numbers)}", asyncio.get_running_loop(), owner.go_down)
        self.take(transport)
        self.owner = owner
        self.server = server
        self.requests = 0
        self.in_flight = 0

    def data_received(self, data: bytes) -> None:
        self.server.data_received(data)

    def eof_received(self) -> bool | None:
        self.gone_ns = self.gone_ns or self.owner.clock.monotonic_ns()
        return self.server.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        # Without an error it was the program that closed it, or the end of what the peer sends was noted before.
        if exc is not None:
            self.gone_ns = self.gone_ns or self.owner.clock.monotonic_ns()
        self.server.connection_lost(exc)
        self.lose()
        if not self.in_flight:
            self.owner.recorder.lost(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.server.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.server.resume_writing()


class _MountedReceiver:
    """What one `capture_app` does."""

    route: web.AbstractRoute

    def __init__(
        self, store: CaptureStore, recorder: Recorder, clock: Clock, max_body_bytes: int, stall_timeout_s: float
    ) -> None:
        self.recorder = recorder
        self.clock = clock
        self.line_numbers = itertools.count(1)
        self._store = store
        self._max_body_bytes = max_body_bytes
        self._stall_timeout_s = stall_timeout_s
        self._closing = False
        self._in_flight: dict[asyncio.Task[web.StreamResponse], tuple[web.Request, _AppLine]] = {}
        self._while_down: Reply | None = None
        self._restart: asyncio.TimerHandle | None = None

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """From the program's start to its end."""
        resource = self.route.resource
        self.recorder.mount = "" if resource is None else resource.canonical.removesuffix(_ANY_PATH)
        await self.recorder.begin()
        sampler = asyncio.create_task(self.recorder.watch_lateness())
        try:
            yield
        finally:
            sampler.cancel()
            if self._restart is not None:
                self._restart.cancel()
            if self._in_flight:
                _, late = await asyncio.wait(self._in_flight, timeout=_CLOSE_GRACE_S)
                for task in late:
                    task.cancel()
            await self._store.flush()

    async def shut_down(self, _app: web.Application) -> None:
        """Let no request hold up the program's end: aiohttp reads no more by now."""
        self._closing = True
        # By the clock that answers are delayed by.
        closes_ns = SystemClock.monotonic_ns() + round(_CLOSE_GRACE_S * 1e9)
        for request, line in self._in_flight.values():
            line.let_go(closes_ns)
            if not request.content.is_eof():
                request.content.set_exception(ConnectionResetError("the receiver is closing"))

    def go_down(self, for_ns: int) -> None:
        """Reset whatever is under way, and for so many nanoseconds all that comes."""
        if self._restart is not None:
            self._restart.cancel()
        self._while_down = Reply(faults=(replace(reset(), label=f"down {span(for_ns)}"),))
        self._restart = asyncio.get_running_loop().call_later(for_ns / 1e9, self._come_back)
        for _, line in self._in_flight.values():
            line.reset()

    def _come_back(self) -> None:
        self._while_down = None

    @web.middleware
    async def capture(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record a request and answer it."""
        received_at_ns, monotonic_ns = self.clock.now_ns(), self.clock.monotonic_ns()
        del handler
        line = self._line_of(request)
        if line is None:
            return _Written(_CLIENT_LEFT)
        line.requests += 1
        captured = CaptureRequest(
            line,
            line.requests,
            request.method,
            request.raw_path.encode("utf-8", "surrogateescape").decode("latin-1"),
            f"{request.version.major}.{request.version.minor}",
            tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers),
            request.keep_alive and "Transfer-Encoding" not in request.headers,
            received_at_ns,
            monotonic_ns,
        )
        # A program may have the tasks of peers that leave cancelled. What has arrived is recorded all the same.
        task = asyncio.create_task(self._handle(request, captured))
        line.in_flight += 1
        self._in_flight[task] = request, line
        task.add_done_callback(self._handled)
        return await asyncio.shield(task)

    def _handled(self, task: asyncio.Task[web.StreamResponse]) -> None:
        _, line = self._in_flight.pop(task)
        line.in_flight -= 1
        if line.transport is None and not line.in_flight:
            self.recorder.lost(line)

    def _line_of(self, request: web.Request) -> _AppLine | None:
        """Return the line a request came on; None when it is gone."""
        transport = request.transport
        if transport is None or transport.is_closing():
            return None
        server = transport.get_protocol()
        listening = server
        while isinstance(listening, _AppLine):
            if listening.owner is self:
                return listening
            listening = listening.server
        line = _AppLine(self, cast("asyncio.Protocol", server), transport)
        transport.set_protocol(line)
        return line

    async def _handle(self, request: web.Request, captured: CaptureRequest) -> web.StreamResponse:
        await self._read_body(request, captured)
        capture = self.recorder.capture_of(captured)
        reply = self._while_down or self.recorder.choose_reply(captured, capture)
        keep_alive = captured.keep_alive and captured.ending is RequestEnd.COMPLETE and not self._closing
        response: web.StreamResponse = _Written(_CLIENT_LEFT)

        async def write(reply: Reply) -> bool:
            nonlocal response
            if not reply.is_plain:
                response = _Written(reply.status, keep_alive=keep_alive)
                return await write_answer(captured, reply, keep_alive=keep_alive)
            answer = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
            if not keep_alive or ends_connection(reply.headers):
                answer.force_close()
            try:
                # Written here and not by the program, since here it can be told when that was done.
                await answer.prepare(request)
                await answer.write_eof()
            except ConnectionError:
                return False
            response = answer
            return True

        await self.recorder.record(captured, capture, reply, write)
        return response

    async def _read_body(self, request: web.Request, captured: CaptureRequest) -> None:
        """Read a body as far as it comes, and note how it ended."""
        if getattr(request.content, "total_compressed_bytes", None) is not None:
            captured.ending = RequestEnd.DECODED
            return
        body = bytearray()
        try:
            while len(body) <= self._max_body_bytes:
                async with asyncio.timeout(self._stall_timeout_s):
                    data = await request.content.readany()
                if not data:
                    captured.body_done_ns = self.clock.monotonic_ns()
                    break
                body += data
            else:
                del body[self._max_body_bytes :]
                captured.ending = RequestEnd.TOO_LARGE
        except TimeoutError:
            captured.ending = RequestEnd.STALLED
        except asyncio.CancelledError:
            # aiohttp ends a body like this, too, when its patience with a closing program is over.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            captured.ending = RequestEnd.PEER_LEFT
        except Exception as error:  # noqa: BLE001 -- whatever aiohttp's parsers say of a body
            if self._closing or captured.connection.transport is None:
                captured.ending = RequestEnd.PEER_LEFT
            else:
                captured.ending = RequestEnd.MALFORMED
                captured.malformed = Malformed(f"its body cannot be read ({type(error).__name__})")
        captured.body = bytes(body)


class _Written(web.StreamResponse):
    """Tells aiohttp of an answer that needs no writing any more."""

    def __init__(self, status: int, *, keep_alive: bool = False) -> None:
        super().__init__(status=status)
        self._stays_open = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._stays_open

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        del request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        del data


async def _invite(request: web.Request) -> None:
    """Send what a careful sender waits for. Any other expectation is the receiver's to record, not ours to refuse."""
    is_asked = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
    if is_asked and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _never(_request: web.Request) -> web.StreamResponse:
    raise NotImplementedError("the middleware answers all requests")
