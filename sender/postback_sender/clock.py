"""Time, handed in: the sender never asks the machine directly, so that tests can own the clock."""

import asyncio
import time
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
