"""A progress bar for whatever goes through many captures."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from postback_conformance.cli.consoles import people
from postback_conformance.cli.saying import is_quiet

# Drawn for every so many: a bar that is told of each one takes longer than the work.
_STEP = 256


@contextmanager
def counting(what: str, total: int | None) -> Generator[Callable[[], None]]:
    """Show a bar on a terminal, gone at the end; the function that is handed out counts one more."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=people,
        transient=True,
        disable=not people.is_terminal or is_quiet(),
    )
    done = 0

    def count_one() -> None:
        nonlocal done
        done += 1
        if done % _STEP == 0:
            progress.update(bar, completed=done)

    with progress:
        bar = progress.add_task(what, total=total)
        yield count_one
