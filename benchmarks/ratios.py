"""Compares pieces of work in one run: interleaved rounds, CPU time, the median of the rounds' ratios.

Absolute times mean little on a shared machine, so everything is told as a ratio to a reference that was timed right
beside it. When the reference itself wavers, the run says so and counts for nothing.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

Work = Callable[[], object]

_ROUNDS = 41
_ROUND_NS = 4_000_000
_MOST_SPREAD = 0.25


class Ratio(NamedTuple):
    """How long a piece of work took, measured by the reference; `best` and `limit` are what is aimed at and allowed."""

    name: str
    ratio: float
    limit: float | None = None

    @property
    def holds(self) -> bool:
        return self.limit is None or self.ratio <= self.limit


class Comparison(NamedTuple):
    """All ratios to one reference, and how far the reference strayed between the rounds (0.1 is ten percent)."""

    reference: str
    reference_ns: float
    spread: float
    ratios: tuple[Ratio, ...]

    @property
    def is_void(self) -> bool:
        return self.spread > _MOST_SPREAD

    @property
    def holds(self) -> bool:
        return all(ratio.holds for ratio in self.ratios)


def compare(reference: str, works: Mapping[str, Work], limits: Mapping[str, float]) -> Comparison:
    """Time every piece of work in each of many short rounds; `reference` names the one the others are measured by."""
    loops = {name: _loops(work) for name, work in works.items()}
    rounds = [{name: _time(work, loops[name]) / loops[name] for name, work in works.items()} for _ in range(_ROUNDS)]
    base = [times[reference] for times in rounds]
    low, *_, high = statistics.quantiles(base, n=10)
    return Comparison(
        reference=reference,
        reference_ns=statistics.median(base),
        spread=(high - low) / statistics.median(base),
        ratios=tuple(
            Ratio(name, statistics.median(times[name] / times[reference] for times in rounds), limits.get(name))
            for name in works
            if name != reference
        ),
    )


def table(comparisons: Iterable[Comparison]) -> str:
    """Lay the comparisons out as text."""
    lines: list[str] = []
    for comparison in comparisons:
        state = "VOID, the machine was too busy: " if comparison.is_void else ""
        lines.append(
            f"{comparison.reference}: {comparison.reference_ns / 1000:.1f} µs ({state}spread {comparison.spread:.0%})"
        )
        for name, ratio, limit in comparison.ratios:
            allowed = "" if limit is None else f"   limit {limit:.2f}  {'ok' if ratio <= limit else 'MISSED'}"
            lines.append(f"  {ratio:7.2f} x  {name}{allowed}")
    return "\n".join(lines)


def _loops(work: Work) -> int:
    loops = 1
    while (taken := _time(work, loops)) < _ROUND_NS:
        loops = max(loops * 2, int(loops * _ROUND_NS / max(taken, 1)))
    return loops


def _time(work: Work, loops: int) -> int:
    # CPU time: what other processes take from us does not count.
    begun = time.process_time_ns()
    for _ in range(loops):
        work()
    return time.process_time_ns() - begun
