"""A line: the connection that requests come on and their answers go back on. Reading from it is somebody else's."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final, cast

from postback_receiver.capture import Tls
from postback_receiver.tls import describe_tls

_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Line(asyncio.Protocol):
    """What requests and their answers need of the connection they share.

    `go_down` tears down every connection of the server, and refuses new ones for so many nanoseconds.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, go_down: Callable[[int], None]) -> None:
        self.name = name
        self.remote = ""
        self.tls: Tls | None = None
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
        self._left: asyncio.Future[None] | None = None

    # For whoever answers.

    async def write(self, data: bytes) -> None:
        """Write, and wait until there is room for more; ConnectionError when the peer has gone."""
        # A transport that is closing takes what is written, and throws it away.
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the peer has gone")
        self.transport.write(data)
        if self._is_full:
            await self._drain()

    async def _drain(self) -> None:
        while self._is_full:
            self._room = self._loop.create_future()
            await self._room
            if self.transport is None:
                raise ConnectionResetError("the peer has gone")

    async def gone(self) -> None:
        """Return once nobody is left to answer, because the peer has gone or the receiver is closing."""
        if self.transport is not None:
            self._gone = self._gone or self._loop.create_future()
            # One who waits may be cancelled, and another not.
            await asyncio.shield(self._gone)

    async def left(self) -> None:
        """Return once the peer has ended what it sends, or nobody is left to answer."""
        if self.transport is not None and self.gone_ns is None and (self._gone is None or not self._gone.done()):
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
        self.tls = None if secured is None else describe_tls(secured)

    def let_go(self) -> None:
        """No answer is awaited any more, whether or not the connection is still there."""
        self._gone = self._gone or self._loop.create_future()
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
