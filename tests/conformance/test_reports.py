"""Reports show the evidence, hide secrets, and obey nothing that was captured."""

import io
import json
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from postback_conformance.judge import Judgement, judge
from postback_conformance.reports.grouping import grid, grouped
from postback_conformance.reports.html import html_report
from postback_conformance.reports.machine import encode_report, machine_report
from postback_conformance.reports.terminal import terminal_report
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_conformance.verdict import OUTCOME_NAMES, OutcomeName, Verdict, Where
from postback_receiver import Capture
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

BROKEN = replace(
    capture('{"näme": }'.encode(), target="/postback?api_key=hunter2&x=1"),
    id="broken",
    headers=(("Content-Type", "application/json"), ("Authorization", "hunter2")),
)
HOSTILE_TEXT = "<script>alert(1)</script><img src=x>]]>\"'&\x00\x1b[31m\x9b31m\u202e"
HOSTILE_BYTES = HOSTILE_TEXT.encode() + b"\xff\xfe"
# Elements and attributes by which a page can ask for something from elsewhere, or run something.
FORBIDDEN_TAGS = {"script", "link", "img", "iframe", "object", "embed", "base", "form", "svg", "audio", "video"}
FORBIDDEN_ATTRIBUTES = {"src", "href", "srcset", "action", "data", "background", "poster"}


