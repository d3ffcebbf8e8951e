"""The capture port: an HTTP server that first records a request and only then answers it.

What is no HTTP goes the way of all requests (see `recording`): it is recorded as a malformed one, and then refused.
"""

import asyncio
import itertools
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from operator import itemgetter
from types import TracebackType
from typing import Final, Self, cast

from msgspec.structs import replace

from postback_receiver.answering import write_answer
from postback_receiver.capture import Capture
from postback_receiver.capture_request import CaptureRequest, Ending
from postback_receiver.connection import CaptureConnection
from postback_receiver.counts import ReceiverCounts
from postback_receiver.endpoint import Endpoint
from postback_receiver.errors import ListenError
from postback_receiver.listening import base_url, listen, most_connections
from postback_receiver.recording import MAX_BODY_BYTES, STALL_TIMEOUT_S, Observer, Recorder
from postback_receiver.reply import Reply
from postback_receiver.stamps import Clock, SystemClock, random_id
from postback_receiver.store import CaptureStore
from postback_receiver.tls import failed_handshakes, watch_handshakes

_log = logging.getLogger(__name__)

HEAD_TIMEOUT_S: Final = 30.0
"""A head may take this long from its first byte. Half of what nginx allows; a postback's head is one packet."""

CLOSE_GRACE_S: Final = 5.0
"""How long requests in flight may take to finish when the server closes; then their connections are cut."""

Relay = Callable[[Capture], Awaitable[Reply]]
"""Asks somebody else for the reply to a capture. It is asked before the capture is stored, since the answer is part of
that, and must not raise."""


