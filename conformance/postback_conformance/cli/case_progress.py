"""How far a run of the suite is: a line for each case as it ends, and the one that runs, on a terminal."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from postback_conformance.cli.consoles import people
from postback_conformance.cli.interruption import at_signals
from postback_conformance.cli.saying import is_quiet, say
from postback_conformance.judging.verdict import Verdict
from postback_conformance.reports.grouping import KINDS, SYMBOLS, kind_of
from postback_conformance.suite.case import Case
from postback_conformance.suite.running import NOT_TRIED, Stop

_WIDTH = 32


class CaseProgress:
    """Tells of cases as they are run; those that do not apply, or are not tried, are left to the report."""

    def __init__(self, total: int) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=people,
            transient=True,
            disable=not people.is_terminal or is_quiet(),
        )
        self._task = self._bar.add_task("", total=total)
        self._began_at = 0.0

    @contextmanager
    def shown(self) -> Generator[None]:
        """Show a bar as long as the block lasts, on a terminal."""
        with self._bar:
            yield

    def began(self, case: Case) -> None:
        self._began_at = time.monotonic()
        self._bar.update(self._task, description=case.id)

    def ended(self, case: Case, verdicts: tuple[Verdict, ...]) -> None:
        self._bar.advance(self._task)
        kind = kind_of(min(verdicts, key=lambda one: KINDS.index(kind_of(one))))
        if kind != "not_applicable" and not verdicts[0].message.startswith(NOT_TRIED):
            say(f"{SYMBOLS[kind]} {case.id:<{_WIDTH}} {time.monotonic() - self._began_at:6.2f} s")


@contextmanager
def stopped_early(stop: Stop) -> Generator[None]:
    """End a run at the first Ctrl-C or SIGTERM, so that what was found by then is told."""

    def first(name: str) -> None:
        say(f"stopping: the case that runs is cut off, and the report is of what was run; {name} again ends at once")
        stop.ask()

    with at_signals(first):
        yield
