"""Judging while a receiver works: it may take a share of the time, and no more. What arrives comes first.

Under load captures wait to be judged. When too many wait, all are left out and counted, and judging begins anew:
a judge that had missed captures in between would know less than it thinks.
"""

from collections import deque
from collections.abc import Callable, Iterator

from postback_conformance.judge import Judges
from postback_conformance.verdict import Verdict
from postback_receiver import Capture

MOST_WAITING = 2_000
# One part of judging to four of all else: four fifths of the time are left, and so is most of the throughput.
_SHARE = 4
# What may be saved up in quiet times, so that a burst is judged at once.
_SAVED_NS = 200_000_000


class LiveJudge:
    """Judges captures as there is time for; `clock_ns` is monotonic, `make_judges` begins anew."""

    def __init__(self, make_judges: Callable[[], Judges], clock_ns: Callable[[], int]) -> None:
        self.left_out = 0
        """Captures that nobody had time to judge."""
        self._make_judges = make_judges
        self._judges = make_judges()
        self._clock_ns = clock_ns
        self._waiting: deque[Capture] = deque()
        self._saved_ns = _SAVED_NS
        self._looked_ns = clock_ns()

    @property
    def waiting(self) -> int:
        """How many captures are still to be judged."""
        return len(self._waiting)

    def see(self, capture: Capture) -> Iterator[tuple[Capture, Verdict]]:
        """Take in a capture; yield the findings of those, in order, for which there is time."""
        self._waiting.append(capture)
        if len(self._waiting) > MOST_WAITING:
            self.left_out += len(self._waiting)
            self._waiting.clear()
            self._judges = self._make_judges()
        return self.catch_up()

    def catch_up(self, *, to_the_end: bool = False) -> Iterator[tuple[Capture, Verdict]]:
        """Judge what waits, as long as there is time, or all of it; ask again when it is quiet."""
        now_ns = self._clock_ns()
        self._saved_ns = min(_SAVED_NS, self._saved_ns + (now_ns - self._looked_ns) // _SHARE)
        while self._waiting and (to_the_end or self._saved_ns > 0):
            capture = self._waiting.popleft()
            findings = self._judges.see(capture)
            # What is told of a finding is not the judge's time.
            after_ns = self._clock_ns()
            self._saved_ns -= after_ns - now_ns
            now_ns = after_ns
            yield from ((capture, finding) for finding in findings)
        self._looked_ns = now_ns
