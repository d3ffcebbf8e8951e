"""The target that a notification wants: what the environment holds, strays, and paths that mean the same."""

from collections.abc import Callable, Iterable

import pytest

from postback_conformance.judging.judge import judge
from postback_conformance.judging.rule import PROFILES, Profile
from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, XML_SETTINGS, capture
from postback_receiver import Capture
from postback_sender.notification import Notification
from rule_settings import FORM_SETTINGS, URL_SETTINGS

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]
ReadSettings = Callable[[str], Notification]


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
