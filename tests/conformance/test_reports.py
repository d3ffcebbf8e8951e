"""Reports for people show the evidence, hide secrets, and obey nothing that was captured."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.judging.baseline import StaleEntry
from postback_conformance.judging.judge import Judgement
from postback_conformance.judging.verdict import Subject, Verdict, Where
from postback_conformance.reports.grouping import KINDS, by_action, by_rule, counts_by_kind, grid, headline, kind_of
from postback_conformance.reports.html import html_report
from postback_conformance.reports.junit import junit_report
from postback_conformance.reports.machine import json_report
from postback_conformance.reports.markdown import markdown_report
from postback_conformance.reports.report import LEVELS, MAX_LETTERS, About, Report, make_report
from postback_conformance.reports.sarif import sarif_report
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from report_examples import (
    BROKEN,
    HOSTILE_BYTES,
    HOSTILE_TEXT,
    OUTCOMES,
    hostile_report,
    report_of,
    report_on,
    settings_of,
    verdict,
)
from shown_reports import check_page, on_terminal, shown


@pytest.fixture(scope="module")
def report() -> Report:
    """One capture with broken JSON, one that is fine."""
    return report_of([BROKEN, capture(b'{"a": 1}')], 'minimum_delay = "2s"\n' + JSON_SETTINGS, seed=7)


@pytest.fixture(scope="module")
def retried() -> Report:
    """An event that came three times, too fast for its limit."""
    again = [
        replace(capture(b'{"id": "4.7", "date": ""}', at_s=number / 10, status=503), id=f"c{number}")
        for number in range(3)
    ]
    return report_of(again, JSON_SETTINGS + 'maximum_requests = "1/s"\nmaximum_requests_scope = "all"\n')


def test_every_report_says_when_no_sender_is_to_blame() -> None:
    """The template of the partner's own makes no JSON of whatever is filled in; who is under test stays the sender."""
    wounded = JSON_SETTINGS.replace('{"id": ', '{"postback", "id": ')
    report = report_of([capture(b'{"postback", "id": "1", "date": ""}')], wounded)
    texts = {
        "text": on_terminal(report),
        "html": shown(report),
        "markdown": markdown_report(report).decode(),
        "junit": junit_report(report).decode(),
    }
    for name, text in texts.items():
        assert "not the sender: the notification" in text, name
        assert "mend your own template" in text, name
    (finding,) = (one for one in json.loads(json_report(report))["verdicts"] if one["cause"])
    assert (finding["rule"], finding["cause"], finding["subject"]) == (
        "body.json.well-formed",
        "notification",
        "sender",
    )
    results = json.loads(sarif_report(report, version="1"))["runs"][0]["results"]
    assert [one["ruleId"] for one in results if "cause" in one["properties"]] == ["body.json.well-formed"]


def test_the_terminal_shows_each_rule_and_the_evidence_of_a_finding(report: Report) -> None:
    text = on_terminal(report)
    assert all(rule.id in text for rule in RULES)
    for evidence in (
        "✗ body.json.well-formed  MUST",
        "what     the body is not valid JSON: Expecting value, got '}' at byte 10",
        "expected valid JSON",
        'got      {"näme": }',
        "where    body, byte 10",
        "capture  broken",
        "do       Check for a proxy that cuts or changes bodies",
        "2 captures",
        "under test: the sender (the traffic that arrived)",
    ):
        assert evidence in text, evidence


def test_a_caret_stands_under_the_byte(report: Report) -> None:
    lines = on_terminal(report).splitlines()
    index = next(index for index, line in enumerate(lines) if line.startswith("  bytes"))
    assert lines[index].rstrip() == '  bytes    {"näme": }'
    assert lines[index + 1].rstrip() == " " * lines[index].index("}") + "^"


def test_findings_alike_are_shown_once_and_counted() -> None:
    alike = report_of([replace(BROKEN, id=f"c{number}") for number in range(40)])
    text = on_terminal(alike)
    assert text.count("what     the body is not valid JSON") == 1
    assert "(40 findings, the first:)" in text
    assert "40 findings, the first:" in shown(alike)


