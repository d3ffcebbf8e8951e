"""Events for a command, from a file or stdin."""

import sys
from collections.abc import Iterator
from pathlib import Path

from postback_conformance.errors import ConformanceError
from postback_sender import Event, read_events

_STDIN = Path("-")


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