class Page(HTMLParser):
    """What a browser would find in a page: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.text += " "
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def judgement(read_settings: ReadSettings) -> Judgement:
    """One capture with broken JSON, one that is fine."""
    return judge([BROKEN, capture(b'{"a": 1}')], read_settings('minimum_delay = "2s"\n' + JSON_SETTINGS), RULES)


def hostile(text: str, body: bytes = b"") -> tuple[Judgement, Capture]:
    """Return a finding whose every text is hostile, and its capture, which is hostile as well."""
    wire_text = text.encode().decode("latin-1")
    arrived = capture(body, method=wire_text, target=f"/{wire_text}?key=hunter2", headers=((wire_text, wire_text),))
    arrived = replace(arrived, id=text, http_version=wire_text)
    texts = dict.fromkeys(("endpoint", "message", "expected", "actual", "fix"), text)
    failed = Verdict(
        **texts,
        rule="test.rule",
        level="MUST",
        subject="sender",
        outcome="fail",
        captures=(text,),
        where=Where(span=(1, 9), header=text),
    )
    unsure = replace(failed, outcome="inconclusive")
    return Judgement(verdicts=(failed, unsure), captures=1, left_out=0), arrived


def on_terminal(judgement: Judgement, *, color: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=300, force_terminal=color, color_system="truecolor" if color else None)
    console.print(terminal_report(judgement))
    return file.getvalue()


def test_the_machine_report_has_the_shape_programs_rely_on(judgement: Judgement) -> None:
    report = json.loads(encode_report(machine_report(judgement, seed=7)))
    assert list(report) == ["format", "subject", "captures", "left_out", "seed", "verdicts", "summary"]
    assert (report["format"], report["subject"], report["captures"], report["seed"]) == (
        "postback-verdicts/1",
        "sender",
        2,
        7,
    )
    assert list(report["summary"]) == list(OUTCOME_NAMES)
    assert sum(report["summary"].values()) == len(report["verdicts"]) == len(RULES)


def test_a_finding_in_the_machine_report_has_all_its_keys(judgement: Judgement) -> None:
    report = json.loads(encode_report(machine_report(judgement)))
    assert report["seed"] is None
    (finding,) = [verdict for verdict in report["verdicts"] if verdict["outcome"] == "fail"]
    message = "the body is not valid JSON: Expecting value, got '}' at byte 10 (line 1, column 10)"
    assert finding == {
        "rule": "body.json.well-formed",
        "level": "MUST",
        "subject": "sender",
        "outcome": "fail",
        "endpoint": None,
        "message": message,
        "expected": "valid JSON",
        "actual": '{"näme": }',
        "captures": ["broken"],
        "where": {"span": [10, 11]},
        "fix": "Give every key a value and put every token between quotes; `postback lint` shows the places in the "
        "template.",
    }


def test_every_entry_of_the_machine_report_has_the_same_keys(judgement: Judgement) -> None:
    report = machine_report(judgement, subject="endpoint")
    assert report["subject"] == "endpoint"
    assert len({tuple(verdict) for verdict in report["verdicts"]}) == 1


def test_the_terminal_shows_each_rule_and_the_evidence_of_a_finding(judgement: Judgement) -> None:
    text = on_terminal(judgement)
    assert all(rule.id in text for rule in RULES)
    for evidence in (
        "✗ body.json.well-formed  MUST",
        "what     the body is not valid JSON: Expecting value, got '}' at byte 10",
        "expected valid JSON",
        'got      {"näme": }',
        "where    body, byte 10",
        "capture  broken",
        "do       Give every key a value",
        "? delivery.minimum-delay",
        f"2 captures, {len(RULES)} rules, under test: the sender (the traffic that arrived)",
        "1 fail, 1 inconclusive",
    ):
        assert evidence in text, evidence


def test_findings_alike_are_shown_once_and_counted(read_settings: ReadSettings) -> None:
    alike = judge([replace(BROKEN, id=f"c{number}") for number in range(40)], read_settings(JSON_SETTINGS), RULES)
    text = on_terminal(alike)
    assert text.count("the body is not valid JSON") == 1
    assert "(40 findings, the first:)" in text
    assert "40 findings, the first:" in html_report(alike, {}, source="x")


def test_a_page_shows_the_evidence_with_the_fault_marked(judgement: Judgement) -> None:
    page = html_report(judgement, {"broken": BROKEN}, source="captures.db", seed=7)
    shown = " ".join(Page(page).text.split())
    assert "<mark>}</mark>" in page
    for evidence in (
        "Postback report: 1 findings in 2 captures",
        "2 captures from captures.db, seed 7.",
        "body.json.well-formed MUST",
        "Where body, byte 10",
        "POST /postback?api_key=[hidden]&x=1 HTTP/1.1",
        "Authorization: [hidden]",
        '{"näme": }',
    ):
        assert evidence in shown, evidence


def test_reports_hide_secrets(judgement: Judgement) -> None:
    page = html_report(judgement, {"broken": BROKEN}, source="captures.db")
    everything = page + on_terminal(judgement) + encode_report(machine_report(judgement)).decode()
    assert "hunter2" not in everything


def test_a_page_hides_secret_fields_of_a_form_also_around_a_fault(read_settings: ReadSettings) -> None:
    form = JSON_SETTINGS.replace("json", "query").replace("body = '", "body = 'a={SubId1}'\n#")
    arrived = replace(
        capture(
            b"token=hunter2&b=1%&password=hunter3%", headers=(("Content-Type", "application/x-www-form-urlencoded"),)
        ),
        id="form",
    )
    judged = judge([arrived], read_settings(form), RULES)
    page = html_report(judged, {"form": arrived}, source="x")
    assert "token=[hidden]&amp;b=1<mark>%</mark>&amp;password=[hidden]" in page
    assert "hunter" not in page + on_terminal(judged) + encode_report(machine_report(judged)).decode()


def test_a_page_without_evidence_or_findings_is_whole(read_settings: ReadSettings) -> None:
    nothing = judge([], read_settings(JSON_SETTINGS), RULES)
    assert "None: no rule was broken." in Page(html_report(nothing, {}, source="x")).text
    failed = judge([BROKEN], read_settings(JSON_SETTINGS), RULES)
    assert "<details" not in html_report(failed, {}, source="evicted")


def check_page(page: str) -> Page:
    """Hold a page to needing nothing and running nothing."""
    read = Page(page)
    assert not set(read.tags) & FORBIDDEN_TAGS
    assert not {name for name, _ in read.attributes} & FORBIDDEN_ATTRIBUTES
    assert not [name for name, _ in read.attributes if name.startswith("on") or name == "style"]
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page
    return read


def test_a_page_is_self_contained(judgement: Judgement) -> None:
    check_page(html_report(judgement, {"broken": BROKEN}, source="captures.db"))


def test_hostile_captures_are_shown_and_not_obeyed() -> None:
    judgement, arrived = hostile(HOSTILE_TEXT, HOSTILE_BYTES)
    page = html_report(judgement, {arrived.id: arrived}, source=HOSTILE_TEXT)
    read = check_page(page)
    assert "<script>alert(1)</script><img src=x>]]>" in read.text
    assert r"\x00\x1b[31m\x9b31m\u202e" in read.text
    assert r"\xff\xfe" in read.text, "bytes that are no text are shown as escapes"
    assert not set(page) & set("\x00\x1b\x9b\u202e")
    assert "hunter2" not in page


@settings(deadline=None, max_examples=40)
@given(text=st.text(max_size=30), body=st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
def test_no_capture_changes_the_structure_of_a_page(text: str, body: bytes) -> None:
    """The same tags with the same attributes, whatever the texts are."""
    judgement, arrived = hostile(text or " ", body)
    harmless, other = hostile("x", b"y" * 20)
    read = check_page(html_report(judgement, {arrived.id: arrived}, source="s"))
    expected = check_page(html_report(harmless, {other.id: other}, source="s"))
    assert [tag for tag in read.tags if tag != "mark"] == [tag for tag in expected.tags if tag != "mark"]


@pytest.mark.parametrize("text", [HOSTILE_TEXT, "[/]", "[bold]x[/red]", ":smile:", "\\[x]"])
def test_hostile_captures_do_not_drive_the_terminal(text: str) -> None:
    judgement, _ = hostile(text)
    shown = on_terminal(judgement)
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert shown.count(text.partition("\x00")[0]) >= 5


OUTCOMES: tuple[OutcomeName, ...] = ("pass", "fail", "inconclusive", "not_applicable", "error")


@given(
    st.lists(
        st.builds(
            Verdict,
            rule=st.sampled_from("abc"),
            level=st.just("MUST"),
            subject=st.just("sender"),
            outcome=st.sampled_from(OUTCOMES),
            endpoint=st.sampled_from([None, "/x", "/y"]),
            message=st.just(""),
        )
    ).map(tuple)
)
def test_grouping_loses_no_verdict_and_hides_no_failure(verdicts: tuple[Verdict, ...]) -> None:
    assert sum(group.count for group in grouped(verdicts, *OUTCOMES)) == len(verdicts)
    rows = {row.rule: row.outcomes for row in grid(verdicts)}
    assert set(rows) == {verdict.rule for verdict in verdicts}
    for verdict in verdicts:
        if verdict.outcome == "error":
            assert "error" in rows[verdict.rule]
        if verdict.outcome == "fail":
            assert set(rows[verdict.rule]) & {"fail", "error"}
