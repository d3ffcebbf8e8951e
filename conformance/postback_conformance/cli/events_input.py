"""Events for a command: from a file or stdin, or generated from a seed."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from postback_conformance.errors import ConformanceError
from postback_conformance.generation import generate
from postback_conformance.strategies import lifecycles
from postback_sender import Event, read_events

_STDIN = Path("-")
# Generated lives happen now, not over weeks: a command that sends them should end while someone looks.
_MAX_GAP = timedelta(seconds=1)
_MAX_ITEMS = 3


def read_events_file(path: Path) -> Iterator[Event]:
    """Yield the events of an NDJSON file, or of stdin for `-`."""
    if path == _STDIN:
        yield from read_events(sys.stdin.buffer, source="stdin")
        return
    try:
        with path.open("rb") as file:
            yield from read_events(file, source=str(path))
    except OSError as error:
        raise ConformanceError(f"{path}: cannot be read: {error.strerror}; expected events, one a line") from None


def generated_events(*, count: int, seed: int, clearing: bool) -> list[Event]:
    """Return `count` events of generated life cycles that begin now, in the order of their times."""
    strategy = lifecycles(
        started_at=datetime.now(UTC), max_updates=3, max_gap=_MAX_GAP, max_items=_MAX_ITEMS, clearing=clearing
    )
    # A life has at least one event, so this many lives are enough.
    events = (event for life in generate(strategy, count=count, seed=seed) for event in life)
    return sorted(islice(events, count), key=lambda event: event.at)
