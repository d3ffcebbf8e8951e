"""Reads on in a store that grows: which captures are ready to be judged, and where to go on next time."""

from collections.abc import Callable, Generator, Iterable

from postback_receiver import Capture, Numbered
from postback_sender.quantities import NANOSECONDS_PER_SECOND

PATIENCE_NS = 5 * NANOSECONDS_PER_SECOND
"""How long a capture may wait for its answer to be noted; a receiver keeps a capture before it answers it."""


class Following:
    """Keeps the place in a store; every capture comes once, in the order of the store.

    `wall_ns` is a clock that agrees with the receiver's, `monotonic_ns` one that never goes back.
    """

    def __init__(self, wall_ns: Callable[[], int], monotonic_ns: Callable[[], int]) -> None:
        self.after = 0
        self.missed = 0
        """Numbers that are not there: the store let them go before anybody looked."""
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._waiting = (0, 0)

    def ready(self, numbered: Iterable[Numbered], *, to_the_end: bool = False) -> Generator[Capture]:
        """Yield what can be judged of the captures after `after`; all of them with `to_the_end`.

        One without a noted answer holds up those after it, so that the order stays; but not for ever.
        """
        for number, capture in numbered:
            if not to_the_end and self._waits(number, capture):
                return
            self.missed += number - self.after - 1
            self.after = number
            yield capture

    def _waits(self, number: int, capture: Capture) -> bool:
        answer = capture.answer
        if (answer is not None and answer.sent_at_ns is not None) or capture.gone_ns is not None:
            return False
        now_ns = self._monotonic_ns()
        if self._waiting[0] != number:
            self._waiting = (number, now_ns)
        waited_ns = max(self._wall_ns() - capture.received_at_ns, now_ns - self._waiting[1])
        return waited_ns < PATIENCE_NS
