"""`conform`: drive a partner's endpoint through the suite of cases."""

import asyncio
import os
import secrets
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from postback_conformance.cli.capture_options import RevealOption
from postback_conformance.cli.consoles import people
from postback_conformance.cli.generating import keep_hypothesis_out_of_here
from postback_conformance.cli.reporting import put_report, wanted_reports, write_report, write_reports
from postback_conformance.cli.terminal import is_quiet, say, show
from postback_conformance.cli.trust import CaFileOption, InsecureOption, trusted
from postback_conformance.curl_command import curl_command
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.judge import Judgement
from postback_conformance.ledger.story import curl_lines, told
from postback_conformance.redaction import hidden, redacted
from postback_conformance.replaying import unfit
from postback_conformance.reports.formats import ReportFormat
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
from postback_conformance.suite.probe import probe_at
from postback_conformance.suite.reporting import select_cases, suite_report
from postback_conformance.suite.running import ANSWERS, run_suite
from postback_conformance.suite.state import LedgerFail
from postback_conformance.verdict import Fail, Level, Verdict
from postback_receiver import new_event_loop
from postback_sender.delivery.target import check_target
from postback_sender.notification import NotificationSource, parse_notification
from postback_sender.notification_file import read_source
from postback_sender.replay.request import Destination

_KIT_FAULT = 3
_NOTHING = 4
_LONGEST_COMMAND = 4000
_MOST_COMMANDS = 10


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
    url: Annotated[str, typer.Argument(metavar="URL", help="The endpoint under test.", show_default=False)],
    *,
    notification: Annotated[
        Path | None, typer.Option("--notification", metavar="N.toml", help="What is sent.", show_default=False)
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
            "--probe", metavar="URL|module:function", help="Shows what the endpoint recorded; see docs/harness.md."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="GLOB", help="Only these cases; may be repeated.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="GLOB", help="Not these cases; may be repeated.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="SHOULD counts, too.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed generates the same events.")] = None,
    max_examples: Annotated[
        int, typer.Option("--max-examples", min=1, max=10_000, help="How many events a case generates.")
    ] = DEFAULT_EXAMPLES,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer examples and smaller bursts.")] = False,
    report: Annotated[
        list[str] | None,
        typer.Option(
            "--report", metavar="FORMAT=FILE", help="Also write this, such as junit=out.xml; may be repeated."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where --format goes, instead of being printed."),
    ] = None,
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
    """Test an endpoint with postbacks of all kinds, good and bad. Exit code 1 on findings, 4 when nothing was tested.

    Send to a test system only: actions are invented, and recorded there.
    """
    _ = list_cases
    wanted = wanted_reports(report or ())
    if replay is not None and (notification is not None or only or skip):
        raise ConformanceError("--replay says what to send and which case; leave --notification, --only and --skip out")
    file = _read_case_file(replay) if replay is not None else None
    if file is not None:
        cases: tuple[Case, ...] = (case_of(file, CASES, name=str(replay)),)
        source, seed, max_examples = file.notification, file.seed, file.max_examples
    elif notification is not None:
        cases = select_cases(CASES, only=only or (), skip=skip or ())
        source, seed = read_source(notification), secrets.randbelow(2**32) if seed is None else seed
    else:
        raise ConformanceError("what is to be sent? --notification N.toml says so, or --replay FILE")
    keep_hypothesis_out_of_here()
    hosts = tuple(allow_host or ())
    check_target(url, allowed_hosts=hosts)
    _let_probe_lie_here(probe)
    bench = Bench(
        Endpoint(url=url, allowed_hosts=hosts, trust=trusted(insecure=insecure, ca_file=ca_file)),
        parse_notification(source, os.environ),
        probe=probe_at(probe, allowed_hosts=hosts) if probe is not None else None,
        seed=seed,
        max_examples=max_examples,
        quick=quick,
    )
    say(f"seed {seed}: the same events again with --seed {seed}")
    keeper = _CaseKeeper(bench, source, case_folder if file is None else None, url)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        judgement = runner.run(_run(cases, bench, keeper))
    failing: tuple[Level, ...] = ("MUST", "SHOULD") if strict else ("MUST",)
    made = suite_report(judgement, cases, bench, failing=failing, hide=None if reveal else hidden)
    put_report(made, format, output)
    write_reports(made, wanted)
    if format is ReportFormat.TEXT:
        for text in (*keeper.stories, *_commands(judgement, bench, keeper.told, reveal=reveal)):
            say(text)
    keeper.tell()
    code = conform_exit_code(judgement.verdicts, failing)
    if code == _NOTHING:
        raise SelectionError("nothing was tested: no case applies to these settings, with what is at hand")
    raise typer.Exit(code)


class _CaseKeeper:
    """Keeps each failing case as a file, and its story where it has one; `folder` None keeps no files."""

    def __init__(self, bench: Bench, source: NotificationSource, folder: Path | None, url: str) -> None:
        self.stories: list[str] = []
        self.told: set[str] = set()
        self._bench = bench
        self._source = source
        # What comes from the environment stays the name of a variable, in stories as in files.
        self._shown = parse_notification(source, None)
        self._folder = folder
        self._url = url
        self._files: list[Path] = []

    def ended(self, case: Case, _verdicts: tuple[Verdict, ...], failures: tuple[Fail, ...]) -> None:
        """Keep a case that failed."""
        if not failures:
            return
        ledger = next((one for one in failures if isinstance(one, LedgerFail)), None)
        story = ""
        if ledger is not None:
            story = told(ledger.steps, ledger.error.found, self._shown)
            self.told.add(case.id)
            self.stories.append(f"\n{case.id}, the story:\n{story}\n{curl_lines(ledger.steps, self._shown, self._url)}")
        if self._folder is not None:
            file = CaseFile(
                case=case.id,
                seed=self._bench.seed,
                max_examples=self._bench.max_examples,
                notification=self._source,
                steps=ledger.steps if ledger is not None else (),
                story=story,
            )
            path = self._folder / file_name(file)
            write_report(path, encode_case_file(file))
            self._files.append(path)

    def tell(self) -> None:
        """Say how each kept case is run again."""
        for path in self._files:
            say(f"case: {path}; again with: postback conform URL --replay {path}")


async def _run(cases: Sequence[Case], bench: Bench, keeper: _CaseKeeper) -> Judgement:
    """Run the cases; on a terminal, a line tells how far it is."""
    has_line = people.is_terminal and not is_quiet()
    done = 0
    with people.status("…") if has_line else nullcontext() as line:

        def ended(case: Case, verdicts: tuple[Verdict, ...], failures: tuple[Fail, ...]) -> None:
            nonlocal done
            done += 1
            keeper.ended(case, verdicts, failures)
            if line is not None:
                line.update(f"{done} of {len(cases)} cases, {bench.sent_count} requests")

        async with bench:
            return await run_suite(cases, bench, ended=ended)


def _read_case_file(path: Path) -> CaseFile:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConformanceError(f"{path}: cannot be read: {error.strerror}; expected a case file") from None
    return decode_case_file(data, name=str(path))


def _let_probe_lie_here(probe: str | None) -> None:
    """Let the probe's module lie in the folder of the command, as it may for other test tools."""
    if probe is not None and "://" not in probe and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


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


def _commands(judgement: Judgement, bench: Bench, told_already: Collection[str], *, reveal: bool) -> Iterator[str]:
    """Yield, for the first failures, the command that sends the request again; secrets only if they are to be shown.

    `told_already` are the cases of which there is nothing to add.
    """
    done = set(told_already)
    for verdict in judgement.verdicts:
        if verdict.outcome != "fail" or verdict.rule in done or not verdict.captures or len(done) == _MOST_COMMANDS:
            continue
        found = bench.captures(verdict.captures[-1:])
        if not found or unfit(found[0]) is not None:
            continue
        done.add(verdict.rule)
        capture = found[0] if reveal else redacted(found[0])
        command = curl_command(capture, Destination.parse(bench.home)).decode("utf-8", "replace").rstrip()
        if len(command) <= _LONGEST_COMMAND:
            yield f"\n{verdict.rule}, once more:\n{command}"
