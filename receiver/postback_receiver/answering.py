"""Writing an answer to the wire: plans its steps, lets the faults change them, and plays them on the connection."""

import asyncio
from email.utils import formatdate
from functools import lru_cache
from typing import Final, Protocol

from postback_receiver.answer_plan import (
    Asked,
    Close,
    GoDown,
    Pause,
    Plan,
    Reset,
    Send,
    Silence,
    answer_bytes,
    ends_connection,
    sent_bytes,
)
from postback_receiver.reply import RelayedReply, Reply
from postback_receiver.stamps import Clock, SystemClock

_SYSTEM_CLOCK: Final = SystemClock()
_NS: Final = 1_000_000_000

_MAX_KNOWN_BODY: Final = 1024
"""Answers are remembered when their body is no longer than this."""


class Recipient(Protocol):
    """What an answer needs of the request it is for, and of the connection that it came on."""

    method: str
    keep_alive: bool

    @property
    def version(self) -> tuple[int, int]:
        """Of HTTP."""
        ...

    @property
    def transport(self) -> asyncio.Transport | None:
        """What is written to; None once the connection is gone."""
        ...

    def send(self, data: bytes) -> bool:
        """Write; False when there is no room for more before a `drain`. ConnectionError when the peer has gone."""
        ...

    async def drain(self) -> None:
        """Wait until there is room for more; ConnectionError when the peer has gone."""
        ...

    async def gone(self, due_ns: int) -> None:
        """Return once nobody will be left to answer at that time of the monotonic clock."""
        ...

    async def left(self) -> None:
        """Return once the peer has ended what it sends, or nobody is left to answer."""
        ...

    def close(self) -> None:
        """End the connection in good order, once what was written has left."""
        ...

    def reset(self) -> None:
        """Tear the connection down at once: the peer gets a TCP RST."""
        ...

    def go_down(self, for_ns: int) -> None:
        """Tear every connection down, and refuse new ones for so many nanoseconds."""
        ...


async def write_answer(request: Recipient, reply: Reply, *, keep_alive: bool, clock: Clock = _SYSTEM_CLOCK) -> bool:
    """Answer a request; True when the answer left whole, and as it should be.

    False when a fault spoilt it, or when the peer left or the receiver closed before its end; then the connection is
    closed, since nobody could tell where another answer begins.
    """
    goes_on = keep_alive and request.keep_alive
    is_head, second = request.method == "HEAD", clock.now_ns() // _NS
    try:
        if reply.is_plain:
            is_usual = type(reply) is Reply and len(reply.body) <= _MAX_KNOWN_BODY
            answer = (_known_answer if is_usual else _answer)(reply, request.version, is_head, goes_on, second)
            if not request.send(b"".join(answer)):
                await request.drain()
            is_whole = True
        else:
            head, body = _answer(reply, request.version, is_head, goes_on, second)
            plan = reply.planned((Send(head, "head"), Send(body)))
            await _play(request, plan, clock)
            is_whole = sent_bytes(plan) == head + body
    except ConnectionError:
        request.close()
        return False
    if reply.headers and ends_connection(reply.headers):
        request.close()
    return is_whole


def _answer(reply: Reply, version: tuple[int, int], is_head: bool, goes_on: bool, second: int) -> tuple[bytes, bytes]:  # noqa: FBT001 -- a cache tells keywords apart
    """Return head and body of an answer that is given in this second."""
    asked, date = Asked(version, is_head, goes_on), _http_date(second)
    is_relayed = isinstance(reply, RelayedReply)
    return answer_bytes(reply.status, reply.headers, reply.body, asked, date=date, is_relayed=is_relayed)


# Most requests get the same answer as the one before.
_known_answer = lru_cache(maxsize=16)(_answer)


async def _play(request: Recipient, plan: Plan, clock: Clock) -> None:
    """Play a plan to its end; ConnectionError when there is nobody left to play it to."""
    for step in plan:
        match step:
            case Send(data=data, size=size, every_ns=every_ns):
                await _send(request, data, size or len(data) or 1, every_ns, clock)
            case Pause(ns):
                await _pause(request, ns, clock)
            case Silence():
                # A peer that gives up says so with a FIN, and nothing else will ever come of waiting.
                await request.left()
                raise ConnectionResetError("the peer has gone")
            case Close():
                request.close()
            case Reset():
                await _empty(request)
                request.reset()
            case GoDown(ns):
                request.reset()
                request.go_down(ns)


async def _send(request: Recipient, data: bytes, size: int, every_ns: int, clock: Clock) -> None:
    """Send bytes in pieces of a size."""
    for start in range(0, len(data), size):
        if start:
            await _pause(request, every_ns, clock)
        if not request.send(data[start : start + size]):
            await request.drain()


async def _pause(request: Recipient, ns: int, clock: Clock) -> None:
    """Wait, and never too short; ConnectionError as soon as nobody is left to answer."""
    due_ns = clock.monotonic_ns() + ns
    # uvloop's timers fire up to 1.4 ms early.
    while (left_ns := due_ns - clock.monotonic_ns()) > 0:
        try:
            async with asyncio.timeout(left_ns / _NS):
                await request.gone(due_ns)
        except TimeoutError:
            continue
        raise ConnectionResetError("the peer has gone")


async def _empty(request: Recipient) -> None:
    """Wait until all that was written is on its way: a reset throws away what is not."""
    if request.transport is not None:
        # Of TLS, the limit itself counts as full: with 0 there would never be room again.
        request.transport.set_write_buffer_limits(high=1, low=0)
    if not request.send(b""):
        await request.drain()


@lru_cache(maxsize=2)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
