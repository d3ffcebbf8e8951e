"""Every rule proves itself on its own examples, and says so when the data does not allow a verdict."""

import re
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from postback_conformance.generating.generation import generate
from postback_conformance.judging.judge import judge
from postback_conformance.judging.rule import PROFILES, Profile, Rule, catalogue
from postback_conformance.judging.selection import select
from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, XML_SETTINGS, capture
from postback_conformance.strategies import events
from postback_receiver import Answer, Capture
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]
ReadSettings = Callable[[str], Notification]

CLEARING_SETTINGS = 'event = "action_clearing"\n' + JSON_SETTINGS
CLEARED = b'{"id": "1.2.3", "date": ""}'
MONEY_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}", "s": "{Status}", "p": "{Payout}", "d": "{DeltaPayout}"}'
"""
FORM_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "query"
body = "id={ActionId}&date={EventDate}"
"""
# Every place a value can stand in, and literal text that does not travel as it is written.
URL_SETTINGS = """
url = "http://127.0.0.1/pöst back/{ActionId}/x?id={ActionId}&name={CampaignName}&text=ä {Text1}&{SubId1}={SubId2}#top"
method = "GET"
[headers]
X-Partner = " Zürich "
"""
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


CLAIMS: dict[str, tuple[str, str, tuple[Capture, ...], OutcomeName]] = {
    "JSON rules do not apply to XML notifications": (
        "body.json.well-formed",
        XML_SETTINGS,
        (capture(b"<a/>"),),
        "not_applicable",
    ),
    "XML rules do not apply to JSON notifications": (
        "body.xml.no-dtd",
        JSON_SETTINGS,
        (capture(b"{}"),),
        "not_applicable",
    ),
    "a body that is not JSON is the business of one rule only": (
        "body.json.duplicate-key",
        JSON_SETTINGS,
        (capture(b'{"a": 1, "a": }'),),
        "not_applicable",
    ),
    "JSON too deep to read is not called wrong": (
        "body.json.well-formed",
        JSON_SETTINGS,
        (capture(b"[" * 300 + b"]" * 300),),
        "inconclusive",
    ),
    "one cut-off body does not hide another's fault": (
        "body.json.well-formed",
        JSON_SETTINGS,
        (capture(b"{", truncated=True), capture(b"{")),
        "fail",
    ),
    "a document type in a text is text": (
        "body.xml.no-dtd",
        XML_SETTINGS,
        (capture(b"<a><![CDATA[<!DOCTYPE a>]]></a>"),),
        "pass",
    ),
    "a document type hides in no encoding": (
        "body.xml.no-dtd",
        XML_SETTINGS,
        (capture("<!DOCTYPE a><a/>".encode("utf-16")),),
        "fail",
    ),
    "a faulty query is a fault even when the body was cut off": (
        "body.query.percent-encoding",
        FORM_SETTINGS,
        (capture(b"", target="/postback?a=%", truncated=True),),
        "fail",
    ),
    "a query beside a JSON body is judged": (
        "body.query.percent-encoding",
        JSON_SETTINGS,
        (capture(b"{}", target="/postback?a=\xe9"),),
        "fail",
    ),
    "without a query or a form nothing is percent-encoded": (
        "body.query.percent-encoding",
        JSON_SETTINGS,
        (capture(b"{}"),),
        "not_applicable",
    ),
    "a body on GET asks nothing of a POST": ("body.empty-on-get", JSON_SETTINGS, (capture(b"{}"),), "not_applicable"),
    "a GET whose body did not arrive may have had one": (
        "body.empty-on-get",
        QUERY_SETTINGS,
        (capture(method="GET", truncated=True),),
        "inconclusive",
    ),
    "a URL without parameters asks for none": (
        "http.target",
        JSON_SETTINGS,
        (capture(b"{}", target="/postback?extra=1"),),
        "pass",
    ),
    "a request without a query repeats nothing": (
        "http.repeated-parameter",
        JSON_SETTINGS,
        (capture(b"{}"),),
        "not_applicable",
    ),
    "a name in braces that is no token of the template may be a value": (
        "value.unreplaced-token",
        JSON_SETTINGS,
        (capture(b'{"id": "{SubId9}"}'),),
        "inconclusive",
    ),
    "the same bytes after a final answer, with another update in between, may be an honest return": (
        "delivery.retry-only-after-error",
        JSON_SETTINGS,
        (
            capture(b'{"id": "1", "date": "a"}', status=404),
            capture(b'{"id": "1", "date": "b"}', at_s=1),
            capture(b'{"id": "1", "date": "a"}', at_s=2),
        ),
        "inconclusive",
    ),
    "updates of other actions in between make a resend no less certain": (
        "delivery.retry-only-after-error",
        MONEY_SETTINGS,
        (
            capture(b'{"id": "1", "s": "PENDING", "p": "8.00", "d": "-2.00"}', status=404),
            capture(b'{"id": "2", "s": "PENDING", "p": "8.00", "d": "-2.00"}', at_s=1),
            capture(b'{"id": "1", "s": "PENDING", "p": "8.00", "d": "-2.00"}', at_s=2),
        ),
        "fail",
    ),
    "a parameter the URL does not name may be added once": (
        "http.repeated-parameter",
        QUERY_SETTINGS,
        (capture(method="GET", target="/postback?id=1&sub=&extra=1"),),
        "pass",
    ),
    "a parameter without a value has to be there": (
        "http.target",
        QUERY_SETTINGS,
        (capture(method="GET", target="/postback?id=1"),),
        "fail",
    ),
    "a target in absolute form has the same path": (
        "http.target",
        JSON_SETTINGS,
        (capture(b"{}", target="http://proxy.example/postback"),),
        "pass",
    ),
    "a notification without headers asks for none": (
        "header.custom-present",
        JSON_SETTINGS,
        (capture(),),
        "not_applicable",
    ),
    "a header from an unknown environment has to be there": (
        "header.custom-present",
        JSON_SETTINGS + '[headers]\nX-Api-Key = "${PARTNER_KEY}"\n',
        (capture(headers=(("x-api-key", "whatever"),)),),
        "pass",
    ),
    "a header that was hidden on export has to be there": (
        "header.custom-present",
        JSON_SETTINGS + '[headers]\nX-Api-Key = "secret"\n',
        (capture(headers=(("x-api-key", "[hidden]"),)),),
        "pass",
    ),
    "two content types are none": (
        "header.content-type",
        JSON_SETTINGS,
        (capture(headers=(("Content-Type", "application/json"), ("content-type", "text/plain"))),),
        "fail",
    ),
    "text/xml is as good as application/xml": (
        "header.content-type",
        XML_SETTINGS,
        (capture(b"<a/>", headers=(("Content-Type", "text/xml"),)),),
        "pass",
    ),
    "a token left in the target is found percent-encoded, too": (
        "value.unreplaced-token",
        QUERY_SETTINGS,
        (capture(method="GET", target="/postback?id=%7BActionId%7d&sub="),),
        "fail",
    ),
    "a token left in a form is found percent-encoded, too": (
        "value.unreplaced-token",
        FORM_SETTINGS,
        (capture(b"id=%7BActionId%7D"),),
        "fail",
    ),
    "braces in percent-encoding are a value in JSON": (
        "value.unreplaced-token",
        JSON_SETTINGS,
        (capture(b'{"url": "http://shop/%7BActionId%7D"}'),),
        "pass",
    ),
    "a request of its own is no retry": (
        "delivery.retry-only-after-error",
        JSON_SETTINGS,
        (capture(b"{}", status=404), capture(b"[]", at_s=1)),
        "not_applicable",
    ),
    "the same bytes after a success may be an earlier state again": (
        "delivery.no-retry-after-success",
        JSON_SETTINGS,
        (capture(b"{}"), capture(b"{}", at_s=1)),
        "inconclusive",
    ),
    "an answer that says ERR is no success, whatever its status": (
        "delivery.retry-only-after-error",
        'error_response = "ERR"\n' + JSON_SETTINGS,
        (
            replace(capture(b"{}"), answer=Answer(status=200, body=b"ERR busy", sent_at_ns=1)),
            capture(b"{}", at_s=1),
        ),
        "pass",
    ),
    "an answer that never left asks for a retry": (
        "delivery.retry-only-after-error",
        JSON_SETTINGS,
        (replace(capture(b"{}"), answer=Answer(status=200)), capture(b"{}", at_s=1)),
        "pass",
    ),
    "openapi retries what help-centre gives up": (
        "delivery.retry-only-after-error",
        'retry = "openapi"\n' + JSON_SETTINGS,
        (capture(b"{}", status=404), capture(b"{}", at_s=1)),
        "pass",
    ),
    "fifteen retries are allowed": (
        "delivery.retry-count",
        JSON_SETTINGS,
        tuple(capture(b"{}", status=503, at_s=number) for number in range(16)),
        "pass",
    ),
    "the sixteenth retry is one too many": (
        "delivery.retry-count",
        CLEARING_SETTINGS,
        tuple(capture(CLEARED, status=503, at_s=number) for number in range(17)),
        "fail",
    ),
    "without a retry in the settings the first one is too many": (
        "delivery.retry-count",
        'retry = "none"\n' + CLEARING_SETTINGS,
        (capture(CLEARED, status=503), capture(CLEARED, at_s=1)),
        "fail",
    ),
    "retries are counted anew after a success": (
        "delivery.retry-count",
        "retry = [0.1]\n" + JSON_SETTINGS,
        tuple(capture(b"{}", status=status, at_s=number) for number, status in enumerate((503, 200, 503, 200))),
        "pass",
    ),
    "bodies that were cut off are not the same because their beginnings are": (
        "delivery.retry-only-after-error",
        JSON_SETTINGS,
        (capture(b'{"id', status=404, truncated=True), capture(b'{"id', at_s=1, truncated=True)),
        "not_applicable",
    ),
}


