"""How late the receiver's own event loop runs: the error bar on every time stamp it takes.

A stamp is taken when the loop gets round to a request. When something kept the loop busy, that is later than the
request arrived, and a timing rule must not blame the sender for it. A small task sleeps for `INTERVAL_NS` again and
again and tells the gauge when it woke; the gauge remembers how late the worst of the recent wake-ups was.
"""

from collections import deque

INTERVAL_NS = 50_000_000
"""Twenty wake-ups a second: a stall longer than this is always seen, and the task costs well under 0.1 % of a core."""

WINDOW_NS = 1_000_000_000
"""A stall stays on the gauge this long: requests that queued up behind it are stamped within that time."""


class LatenessGauge:
    """The worst lateness of about the last second, in nanoseconds of a monotonic clock."""

    def __init__(self) -> None:
        self._due_ns: int | None = None
        self._recent: deque[tuple[int, int]] = deque()

    def expect(self, due_ns: int) -> None:
        """The task goes to sleep and should wake at `due_ns`."""
        self._due_ns = due_ns

    def woke(self, now_ns: int) -> None:
        """The task woke."""
        # uvloop timers may fire a little early; early is not late.
        late_ns = 0 if self._due_ns is None else max(0, now_ns - self._due_ns)
        self._due_ns = None
        while self._recent and self._recent[0][0] < now_ns - WINDOW_NS:
            self._recent.popleft()
        # An earlier and smaller lateness can never be the worst again, so the worst one is always in front.
        while self._recent and self._recent[-1][1] <= late_ns:
            self._recent.pop()
        self._recent.append((now_ns, late_ns))

    def worst_ns(self, now_ns: int) -> int:
        """The worst recent lateness; a wake-up that is overdue at this very moment counts."""
        worst_ns = self._recent[0][1] if self._recent else 0
        # Asked for each request, and so without a function around it.
        return now_ns - self._due_ns if self._due_ns is not None and now_ns - self._due_ns > worst_ns else worst_ns
