"""The endpoint suite as tests: one item for each case."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import msgspec
import pytest
from msgspec.structs import replace

from postback_conformance.certificates import ADVICE
from postback_conformance.driving import run_on_a_thread
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.hosting.hosted import Hosted
from postback_conformance.judging.judge import Judgement
from postback_conformance.judging.selection import CASE, select
from postback_conformance.judging.verdict import Fail, Level, Verdict
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
from postback_conformance.pytest_plugin.once import has_answered, told_before, warn_once
from postback_conformance.pytest_plugin.trusting import trust_of
from postback_conformance.suite.bench import DEFAULT_EXAMPLES, Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.catalogue import CASES
from postback_conformance.suite.endpoint import Endpoint
from postback_conformance.suite.playing import LedgerFail
from postback_conformance.suite.probe import Probe
from postback_conformance.suite.running import ANSWERS, run_suite
from postback_sender import SenderError, example_event, render_postback

if TYPE_CHECKING:
    from postback_conformance.pytest_plugin.again import Again

FailOn: TypeAlias = Literal["must", "should", "info"]

_LEVELS: Final[tuple[Level, ...]] = ("MUST", "SHOULD", "INFO")


def case_ids(item: pytest.Function) -> list[str]:
    """Return the cases that a test is made for; what is misspelt is told before anything runs, and once."""
    config = item.config
    try:
        _settings(config)
        if file := replay(config):
            return [_again(file).case.id]
        only = several(config, "only") or selected_by(item, "only")
        chosen = select(CASES, CASE, only=only, skip=[*several(config, "skip"), *selected_by(item, "skip")])
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
    known = _again(file) if (file := replay(config)) else None
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
        told_by, looked_at = told_of(given, folders(item)), probe_of(config, probe, hosted.url)
        # What no case can send is told here, by one of them.
        settled = told_by.notification
        render_postback(settled, example_event(settled.event, settled.catalogue), to=hosted.url)
    except (SenderError, ConformanceError) as error:
        raise pytest.fail.Exception(in_pytest(str(error)), pytrace=False) from None
    if told_by.source is not None:
        warn_once(item, told_by.source)
    return PostbackCase(
        known.case if known else case_named(request.param),
        hosted,
        told_by,
        looked_at,
        settings=settings,
        item=item,
    )


def _again(path: Path) -> "Again":
    from postback_conformance.pytest_plugin.again import again  # noqa: PLC0415  few runs are of a case file

    return again(path)


def _settings(config: pytest.Config) -> "Settings":
    # There is no cache with -p no:cacheprovider.
    cache = getattr(config, "cache", None)
    return Settings(
        seed=number(config, "seed") or 0,
        max_examples=number(config, "max-examples", least=1),
        quick=switch(config, "quick"),
        failing=failing_levels(text(config, "fail-on") or "must", strict=switch(config, "strict")),
        allowed_hosts=tuple(several(config, "allow-host")),
        trust=trust_of(config),
        folder=None if cache is None else cache.mkdir("postback-cases"),
    )


def case_named(case_id: str) -> Case:
    """Return the case of an id."""
    return next(case for case in CASES if case.id == case_id)


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
    trust: ssl.SSLContext | bool
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
        item: pytest.Item,
    ) -> None:
        self.case = case
        self.id = case.id
        self.level = case.level
        self._endpoint = Endpoint(
            url=hosted.url, allowed_hosts=settings.allowed_hosts, trust=settings.trust, restart=hosted.restart
        )
        self._told = told
        self._probe = probe
        self._settings = settings
        self._item = item
        self._ledger: LedgerFail | None = None

    def __call__(self) -> None:
        """Run the case: it returns when the endpoint stood it, and fails, skips or marks the test otherwise."""
        __tracebackhide__ = True
        bench, judgement = run_on_a_thread(self._run)
        verdicts = tuple(_in_pytest(one) for one in judgement.verdicts)
        bad = [one for one in verdicts if one.outcome in {"error", "fail", "inconclusive"}]
        # What could not be told counts like a failure, as in `conform`: the endpoint, or the probe, did not answer, and
        # a skipped test is green.
        fatal = [one for one in bad if one.outcome == "error" or one.level in self._settings.failing]
        deciding = (fatal or bad or verdicts)[0]
        self._record("postback_case", self.id)
        self._record("postback_level", self.level)
        self._record("postback_outcome", deciding.outcome)
        self._record("postback_seed", bench.seed)
        # Found before the case, and not after it, as with an endpoint that the case was too much for.
        is_down = verdicts[0].rule == ANSWERS.id
        if not is_down:
            has_answered(self._item, self._endpoint.url)
        elif line := told_before(self._item, self._endpoint.url, verdicts[0].message):
            pytest.fail(line, pytrace=False)
        if fatal:
            # Reports, stories and case files are loaded by the first failure.
            from postback_conformance.pytest_plugin.failing import Failed, failure  # noqa: PLC0415

            failed = Failed(
                case=self.case,
                judgement=replace(judgement, verdicts=verdicts),
                bench=bench,
                told=self._told,
                url=self._endpoint.url,
                ledger=self._ledger,
                failing=self._settings.failing,
                # There is nothing to keep of a case that was not tried.
                folder=None if is_down else self._settings.folder,
            )
            pytest.fail(failure(failed), pytrace=False)
        if bad:
            pytest.xfail(f"{deciding.level} {deciding.outcome}: {deciding.message}")
        if deciding.outcome == "not_applicable":
            pytest.skip(f"not applicable: {deciding.message}")

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

    def _record(self, name: str, value: object) -> None:
        # As record_property does, which warns where JUnit's stricter schema knows no properties of a test.
        self._item.user_properties.append((name, value))

    def _ended(self, _case: Case, _verdicts: tuple[Verdict, ...], failures: tuple[Fail, ...]) -> None:
        self._ledger = next((one for one in failures if isinstance(one, LedgerFail)), None)


def _in_pytest(verdict: Verdict) -> Verdict:
    """Return a verdict with pytest's names for the flags in words of ours, and with words of others as they are."""
    message = verdict.message.replace(ADVICE, in_pytest(ADVICE))
    if verdict.outcome == "not_applicable":
        message = in_pytest(message)
    return replace(verdict, message=message, fix=in_pytest(verdict.fix))
