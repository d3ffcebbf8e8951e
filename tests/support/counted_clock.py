"""A clock that no machine hurries or holds up: time is what is waited for by it, and what somebody says has passed."""

import asyncio
import threading
import time

# So that whatever ends after some time ends after so many looks at the clock.
_LOOK_NS = 100_000


class CountedClock:
    """A sender's clock. Each look at it takes a tenth of a millisecond, and a wait as long as it was to take."""

    def __init__(self) -> None:
        self._began_at_ns = time.time_ns()
        self._passed_ns = 0
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        return self._began_at_ns + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        with self._lock:
            self._passed_ns += _LOOK_NS
            return self._passed_ns

    async def sleep_until(self, monotonic_ns: int) -> None:
        # Whoever has something to do does it first.
        await asyncio.sleep(0)
        with self._lock:
            self._passed_ns = max(self._passed_ns, monotonic_ns)

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass."""
        with self._lock:
            self._passed_ns += round(seconds * 1e9)
