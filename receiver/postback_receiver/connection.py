"""One connection to the capture port: requests are read off it, handed to the server one after the other, and answered.

Answering is the server's: the connection hands each request to it and goes on when that is done with it.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, Protocol, cast

from postback_receiver.capture_request import CaptureRequest, RequestEnd
from postback_receiver.reading import ReadingOwner, RequestReader

_log = logging.getLogger(__name__)

LINGER_S: Final = 2.0
"""After an early answer (413, 400), a sender gets this long to finish. Cut sooner, it would see a reset connection
instead of the answer."""

_CUT: Final = "the receiver ended the connection before the head had arrived"


class ConnectionOwner(ReadingOwner, Protocol):
    """What a connection needs of its server."""

    def opened(self, connection: "CaptureConnection") -> bool:
        """A peer has connected; False to refuse it."""
        ...

    def handle(self, request: CaptureRequest) -> Awaitable[bool]:
        """Record and answer a request; False when the connection must end."""
        ...

    def lost(self, connection: "CaptureConnection") -> None:
        """The connection is gone, and what was read from it has been handled."""
        ...


class CaptureConnection(RequestReader):
    """Hands the requests of one connection on in their order."""

    def __init__(
        self, owner: ConnectionOwner, name: str, loop: asyncio.AbstractEventLoop, *, refusal: str | None = None
    ) -> None:
        super().__init__(owner, name, loop, refusal=refusal)
        self._owner = owner
        self._is_cut = False
        self._task: asyncio.Task[None] | None = None

    # For the server, when it closes or needs room.

    @property
    def is_waiting(self) -> bool:
        """Whether no complete head is at hand: the peer has sent nothing, or only the beginning of one."""
        return not (self._is_handling or self._queue or self._held or self._is_cut) and self._request is None

    @property
    def body_since_ns(self) -> int | None:
        """When the body began that the peer is sending; None when it sends none, or waits for an answer besides."""
        is_busy = self._is_handling or self._queue or self._held or self._is_cut
        return None if is_busy or self._request is None else self._request.monotonic_ns

    def close_gently(self, closes_ns: int) -> None:
        """End once what is arriving has arrived and is answered, as far as that is due before the receiver closes.

        At once if nothing is.
        """
        self.let_go(closes_ns)
        if self.is_waiting:
            self.cut()

    def cut(self) -> None:
        """Break the connection off. What has arrived of a request is handed on like that of a peer that left."""
        self._is_cut = True
        self._end_reading(_CUT, RequestEnd.PEER_LEFT)
        if self.transport is not None:
            self.transport.abort()

    def cancel(self) -> None:
        """Give up on a request that is being handled."""
        if self._task is not None:
            self._task.cancel()

    # For whoever answers.

    async def left(self) -> None:
        """Return once the peer has ended what it sends, or nobody is left to answer."""
        if self._is_paused and self.transport is not None and not self.transport.is_closing():
            # Only who reads sees a peer leave. What has come is kept, and what still comes is not.
            self._end_reading(_CUT, RequestEnd.PEER_LEFT)
            self.transport.resume_reading()
        await super().left()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected_ns = self._clock.monotonic_ns()
        self.take(cast("asyncio.Transport", transport))
        if self._owner.opened(self):
            self._task = self._loop.create_task(self._handle_all())
        else:
            self.cut()

    def eof_received(self) -> bool:
        self.gone_ns = self.gone_ns or self._clock.monotonic_ns()
        self.note_left()
        has_work = self._is_handling or bool(self._queue) or bool(self._held)
        self._end_reading("the peer left before the head had arrived", RequestEnd.PEER_LEFT)
        # A peer may send its request, close its half and still wait for the answer. With TLS it cannot.
        return has_work and self.tls is None

    def connection_lost(self, exc: Exception | None) -> None:
        # Without an error it was we who closed it, or the end of what the peer sends was noted before.
        if exc is not None:
            self.gone_ns = self.gone_ns or self._clock.monotonic_ns()
        self._end_reading("the peer left before the head had arrived", RequestEnd.PEER_LEFT)
        self.lose()
        if self._task is None or self._task.done():
            self._owner.lost(self)

    # Handling, in a task of its own.

    async def _handle_all(self) -> None:
        try:
            while self._queue or self._held or not self._is_deaf:
                if not self._queue:
                    self._wakeup = self._loop.create_future()
                    await self._wakeup
                    continue
                if self._is_paused:
                    # A store in memory makes nobody wait, so others would not get their turn.
                    await asyncio.sleep(0)
                self._is_handling = True
                goes_on = await self._owner.handle(self._take_request())
                self._is_handling = False
                # A fault may have ended the connection.
                if not goes_on or self.transport is None or self.transport.is_closing():
                    break
                self._invite()
        except Exception:  # noqa: BLE001 -- one request must not take the receiver along
            _log.exception("A request on connection %s could not be handled; it is cut", self.name)
            if self.transport is not None:
                # A close in good order would first wait for a peer to take what was written, if it ever does.
                self.transport.abort()
        finally:
            is_early = self._is_deaf and self.gone_ns is None
            self._end_reading(_CUT, RequestEnd.PEER_LEFT)
            if self.transport is not None:
                if is_early:
                    self._linger(self.transport)
                else:
                    self.transport.close()
            await self._hand_on_rest()
            self._is_handling = False
            if self.transport is None:
                self._owner.lost(self)

    async def _hand_on_rest(self) -> None:
        """Hand on what was waiting behind a request after which nobody is left to answer."""
        while self._queue or self._held:
            rest = self._take_all()
            for request in rest:
                request.ending = (
                    RequestEnd.UNANSWERED if request.ending is RequestEnd.COMPLETE else RequestEnd.PEER_LEFT
                )
            for outcome in await asyncio.gather(*map(self._owner.handle, rest), return_exceptions=True):
                if isinstance(outcome, Exception):
                    _log.error("A request on connection %s could not be recorded", self.name, exc_info=outcome)

    def _linger(self, transport: asyncio.Transport) -> None:
        """Say that this was all, and read on for a while without keeping it."""
        if not transport.is_closing():
            if transport.can_write_eof():
                transport.write_eof()
            self._timer = self._loop.call_later(LINGER_S, transport.abort)