def test_very_many_broken_rules_are_told_briefly() -> None:
    many = report_on(replace(verdict(rule=f"rule-{number}", fix="mend it"), captures=("c",)) for number in range(200))
    text = on_terminal(many)
    assert "mend it" not in text
    assert len(text.splitlines()) < 400
    assert "… 140 more" in text


def test_colour_is_there_only_for_a_terminal(report: Report) -> None:
    assert "\x1b[" not in on_terminal(report)
    assert "\x1b[" in on_terminal(report, color=True)


def test_a_page_shows_the_evidence_with_the_fault_marked(report: Report) -> None:
    assert b"<mark>}</mark>" in html_report(report)
    text = shown(report)
    for evidence in (
        "2 captures from captures.sqlite, profile documented, seed 7.",
        "body.json.well-formed MUST",
        "Where body, byte 10",
        "POST /postback?api_key=[hidden]&x=1 HTTP/1.1",
        "Authorization: [hidden]",
        '{"näme": }',
        "Notification example.toml",
    ):
        assert evidence in text, evidence


def test_every_finding_is_on_the_page_and_every_rule(report: Report) -> None:
    text = shown(report)
    assert all(rule.id in text for rule in RULES)
    assert all(" ".join(group.first.message.split()) in text for group in report.groups)


def test_a_page_draws_the_limit_and_the_attempts(retried: Report) -> None:
    page = html_report(retried).decode()
    text = shown(retried)
    assert "At most 3 requests within 1s; the limit is 1." in text
    assert page.count('class="limit"') == 1
    assert 'class="above"' in page
    assert page.count('class="refused"') == 3
    assert "Action 4.7" in text
    assert "503, 503 after 100 ms, 503 after 100 ms" in text


def test_a_page_says_what_was_not_judged(report: Report) -> None:
    stale = StaleEntry(rule="http.method", endpoint="/x", reason="old", why="it no longer fails")
    text = shown(replace(report, left_out=3, evicted=4, stale=(stale,)))
    assert "3 captures were not judged: no endpoint with settings took them." in text
    assert "4 captures had been evicted" in text
    one = markdown_report(replace(report, left_out=1, evicted=1)).decode()
    assert "1 capture was not judged: no endpoint with settings took it. 1 capture had been evicted" in one
    assert "stale entry it no longer fails" in text


def test_a_page_without_evidence_or_findings_is_whole() -> None:
    assert "No rule was broken." in shown(report_of([]))
    evicted = report_on([replace(verdict(), captures=("gone",))])
    assert "Capture gone" in shown(evicted)


def test_the_keyboard_reaches_what_scrolls_and_skips_what_is_above(retried: Report) -> None:
    page = check_page(html_report(retried))
    assert page.values("href")[0] == "#content"
    assert page.tags.count("pre") <= page.values("tabindex").count("0")
    assert page.tags.count("details") == page.tags.count("summary")


def test_the_page_of_very_much_traffic_stays_small() -> None:
    long = "x" * 5000
    verdicts = [
        replace(verdict(rule=f"rule-{rule}", message=long, actual=long), endpoint=f"/{endpoint}", captures=("c",))
        for rule in range(60)
        for endpoint in range(40)
    ]
    assert len(html_report(report_on(verdicts, [replace(BROKEN, id="c")]))) < 5_000_000


def test_texts_are_cut_before_they_fill_a_report() -> None:
    [finding] = json.loads(json_report(report_on([verdict(message="y" * 10_000_000)])))["verdicts"]
    assert finding["message"] == "y" * MAX_LETTERS + "… (10000000 letters)"


def test_reports_hide_secrets(report: Report) -> None:
    everything = html_report(report).decode() + on_terminal(report) + json_report(report).decode()
    assert "hunter2" not in everything


def test_a_secret_that_a_verdict_repeats_is_hidden() -> None:
    arrived = replace(capture(b'{"password": "hunter2", "id": "1"}'), id="c")
    told = replace(verdict(message="got hunter2 where 2 was wanted", actual='"hunter2"'), captures=("c",))
    [finding] = json.loads(json_report(report_on([told], [arrived])))["verdicts"]
    assert (finding["message"], finding["actual"]) == ("got [hidden] where 2 was wanted", '"[hidden]"')


