"""One connection to the capture port: bytes in, requests out, one after the other, each with its stamps.

The stamps are taken as the bytes come in, not when somebody gets round to the request: requests that were sent in one
go, or wait behind a slow answer, keep the time at which they arrived. Answering is somebody else's: the connection
hands each request to its server and goes on when that is done with it.

The reader is our own, since what it has to give is more than an HTTP server needs: trailers, the bytes of what is no
HTTP, and the reason why.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, Protocol, cast

from postback_receiver.capture_request import CaptureRequest, Ending
from postback_receiver.line import Line, resolve
from postback_receiver.request_body import ChunkedBody, SizedBody
from postback_receiver.request_head import END_OF_HEAD, Malformed, RequestHead, parse_head, unfinished_fault
from postback_receiver.stamps import Clock

_log = logging.getLogger(__name__)

MAX_MALFORMED_BYTES: Final = 64 * 1024
"""Kept of what is no HTTP: room for a long header, and for enough of anything else to tell what it was."""

MAX_QUEUE: Final = 32
"""Requests read ahead on one connection while an answer is under way; then the peer has to wait."""

LINGER_S: Final = 2.0
"""After an early answer (413, 400), a sender gets this long to finish. Cut sooner, it would see a reset connection
instead of the answer."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINE_ENDS: Final = b"\r\n"


class ConnectionOwner(Protocol):
    """What a connection needs of its server."""

    clock: Clock
    max_body_bytes: int
    head_timeout_s: float
    stall_timeout_s: float

    def opened(self, connection: "CaptureConnection") -> bool:
        """A peer has connected; False to refuse it."""
        ...

    def handle(self, request: CaptureRequest) -> Awaitable[bool]:
        """Record and answer a request; False when the connection must end."""
        ...

    def lost(self, connection: "CaptureConnection") -> None:
        """The connection is gone, and what was read from it has been handled."""
        ...

    def go_down(self, for_ns: int) -> None:
        """Tear every connection down, and refuse new ones for so many nanoseconds."""
        ...


