"""`conform`: drive a partner's endpoint through the suite of cases."""

import asyncio
import os
import secrets
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from postback_conformance.certificates import trusted
from postback_conformance.cli.capture_options import RevealOption
from postback_conformance.cli.case_keeping import CaseKeeper
from postback_conformance.cli.case_progress import CaseProgress, stopped_early
from postback_conformance.cli.generating import keep_hypothesis_out_of_here
from postback_conformance.cli.reporting import OutputOption, ReportOption, put_report, wanted_reports, write_reports
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import show
from postback_conformance.cli.trust import CaFileOption, InsecureOption
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.judging.judge import Judgement
from postback_conformance.judging.verdict import Fail, Level, Verdict
from postback_conformance.lint.sendable import faults_told
from postback_conformance.redaction import hidden, redacted_target
from postback_conformance.reports.formats import ReportFormat
from postback_conformance.suite.bench import DEFAULT_EXAMPLES, Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.case_file import MAX_BYTES, CaseFile, case_of, decode_case_file
from postback_conformance.suite.catalogue import CASES
from postback_conformance.suite.endpoint import Endpoint
from postback_conformance.suite.once_more import commands
from postback_conformance.suite.outcomes import SAW_NOTHING
from postback_conformance.suite.probe import Probe, probe_at
from postback_conformance.suite.reporting import select_cases, suite_report
from postback_conformance.suite.restarting import restart_by
from postback_conformance.suite.running import ANSWERS, Stop, run_suite
from postback_receiver import new_event_loop
from postback_sender import TargetError
from postback_sender.delivery.origin import split_url
from postback_sender.delivery.target import check_target
from postback_sender.notification import parse_notification
from postback_sender.notification_file import read_source

_KIT_FAULT = 3
_NOTHING = 4
_STOPPED = 130
_PLAIN = "accepts.documented-example"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("conform")(_conform)


def _print_cases(wanted: bool) -> None:  # noqa: FBT001  typer hands it over like that
    if wanted:
        table = Table("case", "level", "needs", "what is asked", box=None, header_style="bold")
        for case in (ANSWERS, *CASES):
            table.add_row(case.id, case.level, ", ".join(case.needs), case.requirement)
        show(table)
        raise typer.Exit


def _conform(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Where the endpoint under test takes postbacks.", show_default=False)
    ],
    *,
    notification: Annotated[
        Path | None,
        typer.Option(
            "--notification",
            metavar="N.toml",
            help="The settings of the postback, as at impact.com.",
            show_default=False,
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FILE", help="Run the case of this file again, with what it says to send."),
    ] = None,
    case_folder: Annotated[
        Path, typer.Option("--case-folder", metavar="FOLDER", help="Where each failing case is kept as a file.")
    ] = Path("postback-cases"),
    probe: Annotated[
        str | None,
        typer.Option(
            "--probe",
            metavar="URL|/path|module:function",
            help="Shows what the endpoint recorded; without it, no case looks at money. See docs/harness.md.",
        ),
    ] = None,
    restart: Annotated[
        str | None,
        typer.Option(
            "--restart",
            metavar="COMMAND",
            help="Ends the endpoint the hard way and starts it again; see docs/harness.md.",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="GLOB", help="Only these cases; may be repeated.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="GLOB", help="Not these cases; may be repeated.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="What only SHOULD be so counts as a finding, too.")] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The same seed generates the same events; it is always told.")
    ] = None,
    max_examples: Annotated[
        int, typer.Option("--max-examples", min=1, max=10_000, help="How many events a case generates.")
    ] = DEFAULT_EXAMPLES,
    quick: Annotated[bool, typer.Option("--quick", help="A few seconds: fewer examples, smaller bursts.")] = False,
    report: ReportOption = None,
    output: OutputOption = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="HOST", help="Allow an endpoint beyond this machine: a name, an address, a network."
        ),
    ] = None,
    insecure: InsecureOption = False,
    ca_file: CaFileOption = None,
    reveal: RevealOption = False,
    list_cases: Annotated[
        bool, typer.Option("--list-cases", callback=_print_cases, is_eager=True, help="List the cases and end.")
    ] = False,
    format: Annotated[ReportFormat, typer.Option("--format", help="text for people, the others for programs.")] = (
        ReportFormat.TEXT
    ),
) -> None:
    """Test an endpoint with postbacks of all kinds, good and bad: does it lose money, count it twice, fall over?

    For example: postback conform http://127.0.0.1:8080/postback --notification n.toml --probe /probe

    Send to a test system only: actions are invented, and recorded there. Exit code 1 on findings, 4 when nothing was
    tested, 130 after Ctrl-C or SIGTERM.
    """
    _ = list_cases
    wanted = wanted_reports(report or ())
    if replay is not None and (notification is not None or only or skip or seed is not None):
        raise ConformanceError(
            "--replay says what to send, which case and which seed; leave --notification, --only, --skip and --seed out"
        )
    file = _read_case_file(replay) if replay is not None else None
    if file is not None:
        cases: tuple[Case, ...] = (case_of(file, CASES, name=str(replay)),)
        source, seed, max_examples = file.notification, file.seed, file.max_examples
    elif notification is not None:
        cases = select_cases(CASES, only=only or (), skip=skip or ())
        source, seed = read_source(notification), secrets.randbelow(2**32) if seed is None else seed
    else:
        raise ConformanceError(
            "what is to be sent? --notification N.toml says so, the settings of the postback as at impact.com; "
            "`postback conform --help` shows an example"
        )
    keep_hypothesis_out_of_here()
    hosts = tuple(allow_host or ())
    check_target(url, allowed_hosts=hosts)
    endpoint = Endpoint(
        url=url,
        allowed_hosts=hosts,
        trust=trusted(insecure=insecure, ca_file=ca_file),
        restart=restart_by(restart, split_url(url)[0][0]) if restart is not None else None,
    )
    bench = Bench(
        endpoint,
        parse_notification(source, os.environ),
        probe=_probe(probe, endpoint) if probe is not None else None,
        seed=seed,
        max_examples=max_examples,
        quick=quick,
    )
    # What no case can send is a fault of the settings, not of the endpoint.
    bench.postback(bench.event())
    whence = "of the case file" if file is not None else f"--seed {seed} generates the same events again"
    say(f"seed {seed}: {whence}")
    for fault in faults_told(source):
        say(fault)
    keeper = CaseKeeper(
        bench,
        source,
        case_folder if file is None else None,
        again=_again(
            url if bench.endpoint_name == url else "URL",
            ("--probe", probe if probe is None or redacted_target(probe) == probe else "URL"),
            ("--restart", restart),
            *(("--allow-host", host) for host in hosts),
            ("--ca-file", str(ca_file) if ca_file else None),
            ("--insecure", "" if insecure else None),
        ),
        reveal=reveal,
    )
    stop = Stop()
    # Whatever a probe prints is not for whoever reads the report.
    with redirect_stdout(sys.stderr), asyncio.Runner(loop_factory=new_event_loop) as runner:
        judgement = runner.run(_run(cases, bench, keeper, stop))
    failing: tuple[Level, ...] = ("MUST", "SHOULD") if strict else ("MUST",)
    made = suite_report(judgement, cases, bench, failing=failing, hide=None if reveal else hidden)
    put_report(made, format, output)
    write_reports(made, wanted)
    if format is ReportFormat.TEXT:
        for text in (*keeper.first_stories(), *commands(judgement, bench, keeper.told, reveal=reveal)):
            say(text)
    keeper.tell()
    if stop.is_asked:
        say("stopped: what was not run is told as such, and passes nothing")
        raise typer.Exit(_STOPPED)
    _advise(judgement, cases, failing, replay, bench)
    code = conform_exit_code(judgement.verdicts, failing)
    if code == _NOTHING:
        raise SelectionError("nothing was tested: no case applies to these settings, with what is at hand")
    raise typer.Exit(code)