@pytest.mark.parametrize(("rule_id", "text", "captures", "outcome"), CLAIMS.values(), ids=CLAIMS.keys())
def test_a_verdict_rests_on_what_the_data_can_tell(
    rule_id: str, text: str, captures: tuple[Capture, ...], outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule_id, text, captures)
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


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


def unresolved(url: str) -> str:
    """Return settings of a URL with variables, which are not known to a judge."""
    return f'url = "{url}"\nmethod = "GET"\n'


@pytest.mark.parametrize(
    ("rule_id", "url", "target", "outcome"),
    [
        ("http.target", "http://h/${HOOK}/p", "/hunter2/p", "pass"),
        ("http.target", "http://h/${HOOK}/p", "/hunter2/more/p", "pass"),
        ("http.target", "http://h/${HOOK}/{ActionId}", "/hunter2/1", "pass"),
        ("http.target", "http://${HOST}/p?a=1", "/base/p?a=1", "pass"),
        ("http.target", "http://h/p?key=${KEY}&a={SubId1}", "/p?key=hunter2&a=1", "pass"),
        ("http.target", "http://h/p?${QUERY}&a=1", "/p?hunter2&a=1", "pass"),
        ("http.target", "http://h/in/${HOOK}/p?a=1", "/in/hunter2/q?a=1", "fail"),
        ("http.target", "http://h/in/${HOOK}/p?a=1", "/im/hunter2/p?a=1", "fail"),
        ("http.target", "http://${HOST}/p?a=1", "/hunter2?a=1", "fail"),
        ("http.target", "http://h/p?${QUERY}&a=1", "/p?hunter2&b=1", "fail"),
        ("http.target", "http://h/p?key=${KEY}&a=1", "/p?key=x&hunter2", "fail"),
        ("http.repeated-parameter", "http://h/p?key=${KEY}&a=1", "/p?key=hunter2&a=1&a=2", "fail"),
        ("http.repeated-parameter", "http://h/p?id=${KEY}", "/p?id=x&hunter2=1&hunter2=2", "fail"),
        ("http.repeated-parameter", "http://h/p?${QUERY}&a=1", "/p?hunter2=1&a=1&a=2", "inconclusive"),
        ("body.query.percent-encoding", "http://h/p?id=${KEY}&a={SubId1}", "/p?id=hunter2&a=%", "fail"),
        ("body.query.percent-encoding", "http://h/p?${QUERY}&a={SubId1}", "/p?x=hunter2&a=%", "fail"),
    ],
)
def test_what_the_environment_holds_is_neither_guessed_nor_shown(
    rule_id: str, url: str, target: str, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    """A variable in the URL can be anything; what arrived in its place may be a secret."""
    (verdict,) = judged_by(rule_id, unresolved(url), [capture(method="GET", target=target)])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)
    assert "hunter2" not in repr(verdict)


