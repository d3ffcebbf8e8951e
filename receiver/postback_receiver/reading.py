"""The bytes of one connection, read into requests that wait in a queue, each with its stamps.

The stamps are taken as the bytes come in, not when somebody gets round to the request: requests that were sent in one
go, or wait behind a slow answer, keep the time at which they arrived. With enough of them in the queue, the rest of the
bytes is held, and the peer has to wait.

The reader is our own, since what it has to give is more than an HTTP server needs: trailers, the bytes of what is no
HTTP, and the reason why.
"""

import asyncio
import re
from collections import deque
from typing import Final, Protocol

from postback_receiver.capture_request import CaptureRequest, RequestEnd
from postback_receiver.line import Line, resolve
from postback_receiver.request_body import ChunkedBody, SizedBody
from postback_receiver.request_head import END_OF_HEAD, Malformed, RequestHead, parse_head, unfinished_fault
from postback_receiver.stamps import Clock

MAX_MALFORMED_BYTES: Final = 64 * 1024
"""Kept of what is no HTTP: room for a long header, and for enough of anything else to tell what it was."""

MAX_QUEUE: Final = 32
"""Requests read ahead on one connection while an answer is under way; then the peer has to wait."""

MAX_QUEUE_BYTES: Final = 256 * 1024
"""With as many bytes read ahead, the peer has to wait, too. The last request may go beyond."""

