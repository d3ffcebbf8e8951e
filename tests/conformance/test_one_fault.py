"""One fault is one finding: whatever else could tell of it leaves that to the rule whose advice mends it."""

import json
from collections.abc import Callable
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from msgspec.structs import replace

from postback_conformance.judging.judge import judge
from postback_conformance.judging.selection import find_rule, select
from postback_conformance.judging.verdict import Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import capture
from postback_receiver import Capture
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

VALUES = {
    "ActionId": "1000.6705.1",
    "CampaignId": "1000",
    "Status": "PENDING",
    "Payout": "12.50",
    "DeltaPayout": "12.50",
    "IntendedPayout": "12.50",
    "Amount": "84.00",
    "DeltaAmount": "84.00",
    "IntendedAmount": "84.00",
    "EventDate": "2026-05-11T00:07:27+03:00",
    "CreationDate": "2026-05-11T00:07:27+03:00",
    "LandingPageUrl": "https://shop.example/a?b=c&d=e",
    "CampaignName": "Shoes & Co",
}
QUERY = "&".join(f"{name}={{{name}}}" for name in VALUES)
POST = "url = 'http://127.0.0.1/postback'\n"
SETTINGS = {
    "get": f"url = 'http://127.0.0.1/postback?{QUERY}'\nmethod = 'GET'",
    "form": f"{POST}body_format = 'query'\nbody = '''{QUERY}'''",
    "json": f"{POST}body = '''" + r"\{" + ", ".join(f'"{name}": "{{{name}}}"' for name in VALUES) + r"\}'''",
    "xml": f"{POST}body_format = 'xml'\nbody = '''<a>" + "".join(f"<{n}>{{{n}}}</{n}>" for n in VALUES) + "</a>'''",
}
TYPES = {"form": "application/x-www-form-urlencoded", "json": "application/json", "xml": "application/xml"}
EVERYWHERE = ("get", "form", "json", "xml")
DATE = VALUES["EventDate"]


def percent(text: str) -> str:
    return quote(text, safe="")


def escaped(form: str, text: str) -> str:
    """Return a value as it should stand in its place."""
    if form in {"get", "form"}:
        return percent(text)
    return json.dumps(text)[1:-1] if form == "json" else escape(text)


def arrived(form: str, written: dict[str, bytes] | None = None) -> Capture:
    """Return a right request but for these values, which stand there as they are."""
    values = {name: escaped(form, text).encode() for name, text in VALUES.items()} | (written or {})
    pairs = [(name.encode(), value) for name, value in values.items()]
    query = b"&".join(name + b"=" + value for name, value in pairs)
    if form == "get":
        return capture(method="GET", target=f"/postback?{query.decode('latin-1')}", headers=())
    body = {
        "form": query,
        "json": b"{" + b", ".join(b'"%s": "%s"' % pair for pair in pairs) + b"}",
        "xml": b"<a>" + b"".join(b"<%s>%s</%s>" % (name, value, name) for name, value in pairs) + b"</a>",
    }[form]
    return capture(body, headers=(("Content-Type", TYPES[form]),))


def failed(read_settings: ReadSettings, form: str, *captures: Capture) -> list[Verdict]:
    verdicts = judge(captures, read_settings(SETTINGS[form]), RULES, profile="strict").verdicts
    return [one for one in verdicts if one.outcome == "fail"]


# What is written where, and which rule tells of it.
FAULTS: dict[str, tuple[tuple[str, ...], str, Callable[[str], bytes], str]] = {
    "a date encoded twice": (
        EVERYWHERE,
        "EventDate",
        lambda form: escaped(form, percent(DATE)).encode(),
        "value.double-encoded",
    ),
    "a date encoded twice, but for its plus": (
        ("get", "form"),
        "EventDate",
        lambda _: percent(quote(DATE, safe="+")).replace("%2B", "+").encode(),
        "value.double-encoded",
    ),
    "a URL encoded twice": (
        EVERYWHERE,
        "LandingPageUrl",
        lambda form: escaped(form, percent("https://shop.example/")).encode(),
        "value.double-encoded",
    ),
    "a URL in a string of JSON": (
        EVERYWHERE,
        "LandingPageUrl",
        lambda form: escaped(form, r"https:\/\/shop.example\/").encode(),
        "value.double-encoded",
    ),
    "a date with its plus as it is": (("get", "form"), "EventDate", lambda _: DATE.encode(), "value.unescaped"),
    "a program of null": (EVERYWHERE, "CampaignId", lambda _: b"null", "value.null-word"),
    "a program that is no number": (EVERYWHERE, "CampaignId", lambda form: escaped(form, "1 000").encode(), "field.id"),
    "a token as it is": (EVERYWHERE, "CampaignName", lambda _: b"{CampaignName}", "value.unreplaced-token"),
    "a program's token as it is": (EVERYWHERE, "CampaignId", lambda _: b"{CampaignId}", "value.unreplaced-token"),
    "Latin-1": (("json", "xml"), "CampaignName", lambda _: b"Caf\xe9", "body.utf8"),
    "Latin-1 as it is": (("get", "form"), "CampaignName", lambda _: b"Caf\xe9", "body.query.percent-encoding"),
    "a payout below nothing": (EVERYWHERE, "Payout", lambda _: b"-12.50", "field.money-sign"),
    "an intended payout below nothing": (EVERYWHERE, "IntendedPayout", lambda _: b"-12.50", "field.money-sign"),
}


