"""The report at a terminal: what is wrong by rule and by action, the worst first, and the summary last.

Colour is the console's business: it has some on a terminal only, and none with NO_COLOR.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from rich.cells import cell_len
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from postback_conformance.judging.verdict import Verdict
from postback_conformance.printable import counted, printable
from postback_conformance.reports.exhibit import Piece
from postback_conformance.reports.grouping import (
    SYMBOLS,
    WORDS,
    Kind,
    broken,
    by_action,
    counted_at,
    counts_by_kind,
    grid,
    kind_of,
    own_template,
)
from postback_conformance.reports.report import NOT_TO_BLAME, SUBJECTS, Finding, Group, Report
from postback_conformance.reports.wording import evicted, wording

_STYLES: Final[dict[Kind, str]] = {
    "error": "bold magenta",
    "fail": "bold red",
    "inconclusive": "yellow",
    "remark": "cyan",
    "pass": "green",
    "not_applicable": "dim",
}
# With more rules broken than this each gets three lines instead of all it has to say.
_MOST_IN_FULL: Final = 12
_MOST_GROUPS: Final = 60
_MOST_ACTIONS: Final = 10
_MOST_ENDPOINTS: Final = 12
_EXCERPT_CELLS: Final = 36
# From so many rules on, what all of them say is said once.
_FEW: Final = 3


def terminal_report(report: Report) -> RenderableType:
    """Return everything worth reading about a judgement."""
    failures = report.failures
    is_short = len(failures) > _MOST_IN_FULL
    return Lines(
        *_grid(report),
        *(line for group in report.errors for line in _group(group, is_short=False)),
        *(line for group in failures[:_MOST_GROUPS] for line in _group(group, is_short=is_short)),
        *_rest(len(failures) - _MOST_GROUPS, "more, as bad or less: --format json has all"),
        *_actions(report),
        *_reasons(report.inconclusive),
        *_baseline(report),
        *_silent(report),
        _summary(report),
    )


def _grid(report: Report) -> Iterator[RenderableType]:
    rows = [row for row in grid(report) if set(row.outcomes) & {"error", "fail", "inconclusive", "remark"}]
    if not rows or not 1 < len(report.endpoints) <= _MOST_ENDPOINTS:
        # At one endpoint, every line of it would be told again below.
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    table.add_column("level", no_wrap=True)
    for endpoint in report.endpoints:
        table.add_column(Text(printable(endpoint or "all captures")), justify="center", no_wrap=True)
    for row in rows[:_MOST_GROUPS]:
        cells = [Text(SYMBOLS[outcome], style=_STYLES[outcome]) for outcome in row.outcomes]
        table.add_row(row.rule, row.level, *cells)
    table.caption = "   ".join(f"{symbol} {WORDS[outcome]}" for outcome, symbol in SYMBOLS.items())
    table.caption_justify = "left"
    yield table
    yield from _rest(len(rows) - _MOST_GROUPS, "more rules")


def _group(group: Group, *, is_short: bool) -> Iterator[RenderableType]:
    first = group.first
    kind = kind_of(first)
    yield Text()
    yield Text.assemble(
        (f"{SYMBOLS[kind]} {first.rule}", _STYLES[kind]),
        f"  {first.level}  {printable(first.endpoint or '')}",
        f"  ({group.count} {'remarks' if kind == 'remark' else 'findings'}, the first:)" if group.count > 1 else "",
    )
    yield _labelled("what", first.message)
    evidence = wording(first.subject).evidence
    if is_short and first.subject == "endpoint":
        yield _labelled("do", first.fix)
        return
    if is_short:
        yield _labelled(evidence, _captures(first))
        return
    yield from (_labelled(name, value) for name, value in _details(group.shown[0], evidence))
    yield from _excerpt(group.shown[0])
    if first.fix:
        yield _labelled("do", first.fix)


def _details(finding: Finding, evidence: str) -> Iterator[tuple[str, str]]:
    verdict = finding.verdict
    if verdict.cause:
        yield "to blame", NOT_TO_BLAME
    if verdict.expected:
        yield "expected", verdict.expected
    if verdict.actual:
        yield "got", verdict.actual
    if place := place_in_words(verdict):
        yield "where", place
    if finding.action:
        yield "action", finding.action
    # Who drives an endpoint has nowhere to look a request up; it is told as a command.
    if verdict.captures and verdict.subject == "sender":
        yield evidence, _captures(verdict)


def place_in_words(verdict: Verdict) -> str:
    """Return in words where a finding is, empty when it is about a whole request or several."""
    where = verdict.where
    if where.span:
        first, beyond = where.span
        place = f"body, byte {first}" + (f" to {beyond - 1}" if beyond - 1 > first else "")
        return f"{place}, {where.pointer}" if where.pointer else place
    if where.pointer:
        return f"body, {where.pointer}"
    if where.header:
        return f"header {where.header}"
    if where.parameter:
        return f"parameter {where.parameter}"
    if where.target:
        return f"target, character {where.target[0]}"
    return ""


def _captures(verdict: Verdict) -> str:
    ids = verdict.captures
    return ", ".join(ids) if len(ids) <= 3 else f"{ids[0]}, … {len(ids) - 2} more …, {ids[-1]}"


def _excerpt(finding: Finding) -> Iterator[RenderableType]:
    """Show the bytes a finding is about on one line, with a caret under each of them."""
    if finding.exhibit is None:
        return
    for pieces in (finding.exhibit.body, finding.exhibit.target):
        index = next((index for index, piece in enumerate(pieces) if piece.is_marked), None)
        if index is None:
            continue
        before, marked, after = (
            _flat(part) for part in (pieces[:index], pieces[index : index + 1], pieces[index + 1 :])
        )
        before, after = _last_cells(before), _first_cells(after)
        marked = _first_cells(marked)
        yield Text.assemble(("  bytes    ", "dim"), before, (marked, "bold red"), after)
        yield Text.assemble(" " * (11 + cell_len(before)), ("^" * max(1, cell_len(marked)), "bold red"))
        return


def _flat(pieces: Iterable[Piece]) -> str:
    return printable("".join(piece.text for piece in pieces))


def _first_cells(text: str) -> str:
    kept = text[:_EXCERPT_CELLS]
    while cell_len(kept) > _EXCERPT_CELLS:
        kept = kept[:-1]
    return kept + ("…" if len(kept) < len(text) else "")


def _last_cells(text: str) -> str:
    kept = text[-_EXCERPT_CELLS:]
    while cell_len(kept) > _EXCERPT_CELLS:
        kept = kept[1:]
    return ("…" if len(kept) < len(text) else "") + kept


def _actions(report: Report) -> Iterator[RenderableType]:
    actions = [action for action in by_action(broken(report)) if action.id is not None]
    # Each case of a suite has actions of its own.
    if len(actions) < 2 or report.about.subject == "endpoint":
        return
    yield Text()
    yield Text("by action", style="bold")
    for action in actions[:_MOST_ACTIONS]:
        where = f" at {printable(action.endpoint)}" if action.endpoint else ""
        yield Text.assemble(
            f"  {printable(action.id or '')}{where}", ("  breaks  ", "dim"), ", ".join(action.rules[:8])
        )
    yield from _rest(len(actions) - _MOST_ACTIONS, "more actions")


def _reasons(groups: tuple[Group, ...]) -> Iterator[RenderableType]:
    """Say why something could not be told; what several rules say in the same words is said once."""
    by_reason: dict[str, list[Group]] = {}
    for group in groups:
        by_reason.setdefault(group.first.message, []).append(group)
    alone: list[Group] = []
    for reason, alike in by_reason.items():
        names = dict.fromkeys(group.first.rule for group in alike)
        if len(names) < _FEW:
            alone += alike
            continue
        yield Text()
        yield Text.assemble(
            (f"{SYMBOLS['inconclusive']} {len(names)} {WORDS['inconclusive']}  ", _STYLES["inconclusive"]),
            (", ".join(names), "dim"),
        )
        yield _labelled("why", reason)
    yield from _single_reasons(tuple(sorted(alone, key=groups.index)))


def _single_reasons(groups: tuple[Group, ...]) -> Iterator[RenderableType]:
    for _, alike in groupby(groups[:_MOST_GROUPS], key=lambda group: group.first.rule):
        verdicts = [group.first for group in alike]
        first = verdicts[0]
        endpoints = printable(" ".join(verdict.endpoint or "" for verdict in verdicts))
        yield Text()
        yield Text.assemble((f"{SYMBOLS[first.outcome]} {first.rule}", _STYLES[first.outcome]), f"  {endpoints}")
        yield _labelled("why", first.message)
    yield from _rest(len(groups) - _MOST_GROUPS, "more that could not be told")


def _baseline(report: Report) -> Iterator[RenderableType]:
    if report.excused or report.stale:
        yield Text()
    for group in report.excused[:_MOST_GROUPS]:
        first = group.first
        told = f"{first.rule} {printable(first.endpoint or '')}: {group.count} excused, {printable(first.baseline)}"
        yield Text.assemble(("baseline  ", "dim"), told)
    for entry in report.stale[:_MOST_GROUPS]:
        told = f"{entry.rule} {printable(entry.endpoint or '')}: {printable(entry.why or entry.reason)}"
        yield Text.assemble(("baseline  stale: ", "yellow"), told)


def _silent(report: Report) -> Iterator[RenderableType]:
    """Name the rules that have nothing to say, in a line or two."""
    loud = {group.first.rule for group in (*report.errors, *report.failures, *report.inconclusive)}
    passed = dict.fromkeys(group.first.rule for group in report.passed if group.first.rule not in loud)
    silent = dict.fromkeys(
        group.first.rule for group in report.not_applicable if group.first.rule not in {*loud, *passed}
    )
    yield from _named("pass", passed)
    if report.about.subject == "sender":
        yield from _named("not_applicable", silent)
        return
    # Of an endpoint, that is what somebody can do something about, such as handing in a probe.
    by_reason: dict[str, dict[str, None]] = {}
    for group in report.not_applicable:
        if group.first.rule in silent:
            by_reason.setdefault(group.first.message, {})[group.first.rule] = None
    for reason, rules in by_reason.items():
        yield from _named("not_applicable", rules)
        yield _labelled("why", reason)


def _named(outcome: Kind, rules: Iterable[str]) -> Iterator[RenderableType]:
    if names := sorted(rules):
        yield Text()
        told = f"{SYMBOLS[outcome]} {len(names)} {WORDS[outcome]}  "
        yield Text.assemble((told, _STYLES[outcome]), (", ".join(names), "dim"))


def _summary(report: Report) -> Text:
    rules = len({group.first.rule for group in report.groups})
    words = wording(report.about.subject)
    seed = "" if report.about.seed is None else f", seed {report.about.seed}"
    text = Text(
        f"\n{counted(report.captures, words.evidence)}, {counted(rules, words.tested)}"
        f"{words.profile(report.about.profile)}{seed}, under test: {SUBJECTS[report.about.subject]}\n"
    )
    if report.evicted:
        text.append(f"{evicted(report.evicted)}\n", style="yellow")
    if told := own_template(report):
        text.append(f"{told}\n")
    parts = [(f"{count} {WORDS[name]}", _STYLES[name]) for name, count in counts_by_kind(report).items() if count]
    if report.excused_count:
        parts.append((f"{report.excused_count} excused by the baseline", "dim"))
    for index, (label, style) in enumerate(parts):
        text.append(", " if index else "")
        text.append(label, style=style)
    if told := counted_at(report):
        text.append(f" ({told})", style="dim")
    return text


def _labelled(name: str, value: str) -> Text:
    return Text.assemble((f"  {name:<9}", "dim"), printable(value))


def _rest(count: int, what: str) -> Iterator[RenderableType]:
    if count > 0:
        yield Text(f"  … {count} {what}", style="dim")
