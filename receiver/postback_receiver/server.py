"""The capture port: an HTTP server that first records a request and only then answers it.

What is no HTTP goes the way of all requests (see `recording`): it is recorded as a malformed one, and then refused.
"""

import asyncio
import itertools
import logging
import ssl
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from operator import itemgetter
from types import TracebackType
from typing import Final, Self, cast

from msgspec.structs import replace

from postback_receiver.answering import write_answer
from postback_receiver.capture_request import CaptureRequest, RequestEnd
from postback_receiver.connection import CaptureConnection
from postback_receiver.counts import ReceiverCounts
from postback_receiver.endpoint import Endpoint
from postback_receiver.errors import ListenError
from postback_receiver.listening import base_url, is_among_last, listen, most_connections, most_files
from postback_receiver.recording import MAX_BODY_BYTES, STALL_TIMEOUT_S, Observer, Recorder, Relay
from postback_receiver.stamps import Clock, SystemClock, random_id
from postback_receiver.store import CaptureStore
from postback_receiver.tls import failed_by_fault, failed_handshakes, fault_of_tls, watch_handshakes
from postback_receiver.tls_gate import TlsGate

_log = logging.getLogger(__name__)

HEAD_TIMEOUT_S: Final = 30.0
"""A head may take this long from its first byte. Half of what nginx allows; a postback's head is one packet."""

CLOSE_GRACE_S: Final = 5.0
"""How long requests in flight may take to finish when the server closes; then their connections are cut."""


_WITHOUT_TLS: Final = "it came without TLS, and this port takes nothing else: send to https://"

_SHARE_OF_HANDSHAKES: Final = 8
"""One connection of so many may be in its handshake while others that have asked for nothing make room for it."""

_TELL_AGAIN_NS: Final = 60_000_000_000
"""How often it is said that files run out, at most."""