def test_a_page_hides_secret_fields_of_a_form_also_around_a_fault() -> None:
    form = JSON_SETTINGS.replace("json", "query").replace("body = '", "body = 'a={SubId1}'\n#")
    arrived = replace(
        capture(
            b"token=hunter2&b=1%&password=hunter3%", headers=(("Content-Type", "application/x-www-form-urlencoded"),)
        ),
        id="form",
    )
    report = report_of([arrived], form)
    page = html_report(report).decode()
    assert "token=[hidden]&amp;b=1<mark>%</mark>&amp;password=[hidden]" in page
    assert "hunter" not in page + on_terminal(report) + json_report(report).decode()


def test_the_part_of_a_target_that_is_meant_is_marked_and_its_secrets_are_hidden() -> None:
    arrived = replace(capture(b"", target="/p?token=hunter2&bad=%zz&x=1"), id="c")
    told = replace(verdict(), captures=("c",), where=Where(target=(21, 24)))
    page = html_report(report_on([told], [arrived])).decode()
    assert "/p?token=[hidden]&amp;bad=<mark>%zz</mark>&amp;x=1" in page


def test_hostile_captures_are_shown_and_not_obeyed() -> None:
    page = html_report(hostile_report(HOSTILE_TEXT, HOSTILE_BYTES))
    read = check_page(page)
    assert "<script>alert(1)</script><img src=x>]]>" in read.text
    assert r"\x00\x1b[31m\x9b31m\u202e" in read.text
    assert r"\xff\xfe" in read.text, "bytes that are no text are shown as escapes"
    assert not set(page.decode()) & set("\x00\x1b\x9b\u202e")
    assert b"hunter2" not in page


@settings(deadline=None, max_examples=25)
@given(text=st.text(max_size=30), body=st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
def test_no_capture_changes_the_structure_of_a_page(text: str, body: bytes) -> None:
    """The same tags with the same attributes, whatever the texts are."""
    read = check_page(html_report(hostile_report(text or " ", body)))
    expected = check_page(html_report(hostile_report("x", b"y" * 20)))
    assert [tag for tag in read.tags if tag != "mark"] == [tag for tag in expected.tags if tag != "mark"]


@pytest.mark.parametrize(
    "text",
    [HOSTILE_TEXT, "[/]", "[bold]x[/red]", ":smile:", "\\[x]"],
    ids=["html", "end-tag", "tag", "emoji", "escape"],
)
def test_hostile_captures_do_not_drive_the_terminal(text: str) -> None:
    told = on_terminal(hostile_report(text))
    assert all(letter.isprintable() or letter == "\n" for letter in told)
    assert told.count(text.partition("\x00")[0]) >= 5


# In one report a rule has one level.
LEVEL_OF = dict(zip("abc", LEVELS, strict=True))
VERDICTS = st.lists(
    st.builds(
        Verdict,
        rule=st.sampled_from("abc"),
        level=st.just("MUST"),
        subject=st.just("sender"),
        outcome=st.sampled_from(OUTCOMES),
        endpoint=st.sampled_from([None, "/x", "/y"]),
        message=st.just(""),
        count=st.integers(1, 3),
    ).map(lambda one: replace(one, level=LEVEL_OF[one.rule]))
)


@settings(max_examples=30)
@given(VERDICTS)
def test_a_report_loses_no_verdict_and_hides_no_failure(verdicts: list[Verdict]) -> None:
    report = report_on(verdicts)
    assert sum(report.counts.values()) == sum(group.count for group in report.groups)
    assert sum(group.count for group in report.groups) == sum(one.count for one in verdicts)
    rows = {row.rule: row.outcomes for row in grid(report)}
    assert set(rows) == {one.rule for one in verdicts}
    for one in verdicts:
        if one.outcome == "error":
            assert "error" in rows[one.rule]
        if one.outcome == "fail":
            assert min(map(KINDS.index, rows[one.rule])) <= KINDS.index(kind_of(one))


def test_the_worst_comes_first() -> None:
    report = report_on(
        [
            verdict("pass", rule="a"),
            replace(verdict(rule="b"), level="INFO"),
            verdict(rule="d"),
            replace(verdict(rule="c"), level="SHOULD"),
            verdict("error", rule="e"),
        ]
    )
    assert [group.first.rule for group in report.groups] == ["e", "d", "c", "b", "a"]
    assert [rule for rule, _ in by_rule(report.failures)] == ["d", "c", "b"]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        pytest.param([verdict(), verdict("error")], "The kit itself failed", id="error"),
        pytest.param([verdict(), verdict()], "1 rule broken, 2 findings", id="broken"),
        pytest.param(
            [verdict("pass"), replace(verdict(), level="INFO")], "No rule was broken, 1 remark", id="information"
        ),
        pytest.param([verdict("pass"), verdict(baseline="known")], "No rule was broken", id="excused"),
        pytest.param([verdict("inconclusive")], "Nothing could be told", id="unsure"),
    ],
)
def test_the_headline_says_the_whole_in_one_line(verdicts: list[Verdict], expected: str) -> None:
    assert headline(report_on(verdicts)) == expected


