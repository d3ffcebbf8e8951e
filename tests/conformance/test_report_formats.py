"""Each format is what its readers expect, whatever was captured."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from json_schema import Schema
from official_schemas import official_schema
from postback_conformance.judging.verdict import Verdict, Where
from postback_conformance.reports.formats import ReportFormat, written
from postback_conformance.reports.junit import junit_report
from postback_conformance.reports.machine import json_report, ndjson_report, report_schema
from postback_conformance.reports.markdown import MAX_BYTES, escaped, markdown_report
from postback_conformance.reports.report import MAX_LISTED, About, Report
from postback_conformance.reports.sarif import sarif_report
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import capture
from report_examples import BROKEN, OUTCOMES, hostile_report, report_of, report_on, verdict

PUBLISHED = Path(__file__).parents[2] / "docs" / "report.schema.json"
REPORTS = {
    "ordinary": report_of([BROKEN, capture(b'{"id": "1"}')], seed=7),
    "hostile": hostile_report(),
    "empty": report_of([]),
}
each_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())
SARIF = Schema(official_schema("sarif-2.1.0"))
TEXTS = st.text(st.characters(), max_size=40)

# What the JUnit schema of Jenkins (junit-10.xsd) allows: of each element its attributes, those it must have with a
# star, and its children.
JUNIT = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": (
        "name* tests* failures* errors* skipped time group timestamp hostname id package file log url",
        "testsuite properties testcase system-out system-err",
    ),
    "properties": ("", "property"),
    "property": ("name* value*", ""),
    "testcase": ("name* time classname group", "skipped error failure system-out system-err"),
    "skipped": ("type message", ""),
    "error": ("type message", ""),
    "failure": ("type message", ""),
    "system-out": ("", ""),
}


def as_json(report: Report) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json_report(report))
    return document


def sarif(report: Report) -> dict[str, Any]:
    [run] = json.loads(sarif_report(report, version="1.2.3"))["runs"]
    found: dict[str, Any] = run
    return found


def junit(report: Report) -> ET.Element:
    return ET.fromstring(junit_report(report))  # noqa: S314  it is our own


def check_junit(element: ET.Element) -> None:
    """Hold an element, and all in it, to what the schema allows."""
    attributes, children = (part.split() for part in JUNIT[element.tag])
    assert set(element.keys()) <= {name.rstrip("*") for name in attributes}
    assert {name[:-1] for name in attributes if name.endswith("*")} <= set(element.keys())
    assert {child.tag for child in element} <= set(children)
    assert re.fullmatch(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?", element.get("time", ""))
    for child in element:
        check_junit(child)


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(PUBLISHED.read_text()) == json.loads(json.dumps(report_schema())), "make docs writes it"


@each_report
def test_json_and_every_line_of_ndjson_are_valid_under_the_schema(report: Report) -> None:
    schema = Schema(report_schema())
    schema.accept(as_json(report))
    lines = [json.loads(line) for line in ndjson_report(report).splitlines()]
    # One of a kind tells as much as a hundred.
    for line in {(line["type"], line.get("verdict", {}).get("outcome")): line for line in lines}.values():
        schema.accept(line)
    assert not schema.takes({**as_json(report), "captures": "many"})


@each_report
def test_ndjson_says_what_json_says(report: Report) -> None:
    document = as_json(report)
    first, *rest, last = map(json.loads, ndjson_report(report).splitlines())
    assert (first["type"], first["format"], first["source"]) == ("report", document["format"], document["source"])
    assert [line["verdict"] for line in rest if line["type"] == "verdict"] == document["verdicts"]
    assert (last["type"], last["summary"], last["captures"]) == ("summary", document["summary"], document["captures"])


def test_the_json_report_has_the_shape_programs_rely_on() -> None:
    report = as_json(REPORTS["ordinary"])
    about = "format subject seed source profile failing under_test"
    numbers = "captures left_out evicted summary verdicts verdicts_omitted baseline_stale"
    assert " ".join(report) == f"{about} {numbers}"
    assert (report["format"], report["captures"]) == ("postback-verdicts/1", 2)
    assert (report["subject"], report["seed"], report["profile"]) == ("sender", 7, "documented")
    assert list(report["summary"]) == ["error", "fail", "excused", "inconclusive", "pass", "not_applicable"]
    assert sum(report["summary"].values()) == sum(one["count"] for one in report["verdicts"])
    assert {one["rule"] for one in report["verdicts"]} == {rule.id for rule in RULES}


def test_a_finding_in_the_json_report_has_all_its_keys() -> None:
    finding = next(one for one in as_json(REPORTS["ordinary"])["verdicts"] if one["rule"] == "body.json.well-formed")
    assert re.fullmatch("[0-9a-f]{32}", finding.pop("fingerprint"))
    assert finding == {
        "rule": "body.json.well-formed",
        "level": "MUST",
        "subject": "sender",
        "outcome": "fail",
        "endpoint": None,
        "action": None,
        "message": "the body is not valid JSON: Expecting value, got '}' at byte 10 (line 1, column 10)",
        "expected": "valid JSON",
        "actual": '{"näme": }',
        "captures": ["broken"],
        "where": {"span": [10, 11]},
        "fix": next(rule.fix for rule in RULES if rule.id == "body.json.well-formed"),
        "cause": "",
        "baseline": "",
        "count": 1,
    }


def test_findings_that_are_not_listed_are_counted() -> None:
    report = as_json(report_on(replace(verdict(), captures=(str(number),)) for number in range(MAX_LISTED + 5)))
    assert (len(report["verdicts"]), report["summary"]["fail"]) == (MAX_LISTED, MAX_LISTED + 5)
    assert report["verdicts_omitted"] == [{"rule": "body.utf8", "endpoint": "/a", "outcome": "fail", "count": 5}]


@each_report
def test_junit_is_as_its_schema_wants_it(report: Report) -> None:
    root = junit(report)
    check_junit(root)
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(name, "")) == sum(case.find(kind) is not None for case in cases)
        names = [case.get("name") for case in cases]
        assert len(names) == len(set(names)), "one test case for each rule and endpoint"
        assert all(sum(child.tag != "system-out" for child in case) <= 1 for case in cases)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(verdict("pass"), None, id="pass"),
        pytest.param(verdict("fail"), ("failure", "MUST", "it is broken"), id="fail"),
        pytest.param(
            replace(verdict("fail"), level="SHOULD"),
            ("skipped", "SHOULD", "SHOULD, which does not count here: it is broken"),
            id="should",
        ),
        pytest.param(
            verdict("fail", baseline="known"), ("skipped", "MUST", "excused by the baseline: known"), id="excused"
        ),
        pytest.param(
            verdict("inconclusive", message="no stamp"),
            ("skipped", "inconclusive", "could not tell: no stamp"),
            id="inconclusive",
        ),
        pytest.param(
            verdict("not_applicable", message="no body"),
            ("skipped", "not_applicable", "did not apply: no body"),
            id="not_applicable",
        ),
        pytest.param(verdict("error", message="Boom"), ("error", "kit", "Boom"), id="error"),
    ],
)
def test_an_outcome_becomes_one_result_of_a_test_case(given: Verdict, expected: tuple[str, str, str] | None) -> None:
    [case] = junit(report_on([given])).iter("testcase")
    assert (case.get("name"), case.get("classname")) == ("body.utf8", "postback./a")
    found = [(one.tag, one.get("type"), one.get("message")) for one in case]
    assert found == ([expected] if expected else [])


def test_a_should_is_a_failure_when_it_was_asked_for() -> None:
    report = report_on([replace(verdict(), level="SHOULD")])
    counts = replace(report, about=About(source="x", failing=("MUST", "SHOULD")))
    assert b"<failure" in junit_report(counts)
    assert b"<failure" not in junit_report(report)


@each_report
def test_sarif_is_as_the_standard_wants_it(report: Report) -> None:
    log = json.loads(sarif_report(report, version="1.2.3"))
    SARIF.accept(log)
    for result in log["runs"][0]["results"]:
        assert log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    log["runs"][0]["result"] = []
    assert not SARIF.takes(log)


def test_sarif_names_levels_places_and_what_arrived() -> None:
    run = sarif(REPORTS["ordinary"])
    [result] = [one for one in run["results"] if one["ruleId"] == "body.json.well-formed"]
    assert (result["level"], result["kind"]) == ("error", "fail")
    [location] = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "captures.sqlite"
    assert location["logicalLocations"][0]["name"] == "broken"
    assert result["webRequest"]["target"] == "/postback?api_key=[hidden]&x=1"
    assert result["webRequest"]["headers"]["Authorization"] == "[hidden]"
    assert len(run["tool"]["driver"]["rules"]) == len(RULES)
    assert run["invocations"][0]["executionSuccessful"] is True


def test_sarif_keeps_apart_what_failed_what_is_excused_and_what_nobody_knows() -> None:
    run = sarif(report_on([*(verdict(outcome) for outcome in OUTCOMES), verdict(baseline="known", rule="body.bom")]))
    assert [(one["ruleId"], "suppressions" in one) for one in run["results"]] == [
        ("body.utf8", False),
        ("body.bom", True),
    ]
    [invocation] = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [one["level"] for one in invocation["toolExecutionNotifications"]] == ["error", "note"]


def test_a_fingerprint_tells_findings_apart_and_is_the_same_in_the_next_run() -> None:
    def prints(*verdicts: Verdict) -> list[dict[str, str]]:
        return [one["partialFingerprints"] for one in sarif(report_on(verdicts))["results"]]

    one = replace(verdict(), captures=("a",), where=Where(pointer="/items/0/sku"))
    other = replace(one, captures=("b",), where=Where(pointer="/items/1/sku"))
    first, second = prints(one, other)
    assert [first, second] == prints(one, other)
    assert first["postbackFinding/v1"] != second["postbackFinding/v1"]
    assert first["postbackPlace/v1"] == second["postbackPlace/v1"], "the next capture of the same fault"


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        pytest.param("captures.sqlite", "captures.sqlite", id="relative"),
        pytest.param("/var/x y/c#1.har", "file:///var/x%20y/c%231.har", id="absolute"),
        pytest.param("c:d?.ndjson", "c%3Ad%3F.ndjson", id="no-scheme"),
    ],
)
def test_the_file_is_a_uri(source: str, uri: str) -> None:
    [artifact] = sarif(report_of([BROKEN], source=source))["artifacts"]
    assert artifact["location"]["uri"] == uri


def test_markdown_is_short_and_has_the_worst_first() -> None:
    text = markdown_report(
        report_on([replace(verdict(rule="body.bom"), level="SHOULD"), verdict(), verdict("pass", rule="http.method")])
    ).decode()
    assert text.startswith("## ✗ Postback check: 2 rules broken, 2 findings\n")
    assert text.index("`body.utf8`") < text.index("`body.bom`")
    assert "http.method" not in text, "what passed is a number"
    assert "Under test: the sender" in text


def test_markdown_stays_within_what_a_step_may_write() -> None:
    loud = "&" * 1500
    many = [verdict(rule=f"rule-{number}", message=loud, actual=loud, expected=loud) for number in range(400)]
    assert len(markdown_report(report_on(many))) <= MAX_BYTES


@settings(deadline=None, max_examples=50)
@given(TEXTS)
def test_escaped_text_is_nothing_but_text_in_markdown(text: str) -> None:
    shown = escaped(text)
    assert not set(re.sub(r"&#\d+;", "", shown)) & set("<>&|`*_[]{}#!~\\@:+$^\n\r")
    assert not re.match(r"\s*(?:[-=]|\d+\))", shown) or re.match(r"\s*\d", shown)
    assert "www." not in shown.lower()


@settings(deadline=None, max_examples=25)
@given(TEXTS)
def test_nothing_captured_changes_the_structure_of_a_table(text: str) -> None:
    rows = [line for line in markdown_report(hostile_report(text or " ")).decode().splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {6}


@settings(deadline=None, max_examples=25)
@given(text=TEXTS, body=st.binary(max_size=30))
def test_every_format_can_write_every_text(text: str, body: bytes) -> None:
    report = hostile_report(text or " ", body)
    for form in ReportFormat:
        written(report, form, version="1")
    check_junit(junit(report))
    SARIF.accept(json.loads(sarif_report(report, version="1")))


@pytest.mark.parametrize("form", ReportFormat)
def test_every_format_hides_secrets_and_obeys_nothing(form: ReportFormat) -> None:
    shown = written(REPORTS["hostile"], form, version="1").decode()
    assert "hunter2" not in shown
    assert "\x00" not in shown
    assert "\x1b" not in shown
    if form in {ReportFormat.TEXT, ReportFormat.HTML, ReportFormat.MARKDOWN, ReportFormat.JUNIT}:
        assert not set(shown) & set("\x9b\u202e"), "what people read has no letters that steer"
    if form in {ReportFormat.HTML, ReportFormat.MARKDOWN, ReportFormat.JUNIT}:
        assert "<script>" not in shown


def test_what_was_captured_is_shown_when_it_is_asked_for() -> None:
    revealed = written(report_of([BROKEN], hide=None), ReportFormat.HTML, version="1").decode()
    assert "api_key=hunter2" in revealed
    assert "Authorization: hunter2" in revealed
