"""Where things stand in the drawings of a page: plain numbers, in percent of the width, so that no script is needed."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from postback_conformance.printable import counted
from postback_conformance.reports.timeline import Attempt, Line, Pacing
from postback_sender.quantities import NANOSECONDS_PER_SECOND, format_duration

# Room above the highest of peak and limit, so that neither is drawn on the edge.
_HEADROOM: Final = 1.2
# Labels nearer than this to the one before would be written over it.
_LABEL_PERCENT: Final = 18


class PacingChart(msgspec.Struct, frozen=True, kw_only=True):
    """A pacing, drawn: areas as paths in a box `width` wide and 100 high, lines in percent from above."""

    pacing: Pacing
    width: int
    top: int
    requests: str
    counted: str
    above: str
    limit_percent: float | None
    started: str
    ended: str
    window: str
    told: str
    """The same in words."""


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt on a time line; `gap` is the label before it, empty where there is no room or nobody knows."""

    percent: float
    kind: str
    title: str
    gap: str = ""
    gap_percent: float = 0.0


class LineChart(msgspec.Struct, frozen=True, kw_only=True):
    """A time line, drawn, and its steps in words."""

    line: Line
    dots: tuple[Dot, ...]
    steps: tuple[str, ...]
    lasted: str


def pacing_chart(pacing: Pacing) -> PacingChart:
    """Return how to draw a pacing."""
    limit = pacing.limit
    requests = [step.requests for step in pacing.steps]
    limited = [step.resends for step in pacing.steps] if limit is not None and pacing.is_for_resends else requests
    top = max(1, round(max((*requests, limit or 0)) * _HEADROOM))
    over = [value if limit is not None and value > limit else 0 for value in limited]
    ended_at_ns = pacing.started_at_ns + pacing.step_ns * len(pacing.steps)
    what = "resends" if limit is not None and pacing.is_for_resends else "requests"
    window = format_duration(pacing.window_ns)
    told = f"At most {counted(pacing.peak, what.removesuffix('s'))} within {window}"
    if limit is not None:
        told += f"; the limit is {limit}"
    return PacingChart(
        pacing=pacing,
        width=max(1, len(pacing.steps)),
        top=top,
        requests=_area(requests, top) if limited is not requests else "",
        counted=_area(limited, top),
        above=_area(over, top),
        limit_percent=None if limit is None else round(100 * (1 - limit / top), 2),
        started=instant(pacing.started_at_ns),
        ended=instant(ended_at_ns),
        window=window,
        told=told + ".",
    )


def line_chart(line: Line) -> LineChart:
    """Return how to draw the attempts of an event."""
    offsets = _offsets(line.attempts)
    spread = offsets[-1] or 1
    dots: list[Dot] = []
    labelled = -float(_LABEL_PERCENT)
    for attempt, offset in zip(line.attempts, offsets, strict=True):
        percent = round(3 + 94 * offset / spread, 2)
        gap, middle = "", 0.0
        if dots and attempt.gap_ns is not None:
            middle = round((percent + dots[-1].percent) / 2, 2)
            if percent - dots[-1].percent >= _LABEL_PERCENT and middle - labelled >= _LABEL_PERCENT:
                gap, labelled = seconds(attempt.gap_ns), middle
        dots.append(
            Dot(
                percent=percent,
                kind=_kind(attempt),
                title=f"{_answered(attempt)}, capture {attempt.capture}",
                gap=gap,
                gap_percent=middle,
            )
        )
    known = [attempt.gap_ns for attempt in line.attempts[1:] if attempt.gap_ns is not None]
    is_whole = not line.left_out and len(known) == len(line.attempts) - 1
    return LineChart(
        line=line, dots=tuple(dots), steps=tuple(_steps(line)), lasted=seconds(sum(known)) if is_whole else ""
    )


def instant(at_ns: int) -> str:
    """Return a wall time for people, to the millisecond, in UTC."""
    try:
        moment = datetime.fromtimestamp(at_ns // NANOSECONDS_PER_SECOND, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{at_ns} ns"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at_ns % NANOSECONDS_PER_SECOND // 1_000_000:03d} UTC"


def seconds(nanoseconds: int) -> str:
    """Return a time between two arrivals for people, with as many digits as anybody wants to know."""
    value = nanoseconds / NANOSECONDS_PER_SECOND
    if value < 60:
        return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"
    minutes = value / 60
    return f"{minutes:.1f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _area(values: Sequence[int], top: int) -> str:
    """Return the outline of bars, one for each value, in a box as wide as there are values."""
    parts = ["M0 100"]
    height = None
    for index, value in enumerate(values):
        y = round(100 - 100 * value / top, 2)
        if y != height:
            parts.append(f"H{index}V{y:g}")
            height = y
    return "".join((*parts, f"H{len(values)}V100Z")) if any(values) else ""


def _offsets(attempts: Iterable[Attempt]) -> list[int]:
    """Return when each attempt came after the first; where nobody knows, as if it took as long as the shortest gap."""
    gaps = [attempt.gap_ns for attempt in attempts][1:]
    known = [gap for gap in gaps if gap]
    unknown = min(known, default=NANOSECONDS_PER_SECOND)
    offsets = [0]
    for gap in gaps:
        offsets.append(offsets[-1] + (unknown if gap is None else gap))
    return offsets


def _steps(line: Line) -> Iterator[str]:
    last = len(line.attempts) - 1
    for index, attempt in enumerate(line.attempts):
        if line.left_out and index == last:
            yield counted(line.left_out, "more attempt")
        gap = "" if not index else " later" if attempt.gap_ns is None else f" after {seconds(attempt.gap_ns)}"
        yield f"{_answered(attempt)}{gap}"


def _kind(attempt: Attempt) -> str:
    if attempt.status is None:
        return "silent"
    return "taken" if 200 <= attempt.status <= 299 else "refused"


def _answered(attempt: Attempt) -> str:
    return "no answer left" if attempt.status is None else str(attempt.status)
