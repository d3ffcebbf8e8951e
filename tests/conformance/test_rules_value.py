"""Values: what nobody replaced, encoded once too often or not at all, and words for nothing."""

from collections.abc import Callable, Iterable
from datetime import datetime
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.judging.judge import judge
from postback_conformance.judging.selection import select
from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, XML_SETTINGS, capture
from postback_receiver import Capture
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]
ReadSettings = Callable[[str], Notification]

URL_SETTINGS = """
url = "http://127.0.0.1/p?id={ActionId}&name={CampaignName}&date={EventDate}&paid={Payout}&page={LandingPageUrl}"
method = "GET"
"""
NAMED = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}", "name": "{CampaignName}", "paid": {Payout}}'
"""
ITEMS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
body = '''{"id": "{ActionId}", "items": [{join(items, i,
"\\{\\"sku\\": \\"{i.sku}\\", \\"amt\\": \\"{i.amt}\\"\\}")}]}'''
"""
XML_NAMED = XML_SETTINGS.replace("{ActionId}", "{CampaignName}")
FORM = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "query"
body = "d={EventDate}"
"""
RAW = NAMED + '[template]\nescaping = "raw"\n'
DATE = "2026-05-11T00:07:27+03:00"


def asked(
    *,
    name: str = "Shop",
    date: str = DATE,
    paid: str = "0.88",
    page: str = "https://shop.example/?a=b%20c",
    safe: str = "",
) -> Capture:
    """Return a GET with these values, each percent-encoded once but for what is `safe`."""
    values = (("id", "1.2.3"), ("name", name), ("date", date), ("paid", paid), ("page", page))
    return capture(method="GET", target="/p?" + "&".join(f"{key}={quote(value, safe=safe)}" for key, value in values))


def named(name: str, paid: str = '"0.88"') -> Capture:
    """Return a JSON body with this name and payout as they are."""
    return capture(f'{{"id": "1.2.3", "name": "{name}", "paid": {paid}}}'.encode())


CLAIMS: dict[str, tuple[str, str, Capture, OutcomeName]] = {
    "a URL keeps the escapes of its own": ("value.double-encoded", URL_SETTINGS, asked(), "pass"),
    "a date that was encoded twice": ("value.double-encoded", URL_SETTINGS, asked(date=quote(DATE)), "fail"),
    "a URL that was encoded twice": (
        "value.double-encoded",
        URL_SETTINGS,
        asked(page=quote("https://shop.example/", safe="")),
        "fail",
    ),
    "a name that holds an escape": ("value.double-encoded", URL_SETTINGS, asked(name="50%25 off"), "inconclusive"),
    "a name with a percent sign": ("value.double-encoded", URL_SETTINGS, asked(name="50% off"), "pass"),
    "a name in XML twice": (
        "value.double-encoded",
        XML_NAMED,
        capture(b"<a><id>A &amp;amp; B</id></a>"),
        "inconclusive",
    ),
    "UTF-8 twice": ("value.double-encoded", URL_SETTINGS, asked(name="ZÃ¼rich"), "inconclusive"),
    "UTF-8 once": ("value.double-encoded", URL_SETTINGS, asked(name="Zürich Â ©"), "pass"),
    "JSON in JSON": ("value.double-encoded", NAMED, named(r"a \\\"b\\\" c"), "inconclusive"),
    "an item": (
        "value.double-encoded",
        ITEMS,
        capture(rb'{"id": "1.2.3", "items": [{"sku": "a", "amt": "1%2E00"}]}'),
        "fail",
    ),
    "a payout of null": ("value.null-word", NAMED, named("Shop", "null"), "fail"),
    "a payout of undefined": ("value.null-word", URL_SETTINGS, asked(paid="Undefined"), "fail"),
    "a page of null": ("value.null-word", URL_SETTINGS, asked(page="NULL"), "fail"),
    "a campaign called Null": ("value.null-word", URL_SETTINGS, asked(name="Null"), "inconclusive"),
    "a campaign with nothing in its name": ("value.null-word", URL_SETTINGS, asked(name="None of a Kind"), "pass"),
    "empty values": ("value.null-word", URL_SETTINGS, asked(name="", paid="", date=""), "pass"),
    "the amount of an item": (
        "value.null-word",
        ITEMS,
        capture(b'{"id": "1.2.3", "items": [{"sku": "a", "amt": "0"},{"sku": "b", "amt": "null"}]}'),
        "fail",
    ),
    "words that values in NUL bytes imitate": ("value.null-word", URL_SETTINGS, asked(name="a\0null\0b"), "pass"),
    "a raw quote": ("value.unescaped", NAMED, named('Joe "The Boss" Smith'), "fail"),
    "a raw backslash": ("value.unescaped", NAMED, named(r"C:\dir"), "fail"),
    "a raw line feed": ("value.unescaped", NAMED, named("two\nlines"), "fail"),
    "a quote that may end a text": ("value.unescaped", NAMED, named('a", "b": "c'), "inconclusive"),
    "escaped values": ("value.unescaped", NAMED, named(r"Joe \"The Boss\" \u0053mith"), "pass"),
    "a raw ampersand in XML": ("value.unescaped", XML_NAMED, capture(b"<a><id>A & B</id></a>"), "fail"),
    "a raw bracket in XML may be an element": (
        "value.unescaped",
        XML_NAMED,
        capture(b"<a><id>A <b>B</b></id></a>"),
        "inconclusive",
    ),
    "an escaped ampersand in XML": ("value.unescaped", XML_NAMED, capture(b"<a><id>A &amp; B</id></a>"), "pass"),
    "a raw plus in a date": ("value.unescaped", URL_SETTINGS, asked(safe="+"), "fail"),
    "a raw plus in the date of a form": ("value.unescaped", FORM, capture(f"d={DATE}".encode()), "fail"),
    "a token in another value, where its own is not there": (
        "value.unreplaced-token",
        URL_SETTINGS,
        capture(method="GET", target="/p?name=%7BActionId%7D"),
        "inconclusive",
    ),
    "a blank in the date of a body is no plus": (
        "value.unescaped",
        JSON_SETTINGS.replace('/postback"', '/postback?sub={SubId1}"'),
        capture(f'{{"id": "1", "date": "{DATE.replace("+", " ")}"}}'.encode(), target="/postback?sub=a+b"),
        "pass",
    ),
    "a date that is encoded": ("value.unescaped", URL_SETTINGS, asked(), "pass"),
    "a raw ampersand in a query may be a parameter": (
        "value.unescaped",
        URL_SETTINGS,
        asked(name="A&B", safe="&"),
        "inconclusive",
    ),
    "settings that expect raw values": ("value.unescaped", RAW, named('Joe "The Boss" Smith'), "not_applicable"),
    "another shape": ("value.unescaped", NAMED, capture(b'{"id": "1"}'), "inconclusive"),
}


@pytest.mark.parametrize(("rule_id", "text", "arrived", "outcome"), CLAIMS.values(), ids=CLAIMS.keys())
def test_a_value_is_only_wrong_for_sure_where_it_can_mean_nothing_else(
    rule_id: str, text: str, arrived: Capture, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule_id, text, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


def test_a_raw_value_is_named_with_its_byte(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("value.unescaped", NAMED, [named('Joe "The Boss" Smith')])
    assert verdict.message == "the value of {CampaignName} holds '\"' as it is in the body, at byte 29"
    assert (verdict.where.span, verdict.where.token) == ((29, 30), "CampaignName")
    assert 'Joe "The' in verdict.actual


@settings(max_examples=40)
@given(name=st.text(max_size=12), sku=st.text(max_size=6))
def test_what_is_escaped_once_is_never_said_to_be_escaped_wrongly(
    name: str, sku: str, read_settings: ReadSettings
) -> None:
    """Whatever the text, and although some of it looks like an escape of its own."""
    at = datetime.fromisoformat(DATE)
    values = {"ActionId": "1.2.3", "CampaignName": name, "EventDate": DATE, "Payout": "0.88", "LandingPageUrl": ""}
    event = Event(kind="action_lifecycle", at=at, values=values, items=({"sku": sku, "amt": "1.00"},))
    rules = select(RULES, only=["value.double-encoded", "value.unescaped"])
    for text in (URL_SETTINGS, NAMED, ITEMS):
        notification = read_settings(text)
        postback = render_postback(notification, event)
        target = postback.url.removeprefix("http://127.0.0.1")
        verdicts = judge([capture(postback.body, method=postback.method, target=target)], notification, rules).verdicts
        assert [one for one in verdicts if one.outcome in {"fail", "error"}] == []
