"""Where output goes: the result to stdout, as text or as data; words beside it to stderr."""

import errno
import json
import os
import sys
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.text import Text

from postback_conformance.printable import printable

# Into a pipe or a file there is no edge to wrap at: whoever filters a table wants whole lines. Rich reads COLUMNS.
_PIPE_WIDTH = 240
_HAS_WIDTH = sys.stdout.isatty() or os.environ.get("COLUMNS", "").lstrip("0").isdecimal()
_CELL_LETTERS = 60


class _Results(Console):
    """A console that leaves it to the program what a reader who has left means; Rich's own exits with 1: findings."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


people = Console(stderr=True, highlight=False)
"""Words beside the result: hints, progress, complaints. Colour only on a terminal, none with NO_COLOR."""

results = _Results(highlight=False, width=None if _HAS_WIDTH else _PIPE_WIDTH)
"""What a command was asked for, laid out for people."""


class Format(StrEnum):
    """How a command prints data."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]


def set_quiet(quiet: bool) -> None:  # noqa: FBT001  a switch is what it is
    """Silence everything for people except errors."""
    people.quiet = quiet


def say(message: str) -> None:
    """Tell people something, as plain text; what could steer a terminal is spelt out."""
    people.print(Text(printable(message, keep="\n")), soft_wrap=True)


def shortened(text: str) -> str:
    """Return the beginning of a text, for a cell of a table; what could steer a terminal is spelt out."""
    return printable(text[:_CELL_LETTERS]) + ("…" if len(text) > _CELL_LETTERS else "")


def counted(count: int, noun: str) -> str:
    """Return a number with what it counts, such as `1 event` or `2 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def show(renderable: RenderableType) -> None:
    """Show the result of a command: a table, a report or the like."""
    results.print(renderable)


def put(text: str | bytes) -> None:
    """Write one piece of data to stdout, with a line end if it has none."""
    # A file name that is not UTF-8 has characters that cannot be written: they are spelt out.
    data = text.encode(errors="backslashreplace") if isinstance(text, str) else text
    sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
    sys.stdout.buffer.flush()


def put_text(text: str) -> None:
    """Write captured text to stdout: as it is into a file or pipe, with controls spelt out on a terminal."""
    put(printable(text, keep="\n\t") if sys.stdout.isatty() else text)


def put_json(value: Any) -> None:  # noqa: ANN401  whatever JSON can hold
    """Write one value to stdout as a line of JSON."""
    try:
        put(msgspec.json.encode(value))
    except UnicodeEncodeError:
        # Half a character, out of a file name that is not UTF-8: JSON has a way to spell it out.
        put(json.dumps(msgspec.to_builtins(value)))