def test_a_wrong_path_is_shown_up_to_what_the_environment_may_have_put_in(judged_by: JudgedBy) -> None:
    arrived = capture(method="GET", target="/in/hunter2/q?a=1")
    (verdict,) = judged_by("http.target", unresolved("http://h/in/${HOOK}/{ActionId}/p?a={SubId1}"), [arrived])
    assert (verdict.expected, verdict.actual) == ("/in/${HOOK}/{…}/p", "/in/[hidden]")


STRAYS = {
    "a favicon": capture(method="GET", target="/favicon.ico", headers=(), is_framed=False),
    "a probe": capture(method="HEAD", target="/", headers=()),
    "a health check": capture(method="GET", target="/health?deep=1", headers=()),
    "a scanner's form": capture(b"user=admin", method="PUT", target="/login.php"),
}


@pytest.mark.parametrize("settings", [URL_SETTINGS, QUERY_SETTINGS, JSON_SETTINGS, XML_SETTINGS])
@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS.keys())
@pytest.mark.parametrize("profile", PROFILES)
def test_a_request_that_is_nothing_of_a_notification_is_blamed_by_no_rule(
    settings: str, stray: Capture, profile: Profile, read_settings: ReadSettings
) -> None:
    verdicts = judge([stray], read_settings(settings), RULES, profile=profile).verdicts
    told = {verdict.rule: verdict.message for verdict in verdicts if verdict.outcome not in {"pass", "not_applicable"}}
    assert list(told) == ["http.target"]
    assert told["http.target"].startswith("not a postback of this notification")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.parametrize("settings", [QUERY_SETTINGS, JSON_SETTINGS, XML_SETTINGS], ids=["query", "json", "xml"])
