"""The report as JUnit XML: one test suite for each endpoint, one test case for each rule."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final
from xml.etree import ElementTree as ET

from postback_conformance.printable import printable
from postback_conformance.reports.grouping import WORDS
from postback_conformance.reports.report import NOT_TO_BLAME, SEVERITY, SUBJECTS, Finding, Group, Report
from postback_conformance.reports.wording import wording

# Of one rule at one endpoint: a build server shows them in a box.
_MOST_TOLD: Final = 20


def junit_report(report: Report) -> bytes:
    """Return the report as XML that Jenkins, GitLab and the like read.

    A failure whose level does not count (`About.failing`), what a baseline excuses, what could not be told and what did
    not apply are skipped test cases, each with its reason.
    """
    suites = [_suite(report, endpoint, list(groups)) for endpoint, groups in _by_endpoint(report)]
    name = f"postback {wording(report.about.subject).command}"
    root = ET.Element("testsuites", {"name": name} | _totals(suites, "tests", "failures", "errors"))
    root.extend(suites)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _by_endpoint(report: Report) -> Iterator[tuple[str | None, Iterable[Group]]]:
    ordered = sorted(
        report.groups,
        key=lambda group: (group.first.endpoint or "", group.first.rule, SEVERITY.index(group.first.outcome)),
    )
    return groupby(ordered, key=lambda group: group.first.endpoint)


def _suite(report: Report, endpoint: str | None, groups: list[Group]) -> ET.Element:
    everything = wording(report.about.subject).everything
    suite = ET.Element("testsuite", {"name": _text(endpoint or everything)})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report, endpoint):
        ET.SubElement(properties, "property", {"name": name, "value": _text(value)})
    cases = [
        _case(report, rule, endpoint, list(alike))
        for rule, alike in groupby(groups, key=lambda group: group.first.rule)
    ]
    suite.extend(cases)
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(kind) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    suite.set("time", "0")
    return suite


def _properties(report: Report, endpoint: str | None) -> Iterator[tuple[str, str]]:
    about = report.about
    yield "under test", SUBJECTS[about.subject]
    yield "source", about.source
    if about.subject == "sender":
        yield "profile", about.profile
    if about.seed is not None:
        yield "seed", str(about.seed)
    for one in about.under_test:
        if one.endpoint == endpoint:
            yield "notification", one.notification


def _case(report: Report, rule: str, endpoint: str | None, groups: list[Group]) -> ET.Element:
    everything = wording(report.about.subject).everything
    case = ET.Element("testcase", {"name": rule, "classname": f"postback.{_text(endpoint or everything)}", "time": "0"})
    # A rule that failed for good says nothing else; one that broke down may have found something before.
    for group in groups:
        first = group.first
        if first.outcome == "error":
            _result(case, "error", "kit", first.message, _told(group))
        elif first.outcome == "fail" and first.baseline:
            reason = f"excused by the baseline: {first.baseline}"
            _result(case, "skipped", first.level, reason, _told(group))
        elif first.outcome == "fail" and first.level not in report.about.failing:
            _result(
                case, "skipped", first.level, f"{first.level}, which does not count here: {first.message}", _told(group)
            )
        elif first.outcome == "fail":
            _result(case, "failure", first.level, first.message, _told(group))
        elif first.outcome != "pass":
            _result(case, "skipped", first.outcome, f"{WORDS[first.outcome]}: {first.message}", "")
    _keep_the_worst(case)
    return case


def _keep_the_worst(case: ET.Element) -> None:
    """Leave one result in a test case, as readers expect; what the others say becomes its output."""
    results = [one for kind in ("error", "failure", "skipped") for one in case.findall(kind)]
    if len(results) > 1:
        for one in results[1:]:
            case.remove(one)
        told = [f"{one.tag}: {one.get('message')}\n{one.text or ''}".strip() for one in results[1:]]
        ET.SubElement(case, "system-out").text = "\n\n".join(told)


def _result(case: ET.Element, kind: str, named: str, message: str, told: str) -> None:
    result = ET.SubElement(case, kind, {"type": named, "message": _text(message)})
    result.text = _text(told) or None


def _told(group: Group) -> str:
    shown = [_told_of(finding) for finding in group.shown[:_MOST_TOLD]]
    if group.count > len(shown):
        shown.append(f"… and {group.count - len(shown)} more")
    return "\n\n".join(shown)


def _told_of(finding: Finding) -> str:
    one = finding.verdict
    lines = [
        one.message,
        *([f"expected: {one.expected}"] if one.expected else ()),
        *([f"got: {one.actual}"] if one.actual else ()),
        *([f"to blame: {NOT_TO_BLAME}"] if one.cause else ()),
        *([f"action: {finding.action}"] if finding.action else ()),
        *([f"{wording(one.subject).evidence}: {one.captures[-1]}"] if one.captures else ()),
        *([f"what to do: {one.fix}"] if one.fix else ()),
    ]
    return "\n".join(lines)


def _totals(suites: list[ET.Element], *names: str) -> dict[str, str]:
    return {name: str(sum(int(suite.get(name, "0")) for suite in suites)) for name in names}


def _text(text: str) -> str:
    # XML has no way to write most control characters; spelt out, they are text.
    return printable(text, keep="\n\t")
