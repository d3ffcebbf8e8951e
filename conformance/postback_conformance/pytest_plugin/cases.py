"""The endpoint suite as tests: one item for each case."""

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast, get_args

import msgspec
import pytest

from postback_conformance.driving import run_on_a_thread
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.export import ExportCount, ExportFormat, exported
from postback_conformance.hosting.hosted import Hosted
from postback_conformance.judge import Judgement
from postback_conformance.ledger.story import curl_lines, told
from postback_conformance.redaction import hidden
from postback_conformance.reports.formats import ReportFormat, written
from postback_conformance.suite.bench import DEFAULT_EXAMPLES, Bench, Endpoint
from postback_conformance.suite.case import Case
from postback_conformance.suite.case_file import (
    MAX_BYTES,
    CaseFile,
    case_of,
    decode_case_file,
    encode_case_file,
    file_name,
)
from postback_conformance.suite.catalogue import CASES
from postback_conformance.suite.probe import CallableProbe, Probe, ProbeFunction, probe_at
from postback_conformance.suite.reporting import select_cases, suite_report
from postback_conformance.suite.running import run_suite
from postback_conformance.suite.state import LedgerFail
from postback_conformance.verdict import Fail, Level, OutcomeName, Verdict
from postback_sender import SenderError
from postback_sender.notification import Notification, NotificationSource, parse_notification
from postback_sender.notification_file import read_source

Given: TypeAlias = Notification | str | Path
"""Settings of a notification: the record, or the file they stand in."""

FailOn: TypeAlias = Literal["must", "should", "info"]

_MOST_COMMANDS: Final = 3
# The gravest first.
_GRAVITY: Final[tuple[OutcomeName, ...]] = ("error", "fail", "inconclusive", "not_applicable")
_LEVELS: Final[tuple[Level, ...]] = ("MUST", "SHOULD", "INFO")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a test tells of: the settings, and their text where they came from a file."""

    notification: Notification
    source: NotificationSource | None = None


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """A case file that is run again."""

    case: Case
    file: CaseFile


def chosen_cases(only: Sequence[str], skip: Sequence[str]) -> tuple[Case, ...]:
    """Return the cases to run; a pattern that matches none is an error of usage."""
    try:
        return select_cases(CASES, only=only, skip=skip)
    except SelectionError as error:
        raise pytest.UsageError(f"postback: {error}") from None


def case_named(case_id: str) -> Case:
    """Return the case of an id."""
    return next(case for case in CASES if case.id == case_id)


def again(path: Path) -> Again:
    """Return the case of a file; one that cannot be read or run is an error of usage."""
    try:
        with path.open("rb") as opened:
            file = decode_case_file(opened.read(MAX_BYTES + 1), name=str(path))
        return Again(case=case_of(file, CASES, name=str(path)), file=file)
    except (ConformanceError, SenderError) as error:
        raise pytest.UsageError(f"--postback-replay: {error}") from None
    except OSError as error:
        raise pytest.UsageError(f"--postback-replay: {path}: {error.strerror}; expected a case file") from None


def told_of(given: Given | NotificationSource, folders: Sequence[Path]) -> Told:
    """Return the settings; the path of a file may be relative to any of the folders."""
    if isinstance(given, Notification):
        return Told(notification=given)
    if not isinstance(given, NotificationSource):
        places = [folder / given for folder in folders]
        given = read_source(next((place for place in places if place.is_file()), places[0]))
    return Told(notification=parse_notification(given, os.environ), source=given)


def fail_on(text: str) -> FailOn:
    """Return the least level whose findings fail a test."""
    if text.lower() not in get_args(FailOn):
        raise pytest.UsageError(f"--postback-fail-on: expected {', '.join(get_args(FailOn))}, got {text!r}")
    return cast("FailOn", text.lower())


def probe_of(given: object, allowed_hosts: Sequence[str]) -> Probe | None:
    """Return the probe: a URL, `module:function`, or a function; None for none."""
    if given is None:
        return None
    if isinstance(given, str):
        return probe_at(given, allowed_hosts=allowed_hosts)
    if not callable(given):
        raise pytest.UsageError(f"postback_probe: expected a URL, module:function or a function, got {given!r:.100}")
    return CallableProbe(cast("ProbeFunction", given))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How cases are run, by the options, the ini keys and the marker."""

    seed: int
    max_examples: int | None
    quick: bool
    fail_on: FailOn
    strict: bool
    allowed_hosts: tuple[str, ...]
    folder: Path | None
    """Where a case that fails is kept."""


