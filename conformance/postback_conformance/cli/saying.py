"""What is said to people beside the result, on stderr and as plain text: hints, progress, complaints."""

import sys
from collections.abc import Callable, Iterable

from postback_conformance.printable import printable


class _Telling:
    """How people are told something."""

    def __init__(self) -> None:
        self.is_quiet = False
        self.write: Callable[[str], None] = _to_stderr


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


_telling = _Telling()


def set_quiet(quiet: bool) -> None:  # noqa: FBT001  a switch is what it is
    """Silence everything for people except errors."""
    _telling.is_quiet = quiet


def is_quiet() -> bool:
    """Whether nothing is to be said to people except errors."""
    return _telling.is_quiet


def say_through(write: Callable[[str], None]) -> None:
    """Have everything said to people written by this function; it gets text with its line ends."""
    _telling.write = write


def say(message: str) -> None:
    """Tell people something, as plain text; what could steer a terminal is spelt out."""
    say_all((message,))


def say_all(messages: Iterable[str]) -> None:
    """Tell people several things in one go."""
    if not _telling.is_quiet:
        _telling.write("".join(f"{printable(message, keep=chr(10))}\n" for message in messages))
