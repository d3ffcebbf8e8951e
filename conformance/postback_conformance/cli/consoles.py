"""Rich's consoles, for tables and bars. Rich takes longer to load than a receiver, which does without."""

import errno
import os
import sys
from typing import Final, NoReturn

from rich.console import Console
from rich.text import Text

from postback_conformance.cli.saying import say_through

# Into a pipe or a file there is no edge to wrap at: whoever filters a table wants whole lines. Rich reads COLUMNS.
_PIPE_WIDTH: Final = 240
_HAS_WIDTH: Final = sys.stdout.isatty() or os.environ.get("COLUMNS", "").lstrip("0").isdecimal()


class _Console(Console):
    """A console that leaves it to the program what a reader who has left means; Rich's own exits with 1: findings."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


people = _Console(stderr=True, highlight=False)
"""Words beside the result: hints, progress, complaints. Colour only on a terminal, none with NO_COLOR."""

results = _Console(highlight=False, width=None if _HAS_WIDTH else _PIPE_WIDTH)
"""What a command was asked for, laid out for people."""

# What is said while a bar is drawn has to go above it, and only Rich knows where that is.
say_through(lambda text: people.print(Text(text), soft_wrap=True, end=""))
