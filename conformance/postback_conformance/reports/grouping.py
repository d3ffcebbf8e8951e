"""Findings arranged for people: by rule and by action, the worst first; one grid of rules and endpoints."""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from postback_conformance.judging.verdict import Verdict
from postback_conformance.printable import counted
from postback_conformance.reports.report import LEVELS, Finding, Group, Report
from postback_conformance.reports.wording import wording

Kind = Literal["error", "fail", "inconclusive", "remark", "pass", "not_applicable"]
"""An outcome as people read it: a finding that is for information only is a remark, and breaks nothing."""

# The worst first.
KINDS: Final[tuple[Kind, ...]] = ("error", "fail", "inconclusive", "remark", "pass", "not_applicable")

SYMBOLS: Final[dict[Kind, str]] = {
    "error": "!",
    "fail": "✗",
    "inconclusive": "?",
    "remark": "i",
    "pass": "✓",
    "not_applicable": "·",
}

WORDS: Final[dict[Kind, str]] = {
    "error": "kit error",
    "fail": "failed",
    "inconclusive": "could not tell",
    "remark": "remarked",
    "pass": "passed",
    "not_applicable": "did not apply",
}
"""What an outcome is called when people read it."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One action at one endpoint, and the findings about it, the worst first; `id` is None where nobody can tell it."""

    id: str | None
    endpoint: str | None
    findings: tuple[Finding, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules it breaks, the worst first."""
        return tuple(dict.fromkeys(finding.verdict.rule for finding in self.findings))


class GridRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, and its worst outcome at each endpoint in the order of the report's."""

    rule: str
    level: str
    outcomes: tuple[Kind, ...]


def kind_of(verdict: Verdict) -> Kind:
    """Return what people read a verdict as."""
    return "remark" if verdict.outcome == "fail" and verdict.level == "INFO" else verdict.outcome


def counts_by_kind(report: Report) -> dict[Kind, int]:
    """Return how many verdicts there are of each kind; what a baseline excuses is in none."""
    remarks = remarks_of(report)
    counts: dict[Kind, int] = {kind: report.counts[kind] for kind in KINDS if kind != "remark"}
    counts["fail"] -= remarks
    return {kind: remarks if kind == "remark" else counts[kind] for kind in KINDS}


def counted_at(report: Report) -> str:
    """Return at how many endpoints each rule was counted, empty when at one."""
    count = sum(endpoint is not None for endpoint in report.endpoints)
    return f"each {wording(report.about.subject).tested} counts once at each of {count} endpoints" if count > 1 else ""


def remarks_of(report: Report) -> int:
    """Return how many findings are for information only."""
    return sum(group.count for group in report.failures if group.first.level == "INFO")


def broken(report: Report) -> tuple[Group, ...]:
    """Return the findings that break a rule."""
    return tuple(group for group in report.failures if group.first.level != "INFO")


def mood(report: Report) -> Kind:
    """Return the outcome that stands for the whole; what is for information only breaks nothing."""
    if report.errors:
        return "error"
    if broken(report):
        return "fail"
    if report.about.subject == "endpoint" and report.inconclusive:
        # There it means that the endpoint or its probe did not answer.
        return "inconclusive"
    return "pass" if report.passed else "inconclusive"


def headline(report: Report) -> str:
    """Return the whole in one line, without a mark or a full stop."""
    remarks = remarks_of(report)
    more = f", {counted(remarks, 'remark')}" if remarks else ""
    words = wording(report.about.subject)
    match mood(report):
        case "error":
            return "The kit itself failed"
        case "fail":
            groups = broken(report)
            rules = len({group.first.rule for group in groups})
            tested = counted(rules, words.tested)
            return f"{tested} {words.broken}, {counted(sum(one.count for one in groups), 'finding')}{more}"
        case _ if report.passed:
            untold = report.counts["inconclusive"] if report.about.subject == "endpoint" else 0
            return f"{words.unbroken}{f', {untold} could not be told' if untold else ''}{more}"
        case _:
            return f"Nothing could be told{more}"


def own_template(report: Report) -> str:
    """Return how many findings the notification's own template is to blame for, empty when it is for none."""
    groups = broken(report)
    caused = sum(finding.verdict.count for group in groups for finding in group.findings if finding.verdict.cause)
    if not caused:
        return ""
    if caused == sum(group.count for group in groups):
        what = "All findings are" if caused > 1 else "The finding is"
    else:
        what = f"{caused} of the findings {'are' if caused > 1 else 'is'}"
    return f"{what} the notification's own doing: its template, which the sender only filled in."


def by_rule(groups: Iterable[Group]) -> list[tuple[str, list[Group]]]:
    """Return groups by rule, the rules in the order of their first group."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(group.first.rule, []).append(group)
    return list(found.items())


def by_action(groups: Iterable[Group]) -> list[Action]:
    """Return the findings of groups by action: first what breaks the most, and at the end what belongs to none."""
    found: dict[tuple[str | None, str | None], list[Finding]] = {}
    for group in groups:
        for finding in group.shown:
            found.setdefault((finding.action, finding.verdict.endpoint), []).append(finding)
    actions = [
        Action(id=action, endpoint=endpoint, findings=tuple(findings)) for (action, endpoint), findings in found.items()
    ]
    return sorted(actions, key=_badness)


def grid(report: Report) -> tuple[GridRow, ...]:
    """Return one row for each rule, the rules with the worst outcomes first."""
    endpoints = report.endpoints
    worst: dict[str, dict[str | None, Kind]] = {}
    levels: dict[str, str] = {}
    for group in report.groups:
        first = group.first
        levels[first.rule] = first.level
        row = worst.setdefault(first.rule, {})
        # What a baseline excuses is known, and nobody's news.
        outcome: Kind = "pass" if first.baseline else kind_of(first)
        before = row.get(first.endpoint, outcome)
        row[first.endpoint] = before if KINDS.index(before) < KINDS.index(outcome) else outcome
    rows = [
        GridRow(rule=rule, level=levels[rule], outcomes=tuple(row.get(one, "not_applicable") for one in endpoints))
        for rule, row in worst.items()
    ]
    return tuple(sorted(rows, key=lambda row: (min(map(KINDS.index, row.outcomes)), row.rule)))


def _badness(action: Action) -> tuple[bool, int, int, str, str]:
    levels = [LEVELS.index(finding.verdict.level) for finding in action.findings]
    return (action.id is None, min(levels), -len(action.rules), action.id or "", action.endpoint or "")
