"""A line: the connection that requests come on and their answers go back on. Reading from it is somebody else's."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final, cast

from postback_receiver.capture import Tls
from postback_receiver.tls import describe_tls, fault_of_tls

_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Line(asyncio.Protocol):
    """What requests and their answers need of the connection they share.

    `go_down` tears down every connection of the server, and refuses new ones for so many nanoseconds.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, go_down: Callable[[int], None]) -> None:
        self.name = name
        self.remote = ""
        self.tls: Tls | None = None
        self.fault: str | None = None
        """What is wrong with the connection on purpose."""
        self.connected_ns: int | None = None
        self.gone_ns: int | None = None
        """When the peer left; None while it has not, and when we were first."""
        self.transport: asyncio.Transport | None = None
        """What is written to; None once the connection is gone."""
        self.last_capture_id: str | None = None
        self.go_down = go_down
        self._loop = loop
        self._is_full = False
        self._room: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._closes_ns: int | None = None
        self._left: asyncio.Future[None] | None = None

    # For whoever answers.

    def send(self, data: bytes) -> bool:
        """Write; False when there is no room for more before a `drain`. ConnectionError when the peer has gone."""
        transport = self.transport
        # A transport that is closing takes what is written, and throws it away.
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the peer has gone")
        transport.write(data)
        return not self._is_full

    async def drain(self) -> None:
        """Wait until there is room for more; ConnectionError when the peer has gone."""
        while self._is_full:
            self._room = self._loop.create_future()
            await self._room
            if self.transport is None:
                raise ConnectionResetError("the peer has gone")

    async def gone(self, due_ns: int) -> None:
        """Return once nobody will be left to answer at `due_ns`: the peer has gone, or the receiver closes sooner."""
        while self.transport is not None and (self._closes_ns is None or due_ns <= self._closes_ns):
            if self._gone is None or self._gone.done():
                self._gone = self._loop.create_future()
            # One who waits may be cancelled, and another not.
            await asyncio.shield(self._gone)

    async def left(self) -> None:
        """Return once the peer has ended what it sends, or nobody is left to answer."""
        if self.transport is not None and self.gone_ns is None and self._closes_ns is None:
            self._left = self._left or self._loop.create_future()
            await asyncio.shield(self._left)

    def reset(self) -> None:
        """Tear the connection down: the peer gets a TCP RST, and not a FIN."""
        if self.transport is None:
            return
        plain = cast("socket.socket | None", self.transport.get_extra_info("socket"))
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    # For whoever reads.

    def take(self, transport: asyncio.Transport) -> None:
        """The connection is there; note whom it leads to."""
        self.transport = transport
        self.remote = _peer_address(cast("tuple[object, ...] | str | None", transport.get_extra_info("peername")))
        secured = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        if secured is not None:
            self.tls = describe_tls(secured)
            self.fault = fault_of_tls(secured.context)

    def let_go(self, closes_ns: int) -> None:
        """The receiver closes at `closes_ns` by the monotonic clock: no answer that is due later is awaited."""
        self._closes_ns = closes_ns
        resolve(self._gone)
        resolve(self._left)

    def note_left(self) -> None:
        """The peer has ended what it sends; it may still wait for an answer."""
        resolve(self._left)

    def lose(self) -> None:
        """The connection is gone."""
        self.transport = None
        resolve(self._gone)
        resolve(self._left)
        resolve(self._room)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        resolve(self._room)


def resolve(future: asyncio.Future[None] | None) -> None:
    """Let whoever waits for it go on, if anybody does."""
    if future is not None and not future.done():
        future.set_result(None)


def _peer_address(peername: tuple[object, ...] | str | None) -> str:
    """The peer as `host:port`, IPv6 hosts in brackets; empty when it left before anybody could ask."""
    match peername:
        case (str(host), int(port), *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case other:
            return str(other or "")