class PostbackCase:
    """One case of the endpoint suite, aimed at the endpoint under test: call it in a test, and the test is the case."""

    def __init__(
        self,
        case: Case,
        hosted: Hosted,
        told: Told,
        probe: Probe | None,
        *,
        settings: Settings,
        record: Callable[[str, object], None],
    ) -> None:
        self.case = case
        self.id = case.id
        self.level = case.level
        self._endpoint = Endpoint(url=hosted.url, allowed_hosts=settings.allowed_hosts, restart=hosted.restart)
        self._told = told
        self._probe = probe
        self._settings = settings
        self._record = record
        self._ledger: LedgerFail | None = None

    def __call__(self) -> None:
        """Run the case: it returns when the endpoint stood it, and fails, skips or marks the test otherwise."""
        __tracebackhide__ = True
        bench, judgement = run_on_a_thread(self._run)
        worst = self._worst(judgement.verdicts)
        self._record("postback_case", self.id)
        self._record("postback_level", self.level)
        self._record("postback_outcome", worst.outcome if worst else "pass")
        self._record("postback_seed", bench.seed)
        if worst is None:
            return
        if worst.outcome == "not_applicable":
            pytest.skip(f"not applicable: {worst.message}")
        if worst.outcome == "inconclusive" and not self._settings.strict:
            pytest.skip(f"inconclusive: {worst.message}")
        if worst.outcome == "fail" and worst.level not in self._failing:
            pytest.xfail(f"{worst.level}: {worst.message}")
        pytest.fail("\n".join(self._lines(judgement, bench)), pytrace=False)

    @property
    def _failing(self) -> tuple[Level, ...]:
        return _LEVELS[: _LEVELS.index(cast("Level", self._settings.fail_on.upper())) + 1]

    async def _run(self) -> tuple[Bench, Judgement]:
        settings = self._settings
        async with Bench(
            self._endpoint,
            self._told.notification,
            probe=self._probe,
            seed=settings.seed,
            max_examples=DEFAULT_EXAMPLES if settings.max_examples is None else settings.max_examples,
            quick=settings.quick,
        ) as bench:
            return bench, await run_suite([self.case], bench, ended=self._ended)

    def _ended(self, _case: Case, _verdicts: tuple[Verdict, ...], failures: tuple[Fail, ...]) -> None:
        self._ledger = next((one for one in failures if isinstance(one, LedgerFail)), None)

    def _worst(self, verdicts: Sequence[Verdict]) -> Verdict | None:
        """Return the verdict that decides about the test, None when all is well."""
        bad = [one for one in verdicts if one.outcome in _GRAVITY]
        return min(bad, key=lambda one: (_GRAVITY.index(one.outcome), _LEVELS.index(one.level)), default=None)

    def _lines(self, judgement: Judgement, bench: Bench) -> Iterator[str]:
        report = suite_report(judgement, [self.case], bench, failing=self._failing)
        yield written(report, ReportFormat.TEXT, version=version("postback-kit")).decode().strip()
        story = ""
        if self._ledger is not None:
            # What comes from the environment stays the name of a variable.
            shown = self._told.notification
            if self._told.source is not None:
                shown = parse_notification(self._told.source, None)
            story = told(self._ledger.steps, self._ledger.error.found, shown)
            yield f"\nThe story:\n{story}\n\n{curl_lines(self._ledger.steps, shown, self._endpoint.url)}"
        elif captures := bench.captures({each for one in judgement.verdicts for each in one.captures}):
            pieces = exported(captures[:_MOST_COMMANDS], ExportFormat.CURL, hide=hidden, count=ExportCount())
            yield "\n".join(["\nTo send it again:", *(piece.decode("utf-8", "replace") for piece in pieces)])
        yield f"seed {bench.seed}: run it again with --postback-seed={bench.seed}"
        if path := self._kept(bench, story):
            yield f"or with --postback-replay={path}, or `postback conform {self._endpoint.url} --replay {path}`"

    def _kept(self, bench: Bench, story: str) -> Path | None:
        """Keep the case in a file, and return where."""
        if self._told.source is None or self._settings.folder is None:
            return None
        file = CaseFile(
            case=self.id,
            seed=bench.seed,
            max_examples=bench.max_examples,
            notification=self._told.source,
            steps=self._ledger.steps if self._ledger is not None else (),
            story=story,
        )
        path = self._settings.folder / file_name(file)
        path.write_bytes(encode_case_file(file))
        return path
