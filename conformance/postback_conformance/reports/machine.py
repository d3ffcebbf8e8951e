"""The report programs read: `postback-verdicts/1`, as one JSON object or as NDJSON, and the schema of both."""

from collections.abc import Iterator
from typing import Any, Final, Literal, cast

import msgspec

from postback_conformance.judging.baseline import StaleEntry
from postback_conformance.judging.verdict import Cause, Level, OutcomeName, Subject, Where
from postback_conformance.reports.report import Finding, Report, UnderTest

FORMAT: Final = "postback-verdicts/1"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class VerdictEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, or the summary of a rule without any.

    `endpoint` is the path prefix of the endpoint that was judged, null when there was only one set of settings.
    `captures` are the ids of the evidence, the capture the finding is about last. `action` is the id of its action,
    null when nobody can tell. `baseline` is the reason for which a failure is excused, empty when it is not. `count` is
    how many findings an entry stands for: of very many, only the first are told one by one. `cause` is `notification`
    where its own template is to blame and the sender is not, else empty. `fingerprint` is the same for the same finding
    in the same captures.
    """

    rule: str
    level: Level
    subject: Subject
    outcome: OutcomeName
    endpoint: str | None
    action: str | None
    message: str
    expected: str
    actual: str
    captures: tuple[str, ...]
    where: Where
    fix: str
    cause: Cause
    baseline: str
    count: int
    fingerprint: str


class Omitted(msgspec.Struct, frozen=True, kw_only=True):
    """How many findings of one rule at one endpoint are counted, but not listed."""

    rule: str
    endpoint: str | None
    outcome: OutcomeName
    count: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How many verdicts there are of each outcome; failures that a baseline excuses count as `excused` only."""

    error: int
    fail: int
    excused: int
    inconclusive: int
    # Named as in a verdict, where it is a value; here it is a word of the language.
    passed: int = msgspec.field(name="pass")
    not_applicable: int


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """Who was under test, where the captures came from, and how they were judged; `seed` is null without one.

    `failing` are the levels whose failures make `check` fail.
    """

    format: Literal["postback-verdicts/1"]
    subject: Subject
    seed: int | None
    source: str
    profile: str
    failing: tuple[Level, ...]
    under_test: tuple[UnderTest, ...]


class ReportDocument(Heading, frozen=True, kw_only=True):
    """A whole report: who was under test, every verdict with the worst first, and the numbers.

    `captures` were judged; `left_out` were not, because no endpoint with settings took them; `evicted` had been taken
    out of the store before. `baseline_stale` are entries of the baseline that excused nothing.
    """

    captures: int
    left_out: int
    evicted: int
    summary: Summary
    verdicts: tuple[VerdictEntry, ...]
    verdicts_omitted: tuple[Omitted, ...]
    baseline_stale: tuple[StaleEntry, ...]


class ReportLine(Heading, frozen=True, kw_only=True, tag="report", tag_field="type"):
    """The first line of NDJSON: what the lines after it are about."""


class VerdictLine(msgspec.Struct, frozen=True, kw_only=True, tag="verdict", tag_field="type"):
    """One line for each verdict, the worst first."""

    verdict: VerdictEntry


class OmittedLine(msgspec.Struct, frozen=True, kw_only=True, tag="omitted", tag_field="type"):
    """One line for each rule and endpoint of which not all findings are listed."""

    omitted: Omitted


class StaleLine(msgspec.Struct, frozen=True, kw_only=True, tag="stale", tag_field="type"):
    """One line for each entry of the baseline that excused nothing."""

    entry: StaleEntry


class SummaryLine(msgspec.Struct, frozen=True, kw_only=True, tag="summary", tag_field="type"):
    """The last line of NDJSON; a file without it is cut."""

    captures: int
    left_out: int
    evicted: int
    summary: Summary


Line = ReportLine | VerdictLine | OmittedLine | StaleLine | SummaryLine


def json_report(report: Report) -> bytes:
    """Return the report as one indented JSON object."""
    document = ReportDocument(
        **_heading(report),
        captures=report.captures,
        left_out=report.left_out,
        evicted=report.evicted,
        summary=_summary(report),
        verdicts=tuple(_entry(finding) for group in report.groups for finding in group.findings),
        verdicts_omitted=tuple(_omitted(report)),
        baseline_stale=report.stale,
    )
    return msgspec.json.format(encoded(document), indent=2) + b"\n"


def ndjson_report(report: Report) -> bytes:
    """Return the report as NDJSON: what it is about, the verdicts with the worst first, the numbers last."""
    return b"".join(encoded(line) + b"\n" for line in _lines(report))


def encoded(value: object) -> bytes:
    """Return a value as JSON; half characters, which UTF-8 has no place for, are spelt out."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_spelt_out(msgspec.to_builtins(value)))


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema that the JSON report, and every line of NDJSON, is valid under."""
    lines = (ReportLine, VerdictLine, OmittedLine, StaleLine, SummaryLine)
    references, definitions = msgspec.json.schema_components([ReportDocument, *lines])
    for definition in definitions.values():
        if "description" in definition:
            # Python 3.13 takes the indentation off docstrings itself.
            definition["description"] = " ".join(definition["description"].split())
    return {"$schema": _DIALECT, "title": FORMAT, "oneOf": list(references), "$defs": definitions}


def _spelt_out(value: Any) -> Any:  # noqa: ANN401  whatever JSON can hold
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case list() | tuple():
            return [_spelt_out(one) for one in cast("list[Any]", value)]
        case dict():
            items = cast("dict[str, Any]", value).items()
            return {_spelt_out(name): _spelt_out(one) for name, one in items}
        case _:
            return value


def _lines(report: Report) -> Iterator[Line]:
    yield ReportLine(**_heading(report))
    for group in report.groups:
        yield from (VerdictLine(verdict=_entry(finding)) for finding in group.findings)
    yield from (OmittedLine(omitted=one) for one in _omitted(report))
    yield from (StaleLine(entry=entry) for entry in report.stale)
    yield SummaryLine(
        captures=report.captures, left_out=report.left_out, evicted=report.evicted, summary=_summary(report)
    )


def _heading(report: Report) -> dict[str, Any]:
    return {"format": FORMAT, **msgspec.structs.asdict(report.about)}


def _entry(finding: Finding) -> VerdictEntry:
    one = finding.verdict
    return VerdictEntry(
        rule=one.rule,
        level=one.level,
        subject=one.subject,
        outcome=one.outcome,
        endpoint=one.endpoint,
        action=finding.action,
        message=one.message,
        expected=one.expected,
        actual=one.actual,
        captures=one.captures,
        where=one.where,
        fix=one.fix,
        cause=one.cause,
        baseline=one.baseline,
        count=one.count,
        fingerprint=finding.fingerprint,
    )


def _omitted(report: Report) -> Iterator[Omitted]:
    for group in report.groups:
        first, told = group.first, sum(finding.verdict.count for finding in group.findings)
        if group.count > told:
            yield Omitted(rule=first.rule, endpoint=first.endpoint, outcome=first.outcome, count=group.count - told)


def _summary(report: Report) -> Summary:
    counts = report.counts
    return Summary(
        error=counts["error"],
        fail=counts["fail"],
        excused=report.excused_count,
        inconclusive=counts["inconclusive"],
        passed=counts["pass"],
        not_applicable=counts["not_applicable"],
    )