@pytest.mark.parametrize("form", EVERYWHERE)
def test_a_right_request_has_no_finding(form: str, read_settings: ReadSettings) -> None:
    assert failed(read_settings, form, arrived(form)) == []


@pytest.mark.parametrize(
    ("form", "token", "write", "rule"),
    [
        pytest.param(form, token, write, rule, id=f"{name}, {form}")
        for name, (forms, token, write, rule) in FAULTS.items()
        for form in forms
    ],
)
def test_a_fault_in_one_value_is_told_by_one_rule(
    form: str, token: str, write: Callable[[str], bytes], rule: str, read_settings: ReadSettings
) -> None:
    findings = failed(read_settings, form, arrived(form, {token: write(form)}))
    assert [one.rule for one in findings] == [rule]


@pytest.mark.parametrize("form", ["form", "json", "xml"])
def test_a_get_without_a_body_is_a_wrong_method_and_no_wrong_body(form: str, read_settings: ReadSettings) -> None:
    """As a browser or a health check sends it to a path that takes a POST."""
    opened = capture(method="GET", headers=())
    assert [one.rule for one in failed(read_settings, form, opened)] == ["http.method"]


def test_of_what_a_get_did_not_bring_nothing_is_in_doubt(read_settings: ReadSettings) -> None:
    """So that one question whether anybody is there does not cost the verdicts on all that is."""
    arrivals = [capture(method="GET", headers=()), arrived("json")]
    verdicts = judge(arrivals, read_settings(SETTINGS["json"]), RULES).verdicts
    assert {one.rule for one in verdicts if one.outcome == "inconclusive"} == set()


def test_a_post_for_a_get_is_a_wrong_method_and_no_get_with_a_body(read_settings: ReadSettings) -> None:
    posted = replace(arrived("get"), method="POST", body=b"{}", headers=(("Host", "h"), ("Content-Length", "2")))
    assert [one.rule for one in failed(read_settings, "get", posted)] == ["http.method"]


def test_a_byte_order_mark_before_a_form_is_no_raw_letter(read_settings: ReadSettings) -> None:
    marked = capture(b"\xef\xbb\xbf" + arrived("form").body, headers=(("Content-Type", TYPES["form"]),))
    assert [one.rule for one in failed(read_settings, "form", marked)] == ["body.bom"]


def test_what_came_before_the_answer_did_not_come_after_a_success(read_settings: ReadSettings) -> None:
    example = find_rule(RULES, "delivery.duplicate").failing
    verdicts = judge(example.captures, read_settings(example.settings), select(RULES, only=["delivery.*"])).verdicts
    outcomes = {one.rule: one.outcome for one in verdicts}
    assert outcomes["delivery.no-retry-after-success"] == "not_applicable"
    assert [rule for rule, outcome in outcomes.items() if outcome == "fail"] == ["delivery.duplicate"]


@pytest.mark.parametrize(
    ("write", "rule"),
    [(percent(percent(DATE)), "value.double-encoded"), (DATE, "value.unescaped"), ("null", "value.null-word")],
    ids=["twice", "plus", "null"],
)
def test_each_value_with_the_same_fault_is_told(write: str, rule: str, read_settings: ReadSettings) -> None:
    wrong = {"EventDate": write.encode(), "CreationDate": write.encode()}
    findings = failed(read_settings, "get", arrived("get", wrong))
    assert [(one.rule, one.where.token) for one in findings] == [(rule, name) for name in wrong]


def test_a_value_that_is_wrong_in_two_ways_is_told_twice(read_settings: ReadSettings) -> None:
    """Read once more it still is no date."""
    findings = failed(read_settings, "get", arrived("get", {"EventDate": b"11%252F05%252F2026"}))
    assert [one.rule for one in findings] == ["field.date", "value.double-encoded"]
    assert findings[1].expected == "11/05/2026"


def test_what_a_value_said_that_was_encoded_twice_is_told(read_settings: ReadSettings) -> None:
    written = escaped("json", r"https:\/\/shop.example\/").encode()
    (finding,) = failed(read_settings, "json", arrived("json", {"LandingPageUrl": written}))
    assert finding.expected == "https://shop.example/"


def test_nobody_looks_for_a_proxy_when_a_value_broke_the_body(read_settings: ReadSettings) -> None:
    """That no parser takes it, and why, are two facts."""
    broken, why = failed(read_settings, "json", arrived("json", {"CampaignName": b'Joe "The Boss" Smith'}))
    assert (broken.rule, why.rule) == ("body.json.well-formed", "value.unescaped")
    assert "{CampaignName}" in broken.fix
