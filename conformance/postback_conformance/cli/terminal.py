"""Where a result goes: to stdout, as text or as data."""

import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from postback_conformance.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_CELL_LETTERS = 60


class Format(StrEnum):
    """How a command prints data."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]


def shortened(text: str) -> str:
    """Return the beginning of a text, for a cell of a table; what could steer a terminal is spelt out."""
    return printable(text[:_CELL_LETTERS]) + ("…" if len(text) > _CELL_LETTERS else "")


def show(renderable: "RenderableType") -> None:
    """Show the result of a command: a table, a report or the like."""
    # Imported when used: most results are data, and Rich takes long to load.
    from postback_conformance.cli.consoles import results  # noqa: PLC0415

    results.print(renderable)


def put(text: str | bytes) -> None:
    """Write one piece of data to stdout, with a line end if it has none."""
    # A file name that is not UTF-8 has characters that cannot be written: they are spelt out.
    data = text.encode(errors="backslashreplace") if isinstance(text, str) else text
    sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
    sys.stdout.buffer.flush()


def put_all(lines: Iterable[bytes]) -> None:
    """Write several lines of data to stdout in one go; they come without their ends."""
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
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
