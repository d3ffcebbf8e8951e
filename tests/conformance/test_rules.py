"""Every rule proves itself on its own examples, and says so when the data does not allow a verdict."""

import re
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from postback_conformance.generating.generation import generate
from postback_conformance.judging.judge import judge
from postback_conformance.judging.rule import Rule, catalogue
from postback_conformance.judging.selection import select
from postback_conformance.judging.verdict import Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, XML_SETTINGS, capture
from postback_conformance.strategies import events
from postback_receiver import Answer, Capture
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback
from rule_settings import FORM_SETTINGS, URL_SETTINGS

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]
ReadSettings = Callable[[str], Notification]

BODY_RULES = [
    ("body.utf8", JSON_SETTINGS),
    ("body.json.well-formed", JSON_SETTINGS),
    ("body.json.duplicate-key", JSON_SETTINGS),
    ("body.xml.well-formed", XML_SETTINGS),
    ("body.xml.no-dtd", XML_SETTINGS),
    ("body.query.percent-encoding", FORM_SETTINGS),
    ("value.unreplaced-token", JSON_SETTINGS),
]
EXAMPLE_SETTINGS = {example.settings for rule in RULES for example in (rule.passing, rule.failing)}
ALL_SETTINGS = sorted({*EXAMPLE_SETTINGS, URL_SETTINGS, FORM_SETTINGS})
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)

wire_text = st.text(st.characters(max_codepoint=0xFF), max_size=8) | st.sampled_from(["/p?a=%", "//", "http://[", "?"])
stamp = st.none() | st.integers(-(2**63), 2**63 - 1)
any_arrival: SearchStrategy[Capture] = st.builds(
    Capture,
    id=st.just("c"),
    endpoint=st.none(),
    received_at_ns=st.integers(-(2**63), 2**63 - 1),
    monotonic_ns=stamp,
    lateness_ns=st.integers(0, 2**63 - 1),
    connection=st.just("c1"),
    connection_request=st.just(1),
    remote=st.just(""),
    http_version=st.just("1.1"),
    method=wire_text,
    target=wire_text,
    headers=st.lists(st.tuples(wire_text | st.just("Content-Type"), wire_text), max_size=3).map(tuple),
    body=st.binary(max_size=12) | st.sampled_from([b'{"date": "0001-01-01T00:00:00+23:59"}', b"<!DOCTYPE", b"%"]),
    truncated=st.booleans(),
    answer=st.none() | st.builds(Answer, status=st.integers(0, 999), body=st.binary(max_size=4), sent_at_ns=stamp),
)


@every_rule
def test_the_passing_example_passes(rule: Rule, judged_by: JudgedBy) -> None:
    (verdict,) = judged_by(rule.id, rule.passing.settings, rule.passing.captures)
    assert (verdict.outcome, verdict.message) == ("pass", verdict.message)


@every_rule
def test_on_the_passing_example_no_other_rule_fails_either(
    rule: Rule, read_settings: Callable[[str], Notification]
) -> None:
    """What is shown as right is right as a whole."""
    verdicts = judge(rule.passing.captures, read_settings(rule.passing.settings), RULES).verdicts
    failed = {one.rule for one in verdicts if one.outcome in {"fail", "error"} and one.level != "INFO"}
    assert failed == set()


@every_rule
def test_the_failing_example_fails_and_shows_its_evidence(rule: Rule, judged_by: JudgedBy) -> None:
    """What was expected, what came, in which capture, and what to do about it."""
    (verdict,) = judged_by(rule.id, rule.failing.settings, rule.failing.captures)
    assert (verdict.outcome, verdict.rule, verdict.level, verdict.fix) == ("fail", rule.id, rule.level, rule.fix)
    assert all((verdict.message, verdict.expected, verdict.actual))
    assert verdict.captures
    assert set(verdict.captures) <= {capture.id for capture in rule.failing.captures}


@every_rule
def test_a_rule_tells_all_that_explain_prints(rule: Rule) -> None:
    assert all((rule.requirement, rule.needs, rule.fix, rule.sources))
    assert all(source.document for source in rule.sources)
    assert all(text == text.strip() for text in (rule.requirement, rule.needs, rule.fix))
    assert rule.requirement.endswith(".")
    assert rule.fix.endswith(".")


def test_ids_are_slugs_of_family_and_name_in_order() -> None:
    ids = [rule.id for rule in RULES]
    assert [rule_id for rule_id in ids if not re.fullmatch(r"[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*)+", rule_id)] == []
    assert ids == sorted(set(ids))


def test_an_id_used_twice_is_an_error() -> None:
    """Also when the two rules are in different families."""
    with pytest.raises(ValueError, match=f"two rules are called {re.escape(RULES[0].id)}"):
        catalogue(RULES, RULES[:1])


