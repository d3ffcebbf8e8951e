"""Time, handed in: the sender never asks the machine directly, so that tests can own the clock."""

import asyncio
import time
from fractions import Fraction
from typing import Protocol


class Clock(Protocol):
    """Wall time and monotonic time in nanoseconds, and a way to let time pass."""

    def now_ns(self) -> int:
        """Return the wall clock, in nanoseconds since the epoch."""
        ...

    def monotonic_ns(self) -> int:
        """Return a clock that never goes back."""
        ...

    async def sleep_until(self, monotonic_ns: int) -> None:
        """Return at that instant or later, never before."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep_until(self, monotonic_ns: int) -> None:
        # uvloop's timers fire up to 1.4 ms early: look at the clock again after waking.
        while (remaining_ns := monotonic_ns - time.monotonic_ns()) > 0:  # noqa: ASYNC110  time is what is waited for
            await asyncio.sleep(remaining_ns / 1e9)


class ScaledClock:
    """Another clock that runs `scale` times as fast from now on: `sleep_until` ten seconds ahead takes ten / `scale`.

    Both times start where the other clock stands. Whoever is not handed this clock does not hurry: timeouts of requests
    stay as long as they are, and a receiver stamps by its own clock, so its verdicts about timing mean nothing.
    """

    def __init__(self, clock: Clock, scale: Fraction) -> None:
        if scale <= 0:
            raise ValueError(f"expected a scale of more than 0, got {scale}")
        self._clock = clock
        self._scale = scale
        self._wall_ns = clock.now_ns()
        self._monotonic_ns = clock.monotonic_ns()

    def now_ns(self) -> int:
        return self._wall_ns + int((self._clock.now_ns() - self._wall_ns) * self._scale // 1)

    def monotonic_ns(self) -> int:
        return self._monotonic_ns + int((self._clock.monotonic_ns() - self._monotonic_ns) * self._scale // 1)

    async def sleep_until(self, monotonic_ns: int) -> None:
        # Rounded up here and down above: the first nanosecond of the other clock at which this one has got there.
        ahead_ns = -((self._monotonic_ns - monotonic_ns) / self._scale // 1)
        await self._clock.sleep_until(self._monotonic_ns + ahead_ns)