MAX_CHUNKED_BYTES: Final = 64 * 1024
"""Read of a body in chunks before others get their turn: with chunks of one byte, that takes a hundredth of a second
or two."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINE_ENDS: Final = re.compile(rb"[\r\n]*+")


class ReadingOwner(Protocol):
    """What reading needs of the server."""

    clock: Clock
    max_body_bytes: int
    head_timeout_s: float
    stall_timeout_s: float

    def go_down(self, for_ns: int) -> None:
        """Tear every connection down, and refuse new ones for so many nanoseconds."""
        ...


class RequestReader(Line):
    """Reads requests off one connection, and queues them in their order; taking them from there is somebody else's.

    With a `refusal`, which says why, whatever comes is no request.
    """

    def __init__(
        self, owner: ReadingOwner, name: str, loop: asyncio.AbstractEventLoop, *, refusal: str | None = None
    ) -> None:
        super().__init__(name, loop, owner.go_down)
        self._refusal = refusal
        self._limits = owner
        self._clock = owner.clock
        self._requests = 0
        self._queue: deque[CaptureRequest] = deque()
        self._queued_bytes = 0
        self._is_paused = False  # no more is read until `_read_on`
        self._held = b""  # what came and has to wait until then, from `_held_at` on
        self._held_at = 0
        self._end: tuple[str, RequestEnd] | None = None  # how it ends when all that is held has been read
        self._is_handling = False  # one that was taken from the queue is being answered
        self._is_deaf = False  # what still comes in is dropped
        self._unread = bytearray()  # the beginning of a head
        self._came_ns = self._came_monotonic_ns = 0  # when the bytes that are read now came in
        self._request: CaptureRequest | None = None  # the one whose body is arriving
        self._body: SizedBody | ChunkedBody | None = None
        self._is_invited = True  # or the peer waits for a word before it sends its body
        self._wakeup: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._came_ns, self._came_monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        if self._refusal is not None:
            self._reject(Malformed(self._refusal), RequestEnd.MALFORMED, data)
        elif self._is_paused:
            # Over TLS, some more may come.
            self._held, self._held_at = self._held[self._held_at :] + data, 0
        else:
            self._read(data, 0)

    # For whoever takes requests from the queue.

    def _take_request(self) -> CaptureRequest:
        request = self._queue.popleft()
        self._queued_bytes -= request.head_size + len(request.body)
        if self._is_paused and not self._queue:
            self._read_on()
        return request

    def _take_all(self) -> list[CaptureRequest]:
        """Empty the queue, and read into it what was held."""
        taken = list(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        self._read_on()
        return taken

    # Reading.

    def _read(self, data: bytes, at: int) -> None:
        """Read what is here from `at` on, as far as the queue has room; the rest is held."""
        if self._unread:
            data = self._complete_head(data)
        end = len(data)
        while at < end:
            if self._is_paused:
                self._held, self._held_at = data, at
                return
            if self._request is not None and self._body is not None:
                at = self._read_body(self._request, self._body, data, at)
            else:
                at = self._read_head(data, at)

    def _complete_head(self, data: bytes) -> bytes:
        """Add to the beginning of a head; returns all of it and what follows, or nothing while it is not complete."""
        searched = max(0, len(self._unread) - len(END_OF_HEAD) + 1)
        self._unread += data
        if self._unread.find(END_OF_HEAD, searched) < 0:
            fault = unfinished_fault(self._unread, searched)
            if fault is not None:
                self._reject(fault, RequestEnd.MALFORMED, self._unread)
            return b""
        data = bytes(self._unread)
        self._unread = bytearray()
        self._unwatch()
        return data

    def _read_head(self, data: bytes, at: int) -> int:
        """Read a head, and its body as far as that is here; returns where the rest begins."""
        if data[at] in b"\r\n":
            # Empty lines before a request mean nothing (RFC 9112 §2.2).
            blank = _LINE_ENDS.match(data, at)
            at = at if blank is None else blank.end()
        end = data.find(END_OF_HEAD, at) + len(END_OF_HEAD)
        if end < len(END_OF_HEAD):
            self._keep_unread(data[at:])
            return len(data)
        head = parse_head(data[at:end])
        if isinstance(head, Malformed):
            self._reject(head, RequestEnd.MALFORMED, data[at : at + MAX_MALFORMED_BYTES])
            return len(data)
        return self._begin(head, data, at, end)

    def _keep_unread(self, data: bytes) -> None:
        fault = unfinished_fault(data) if data else None
        if fault is not None:
            self._reject(fault, RequestEnd.MALFORMED, data)
        elif data:
            self._unread += data
            self._watch(self._limits.head_timeout_s)

    def _begin(self, head: RequestHead, data: bytes, start: int, at: int) -> int:
        """Take a head that ends at `at`, and what is here of its body; returns where the rest begins."""
        self._requests += 1
        request = CaptureRequest(
            self,
            self._requests,
            head.method,
            head.target,
            head.http_version,
            head.headers,
            head.keep_alive,
            self._came_ns,
            self._came_monotonic_ns,
            head_size=at - start,
        )
        length, max_bytes = head.length, self._limits.max_body_bytes
        if length is not None and length <= len(data) - at and length <= max_bytes:
            # All of it is here, as with nearly every postback.
            request.body = data[at : at + length]
            request.body_done_ns = request.monotonic_ns
            self._enqueue(request)
            return at + length
        self._request = request
        self._body = ChunkedBody(max_bytes=max_bytes) if length is None else SizedBody(length, max_bytes=max_bytes)
        self._watch(self._limits.stall_timeout_s)
        self._is_invited = not head.expects_continue or at < len(data)
        self._invite()
        return self._read_body(request, self._body, data, at)

    def _invite(self) -> None:
        """Send what a careful sender waits for before it sends a body; earlier answers go first."""
        if not (self._is_invited or self._is_handling or self._queue or self.transport is None):
            self.transport.write(_CONTINUE)
            self._is_invited = True

    def _read_body(self, request: CaptureRequest, body: SizedBody | ChunkedBody, data: bytes, at: int) -> int:
        """Take what belongs to the body; returns where the rest begins."""
        self._deadline = self._loop.time() + self._limits.stall_timeout_s
        turn = at + MAX_CHUNKED_BYTES
        if turn < len(data) and isinstance(body, ChunkedBody):
            at += body.feed(data[at:turn])
            if at == turn and not body.is_done:
                self._pause()
                self._loop.call_soon(self._read_on)
        else:
            at = body.feed(data, at)
        if len(body.data) > self._limits.max_body_bytes:
            self._break_off(request, bytes(body.data[:-1]), RequestEnd.TOO_LARGE)
        elif body.fault is not None:
            request.malformed = Malformed(body.fault)
            spoilt = body.spoilt + data[at : at + MAX_MALFORMED_BYTES]
            self._break_off(request, bytes(body.data) + spoilt[:MAX_MALFORMED_BYTES], RequestEnd.MALFORMED)
        elif body.is_done:
            self._request = self._body = None
            self._unwatch()
            request.body = bytes(body.data)
            request.trailers = body.trailers
            request.body_done_ns = self._came_monotonic_ns
            self._enqueue(request)
            return at
        else:
            return at
        return len(data)

    def _break_off(self, request: CaptureRequest, body: bytes, ending: RequestEnd) -> None:
        """Hand on a request that did not arrive whole; nobody knows where the next one would begin."""
        self._request = self._body = None
        self._is_deaf = True
        self._unwatch()
        request.body = body
        request.ending = ending
        self._enqueue(request)

    def _reject(self, fault: Malformed, ending: RequestEnd, data: bytes | bytearray) -> None:
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

    def _end_reading(self, reason: str, ending: RequestEnd) -> None:
        """Nothing more will come, or is wanted: hand on what is here."""
        self._is_deaf = True
        if self._held:
            self._end = self._end or (reason, ending)
        elif self._request is not None and self._body is not None:
            self._break_off(self._request, bytes(self._body.data), ending)
        elif self._unread:
            self._reject(Malformed(reason, 408), ending, self._unread)
        self._unwatch()
        resolve(self._wakeup)

    def _enqueue(self, request: CaptureRequest) -> None:
        self._queue.append(request)
        self._queued_bytes += request.head_size + len(request.body)
        resolve(self._wakeup)
        if self._is_queue_full():
            self._pause()

    def _is_queue_full(self) -> bool:
        return len(self._queue) >= MAX_QUEUE or self._queued_bytes >= MAX_QUEUE_BYTES

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            if self.transport is not None and not self.transport.is_closing():
                self.transport.pause_reading()

    def _read_on(self) -> None:
        """Read what was held, and when that is done, what comes."""
        if not self._is_paused or self._is_queue_full():
            return
        self._is_paused = False
        data, at = self._held, self._held_at
        self._held, self._held_at = b"", 0
        self._read(data, at)
        if self._is_paused:
            return
        if self._end is not None:
            self._end_reading(*self._end)
        # After its end, there is nothing to read.
        if self.transport is not None and not self.transport.is_closing() and self.gone_ns is None:
            self.transport.resume_reading()

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
            self._end_reading("the head stopped arriving", RequestEnd.STALLED)
