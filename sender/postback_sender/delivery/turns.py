"""Turns: when one more request may leave, by the maximum of requests and by the concurrency."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from postback_sender.clock import Clock
from postback_sender.delivery.pacing import Pacer


class Turns:
    """Hands out turns in the order they were asked for; a turn holds one of the places until it is over."""

    def __init__(self, clock: Clock, *, pacer: Pacer | None, places: int, limits_first_sends: bool) -> None:
        self._clock = clock
        self._pacer = pacer
        self._limits_first_sends = limits_first_sends
        self._places = asyncio.Semaphore(places)
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, *, is_resend: bool) -> AsyncGenerator[None]:
        """Wait until one more request may leave.

        Whoever waits in line holds no place, so that resends under a limit never keep first sends from leaving.
        """
        if self._pacer is None or not (is_resend or self._limits_first_sends):
            async with self._places:
                yield
            return
        async with self._line:
            await self._until_allowed(self._pacer)
            await self._places.acquire()
            # Nobody else could take the turn meanwhile: it leaves now, and now is what counts.
            self._pacer.take(self._clock.monotonic_ns())
        try:
            yield
        finally:
            self._places.release()

    async def _until_allowed(self, pacer: Pacer) -> None:
        while (earliest_ns := pacer.earliest_ns(now_ns := self._clock.monotonic_ns())) > now_ns:
            await self._clock.sleep_until(earliest_ns)