def test_what_is_for_information_only_is_a_remark_everywhere() -> None:
    remark = replace(verdict(rule="b", message="odd"), level="INFO")
    report = report_on([verdict("pass", rule="a"), remark, replace(remark, endpoint="/b")])
    assert {kind: count for kind, count in counts_by_kind(report).items() if count} == {"pass": 1, "remark": 2}
    terminal, markdown, page = on_terminal(report), markdown_report(report).decode(), html_report(report).decode()
    for text in (terminal, markdown):
        assert "✗" not in " ".join(text.split()).replace("✗ failed", "")
        assert "2 remarked" in text
    assert "i b  INFO" in terminal
    assert "<b>0</b> failed" in page
    assert "<b>2</b> remarked" in page
    assert "2 remarks</span>" in page
    assert json.loads(json_report(report))["summary"]["fail"] == 2, "programs look at the level themselves"


def test_of_several_endpoints_the_numbers_say_what_is_counted() -> None:
    """Else ten rules at three endpoints read as thirty rules."""
    passed = verdict("pass", rule="a")
    told = "ach rule counts once at each of 2 endpoints"
    for endpoints, is_told in ((("/b", "/c"), True), (("/b",), False), ((None,), False)):
        report = report_on([replace(passed, endpoint=endpoint) for endpoint in endpoints])
        for text in (on_terminal(report), markdown_report(report).decode(), shown(report)):
            assert (told in text) == is_told


def test_of_an_endpoint_no_delay_and_no_retries_are_shown_that_nobody_chose() -> None:
    chosen = settings_of("minimum_delay = '2s'\nretry = [1]\n" + JSON_SETTINGS)
    nothing = Judgement(verdicts=(), captures=0, left_out=0)
    subjects: tuple[Subject, ...] = ("sender", "endpoint")
    sender, endpoint = (
        make_report(nothing, [], About(subject=subject, source="x"), notifications=chosen) for subject in subjects
    )
    assert "Minimum delay 2s" in shown(sender)
    assert "Retry profile custom" in shown(sender)
    assert "Minimum delay" not in shown(endpoint)
    assert "Retry profile" not in shown(endpoint)
    (of_endpoint,) = json.loads(json_report(endpoint))["under_test"]
    assert (of_endpoint["minimum_delay"], of_endpoint["retry"]) == (None, "none")


def test_findings_of_one_action_stand_together() -> None:
    wanted = JSON_SETTINGS + '[headers]\nX-Key = "v"\n'
    bodies = (b'{"id": "1.1", "date": ""}', b'{"id": "2.2", "date": ""}')
    arrived = [
        replace(capture(body, at_s=number, headers=(("Content-Type", "text/plain"),)), id=f"c{number}")
        for number, body in enumerate(bodies)
    ]
    report = report_of(arrived, wanted)
    actions = {action.id: action.rules for action in by_action(report.failures)}
    assert {"header.custom-present", "header.content-type"} <= set(actions["1.1"])
    assert set(actions) == {"1.1", "2.2"}
    assert "by action" in on_terminal(report)
    assert "By action" in shown(report)