def _advise(
    judgement: Judgement, cases: Sequence[Case], failing: Sequence[Level], replay: Path | None, bench: Bench
) -> None:
    """Say what a reader of the report may want to know next."""
    failed = [one for one in judgement.verdicts if one.outcome == "fail"]
    if failed and bench.saw_nothing:
        say(SAW_NOTHING)
    if len(cases) > 1 and any(one.rule == _PLAIN for one in failed):
        say(f"begin with {_PLAIN}: while a plain postback is not accepted, most of the rest fails with it")
    if conform_exit_code(judgement.verdicts, failing):
        return
    if any(one.level == "SHOULD" for one in failed):
        say("only SHOULD failed: that counts with --strict")
    if replay is not None:
        say(f"the case of {replay} passes")


async def _run(cases: Sequence[Case], bench: Bench, keeper: CaseKeeper, stop: Stop) -> Judgement:
    progress = CaseProgress(len(cases))

    def ended(case: Case, verdicts: tuple[Verdict, ...], failures: tuple[Fail, ...]) -> None:
        keeper.ended(case, failures)
        progress.ended(case, verdicts)

    with progress.shown(), stopped_early(stop):
        async with bench:
            return await run_suite(cases, bench, began=progress.began, ended=ended, stop=stop)


def _again(url: str, *flags: tuple[str, str | None]) -> str:
    """Return the command that runs a case file again, up to the file; a URL with secrets is left to whoever has it."""
    words = [word for flag, value in flags if value is not None for word in (flag, value) if word]
    return shlex.join(("postback", "conform", url, *words, "--replay"))


def _read_case_file(path: Path) -> CaseFile:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConformanceError(f"{path}: cannot be read: {error.strerror}; expected a case file") from None
    return decode_case_file(data, name=str(path))


def _probe(place: str, endpoint: Endpoint) -> Probe:
    """Return the probe; its module may lie in the folder of the command, as it may for other test tools."""
    if "://" not in place and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return probe_at(place, endpoint=endpoint.url, allowed_hosts=endpoint.allowed_hosts, trust=endpoint.trust)
    except TargetError as error:
        raise ConformanceError(f"--probe: {error}") from None


def conform_exit_code(verdicts: Sequence[Verdict], failing: Sequence[Level]) -> int:
    """Return 3 for a fault of the kit, 1 for findings that count, 4 when nothing applied, else 0.

    What could not be told counts like a finding: in a suite it means that the endpoint, or the probe, did not answer.
    """
    outcomes = {verdict.outcome for verdict in verdicts}
    if "error" in outcomes:
        return _KIT_FAULT
    if outcomes <= {"not_applicable"}:
        return _NOTHING
    return int(any(one.outcome in {"fail", "inconclusive"} and one.level in failing for one in verdicts))
