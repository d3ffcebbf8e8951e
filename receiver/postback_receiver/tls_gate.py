"""The way into a port that speaks TLS: whoever begins a handshake gets one, and whoever begins otherwise is refused.

An event loop that is told to speak TLS throws away what is none, and says nothing of it. What arrived is what a
receiver is for, so the first bytes are looked at before the handshake, which then begins with them.
"""

import asyncio
import ssl
from collections.abc import Callable, MutableMapping
from typing import Final, cast

HANDSHAKE_TIMEOUT_S: Final = 10.0
"""A TLS handshake takes two round trips; this frees the connections of peers that never begin or finish theirs."""

_HANDSHAKE: Final = 0x16
"""The first byte of a TLS connection: the type of the record that brings the client's hello (RFC 8446 §5.1)."""


class TlsGate(asyncio.Protocol):
    """One connection until it speaks TLS; then it is that of a protocol from `accept`, else of one from `refuse`.

    While it is neither, it stands in `waiting`, for whoever closes the port or needs room. `make_room` says whether
    there is any for this one.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        loop: asyncio.AbstractEventLoop,
        waiting: MutableMapping["TlsGate", None],
        *,
        make_room: Callable[[asyncio.BaseTransport], bool],
        accept: Callable[[], asyncio.Protocol],
        refuse: Callable[[], asyncio.Protocol],
    ) -> None:
        self._context = context
        self._loop = loop
        self._waiting = waiting
        self._make_room = make_room
        self._accept = accept
        self._refuse = refuse
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._early = bytearray()  # what came before the handshake began, or just after it ended
        self._has_ended = False
        self._loss: Exception | None = None
        self._is_lost = False
        self._successor: asyncio.Protocol | None = None

    def abort(self) -> None:
        """Break the connection off; it waits no longer."""
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._make_room(transport):
            self._transport.abort()
            return
        self._waiting[self] = None
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self.abort)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if self._handshake is not None or transport is None:
            self._early += data
        elif data[0] == _HANDSHAKE:
            self._early += data
            self._stop_timer()
            transport.pause_reading()
            self._handshake = self._loop.create_task(self._shake_hands(transport))
        else:
            self._leave()
            self._hand_over(transport, self._refuse(), data)

    def eof_received(self) -> None:
        self._has_ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._is_lost, self._loss = True, exc
        # The event loop may have had this in hand already when the connection changed hands.
        if self._successor is not None:
            self._successor.connection_lost(exc)

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        starting = asyncio.ensure_future(
            self._loop.start_tls(
                transport, self, self._context, server_side=True, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        )
        # By its next turn, the event loop has set up what does the handshake, and reads on in the one after that.
        await asyncio.sleep(0)
        if not starting.done():
            self._loop.call_soon(self._give_early, transport)
        try:
            secured = await starting
        except OSError:
            # Whatever it was has been counted, and logged with its reason.
            secured = None
        finally:
            self._leave()
        if secured is not None:
            self._hand_over(secured, self._accept(), bytes(self._early))

    def _hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol, data: bytes) -> None:
        """Make it the connection of another protocol, and tell that what has happened by now."""
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)
        if self._has_ended and not protocol.eof_received():
            transport.close()
        if self._is_lost:
            protocol.connection_lost(self._loss)
        else:
            self._successor = protocol

    def _give_early(self, transport: asyncio.Transport) -> None:
        """Give what had come before the handshake to what does it."""
        # uvloop's has the methods, and is no subclass.
        secure = cast("asyncio.BufferedProtocol", transport.get_protocol())
        early, self._early = self._early, bytearray()
        while early and not transport.is_closing():
            room = memoryview(secure.get_buffer(len(early)))
            taken = min(len(early), len(room))
            room[:taken] = early[:taken]
            del early[:taken]
            secure.buffer_updated(taken)

    def _leave(self) -> None:
        self._stop_timer()
        self._waiting.pop(self, None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
