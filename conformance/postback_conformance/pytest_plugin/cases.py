"""The endpoint suite as tests: one item for each case."""

import shlex
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import msgspec
import pytest
from msgspec.structs import replace

from postback_conformance.driving import run_on_a_thread
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.hosting.hosted import Hosted
from postback_conformance.judge import Judgement
from postback_conformance.ledger.story import curl_lines, told
from postback_conformance.pytest_plugin.asked import (
    Given,
    Told,
    folders,
    given_to,
    in_pytest,
    number,
    replay,
    selected_by,
    several,
    switch,
    text,
    told_of,
)
from postback_conformance.pytest_plugin.endpoint_under_test import probe_of
from postback_conformance.reports.formats import ReportFormat, written
from postback_conformance.suite.bench import DEFAULT_EXAMPLES, Bench
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
from postback_conformance.suite.endpoint import Endpoint
from postback_conformance.suite.once_more import commands
from postback_conformance.suite.probe import Probe
from postback_conformance.suite.reporting import select_cases, suite_report
from postback_conformance.suite.running import run_suite
from postback_conformance.suite.state import LedgerFail
from postback_conformance.verdict import Fail, Level, Verdict
from postback_sender import SenderError
from postback_sender.notification import parse_notification

FailOn: TypeAlias = Literal["must", "should", "info"]

_LEVELS: Final[tuple[Level, ...]] = ("MUST", "SHOULD", "INFO")


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """A case file that is run again."""

    case: Case
    file: CaseFile


def case_ids(item: pytest.Function) -> list[str]:
    """Return the cases that a test is made for; what is misspelt is told before anything runs, and once."""
    config = item.config
    try:
        _settings(config)
        if file := replay(config):
            return [again(file).case.id]
        only = several(config, "only") or selected_by(item, "only")
        chosen = select_cases(CASES, only=only, skip=[*several(config, "skip"), *selected_by(item, "skip")])
    except (pytest.UsageError, SelectionError) as error:
        # The one that pytest shows without a traceback of its own.
        raise pytest.Collector.CollectError(f"postback: {error}") from None
    return [case.id for case in chosen]


def asked_case(
    request: pytest.FixtureRequest, hosted: Hosted, notification: Given | None, probe: object
) -> "PostbackCase":
    """Return the case of a test, as everything that is asked for has it."""
    item: pytest.Item = request.node
    config = request.config
    known = again(file) if (file := replay(config)) else None
    given = known.file.notification if known else given_to(item, notification)
    if given is None:
        pytest.fail(
            "there is no notification to test with: override the fixture postback_notification, mark the test "
            '@pytest.mark.postback("notification.toml"), or give --postback-notification',
            pytrace=False,
        )
    settings = _settings(config)
    if known:
        settings = replace(settings, seed=known.file.seed, max_examples=known.file.max_examples, quick=False)
    try:
        told_by, looked_at = told_of(given, folders(item)), probe_of(config, probe)
    except (SenderError, ConformanceError) as error:
        raise pytest.fail.Exception(in_pytest(str(error)), pytrace=False) from None
    return PostbackCase(
        known.case if known else case_named(request.param),
        hosted,
        told_by,
        looked_at,
        settings=settings,
        # As record_property does, which warns where JUnit's stricter schema knows no properties of a test.
        record=lambda name, value: item.user_properties.append((name, value)),
    )


def _settings(config: pytest.Config) -> "Settings":
    # There is no cache with -p no:cacheprovider.
    cache = getattr(config, "cache", None)
    return Settings(
        seed=number(config, "seed") or 0,
        max_examples=number(config, "max-examples", least=1),
        quick=switch(config, "quick"),
        failing=failing_levels(text(config, "fail-on") or "must", strict=switch(config, "strict")),
        allowed_hosts=tuple(several(config, "allow-host")),
        folder=None if cache is None else cache.mkdir("postback-cases"),
    )


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


def failing_levels(least: str, *, strict: bool) -> tuple[Level, ...]:
    """Return the levels that fail a test: from MUST down to the least; `strict` is that of `postback conform`."""
    if least.lower() not in get_args(FailOn):
        raise pytest.UsageError(f"--postback-fail-on: expected {', '.join(get_args(FailOn))}, got {least!r}")
    count = 1 + get_args(FailOn).index(least.lower())
    return _LEVELS[: max(count, 2) if strict else count]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How cases are run, by the options, the ini keys and the marker."""

    seed: int
    max_examples: int | None
    quick: bool
    failing: tuple[Level, ...]
    """The levels that fail a test; what is wrong on others is an expected failure."""
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
        verdicts = judgement.verdicts
        bad = [one for one in verdicts if one.outcome in {"error", "fail", "inconclusive"}]
        # What could not be told counts like a failure, as in `conform`: the endpoint, or the probe, did not answer, and
        # a skipped test is green.
        fatal = [one for one in bad if one.outcome == "error" or one.level in self._settings.failing]
        deciding = (fatal or bad or verdicts)[0]
        self._record("postback_case", self.id)
        self._record("postback_level", self.level)
        self._record("postback_outcome", deciding.outcome)
        self._record("postback_seed", bench.seed)
        if fatal:
            pytest.fail("\n".join(self._lines(judgement, bench)), pytrace=False)
        if bad:
            pytest.xfail(f"{deciding.level} {deciding.outcome}: {deciding.message}")
        if deciding.outcome == "not_applicable":
            pytest.skip(f"not applicable: {in_pytest(deciding.message)}")

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

    def _lines(self, judgement: Judgement, bench: Bench) -> Iterator[str]:
        report = suite_report(judgement, [self.case], bench, failing=self._settings.failing)
        yield written(report, ReportFormat.TEXT, version=version("postback-kit")).decode().strip()
        story = ""
        if self._ledger is not None:
            # What comes from the environment stays the name of a variable.
            shown = self._told.notification
            if self._told.source is not None:
                shown = parse_notification(self._told.source, None)
            story = told(self._ledger.steps, self._ledger.error.found, shown)
            yield f"\nThe story:\n{story}\n\n{curl_lines(self._ledger.steps, shown, self._endpoint.url).rstrip()}"
        told_already = {self.id} if self._ledger is not None else ()
        yield from commands(judgement, bench, told_already)
        yield f"\nseed {bench.seed}: run it again with --postback-seed={bench.seed}"
        if path := self._kept(bench, story):
            # An endpoint that was hosted for the test is gone by then, and its URL with it.
            yield f"or with --postback-replay={path}, or `postback conform URL --replay {path}`"

    def _kept(self, bench: Bench, story: str) -> str:
        """Keep the case in a file, and return its path as a shell takes it; "" where there is none."""
        if self._told.source is None or self._settings.folder is None:
            return ""
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
        here = Path.cwd()
        return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
