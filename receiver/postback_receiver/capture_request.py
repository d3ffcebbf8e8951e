"""A request that has arrived, as a connection hands it to the server."""

import asyncio
from enum import Enum, auto

import msgspec

from postback_receiver.capture import Headers
from postback_receiver.line import Line
from postback_receiver.reply import GiveBack
from postback_receiver.request_head import Malformed


class RequestEnd(Enum):
    """How a request ended."""

    COMPLETE = auto()
    TOO_LARGE = auto()
    STALLED = auto()
    MALFORMED = auto()
    DECODED = auto()
    """Its compression was taken off on the way, and with it the bytes that were sent."""
    PEER_LEFT = auto()
    UNANSWERED = auto()
    """It came whole, behind one after which the connection ended: nobody is left to answer."""


class CaptureRequest(msgspec.Struct):
    """A request as far as it will arrive; what of its head could not be read is empty, and `malformed` says why."""

    connection: Line
    number: int
    """On its connection; 1 for the first."""
    method: str
    target: str
    http_version: str
    headers: Headers
    keep_alive: bool
    """Whether the peer wants to go on with the connection."""
    received_at_ns: int
    monotonic_ns: int
    body: bytes = b""
    trailers: Headers = ()
    ending: RequestEnd = RequestEnd.COMPLETE
    body_done_ns: int | None = None
    malformed: Malformed | None = None
    head_size: int = 0
    """Bytes of the head on the wire, where that is known."""
    give_back: GiveBack | None = None
    """Undoes what choosing its reply used up."""

    @property
    def version(self) -> tuple[int, int]:
        """Of HTTP; what could not be read is answered in 1.1."""
        return (1, 0) if self.http_version == "1.0" else (1, 1)

    @property
    def transport(self) -> asyncio.Transport | None:
        """What the answer is written to; None once the connection is gone."""
        return self.connection.transport

    def send(self, data: bytes) -> bool:
        """Write; False when there is no room for more before a `drain`. ConnectionError when the peer has gone."""
        return self.connection.send(data)

    async def drain(self) -> None:
        """Wait until there is room for more; ConnectionError when the peer has gone."""
        await self.connection.drain()

    async def gone(self, due_ns: int) -> None:
        """Return once nobody will be left to answer at `due_ns`: the peer has gone, or the receiver closes sooner."""
        await self.connection.gone(due_ns)

    async def left(self) -> None:
        """Return once the peer has ended what it sends, or nobody is left to answer."""
        await self.connection.left()

    def close(self) -> None:
        """End the connection in good order, once what was written has left."""
        if self.connection.transport is not None:
            self.connection.transport.close()

    def reset(self) -> None:
        """Tear the connection down: the peer gets a TCP RST."""
        self.connection.reset()

    def go_down(self, for_ns: int) -> None:
        """Tear every connection down, and refuse new ones for so many nanoseconds, as a server that starts again."""
        self.connection.go_down(for_ns)