@every_rule
def test_nothing_arrived_is_nothing_to_judge(rule: Rule, judged_by: JudgedBy) -> None:
    (verdict,) = judged_by(rule.id, rule.passing.settings, [])
    assert (verdict.outcome, verdict.message) == ("not_applicable", "there was nothing to judge")


@settings(max_examples=50, deadline=None)
@given(text=st.sampled_from(ALL_SETTINGS), arrived=st.lists(any_arrival, max_size=4))
def test_no_capture_can_crash_a_rule(
    text: str, arrived: list[Capture], read_settings: Callable[[str], Notification]
) -> None:
    """Whatever bytes arrived, the verdict is about them and never an error of ours."""
    verdicts = judge(arrived, read_settings(text), RULES).verdicts
    assert [verdict for verdict in verdicts if verdict.outcome == "error"] == []


@pytest.fixture(scope="module")
def some_events() -> list[Event]:
    return generate(events(), count=60, seed=20260511)


@pytest.mark.parametrize("text", [JSON_SETTINGS, XML_SETTINGS, FORM_SETTINGS, URL_SETTINGS])
def test_what_our_own_sender_renders_holds(
    text: str, some_events: list[Event], read_settings: Callable[[str], Notification]
) -> None:
    """Nasty values, blanks and letters beyond ASCII in literal text are no fault of an honest sender."""
    notification = read_settings(text)
    arrived: list[Capture] = []
    for event in some_events:
        postback = render_postback(notification, event)
        headers = tuple((name, value.encode().decode("latin-1").strip()) for name, value in postback.headers)
        target = "/" + postback.url.removeprefix("http://127.0.0.1/").partition("#")[0]
        arrived.append(capture(postback.body, method=postback.method, target=target, headers=headers))

    verdicts = judge(arrived, notification, select(RULES, only=["http.*", "header.*", "body.*"])).verdicts
    assert [one for one in verdicts if one.outcome not in {"pass", "not_applicable"}] == []


@pytest.mark.parametrize(("rule_id", "text"), BODY_RULES)
def test_a_body_that_was_cut_off_makes_body_rules_inconclusive(rule_id: str, text: str, judged_by: JudgedBy) -> None:
    (verdict,) = judged_by(rule_id, text, [capture(b"", truncated=True)])
    assert (verdict.outcome, verdict.message) == ("inconclusive", "the body was not captured to its end")


@pytest.mark.parametrize(("rule_id", "text"), BODY_RULES[:-1])
def test_a_notification_without_a_body_asks_nothing_of_bodies(rule_id: str, text: str, judged_by: JudgedBy) -> None:
    _ = text
    (verdict,) = judged_by(rule_id, QUERY_SETTINGS.partition("?")[0] + '"', [capture(b"}", truncated=True)])
    assert verdict.outcome == "not_applicable"


@pytest.mark.parametrize(
    ("rule_id", "text", "arrived", "expected"),
    [
        (
            "body.json.well-formed",
            JSON_SETTINGS,
            capture('{"ü": }'.encode()),
            ("the body is not valid JSON: Expecting value, got '}' at byte 7 (line 1, column 7)", (7, 8)),
        ),
        (
            "body.xml.no-dtd",
            XML_SETTINGS,
            capture(b"\n<!DOCTYPE a><a/>"),
            ("the body carries more than its values: a document type is declared at byte 1", (1, 10)),
        ),
        (
            "body.query.percent-encoding",
            FORM_SETTINGS,
            capture(b"id=1&x=5%"),
            ("the body is not percent-encoded: a % that no two hex digits follow at byte 8", (8, 9)),
        ),
        (
            "value.unreplaced-token",
            JSON_SETTINGS,
            capture(b'{"id": "{ActionId}"}'),
            ("{ActionId} stands in the body as it stands in the template", (8, 18)),
        ),
        (
            "body.empty-on-get",
            QUERY_SETTINGS,
            capture(b"abc", method="GET"),
            ("the GET came with a body of 3 bytes", None),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value and " " not in value else "",
)
def test_a_finding_names_the_place_and_what_stands_there(
    rule_id: str, text: str, arrived: Capture, expected: tuple[str, tuple[int, int] | None], judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule_id, text, [arrived])
    assert (verdict.message, verdict.where.span) == expected


def test_a_finding_never_repeats_a_secret(judged_by: JudgedBy) -> None:
    """Neither the header a partner authenticates with nor a parameter that is named like one."""
    text = JSON_SETTINGS + '[headers]\nX-Api-Key = "hunter2"\n'
    arrived = capture(b"{}", target="/postback?api_key=hunter3&x=%", headers=(("X-Api-Key", "hunter4"),))
    findings = [*judged_by("header.custom-present", text, [arrived])]
    findings += judged_by("body.query.percent-encoding", text, [arrived])
    assert [finding.outcome for finding in findings] == ["fail", "fail"]
    assert "hunter" not in repr(findings)