_RETRY_LISTEN_S: Final = 1.0
"""How often a port is tried again that somebody else has taken while it was down."""


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
        self._most_files = most_files()
        self._told_of_shortage_ns: int | None = None
        self._close_grace_s = close_grace_s
        self._relay = relay
        self._closing = False
        self._connections: dict[CaptureConnection, None] = {}
        self._gates: dict[TlsGate, None] = {}
        self._connection_numbers = itertools.count(1)
        self._all_lost: asyncio.Future[None] | None = None
        self._listener: asyncio.Server | None = None
        self._restart: asyncio.Task[None] | None = None
        self._connected = self._refused = self._without_tls = self._failed_before = self._faulty_before = 0
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
        counts, context = self._recorder.counts, self._ssl_context
        faults = dict(counts.faults)
        if (fault := fault_of_tls(context)) and context and (failed := failed_by_fault(context) - self._faulty_before):
            faults[fault] = faults.get(fault, 0) + failed
        return replace(
            counts,
            connections=self._connected,
            connections_open=len(self._connections),
            connections_refused=self._refused,
            handshakes_failed=failed_handshakes(context) - self._failed_before + self._without_tls if context else 0,
            faults=faults,
        )

    @property
    def is_listening(self) -> bool:
        """Whether the port takes connections: not before the start, after the end, or while it is down on purpose."""
        return self._listener is not None and self._listener.is_serving()

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
            self._faulty_before = failed_by_fault(self._ssl_context)
        await self._listen()
        sampler = asyncio.create_task(self._recorder.watch_lateness())
        self._running.push_async_callback(self._store.flush)
        self._running.callback(sampler.cancel)
        self._running.push_async_callback(self._finish)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop accepting, let requests in flight finish, cut those that do not, and flush the store.

        An answer that is late on purpose is waited for when it is due within `close_grace_s`; one that is due later, or
        never, is cut at once. What is cut was not sent, and its capture says so.
        """
        await self._running.aclose()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        context = self._ssl_context

        def connect(*, refusal: str | None = None) -> CaptureConnection:
            return CaptureConnection(self, f"c{next(self._connection_numbers)}", loop, refusal=refusal)

        def refuse() -> CaptureConnection:
            self._without_tls += 1
            return connect(refusal=_WITHOUT_TLS)

        def open_gate(context: ssl.SSLContext) -> TlsGate:
            return TlsGate(context, loop, self._gates, make_room=self._make_room, accept=connect, refuse=refuse)

        self._listener = await listen(
            connect if context is None else partial(open_gate, context),
            host=self._host,
            port=self._port,
            reuse_port=self._reuse_port,
        )
        self._host, self._port = cast("tuple[str, int]", self._listener.sockets[0].getsockname()[:2])

    async def _finish(self) -> None:
        self._closing = True
        if self._restart is not None:
            self._restart.cancel()
        if self._listener is not None:
            self._listener.close()
        self._abort_handshakes()
        # By the clock that answers are delayed by.
        closes_ns = SystemClock.monotonic_ns() + round(self._close_grace_s * 1e9)
        close_gently = partial(CaptureConnection.close_gently, closes_ns=closes_ns)
        for end in (close_gently, CaptureConnection.cut, CaptureConnection.cancel):
            for connection in list(self._connections):
                end(connection)
            await self._drain()

    def _abort_handshakes(self) -> None:
        for gate in list(self._gates):
            gate.abort()

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
        if connection.transport is None or not self._make_room(connection.transport):
            return False
        self._connections[connection] = None
        return True

    def _make_room(self, transport: asyncio.BaseTransport) -> bool:
        """Have room for one connection more, before its handshake or after it; False if there is none.

        Whoever has waited longest without asking for anything makes room: that is a slowloris, or has gone. When all
        have asked, it is whoever has been sending a body for the longest time.
        """
        is_full = len(self._connections) + len(self._gates) >= self._max_connections
        is_short = is_among_last(transport, self._most_files)
        if is_short:
            self._tell_of_shortage()
        if not (is_full or is_short):
            return True
        evicted = self._longest_waiting() or self._slowest()
        match evicted:
            case None:
                # It has its file, be that the last one.
                self._refused += is_full
                return not is_full
            case TlsGate():
                evicted.abort()
            case CaptureConnection():
                evicted.cut()
        self._refused += 1
        return True

    def _longest_waiting(self) -> TlsGate | CaptureConnection | None:
        gate = next(iter(self._gates), None)
        # Were it always one in its handshake, idle connections in large numbers would leave no time for any.
        if gate is not None and len(self._gates) > self._max_connections // _SHARE_OF_HANDSHAKES:
            return gate
        return next((other for other in self._connections if other.is_waiting), None) or gate

    def _tell_of_shortage(self) -> None:
        now_ns = self.clock.monotonic_ns()
        if self._told_of_shortage_ns is None or now_ns - self._told_of_shortage_ns > _TELL_AGAIN_NS:
            self._told_of_shortage_ns = now_ns
            _log.error(
                "This process has opened nearly all of the %s files it may: others make room for new connections, and "
                "some may be lost before they are seen. Raise the limit, as with ulimit -n.",
                self._most_files,
                extra={"event": "short_of_files"},
            )

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
        self._abort_handshakes()
        for connection in list(self._connections):
            connection.reset()
        if self._restart is not None:
            self._restart.cancel()
        self._restart = asyncio.create_task(self._listen_again(for_ns / 1e9))

    async def _listen_again(self, after_s: float) -> None:
        is_told = False
        while True:
            await asyncio.sleep(after_s)
            try:
                await self._listen()
            except ListenError as error:
                after_s = _RETRY_LISTEN_S
                if not is_told:
                    _log.error("The receiver was down on purpose and cannot come back; it goes on trying. %s", error)
                is_told = True
            else:
                return

    async def handle(self, request: CaptureRequest) -> bool:
        """Record a request and answer it; False when its connection must end."""
        capture = self._recorder.capture_of(request)
        relay = self._relay if request.ending is RequestEnd.COMPLETE else None
        reply = None if relay else self._recorder.choose_reply(request, capture)
        # After a request that did not end well, nobody knows where the next one would begin.
        keep_alive = request.keep_alive and request.ending is RequestEnd.COMPLETE and not self._closing
        write = partial(write_answer, request, keep_alive=keep_alive)
        await self._recorder.record(request, capture, reply, write, relay)
        # It may have begun to close while an answer was held back.
        return keep_alive and not self._closing
