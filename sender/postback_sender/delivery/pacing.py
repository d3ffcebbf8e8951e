"""Maximum requests: a strict limit, so that no window of the given length, anywhere, holds more than it allows."""

from collections import deque

from postback_sender.quantities import Rate

# Releases are planned this much slower than allowed, in thousandths. A limit that is used up to the last nanosecond
# here is broken over there, where requests arrive a few milliseconds early or late; this pays for that.
_HEADROOM_PER_MILLE = 5
# One that leaves no later than this is still on the grid: timers are a few milliseconds coarse.
_LAG_NS = 5_000_000


class Pacer:
    """Says when the next request may leave; all times are nanoseconds of one monotonic clock, handed in.

    Two bounds, and both hold. The grid spreads requests evenly and does not drift when one leaves late. The ring
    remembers the last N instants and makes the limit strict; leaky and token buckets let up to 2N through at first.

    `spent_ns` is an instant by which somebody before us may have used up the limit.
    """

    def __init__(self, rate: Rate, *, spent_ns: int | None = None) -> None:
        self._window_ns = rate.window_ns
        self._spacing_ns = -(-rate.window_ns * (1000 + _HEADROOM_PER_MILLE) // (1000 * rate.count))
        self._count = rate.count
        # The instants of the last window, as far as they matter: N at most, and few when few left.
        self._ring: deque[int] = deque([] if spent_ns is None else [spent_ns] * rate.count)
        self._slot_ns: int | None = None

    def earliest_ns(self, now_ns: int) -> int:
        """Return the first instant, now or later, at which one more is allowed."""
        slot_ns = now_ns if self._slot_ns is None else self._slot_ns
        if len(self._ring) < self._count:
            return max(now_ns, slot_ns)
        # One nanosecond beyond the window: also a window that includes both its ends holds no more than N.
        return max(now_ns, slot_ns, self._ring[0] + self._window_ns + 1)

    def take(self, now_ns: int) -> None:
        """Record that one leaves at `now_ns`, which must not be before `earliest_ns`."""
        while self._ring and self._ring[0] + self._window_ns < now_ns:
            self._ring.popleft()
        self._ring.append(now_ns)
        slot_ns = now_ns if self._slot_ns is None else self._slot_ns
        # After a pause the grid starts anew: time that nobody used is not saved up for a burst.
        is_on_grid = now_ns - slot_ns < max(self._spacing_ns, _LAG_NS)
        self._slot_ns = (slot_ns if is_on_grid else now_ns) + self._spacing_ns