class CaptureConnection(Line):
    """Reads requests off one connection, and hands them on in their order."""

    def __init__(self, owner: ConnectionOwner, name: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name, loop, owner.go_down)
        self._owner = owner
        self._clock = owner.clock
        self._requests = 0
        self._queue: list[CaptureRequest] = []
        self._is_handling = False
        self._is_deaf = False  # what still comes in is dropped
        self._unread = bytearray()  # the beginning of a head
        self._request: CaptureRequest | None = None  # the one whose body is arriving
        self._body: SizedBody | ChunkedBody | None = None
        self._is_invited = True  # or the peer waits for a word before it sends its body
        self._wakeup: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether no complete head is at hand: the peer has sent nothing, or only the beginning of one."""
        return not self._is_handling and not self._queue and self._request is None

    # For the server, when it closes or needs room.

    def close_gently(self) -> None:
        """End once what is arriving has arrived and is answered; at once if nothing is."""
        self.let_go()
        if self.is_waiting:
            self.cut()

    def cut(self) -> None:
        """Break the connection off. What has arrived of a request is handed on like that of a peer that left."""
        self._end_reading("the receiver ended the connection before the head had arrived", Ending.PEER_LEFT)
        if self.transport is not None:
            self.transport.abort()

    def cancel(self) -> None:
        """Give up on a request that is being handled."""
        if self._task is not None:
            self._task.cancel()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected_ns = self._clock.monotonic_ns()
        self.take(cast("asyncio.Transport", transport))
        if self._owner.opened(self):
            self._task = self._loop.create_task(self._handle_all())
        else:
            self.cut()

    def data_received(self, data: bytes) -> None:
        if self._request is not None and self._body is not None:
            data = self._read_body(self._request, self._body, data)
        while data and not self._is_deaf:
            data = self._read_head(data)

    def eof_received(self) -> bool:
        self.gone_ns = self.gone_ns or self._clock.monotonic_ns()
        has_work = self._is_handling or bool(self._queue)
        self._end_reading("the peer left before the head had arrived", Ending.PEER_LEFT)
        # A peer may send its request, close its half and still wait for the answer. With TLS it cannot.
        return has_work and self.tls is None

    def connection_lost(self, exc: Exception | None) -> None:
        # Without an error it was we who closed it, or the end of what the peer sends was noted before.
        if exc is not None:
            self.gone_ns = self.gone_ns or self._clock.monotonic_ns()
        self._end_reading("the peer left before the head had arrived", Ending.PEER_LEFT)
        self.lose()
        if self._task is None or self._task.done():
            self._owner.lost(self)

    # Reading.

    def _read_head(self, data: bytes) -> bytes:
        """Read a head, and its body as far as that is here; returns what follows."""
        searched = max(0, len(self._unread) - len(END_OF_HEAD) + 1)
        come: bytes | bytearray = data
        if self._unread:
            self._unread += data
            come = self._unread
        elif data[0] in _LINE_ENDS:
            # Empty lines before a request mean nothing (RFC 9112 §2.2).
            come = data.lstrip(_LINE_ENDS)
        end = come.find(END_OF_HEAD, searched) + len(END_OF_HEAD)
        if end < len(END_OF_HEAD):
            self._keep_unread(come, searched)
            return b""
        data = bytes(come)
        head = parse_head(data[:end])
        if isinstance(head, Malformed):
            self._reject(head, Ending.MALFORMED, data)
            return b""
        if self._unread:
            self._unread = bytearray()
            self._unwatch()
        return self._begin(head, data[end:])

    def _keep_unread(self, data: bytes | bytearray, searched: int) -> None:
        fault = unfinished_fault(data, searched) if data else None
        if fault is not None:
            self._reject(fault, Ending.MALFORMED, data)
        elif data and not self._unread:
            self._unread += data
            self._watch(self._owner.head_timeout_s)

    def _begin(self, head: RequestHead, data: bytes) -> bytes:
        """Take a head, and what is here of its body; returns what follows."""
        self._requests += 1
        request = CaptureRequest(
            self,
            self._requests,
            head.method,
            head.target,
            head.http_version,
            head.headers,
            head.keep_alive,
            self._clock.now_ns(),
            self._clock.monotonic_ns(),
        )
        length, max_bytes = head.length, self._owner.max_body_bytes
        if length is not None and length <= len(data) and length <= max_bytes:
            # All of it is here, as with nearly every postback.
            request.body = data[:length]
            request.body_done_ns = request.monotonic_ns
            self._enqueue(request)
            return data[length:]
        self._request = request
        self._body = ChunkedBody(max_bytes=max_bytes) if length is None else SizedBody(length, max_bytes=max_bytes)
        self._watch(self._owner.stall_timeout_s)
        self._is_invited = not head.expects_continue or bool(data)
        self._invite()
        return self._read_body(request, self._body, data)

    def _invite(self) -> None:
        """Send what a careful sender waits for before it sends a body; earlier answers go first."""
        if not (self._is_invited or self._is_handling or self._queue or self.transport is None):
            self.transport.write(_CONTINUE)
            self._is_invited = True

    def _read_body(self, request: CaptureRequest, body: SizedBody | ChunkedBody, data: bytes) -> bytes:
        """Take what belongs to the body; returns what follows."""
        self._deadline = self._loop.time() + self._owner.stall_timeout_s
        rest = body.feed(data)
        if len(body.data) > self._owner.max_body_bytes:
            self._break_off(request, bytes(body.data[:-1]), Ending.TOO_LARGE)
        elif body.fault is not None:
            request.malformed = Malformed(body.fault)
            self._break_off(request, bytes(body.data) + rest[:MAX_MALFORMED_BYTES], Ending.MALFORMED)
        elif body.is_done:
            self._request = self._body = None
            self._unwatch()
            request.body = bytes(body.data)
            request.trailers = body.trailers
            request.body_done_ns = self._clock.monotonic_ns()
            self._enqueue(request)
            return rest
        return b""

    def _break_off(self, request: CaptureRequest, body: bytes, ending: Ending) -> None:
        """Hand on a request that did not arrive whole; nobody knows where the next one would begin."""
        self._request = self._body = None
        self._is_deaf = True
        self._unwatch()
        request.body = body
        request.ending = ending
        self._enqueue(request)

    def _reject(self, fault: Malformed, ending: Ending, data: bytes | bytearray) -> None:
        """Hand on what is no request, with the bytes that came of it."""
        self._requests += 1
        request = CaptureRequest(
            self,
            self._requests,
            fault.method,
            fault.target,
            fault.http_version,
            fault.headers,
            keep_alive=False,
            received_at_ns=self._clock.now_ns(),
            monotonic_ns=self._clock.monotonic_ns(),
            malformed=fault,
        )
        self._unread = bytearray()
        self._break_off(request, bytes(data[:MAX_MALFORMED_BYTES]), ending)

    def _end_reading(self, reason: str, ending: Ending) -> None:
        """Nothing more will come, or is wanted: hand on what is here."""
        if self._request is not None and self._body is not None:
            self._break_off(self._request, bytes(self._body.data), ending)
        elif self._unread:
            self._reject(Malformed(reason, 408), ending, self._unread)
        self._is_deaf = True
        self._unwatch()
        resolve(self._wakeup)

    def _enqueue(self, request: CaptureRequest) -> None:
        self._queue.append(request)
        resolve(self._wakeup)
        if len(self._queue) == MAX_QUEUE and self.transport is not None:
            self.transport.pause_reading()

    # Waiting for what does not come. Nearly every request arrives in one piece, and then there is no timer at all.

    def _watch(self, seconds: float) -> None:
        self._unwatch()
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._deadline, self._look)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self._end_reading("the head stopped arriving", Ending.STALLED)

    # Handling, in a task of its own.

    async def _handle_all(self) -> None:
        try:
            while self._queue or not self._is_deaf:
                if not self._queue:
                    self._wakeup = self._loop.create_future()
                    await self._wakeup
                    continue
                if len(self._queue) == MAX_QUEUE and self.transport is not None:
                    self.transport.resume_reading()
                self._is_handling = True
                goes_on = await self._owner.handle(self._queue.pop(0))
                self._is_handling = False
                # A fault may have ended the connection.
                if not goes_on or self.transport is None or self.transport.is_closing():
                    break
                self._invite()
        except Exception:  # noqa: BLE001 -- one request must not take the receiver along
            _log.exception("A request on connection %s could not be handled; it is cut", self.name)
        finally:
            is_early = self._is_deaf and self.gone_ns is None
            self._is_handling = False
            self._is_deaf = True
            self._queue.clear()
            if self.transport is None:
                self._owner.lost(self)
            elif is_early:
                self._linger(self.transport)
            else:
                self.transport.close()

    def _linger(self, transport: asyncio.Transport) -> None:
        """Say that this was all, and read on for a while without keeping it."""
        if not transport.is_closing():
            if transport.can_write_eof():
                transport.write_eof()
            self._timer = self._loop.call_later(LINGER_S, transport.abort)
