"""How late requests left, as a histogram: exact at its ends, within one percent between, and small for ever."""

from collections import Counter
from collections.abc import Iterator

# Rows of the histogram: requests that were at most so late, in nanoseconds.
_ROWS_NS = tuple(factor * 10**power for power in range(5, 10) for factor in (1, 3))


class LatenessHistogram:
    """Counts of lateness in nanoseconds. Quantiles are rounded up to three digits, the largest is exact."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.max_ns = 0

    def add(self, lateness_ns: int) -> None:
        """Count one request; what is early counts as punctual."""
        lateness_ns = max(0, lateness_ns)
        self._counts[_three_digits(lateness_ns)] += 1
        self.max_ns = max(self.max_ns, lateness_ns)

    def __len__(self) -> int:
        return self._counts.total()

    def quantile_ns(self, share: float) -> int:
        """Return the lateness that this share of the requests did not exceed, such as 0.99; 0 without requests."""
        wanted, seen = share * len(self), 0
        for lateness_ns, count in sorted(self._counts.items()):
            seen += count
            if seen >= wanted:
                return min(lateness_ns, self.max_ns)
        return 0

    def rows(self) -> Iterator[tuple[int | None, int]]:
        """Yield (at most so many nanoseconds late, requests), without empty ends; None stands for anything later."""
        counts: Counter[int | None] = Counter()
        for lateness_ns, count in self._counts.items():
            counts[next((row for row in _ROWS_NS if lateness_ns <= row), None)] += count
        rows = [(row, counts[row]) for row in (*_ROWS_NS, None)]
        filled = [place for place, (_, count) in enumerate(rows) if count]
        yield from rows[filled[0] : filled[-1] + 1] if filled else ()


def _three_digits(number: int) -> int:
    unit = int(10 ** max(0, len(str(number)) - 3))
    return -(-number // unit) * unit
