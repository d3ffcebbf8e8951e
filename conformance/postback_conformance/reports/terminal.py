"""The report at a terminal: a grid of rules and endpoints, then each finding with what was expected and what to do."""

from collections.abc import Iterator
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from postback_conformance.judge import Judgement
from postback_conformance.printable import printable
from postback_conformance.reports.grouping import SYMBOLS, FindingGroup, endpoints_of, grid, grouped
from postback_conformance.verdict import OutcomeName, Subject, Verdict, summary

_STYLES: dict[OutcomeName, str] = {
    "error": "bold magenta",
    "fail": "bold red",
    "inconclusive": "yellow",
    "pass": "green",
    "not_applicable": "dim",
}


def terminal_report(judgement: Judgement, *, subject: Subject = "sender") -> RenderableType:
    """Return everything worth reading about a judgement, the grid first and the summary last."""
    verdicts = judgement.verdicts
    return Group(
        _grid(verdicts),
        *_findings(grouped(verdicts, "error", "fail")),
        *_reasons(grouped(verdicts, "inconclusive")),
        _summary(judgement, subject),
    )


def _grid(verdicts: tuple[Verdict, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    table.add_column("level", no_wrap=True)
    for endpoint in endpoints_of(verdicts):
        table.add_column(Text(printable(endpoint or "all captures")), justify="center", no_wrap=True)
    for row in grid(verdicts):
        cells = [Text(SYMBOLS[outcome], style=_STYLES[outcome]) for outcome in row.outcomes]
        table.add_row(row.rule, row.level, *cells)
    legend = "   ".join(f"{symbol} {name.replace('_', ' ')}" for name, symbol in SYMBOLS.items())
    table.caption = legend
    table.caption_justify = "left"
    return table


def _findings(groups: tuple[FindingGroup, ...]) -> Iterator[RenderableType]:
    for group in groups:
        verdict = group.first
        title = Text.assemble(
            (f"{SYMBOLS[verdict.outcome]} {verdict.rule}", _STYLES[verdict.outcome]),
            f"  {verdict.level}  {printable(verdict.endpoint or '')}",
            f"  ({group.count} findings, the first:)" if group.count > 1 else "",
        )
        yield Text()
        yield title
        yield from (Text.assemble((f"  {name:<9}", "dim"), printable(value)) for name, value in _details(verdict))


def _details(verdict: Verdict) -> Iterator[tuple[str, str]]:
    yield "what", verdict.message
    if verdict.expected:
        yield "expected", verdict.expected
    if verdict.actual:
        yield "got", verdict.actual
    if verdict.where.span:
        first, beyond = verdict.where.span
        yield "where", f"body, byte {first}" + (f" to {beyond - 1}" if beyond - 1 > first else "")
    if verdict.where.header:
        yield "where", f"header {verdict.where.header}"
    if verdict.captures:
        more = ", …" if len(verdict.captures) > 3 else ""
        yield "capture", ", ".join(verdict.captures[:3]) + more
    if verdict.fix:
        yield "do", verdict.fix


def _reasons(groups: tuple[FindingGroup, ...]) -> Iterator[RenderableType]:
    for _, alike in groupby(groups, key=lambda group: group.first.rule):
        verdicts = [group.first for group in alike]
        first = verdicts[0]
        endpoints = printable(" ".join(verdict.endpoint or "" for verdict in verdicts))
        yield Text()
        yield Text.assemble((f"{SYMBOLS[first.outcome]} {first.rule}", _STYLES[first.outcome]), f"  {endpoints}")
        yield Text.assemble(("  why      ", "dim"), printable(first.message))


def _summary(judgement: Judgement, subject: Subject) -> Text:
    counts = summary(judgement.verdicts)
    under_test = {"sender": "the sender (the traffic that arrived)", "endpoint": "the endpoint (its answers)"}
    text = Text(
        f"\n{judgement.captures} captures, {len(grid(judgement.verdicts))} rules, under test: {under_test[subject]}\n"
    )
    parts = [(f"{count} {name.replace('_', ' ')}", _STYLES[name]) for name, count in counts.items() if count]
    for index, (label, style) in enumerate(parts):
        text.append(", " if index else "")
        text.append(label, style=style)
    return text
