"""When each request of a replay is due: instants on one time line, worked out before the first one leaves.

Every instant is counted from the start of the replay and in whole numbers, so nothing adds up: a request that is late
makes no other one late, and the last of a million is due where arithmetic says.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import msgspec

from postback_sender.quantities import NANOSECONDS_PER_SECOND, QuantityError

AS_RECORDED = Fraction(1)

_SPEED = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*x\s*", re.ASCII)


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The due times of a replay of `rounds` rounds; all times are nanoseconds.

    `recorded_ns` are the instants of one round in recorded time, counted from its first request and with long gaps
    capped; `round_ns` is how long after the start of one round the next one starts, in recorded time as well. `speed`
    divides both; None means that nothing waits.
    """

    recorded_ns: tuple[int, ...]
    round_ns: int
    rounds: int = 1
    speed: Fraction | None = AS_RECORDED

    @property
    def length(self) -> int:
        """Requests in one round."""
        return len(self.recorded_ns)

    def __len__(self) -> int:
        return self.length * self.rounds

    def due_ns(self, index: int) -> int:
        """Return when the request `index` (over all rounds, from 0) is due, counted from the start of the replay."""
        number, place = divmod(index, self.length)
        # Divided once and last: what divisions round off must not add up.
        return self._paced(number * self.round_ns + self.recorded_ns[place])

    @property
    def duration_ns(self) -> int:
        """How long after the first request the last one is due."""
        return self.due_ns(len(self) - 1) if len(self) else 0

    def busiest(self, window_ns: int = NANOSECONDS_PER_SECOND) -> int:
        """Return how many requests are due in the busiest window, the window's end not included."""
        round_ns = self._paced(self.round_ns)
        if not round_ns:
            return len(self)
        # All rounds are alike: once a window has gone by, every further round repeats what was seen.
        rounds = min(self.rounds, window_ns // round_ns + 2)
        most = first = 0
        for last in range(self.length * rounds):
            while self.due_ns(last) - self.due_ns(first) >= window_ns:
                first += 1
            most = max(most, last - first + 1)
        return most

    def _paced(self, recorded_ns: int) -> int:
        return 0 if self.speed is None else recorded_ns * self.speed.denominator // self.speed.numerator


def schedule_of(
    times_ns: Sequence[int], *, speed: Fraction | None = AS_RECORDED, max_gap_ns: int | None = None, rounds: int = 1
) -> Schedule:
    """Return the schedule of requests recorded at these times, which must be in order.

    A gap longer than `max_gap_ns` is shortened to it, in recorded time: at twice the speed half of it is left. A round
    starts after the one before by its length and the last gap in it once more; with a single request that is at once.
    """
    gaps = [later - earlier for earlier, later in pairwise(times_ns)]
    if any(gap < 0 for gap in gaps):
        raise ValueError("recorded times must be in order: sort them first")
    if max_gap_ns is not None:
        gaps = [min(gap, max_gap_ns) for gap in gaps]
    recorded_ns = tuple(accumulate(gaps, initial=0)) if times_ns else ()
    return Schedule(recorded_ns=recorded_ns, round_ns=sum(gaps) + sum(gaps[-1:]), rounds=rounds, speed=speed)


def parse_speed(text: str) -> Fraction | None:
    """Return the factor of a speed such as `2x` or `0.5x`, or None for `max`."""
    if text.strip() == "max":
        return None
    found = _SPEED.fullmatch(text)
    factor = Fraction(found[1]) if found else Fraction(0)
    if not factor:
        raise QuantityError(f'expected a speed such as "2x", "0.5x" or "max", got {text!r}')
    return factor
