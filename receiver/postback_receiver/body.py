"""Reading a request's body: exactly what came, and how it ended."""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from aiohttp import HttpVersion11, web

STALL_TIMEOUT_S: Final = 30.0
"""A body may pause this long. Generous, since a pause is worth seeing, not worth punishing: it only frees connections
of peers that are gone without a word, and ends the wait after a malformed chunk, which aiohttp keeps to itself."""


class Ending(Enum):
    """How a body ended."""

    COMPLETE = auto()
    TOO_LARGE = auto()
    STALLED = auto()
    PEER_LEFT = auto()


@dataclass(frozen=True, slots=True)
class Body:
    """What came of a body before it ended."""

    data: bytes
    ending: Ending


async def read_body(request: web.BaseRequest, *, max_bytes: int, stall_timeout_s: float) -> Body:
    """Read up to `max_bytes` of the body, off the wire and still compressed. What came before a bad end is kept."""
    data = bytearray()
    try:
        await _invite(request)
        ending = await _read_into(data, request, max_bytes=max_bytes, stall_timeout_s=stall_timeout_s)
    except TimeoutError:
        ending = Ending.STALLED
    except (ConnectionError, web.RequestPayloadError):
        ending = Ending.PEER_LEFT
    if len(data) > max_bytes:
        ending = Ending.TOO_LARGE
    return Body(bytes(data[:max_bytes]), ending)


async def _read_into(data: bytearray, request: web.BaseRequest, *, max_bytes: int, stall_timeout_s: float) -> Ending:
    content = request.content
    if content.is_eof() or request.transport is None:
        # Nothing more will come: the body is all here, as with nearly every postback, or the peer left before anybody
        # read, and then aiohttp would wait for ever. What came is in the buffer.
        data += content.read_nowait()
        return Ending.COMPLETE if content.is_eof() else Ending.PEER_LEFT
    while not content.at_eof() and len(data) <= max_bytes:
        async with asyncio.timeout(stall_timeout_s):
            data += await content.readany()
    return Ending.COMPLETE


async def _invite(request: web.BaseRequest) -> None:
    """Send the `100 Continue` that a careful sender waits for before it sends a body."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # aiohttp takes any byte written for the start of the answer, and this one was not.
        request.writer.output_size = 0
