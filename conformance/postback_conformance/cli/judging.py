"""`check` and `rules`: judge captured traffic, and look up what it is judged by."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, say, show
from postback_conformance.cli.whole_file import write_whole
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.judge import judge
from postback_conformance.reports.grouping import grouped
from postback_conformance.reports.html import html_report
from postback_conformance.reports.machine import encode_report, machine_report
from postback_conformance.reports.terminal import terminal_report
from postback_conformance.rule import Rule
from postback_conformance.rules import RULES
from postback_conformance.selection import find_rule, select
from postback_conformance.traffic import Traffic, notifications_of, open_traffic
from postback_conformance.verdict import Verdict
from postback_receiver import Capture, Evictions
from postback_sender.notification_file import load_notification


class FailOn(StrEnum):
    """Which findings make `check` end with exit code 1."""

    MUST = "must"
    SHOULD = "should"


_FAILING_LEVELS = {FailOn.MUST: ("MUST",), FailOn.SHOULD: ("MUST", "SHOULD")}


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("check")(_check)
    rules = typer.Typer(no_args_is_help=True, help="The rules traffic is judged by.")
    rules.command("list")(_rules_list)
    rules.command("explain")(_rules_explain)
    app.add_typer(rules, name="rules")


def _check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A capture store, NDJSON or HAR.", show_default=False)],
    *,
    notification: Annotated[
        Path | None,
        typer.Option(
            "--notification", metavar="N.toml", help="What should have arrived. Default: what the store kept."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="GLOB", help="Only these rules; may be repeated.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="GLOB", help="Not these rules; may be repeated.")
    ] = None,
    fail_on: Annotated[FailOn, typer.Option("--fail-on", help="Findings that end with exit code 1.")] = FailOn.MUST,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write an HTML report.")] = None,
    format: FormatOption = Format.TEXT,
) -> None:
    """Judge captured traffic against the rules. Exit code 1 on findings, 4 when there is nothing to judge."""
    rules = select(RULES, only=only or (), skip=skip or ())
    with open_traffic(file) as traffic:
        if traffic.count == 0:
            raise SelectionError(f"{file} holds no captures to judge")
        settings = (
            load_notification(notification, None)
            if notification
            else notifications_of(traffic.settings, name=traffic.name)
        )
        evictions = traffic.store.evictions if traffic.store else Evictions
        judgement = judge(traffic.read(), settings, rules, evictions=evictions)
        if not judgement.captures:
            raise SelectionError(f"{file} holds no captures to judge")
        if format is Format.JSON:
            put(encode_report(machine_report(judgement)))
        else:
            show(terminal_report(judgement))
        if judgement.left_out:
            say(f"{judgement.left_out} captures were not judged: no endpoint with a notification took them")
        if html:
            write_page(html, html_report(judgement, evidence_of(traffic, judgement.verdicts), source=traffic.name))
            say(f"report: {html}")
    raise typer.Exit(exit_code(judgement.verdicts, fail_on))


def exit_code(verdicts: tuple[Verdict, ...], fail_on: FailOn) -> int:
    """Return 3 when a rule itself failed, 1 when there are findings of a level that counts, else 0."""
    if any(verdict.outcome == "error" for verdict in verdicts):
        return 3
    return int(any(one.outcome == "fail" and one.level in _FAILING_LEVELS[fail_on] for one in verdicts))


def evidence_of(traffic: Traffic, verdicts: tuple[Verdict, ...]) -> dict[str, Capture]:
    """Return the captures that a report shows: those of the first finding of each group."""
    wanted = {capture for group in grouped(verdicts, "error", "fail") for capture in group.first.captures[-1:]}
    return {capture.id: capture for capture in traffic.read() if capture.id in wanted} if wanted else {}


def write_page(path: Path, page: str) -> None:
    """Write an HTML page, whole or not at all."""
    if path.is_dir():
        raise ConformanceError(f"{path}: the report cannot be written: it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page)
    except OSError as error:
        raise ConformanceError(f"{path}: the report cannot be written: {error.strerror}") from None


def _rules_list(*, format: FormatOption = Format.TEXT) -> None:
    """List every rule."""
    if format is Format.JSON:
        for rule in RULES:
            put_json(_as_data(rule))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    table.add_column("level")
    table.add_column("requirement")
    for rule in RULES:
        table.add_row(rule.id, rule.level, rule.requirement)
    show(table)


def _rules_explain(
    rule_id: Annotated[str, typer.Argument(metavar="ID", help="A rule, as `rules list` names it.", show_default=False)],
    *,
    format: FormatOption = Format.TEXT,
) -> None:
    """Print everything about a rule."""
    rule = find_rule(RULES, rule_id)
    if format is Format.JSON:
        put_json(_as_data(rule))
    else:
        put("\n".join(_explained(rule)))


def _explained(rule: Rule) -> Iterator[str]:
    yield f"{rule.id}  ({rule.level}, about the {rule.subject})"
    yield f"\n  {rule.requirement}\n"
    yield f"  needs    {rule.needs}"
    yield f"  fix      {rule.fix}"
    for source in rule.sources:
        details = ", ".join(part for part in (source.section, source.date, source.certainty) if part)
        yield f"  source   {source.document} ({details})"


def _as_data(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "level": rule.level,
        "subject": rule.subject,
        "requirement": rule.requirement,
        "needs": rule.needs,
        "fix": rule.fix,
        "sources": msgspec.to_builtins(rule.sources),
    }
