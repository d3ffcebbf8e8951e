"""Lines that are written many at a time: a system call for each would cost a receiver more than taking a request."""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TextIO, TypeVar

Line = TypeVar("Line")


class Batch(Generic[Line]):
    """Collects the lines of one turn of the event loop, and gives them to `write` at its end.

    Outside of an event loop each line is written at once, along with those that still wait. Threads may share it.
    `write` must not raise: on the event loop that would be logged, and so be one more line, without end.
    """

    def __init__(self, write: Callable[[list[Line]], None]) -> None:
        self._write = write
        self._lines: list[Line] = []
        self._lock = threading.Lock()

    def add(self, line: Line) -> None:
        """Write a line, soon."""
        with self._lock:
            self._lines.append(line)
            is_first = len(self._lines) == 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            if is_first:
                loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what waits, now."""
        with self._lock:
            lines, self._lines = self._lines, []
        if lines:
            self._write(lines)


def discard(stream: TextIO) -> None:
    """Let all that is written to a stream from now on go nowhere: nobody reads it any more.

    What it still holds would else be tried again, and complained of, at the end of the program.
    """
    with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