def test_a_question_whether_anybody_is_there_is_blamed_by_no_rule(
    method: str, settings: str, read_settings: ReadSettings
) -> None:
    """A monitor sends it to the right path; no notification can be set to such a method."""
    verdicts = judge([capture(method=method, headers=())], read_settings(settings), RULES, profile="strict").verdicts
    assert [one.rule for one in verdicts if one.outcome in {"fail", "error"}] == []


@pytest.mark.parametrize(
    ("target", "outcome"),
    [
        ("/a%20b/c?id=1", "pass"),
        ("/%61%20b/%63?id=1", "pass"),
        ("/a%2fb/c?id=1", "fail"),
        ("/a%20b//c/?id=1", "inconclusive"),
        ("//a%20b/c?id=1", "inconclusive"),
        ("/a%20b/c/?jd=1", "fail"),
        ("/a%20b/d?id=1", "fail"),
        ("/A%20b/c?id=1", "fail"),
    ],
)
def test_paths_are_the_same_when_they_mean_the_same(target: str, outcome: OutcomeName, judged_by: JudgedBy) -> None:
    text = 'url = "http://h/a b/%63?id={ActionId}"\nmethod = "GET"\n'
    (verdict,) = judged_by("http.target", text, [capture(method="GET", target=target)])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


@pytest.mark.parametrize("ending", ["/", "//", ""])
def test_a_slash_at_the_end_of_a_notification_may_get_lost(ending: str, judged_by: JudgedBy) -> None:
    text = 'url = "http://h//pb/?id={ActionId}"\nmethod = "GET"\n'
    (verdict,) = judged_by("http.target", text, [capture(method="GET", target=f"/pb{ending}?id=1")])
    assert verdict.outcome == "inconclusive"


def test_a_fault_in_a_form_does_not_repeat_a_secret_field(judged_by: JudgedBy) -> None:
    text = FORM_SETTINGS.replace("date=", "token=")
    arrived = capture(b"id=1&token=hunter2%&x=1", headers=())
    (verdict,) = judged_by("body.query.percent-encoding", text, [arrived])
    assert (verdict.outcome, verdict.actual) == ("fail", "id=1&token=[hidden]&x=1")


def test_a_query_of_many_parameters_is_read_in_a_moment(judged_by: JudgedBy) -> None:
    """Counting each parameter among all others would take minutes."""
    target = "/postback?id=1&sub=&" + "&".join(f"p{number}=" for number in range(150_000))
    (verdict,) = judged_by("http.repeated-parameter", QUERY_SETTINGS, [capture(method="GET", target=target)])
    assert verdict.outcome == "pass"
