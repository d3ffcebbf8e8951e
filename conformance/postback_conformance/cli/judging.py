"""`check`: judge captured traffic."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from postback_conformance.captured.traffic import Traffic, notifications_of, open_traffic
from postback_conformance.cli.capture_options import RevealOption
from postback_conformance.cli.following import Follower
from postback_conformance.cli.reporting import (
    OutputOption,
    ReportOption,
    captures_of,
    put_report,
    wanted_reports,
    write_report,
    write_reports,
)
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import put
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.judging.baseline import Baseline, read_baseline, written_baseline
from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.judge import Judgement, Judges, Notifications, judge
from postback_conformance.judging.places import place_of
from postback_conformance.judging.rule import Rule
from postback_conformance.judging.selection import select
from postback_conformance.judging.verdict import Level, Verdict
from postback_conformance.printable import printable
from postback_conformance.redaction import hidden
from postback_conformance.reports.exhibit import secrets_of, without_secrets
from postback_conformance.reports.formats import ReportFormat
from postback_conformance.reports.grouping import SYMBOLS, kind_of
from postback_conformance.reports.machine import report_schema
from postback_conformance.reports.report import About, Report, make_report
from postback_conformance.reports.timeline import Timelines
from postback_conformance.reports.wording import not_judged
from postback_conformance.rules import RULES
from postback_receiver import Capture, Evictions
from postback_sender.notification import Notification
from postback_sender.notification_file import load_notification


class FailOn(StrEnum):
    """Which findings make `check` end with exit code 1."""

    MUST = "must"
    SHOULD = "should"


class ProfileName(StrEnum):
    """How much is asked of the traffic."""

    DOCUMENTED = "documented"
    STRICT = "strict"
    LENIENT = "lenient"


_FAILING_LEVELS: dict[FailOn, tuple[Level, ...]] = {FailOn.MUST: ("MUST",), FailOn.SHOULD: ("MUST", "SHOULD")}
_KIT_FAULT = 3
_MOST_NAMED = 10
_NOTHING_TO_JUDGE = 4


def _print_schema(wanted: bool) -> None:  # noqa: FBT001  typer hands it over like that
    if wanted:
        put(msgspec.json.format(msgspec.json.encode(report_schema())))
        raise typer.Exit


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("check")(_check)


_FILE = "FILE"


def _check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A capture store, NDJSON or HAR.", show_default=False)],
    *,
    notification: Annotated[
        Path | None,
        typer.Option(
            "--notification", metavar="N.toml", help="What should have arrived. Default: what the store kept."
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="PATH", help="With --notification: judge the captures of this endpoint."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="GLOB", help="Only these rules; may be repeated.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="GLOB", help="Not these rules; may be repeated.")
    ] = None,
    profile: Annotated[ProfileName, typer.Option("--profile", help="How much is asked.")] = ProfileName.DOCUMENTED,
    fail_on: Annotated[FailOn, typer.Option("--fail-on", help="Findings that end with exit code 1.")] = FailOn.MUST,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar=_FILE, help="Findings that are known, each with a reason and a last day."),
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option("--write-baseline", metavar=_FILE, help="Write what fails now as a new baseline, and end with 0."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on judging as the store grows; Ctrl-C ends with a summary.")
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar=_FILE, help="Also write an HTML page.")] = None,
    report: ReportOption = None,
    output: OutputOption = None,
    reveal: RevealOption = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema", callback=_print_schema, is_eager=True, help="Print the JSON Schema of json and ndjson."
        ),
    ] = False,
    format: Annotated[ReportFormat, typer.Option("--format", help="text for people, the others for programs.")] = (
        ReportFormat.TEXT
    ),
) -> None:
    """Judge captured traffic against the rules. Exit code 1 on findings, 4 when there is nothing to judge."""
    _ = schema
    wanted = wanted_reports([*([f"html={html}"] if html else ()), *(report or ())])
    checking = _Checking(
        file,
        rules=select(RULES, only=only or (), skip=skip or ()),
        profile=profile,
        fail_on=fail_on,
        baseline=_read_baseline(baseline),
        today=datetime.now(UTC).date(),
        reveal=reveal,
        given=_given(notification, endpoint),
    )
    if write_baseline is not None and write_baseline.exists():
        raise ConformanceError(
            f"{write_baseline}: is there already, with what people wrote into it; "
            "name another file, with --baseline to take its reasons over"
        )
    judged = checking.followed(format) if follow else checking.judged()
    put_report(judged, format, output)
    checking.tell_what_is_not_in(judged)
    write_reports(judged, wanted)
    code = exit_code(checking.verdicts, fail_on)
    if code == _NOTHING_TO_JUDGE:
        say(
            "nothing passed and nothing failed: for the rules that were chosen, these captures hold nothing to judge by"
        )
    if write_baseline is not None:
        known = written_baseline(checking.found, checking.today, checking.baseline)
        write_report(write_baseline, known.encode())
        for entry in checking.baseline.renewals(checking.found, checking.today) if checking.baseline else ():
            say(
                f"baseline: {entry.rule} was excused until {entry.expires}, still fails and was renewed: {entry.reason}"
            )
        say(f"baseline: {write_baseline}; give each entry its reason, and check with --baseline {write_baseline}")
        code = code if code in {_KIT_FAULT, _NOTHING_TO_JUDGE} else 0
    raise typer.Exit(code)


class _Checking:
    """One run of `check`: what it judges by, and what came out."""

    def __init__(
        self,
        file: Path,
        *,
        rules: tuple[Rule, ...],
        profile: ProfileName,
        fail_on: FailOn,
        baseline: Baseline | None,
        today: date,
        reveal: bool,
        given: Notifications | None,
    ) -> None:
        self.baseline = baseline
        self.today = today
        self.found: tuple[Verdict, ...] = ()
        """As the judge found them, before the baseline says anything."""
        self.verdicts: tuple[Verdict, ...] = ()
        self._file = file
        self._rules = rules
        self._profile = profile
        self._fail_on = fail_on
        self._hide = None if reveal else hidden
        self._timelines: Timelines | None = None
        self._given = given
        self._endpoint: str | None = None
        self._met: dict[str | None, None] = {}

    def judged(self) -> Report:
        """Judge what is in the file now."""
        with open_traffic(self._file) as traffic:
            if traffic.count == 0:
                raise SelectionError(f"{self._file} holds no captures to judge")
            settings = self._given or notifications_of(traffic.settings, name=traffic.name)
            self._timelines = Timelines(settings)
            judgement = judge(
                self._noted(traffic.read()),
                settings,
                self._rules,
                evictions=(evictions := traffic.store.evictions if traffic.store else Evictions),
                profile=self._profile.value,
                observe=self._observe,
            )
            if isinstance(self._given, Mapping) and self._given.keys().isdisjoint(self._met):
                of = ", ".join(map(str, self._given))
                others = f"; it holds some of {', '.join(map(str, self._met))}" if self._met else ""
                raise SelectionError(f"{self._file} holds no captures of the endpoint {of} to judge{others}")
            return self._report(judgement, traffic, settings, evictions().captures)

    def followed(self, format: ReportFormat) -> Report:
        """Judge what is in the store and what comes into it, until Ctrl-C; findings are told as they come."""
        follower = Follower(
            self._file,
            self._given,
            make_judges=self._judges,
            tell=self._telling(put if format is ReportFormat.TEXT else say),
        )
        follower.until_stopped()
        judgement = follower.judgement()
        if judgement is None:
            raise SelectionError(f"{self._file}: no capture came that could be judged")
        with open_traffic(self._file) as traffic:
            return self._report(judgement, traffic, follower.notifications, follower.evicted)

    def tell_what_is_not_in(self, report: Report) -> None:
        """Say which captures nobody judged."""
        if report.left_out:
            say(not_judged(report.left_out))

    def _noted(self, captures: Iterable[Capture]) -> Iterator[Capture]:
        """Pass captures on, and keep which endpoints took them, to name some if none is the one that was meant."""
        given: Collection[str | None] = self._given if isinstance(self._given, Mapping) else ()
        for capture in captures:
            if capture.endpoint is not None and (len(self._met) < _MOST_NAMED or capture.endpoint in given):
                self._met[capture.endpoint] = None
            yield capture

    def _judges(self, notifications: Notifications) -> Judges:
        self._timelines = Timelines(notifications)
        return Judges(notifications, self._rules, profile=self._profile.value, observe=self._observe)

    def _observe(self, evidence: Evidence) -> None:
        if isinstance(self._given, Notification) and evidence.capture.endpoint is not None:
            self._endpoint = self._endpoint or evidence.capture.endpoint
            if evidence.capture.endpoint != self._endpoint:
                raise ConformanceError(
                    f"{self._file} holds captures of several endpoints, {self._endpoint} and "
                    f"{evidence.capture.endpoint} among them; one notification is for one of them: say which with "
                    f"--endpoint {self._endpoint}"
                )
        if self._timelines is not None:
            self._timelines.observe(evidence)

    def _telling(self, put_line: Callable[[str], None]) -> Callable[[Capture, Verdict], None]:
        def tell(capture: Capture, finding: Verdict) -> None:
            found = self.baseline.applied(finding, self.today) if self.baseline else finding
            message = found.message
            if self._hide is not None and (secrets := secrets_of(capture)):
                message = without_secrets(message, secrets, self._hide)
            about = ", ".join(filter(None, (place_of(found.where), found.endpoint, capture.id[:8])))
            mark, excuse = ("·", f"; excused: {found.baseline}") if found.baseline else (SYMBOLS[kind_of(found)], "")
            put_line(printable(f"{mark} {found.rule} {found.level}: {message} ({about}){excuse}"))

        return tell

    def _report(self, judgement: Judgement, traffic: Traffic, settings: Notifications, evicted: int) -> Report:
        if not judgement.captures:
            raise SelectionError(f"{self._file} holds no captures to judge")
        self.found = judgement.verdicts
        if self.baseline is not None:
            judgement = self.baseline.judgement(judgement, self.today)
        self.verdicts = judgement.verdicts
        return make_report(
            judgement,
            self._rules,
            About(source=traffic.name, profile=self._profile.value, failing=_FAILING_LEVELS[self._fail_on]),
            notifications=settings,
            fetch=captures_of(traffic),
            evicted=evicted,
            stale=self.baseline.stale(judgement.verdicts, _endpoints(settings)) if self.baseline else (),
            timeline=self._timelines.timeline if self._timelines else None,
            hide=self._hide,
        )


def _given(notification: Path | None, endpoint: str | None) -> Notifications | None:
    """Return the settings of the command line, for one endpoint or for whatever arrived; None to take the store's."""
    if notification is None:
        if endpoint is not None:
            raise ConformanceError("--endpoint says what --notification is for, and there is none")
        return None
    loaded = load_notification(notification, None)
    return loaded if endpoint is None else {endpoint: loaded}


def _endpoints(settings: Notifications) -> frozenset[str | None]:
    # Settings that were given for all captures are those of no endpoint.
    return frozenset((None,)) if isinstance(settings, Notification) else frozenset(settings)


def _read_baseline(path: Path | None) -> Baseline | None:
    if path is None:
        return None
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConformanceError(f"{path}: byte {error.start} is not UTF-8; a baseline is TOML") from None
    except OSError as error:
        raise ConformanceError(f"{path}: cannot be read: {error.strerror}; expected a baseline") from None
    return read_baseline(text, RULES, name=str(path))


def exit_code(verdicts: tuple[Verdict, ...], fail_on: FailOn) -> int:
    """Return 3 when a rule itself failed, 1 when there are findings that count and nothing excuses, else 0.

    It is 4 when no rule passed and none failed.
    """
    if any(verdict.outcome == "error" for verdict in verdicts):
        return _KIT_FAULT
    if not any(verdict.outcome in {"pass", "fail"} for verdict in verdicts):
        return _NOTHING_TO_JUDGE
    levels = _FAILING_LEVELS[fail_on]
    return int(any(one.outcome == "fail" and one.level in levels and not one.baseline for one in verdicts))
