"""Turns: when one more request may leave, by the maximum of requests."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from postback_sender.clock import Clock
from postback_sender.delivery.pacing import Pacer
from postback_sender.quantities import NANOSECONDS_PER_SECOND, Rate

# How long whoever has a connection waits in line with it: short enough that its server does not close it meanwhile.
_READY_NS = NANOSECONDS_PER_SECOND // 2


class Turns:
    """Hands out turns in the order they were asked for. `room` is how many may get ready for theirs beside each other.

    So many get their turn within half a second: a connection that is made long before would be closed by its server,
    and one that is made in the turn itself would keep everybody else waiting.
    """

    def __init__(self, clock: Clock, rate: Rate, *, spent_ns: int | None, room: int) -> None:
        self._clock = clock
        self._pacer = Pacer(rate, spent_ns=spent_ns)
        soon = rate.count * _READY_NS // rate.window_ns
        self._room = asyncio.Semaphore(min(room, max(2, soon)))
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def getting_ready(self) -> AsyncGenerator[None]:
        """Wait until it is time to get ready for a turn; leave when it was taken."""
        async with self._room:
            yield

    @asynccontextmanager
    async def at_the_front(self) -> AsyncGenerator[None]:
        """Wait until one more request may leave. Nobody else takes a turn before this block is left."""
        async with self._line:
            while (earliest_ns := self._pacer.earliest_ns(now_ns := self._clock.monotonic_ns())) > now_ns:
                await self._clock.sleep_until(earliest_ns)
            yield

    def take(self) -> int:
        """Take the turn, at the front, and return its instant. What leaves has to leave without waiting again."""
        now_ns = self._clock.monotonic_ns()
        self._pacer.take(now_ns)
        return now_ns
