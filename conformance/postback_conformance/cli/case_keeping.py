"""What is kept and told of cases that failed: the story, the requests as commands for a shell, the case file."""

import os
import shlex
from pathlib import Path

from postback_conformance.cli.reporting import write_report
from postback_conformance.cli.saying import say
from postback_conformance.errors import ConformanceError
from postback_conformance.judging.verdict import Fail, Level
from postback_conformance.ledger.story import curl_lines, told
from postback_conformance.reports.report import LEVELS
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.case_file import CaseFile, encode_case_file, file_name
from postback_conformance.suite.playing import LedgerFail
from postback_sender.notification import NotificationSource, parse_notification

_MOST_STORIES = 5


class CaseKeeper:
    """Keeps each failing case as a file, and its story where it has one; `folder` None keeps no files.

    `again` is the command that runs a file again, without the file.
    """

    def __init__(
        self, bench: Bench, source: NotificationSource, folder: Path | None, *, again: str, reveal: bool
    ) -> None:
        self.stories: list[str] = []
        """Of each case that has one, with its requests."""
        self.told: set[str] = set()
        self._bench = bench
        self._source = source
        # What comes from the environment stays the name of a variable, in stories as in files.
        self._shown = parse_notification(source, None)
        self._folder = folder
        self._again = again
        self._reveal = reveal
        self._files: list[tuple[Level, Path]] = []

    def first_stories(self) -> tuple[str, ...]:
        """Return as many as anybody reads at once."""
        return tuple(self.stories[:_MOST_STORIES])

    def ended(self, case: Case, failures: tuple[Fail, ...]) -> None:
        """Keep a case that failed."""
        if not failures:
            return
        ledger = next((one for one in failures if isinstance(one, LedgerFail)), None)
        story = ""
        if ledger is not None:
            story = told(ledger.steps, ledger.error.found, self._shown)
            self.told.add(case.id)
            self.stories.append(f"\n{case.id}, the story:\n{story}\n\n{self._requests(ledger)}".rstrip())
        if self._folder is not None:
            file = CaseFile(
                case=case.id,
                seed=self._bench.seed,
                max_examples=self._bench.max_examples,
                notification=self._source,
                steps=ledger.steps if ledger is not None else (),
                story=story,
            )
            self._keep(case.level, file, self._folder)

    def tell(self) -> None:
        """Say what was not told, and how the kept cases are run again."""
        if len(self.stories) > _MOST_STORIES:
            say(f"\n… and {len(self.stories) - _MOST_STORIES} more stories, each in its case file")
        if not self._files:
            return
        (_, first), *others = sorted(self._files, key=lambda kept: LEVELS.index(kept[0]))
        files = f"{first.name} and {len(others)} more files" if others else first.name
        say(f"\nkept in {first.parent}{os.sep}: {files}. To run a case again, such as after a repair:")
        say(f"  {self._again} {shlex.quote(str(first))}")
        say(f"  pytest --postback-replay={shlex.quote(str(first))}")

    def _requests(self, ledger: LedgerFail) -> str:
        shown = self._bench.notification if self._reveal else self._shown
        return curl_lines(ledger.steps, shown, self._bench.endpoint.url, reveal=self._reveal)

    def _keep(self, level: Level, file: CaseFile, folder: Path) -> None:
        path = folder / file_name(file)
        try:
            write_report(path, encode_case_file(file))
        except ConformanceError as error:
            # Where nothing can be written there is still something to be told.
            say(f"this case is not kept: {error}")
        else:
            self._files.append((level, path))
