"""Where output goes: words for people to stderr, data for programs to stdout."""

import sys
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.markup import escape

people = Console(stderr=True, highlight=False)
"""For people: colour only on a terminal, none with NO_COLOR."""


class Format(StrEnum):
    """How a command prints data."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]


def set_quiet(quiet: bool) -> None:  # noqa: FBT001  a switch is what it is
    """Silence everything for people except errors."""
    people.quiet = quiet


def say(message: str) -> None:
    """Tell people something, as plain text."""
    people.print(escape(message), soft_wrap=True)


def show(renderable: RenderableType) -> None:
    """Show people a table, a report or the like."""
    people.print(renderable)


def complain(message: str) -> None:
    """Tell people what went wrong, also when quiet."""
    sys.stderr.write(f"postback: {message}\n")


def put(text: str | bytes) -> None:
    """Write one piece of data to stdout, with a line end if it has none."""
    data = text.encode() if isinstance(text, str) else text
    sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
    sys.stdout.buffer.flush()


def put_json(value: Any) -> None:  # noqa: ANN401  whatever JSON can hold
    """Write one value to stdout as a line of JSON."""
    put(msgspec.json.encode(value))