class CaptureServer:
    """Listens on one address and records every request into a store.

    Use it with `async with`. The store stays the caller's: it is flushed on leaving, not closed. Both observers run on
    the event loop: `on_arrival` once a capture is stored and before it is answered, `on_capture` after the answer, with
    the time it left. What they raise is logged and never reaches the peer.

    With `ssl_context` the port speaks TLS (see `tls`); with `reuse_port` several processes may listen on it, and the
    system spreads connections among them. With `relay` it answers every whole request, in place of the endpoints'
    replies. `run` is the id of this start of the receiver, from `new_id`.
    """

    def __init__(
        self,
        store: CaptureStore,
        endpoints: Iterable[Endpoint],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        reuse_port: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_connections: int | None = None,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        close_grace_s: float = CLOSE_GRACE_S,
        clock: Clock | None = None,
        new_id: Callable[[], str] = random_id,
        on_arrival: Observer | None = None,
        on_capture: Observer | None = None,
        relay: Relay | None = None,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.head_timeout_s = head_timeout_s
        self.stall_timeout_s = stall_timeout_s
        self.clock = clock or SystemClock()
        self._store = store
        self._recorder = Recorder(
            store,
            endpoints,
            max_body_bytes=max_body_bytes,
            clock=self.clock,
            new_id=new_id,
            on_arrival=on_arrival,
            on_capture=on_capture,
        )
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._reuse_port = reuse_port
        self._max_connections = max_connections or most_connections()
        self._close_grace_s = close_grace_s
        self._relay = relay
        self._closing = False
        self._connections: dict[CaptureConnection, None] = {}
        self._connection_numbers = itertools.count(1)
        self._all_lost: asyncio.Future[None] | None = None
        self._listener: asyncio.Server | None = None
        self._restart: asyncio.Task[None] | None = None
        self._connected = self._refused = self._failed_before = 0
        self._running = AsyncExitStack()

    @property
    def port(self) -> int:
        """The port in use; the one the system chose when 0 was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Where to send postbacks on this machine, without a path."""
        return base_url(self._host, self._port, secure=self._ssl_context is not None)

    @property
    def counts(self) -> ReceiverCounts:
        """What was counted since the server was started."""
        return replace(
            self._recorder.counts,
            connections=self._connected,
            connections_open=len(self._connections),
            connections_refused=self._refused,
            handshakes_failed=failed_handshakes(self._ssl_context) - self._failed_before if self._ssl_context else 0,
        )

    @property
    def run(self) -> str:
        """The id of this start; empty before it."""
        return self._recorder.run

    @property
    def lateness_ns(self) -> int:
        """How late the event loop ran at worst in about the last second."""
        return self._recorder.lateness_ns

    @property
    def unreadable_requests(self) -> int:
        """Requests that could not be read as HTTP: refused, and recorded as malformed."""
        return self._recorder.counts.malformed

    async def __aenter__(self) -> Self:
        """Start to listen; ListenError when the port cannot be had, StoreError when the store cannot be written."""
        await self._recorder.begin()
        if self._ssl_context is not None:
            watch_handshakes(self._ssl_context)
            self._failed_before = failed_handshakes(self._ssl_context)
        await self._listen()
        sampler = asyncio.create_task(self._recorder.watch_lateness())
        self._running.push_async_callback(self._store.flush)
        self._running.callback(sampler.cancel)
        self._running.push_async_callback(self._finish)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop accepting, let requests in flight finish, cut those that do not, and flush the store."""
        await self._running.aclose()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await listen(
            lambda: CaptureConnection(self, f"c{next(self._connection_numbers)}", loop),
            host=self._host,
            port=self._port,
            ssl_context=self._ssl_context,
            reuse_port=self._reuse_port,
        )
        self._host, self._port = cast("tuple[str, int]", self._listener.sockets[0].getsockname()[:2])

    async def _finish(self) -> None:
        self._closing = True
        if self._restart is not None:
            self._restart.cancel()
        if self._listener is not None:
            self._listener.close()
        for end in (CaptureConnection.close_gently, CaptureConnection.cut, CaptureConnection.cancel):
            for connection in list(self._connections):
                end(connection)
            await self._drain()

    async def _drain(self) -> None:
        """Wait until all connections are gone, for a while."""
        if self._connections:
            self._all_lost = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_lost, self._close_grace_s)

    # What connections ask of us.

    def opened(self, connection: CaptureConnection) -> bool:
        """A peer has connected; False to refuse it."""
        self._connected += 1
        if len(self._connections) >= self._max_connections:
            # Whoever has waited longest without asking for anything makes room: that is a slowloris, or has gone.
            self._refused += 1
            # When all have asked, it is whoever has been sending a body for the longest time.
            waiting = next((other for other in self._connections if other.is_waiting), None) or self._slowest()
            if waiting is None:
                return False
            waiting.cut()
        self._connections[connection] = None
        return True

    def _slowest(self) -> CaptureConnection | None:
        since = {other: other.body_since_ns for other in self._connections}
        sending = [(begun_ns, other) for other, begun_ns in since.items() if begun_ns is not None]
        return min(sending, key=itemgetter(0))[1] if sending else None

    def lost(self, connection: CaptureConnection) -> None:
        """The connection is gone, and what was read from it has been handled."""
        self._recorder.lost(connection)
        self._connections.pop(connection, None)
        if not self._connections and self._all_lost is not None and not self._all_lost.done():
            self._all_lost.set_result(None)

    def go_down(self, for_ns: int) -> None:
        """Tear every connection down, and refuse new ones for so many nanoseconds, as a server that starts again."""
        if self._closing:
            return
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.reset()
        if self._restart is not None:
            self._restart.cancel()
        self._restart = asyncio.create_task(self._listen_again(for_ns / 1e9))

    async def _listen_again(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            await self._listen()
        except ListenError:
            _log.exception("The receiver was down on purpose and cannot come back")

    async def handle(self, request: CaptureRequest) -> bool:
        """Record a request and answer it; False when its connection must end."""
        capture = self._recorder.capture_of(request)
        if self._relay is not None and request.ending is Ending.COMPLETE:
            reply: Reply | None = await self._relay(capture)
        else:
            reply = self._recorder.choose_reply(request, capture)
        # After a request that did not end well, nobody knows where the next one would begin.
        keep_alive = request.keep_alive and request.ending is Ending.COMPLETE and not self._closing
        await self._recorder.record(request, capture, reply, partial(write_answer, request, keep_alive=keep_alive))
        return keep_alive
