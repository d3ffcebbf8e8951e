"""Verdicts arranged for people: the worst first, alike findings together, one grid of rules and endpoints."""

from itertools import groupby

import msgspec

from postback_conformance.verdict import OutcomeName, Verdict

# The worst first: a fault of the kit makes everything else doubtful.
SEVERITY: tuple[OutcomeName, ...] = ("error", "fail", "inconclusive", "pass", "not_applicable")

SYMBOLS: dict[OutcomeName, str] = {
    "error": "!",
    "fail": "✗",
    "inconclusive": "?",
    "pass": "✓",
    "not_applicable": "·",
}


class FindingGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Findings of one rule at one endpoint; `first` stands for all of them."""

    first: Verdict
    count: int


class GridRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, and its worst outcome at each endpoint in the order of `endpoints`."""

    rule: str
    level: str
    outcomes: tuple[OutcomeName, ...]


def endpoints_of(verdicts: tuple[Verdict, ...]) -> tuple[str | None, ...]:
    """Return the endpoints in the order in which they were judged."""
    return tuple(dict.fromkeys(verdict.endpoint for verdict in verdicts))


def grouped(verdicts: tuple[Verdict, ...], *outcomes: OutcomeName) -> tuple[FindingGroup, ...]:
    """Return the verdicts of these outcomes, one group for each rule and endpoint."""
    wanted = [verdict for verdict in verdicts if verdict.outcome in outcomes]
    wanted.sort(key=lambda verdict: (SEVERITY.index(verdict.outcome), verdict.rule, verdict.endpoint or ""))
    groups = groupby(wanted, key=lambda verdict: (verdict.outcome, verdict.rule, verdict.endpoint))
    return tuple(_group(list(group)) for _, group in groups)


def grid(verdicts: tuple[Verdict, ...]) -> tuple[GridRow, ...]:
    """Return one row for each rule, the rules with the worst outcomes first."""
    endpoints = endpoints_of(verdicts)
    worst: dict[str, dict[str | None, OutcomeName]] = {}
    levels: dict[str, str] = {}
    for verdict in verdicts:
        levels[verdict.rule] = verdict.level
        row = worst.setdefault(verdict.rule, {})
        outcomes = (row.get(verdict.endpoint, verdict.outcome), verdict.outcome)
        row[verdict.endpoint] = min(outcomes, key=SEVERITY.index)
    rows = [
        GridRow(
            rule=rule, level=levels[rule], outcomes=tuple(row.get(endpoint, "not_applicable") for endpoint in endpoints)
        )
        for rule, row in worst.items()
    ]
    return tuple(sorted(rows, key=lambda row: (min(map(SEVERITY.index, row.outcomes)), row.rule)))


def _group(verdicts: list[Verdict]) -> FindingGroup:
    return FindingGroup(first=verdicts[0], count=len(verdicts))
