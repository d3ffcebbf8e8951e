"""Events for a command, from a file or stdin."""

import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from postback_conformance.errors import ConformanceError
from postback_sender import Event
from postback_sender.event_file import read_event_file
from postback_sender.tokens import EVENT_KINDS

_STDIN = Path("-")


def read_events_file(path: Path, *, kinds: Collection[str] = EVENT_KINDS) -> Iterator[Event]:
    """Yield the events of a file, or of stdin for `-`; `kinds` are the kinds of event there are."""
    if path == _STDIN:
        yield from read_event_file(sys.stdin.buffer, source="stdin", kinds=kinds)
        return
    try:
        with path.open("rb") as file:
            yield from read_event_file(file, source=str(path), kinds=kinds)
    except OSError as error:
        raise ConformanceError(f"{path}: cannot be read: {error.strerror}; expected events, one a line") from None
