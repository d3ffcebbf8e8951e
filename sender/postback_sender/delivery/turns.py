"""Turns: when one more request may leave, by the maximum of requests."""

import asyncio

from postback_sender.clock import Clock
from postback_sender.delivery.pacing import Pacer
from postback_sender.quantities import NANOSECONDS_PER_SECOND, Rate

# How long whoever has a connection waits in line with it: short enough that its server does not close it meanwhile.
_READY_NS = NANOSECONDS_PER_SECOND // 2


class Turns:
    """Hands out turns. Whoever wants one gets ready while holding `room`, and then holds `line` until it was taken.

    There is room for as many as get their turn within half a second, `most` at most: a connection that is made long
    before would be closed by its server, and one that is made in the turn itself would keep everybody else waiting.
    """

    def __init__(self, clock: Clock, rate: Rate, *, spent_ns: int | None, most: int) -> None:
        self._clock = clock
        self._pacer = Pacer(rate, spent_ns=spent_ns)
        soon = rate.count * _READY_NS // rate.window_ns
        self.room = asyncio.Semaphore(min(most, max(2, soon)))
        self.line = asyncio.Lock()

    async def until_allowed(self) -> None:
        """Wait, at the front of the line, until one more request may leave."""
        while (earliest_ns := self._pacer.earliest_ns(now_ns := self._clock.monotonic_ns())) > now_ns:
            await self._clock.sleep_until(earliest_ns)

    def take(self) -> int:
        """Take the turn and return its instant. What leaves has to leave without waiting again."""
        now_ns = self._clock.monotonic_ns()
        self._pacer.take(now_ns)
        return now_ns
