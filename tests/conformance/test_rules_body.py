"""Bodies: one finding for one fault, at its place; hostile ones cost no more than their length."""

import gzip
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpu_time import cpu_time
from postback_conformance.judging.judge import judge
from postback_conformance.judging.selection import select
from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, XML_SETTINGS, capture
from postback_receiver import Capture
from postback_sender.notification import Notification

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]
ReadSettings = Callable[[str], Notification]

RAW = '[template]\nescaping = "raw"\n'
LEAD = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
"""
UNQUOTED = LEAD + """body = '{"id": "{ActionId}", "q": {Amount}}'\n"""
UNQUOTED_ID = LEAD + """body = '{"id": {ActionId}}'\n"""
# As in the documented sample: the first key has no value.
WOUNDED = LEAD + """body = '{"Action Life Cycle Postback", "id": "{ActionId}"}'\n"""
FORM_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "query"
body = "id={ActionId}&name={CampaignName}"
"""
RAW_SETTINGS = JSON_SETTINGS + RAW
RAW_QUERY = QUERY_SETTINGS + RAW
GZIP = ("Content-Encoding", "gzip")
WHOLE = b'{"id": "1", "date": "2026-05-11T00:07:27+03:00"}'

CLAIMS: dict[str, tuple[str, str, Capture, OutcomeName]] = {
    "a mark before JSON": ("body.bom", JSON_SETTINGS, capture(b"\xef\xbb\xbf{}"), "fail"),
    "a mark before JSON is one fault": (
        "body.json.well-formed",
        JSON_SETTINGS,
        capture(b"\xef\xbb\xbf{}"),
        "not_applicable",
    ),
    "a mark before a form": ("body.bom", FORM_SETTINGS, capture(b"\xef\xbb\xbfid=1"), "fail"),
    "a mark before XML is its right": ("body.bom", XML_SETTINGS, capture(b"\xef\xbb\xbf<a/>"), "not_applicable"),
    "a mark in a text is a text": ("body.bom", JSON_SETTINGS, capture(b'"\xef\xbb\xbf"'), "pass"),
    "NaN": ("body.json.non-finite", JSON_SETTINGS, capture(b'{"a": NaN}'), "fail"),
    "minus infinity": ("body.json.non-finite", JSON_SETTINGS, capture(b'{"a": [-Infinity]}'), "fail"),
    "NaN is one fault": ("body.json.well-formed", JSON_SETTINGS, capture(b'{"a": NaN}'), "not_applicable"),
    "NaN in a text": ("body.json.non-finite", JSON_SETTINGS, capture(b'{"a": "NaN"}'), "pass"),
    "a number beyond doubles": ("body.json.non-finite", JSON_SETTINGS, capture(b'{"a": 1e400}'), "inconclusive"),
    "many digits beyond doubles": (
        "body.json.non-finite",
        JSON_SETTINGS,
        capture(b"[" + b"9" * 400 + b"]"),
        "inconclusive",
    ),
    "many digits of a small number": (
        "body.json.non-finite",
        JSON_SETTINGS,
        capture(b"[0." + b"9" * 400 + b"]"),
        "pass",
    ),
    "a repeated key beside a large number": (
        "body.json.duplicate-key",
        JSON_SETTINGS,
        capture(b'{"a":1,"a":1e9}'),
        "fail",
    ),
    "a raw control character": ("body.xml.illegal-char", XML_SETTINGS, capture(b"<a>\x01</a>"), "fail"),
    "a control character is one fault": (
        "body.xml.well-formed",
        XML_SETTINGS,
        capture(b"<a>\x01</a>"),
        "not_applicable",
    ),
    "a reference to a control character": ("body.xml.illegal-char", XML_SETTINGS, capture(b"<a>&#x0001f;</a>"), "fail"),
    "a reference to half a character": ("body.xml.illegal-char", XML_SETTINGS, capture(b"<a>&#xD800;</a>"), "fail"),
    "a reference beyond all": ("body.xml.illegal-char", XML_SETTINGS, capture(b"<a>&#99999999999;</a>"), "fail"),
    "a legal reference": ("body.xml.illegal-char", XML_SETTINGS, capture(b"<a>&#x0000000041;&#9;</a>"), "pass"),
    "a reference that is a text": ("body.xml.illegal-char", XML_SETTINGS, capture(b"<a><![CDATA[&#0;]]></a>"), "pass"),
    "XML in another encoding": (
        "body.utf8",
        XML_SETTINGS,
        capture('<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>'.encode("latin-1")),
        "not_applicable",
    ),
    "a template filled in": ("body.template-shape", JSON_SETTINGS, capture(WHOLE), "pass"),
    "one more key": ("body.template-shape", JSON_SETTINGS, capture(WHOLE[:-1] + b', "x": ""}'), "fail"),
    "other white space": ("body.template-shape", JSON_SETTINGS, capture(b'{"id":"1","date":""}'), "fail"),
    "a body that is not there is one fault": ("body.template-shape", JSON_SETTINGS, capture(b""), "not_applicable"),
    "raw values": ("body.template-shape", RAW_SETTINGS, capture(b'{"id": "a"b", "date": ""}'), "pass"),
    "raw values that look like the template": (
        "body.template-shape",
        RAW_SETTINGS,
        capture(b'{"id": "a"} b", "date": "x"}y"}'),
        "pass",
    ),
    "a quote that raw values may hold": (
        "body.json.well-formed",
        RAW_SETTINGS,
        capture(b'{"id": "Joe "X" Y", "date": ""}'),
        "inconclusive",
    ),
    "an ampersand that raw values may hold": (
        "body.xml.well-formed",
        XML_SETTINGS + RAW,
        capture(b"<a><id>A & B</id></a>"),
        "inconclusive",
    ),
    "a body that no raw values explain": (
        "body.json.well-formed",
        RAW_SETTINGS,
        capture(b'{"id": "1", "date": "2026'),
        "fail",
    ),
    "NaN among raw values": (
        "body.json.non-finite",
        UNQUOTED + RAW,
        capture(b'{"id": "1", "q": NaN}'),
        "fail",
    ),
    "a form that raw values may break": (
        "body.query.percent-encoding",
        FORM_SETTINGS + RAW,
        capture(b"id=1&name=100% wool"),
        "inconclusive",
    ),
    "a query that raw values may break": (
        "body.query.percent-encoding",
        RAW_QUERY,
        capture(method="GET", target="/postback?id=1&sub=a b"),
        "inconclusive",
    ),
    "a parameter that raw values may repeat": (
        "http.repeated-parameter",
        RAW_QUERY,
        capture(method="GET", target="/postback?id=1&sub=a&id=b"),
        "inconclusive",
    ),
    "a parameter that raw values may cut off": (
        "http.target",
        RAW_QUERY,
        capture(method="GET", target="/postback?id=1"),
        "inconclusive",
    ),
    "a query without anything, whatever values hold": (
        "http.target",
        RAW_QUERY,
        capture(method="GET", target="/postback"),
        "fail",
    ),
    "raw values and another key": ("body.template-shape", RAW_SETTINGS, capture(b'{"key": "1", "date": ""}'), "fail"),
    "a raw quote is one fault": (
        "body.template-shape",
        JSON_SETTINGS,
        capture(b'{"id": "a "b" c", "date": ""}'),
        "not_applicable",
    ),
    "compressed JSON": ("body.json.well-formed", JSON_SETTINGS, capture(gzip.compress(WHOLE), headers=(GZIP,)), "pass"),
    "compressed nonsense": (
        "body.json.well-formed",
        JSON_SETTINGS,
        capture(gzip.compress(b"{"), headers=(GZIP,)),
        "fail",
    ),
    "what only says it is compressed": ("body.utf8", JSON_SETTINGS, capture(b"{}", headers=(GZIP,)), "inconclusive"),
}


@pytest.mark.parametrize(("rule_id", "text", "arrived", "outcome"), CLAIMS.values(), ids=CLAIMS.keys())
def test_a_body_is_judged_by_what_it_holds(
    rule_id: str, text: str, arrived: Capture, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule_id, text, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


BY_TEMPLATE: dict[str, tuple[str, str, bytes, str]] = {
    "a key without a value": (
        "body.json.well-formed",
        WOUNDED,
        b'{"Action Life Cycle Postback", "id": "1"}',
        "(example.toml, body, line 1, column 30): Expecting ':' delimiter, got ','",
    ),
    "an empty value without quotes": (
        "body.json.well-formed",
        UNQUOTED,
        b'{"id": "1", "q": }',
        "({Amount} without quotes at line 1, column 27, and without a value): Expecting value",
    ),
    "an empty value without quotes, raw": (
        "body.json.well-formed",
        UNQUOTED + RAW,
        b'{"id": "1", "q": }',
        "({Amount} without quotes at line 1, column 27, and without a value): Expecting value",
    ),
    "an id without quotes": (
        "body.json.well-formed",
        UNQUOTED_ID,
        b'{"id": 1.2.3}',
        "({ActionId} without quotes at line 1, column 8, which is not always a number): Expecting ',' delimiter",
    ),
    "an element that is never closed": (
        "body.xml.well-formed",
        XML_SETTINGS.replace("</id></a>", "</a>"),
        b"<a><id>1</a>",
        "(example.toml, body, line 1, column 20): mismatched tag",
    ),
    "a document type": (
        "body.xml.no-dtd",
        XML_SETTINGS.replace('"<a>', '"<!DOCTYPE a><a>'),
        b"<!DOCTYPE a><a><id>1</id></a>",
        "the notification's own template holds it at line 1, column 1",
    ),
    "a blank in a form": (
        "body.query.percent-encoding",
        FORM_SETTINGS.replace("&name", "&my name"),
        b"id=1&my name=x",
        "the notification's own template holds it at line 1, column 17",
    ),
    "a key that comes twice": (
        "body.json.duplicate-key",
        LEAD + """body = '{"id": "{ActionId}", "id": "{CampaignName}"}'""",
        b'{"id": "1", "id": "x"}',
        "the notification's own template has it so",
    ),
    "a token that nobody could replace": (
        "value.unreplaced-token",
        LEAD + """body = '{"id": "{ActonId}"}'""",
        b'{"id": "{ActonId}"}',
        "stands in the body as it stands in the template, the notification's own: no token that is known is called so",
    ),
}


@pytest.mark.parametrize(("rule_id", "text", "body", "told"), BY_TEMPLATE.values(), ids=BY_TEMPLATE.keys())
def test_what_the_template_breaks_is_told_of_the_template(
    rule_id: str, text: str, body: bytes, told: str, judged_by: JudgedBy
) -> None:
    """Subject to the test is the sender; to blame is who wrote the template."""
    (verdict,) = judged_by(rule_id, text, [capture(body)])
    assert (verdict.outcome, verdict.subject, verdict.cause) == ("fail", "sender", "notification")
    assert "the notification's own" in verdict.message
    assert told in verdict.message
    assert "mend your own template" in verdict.fix
    assert len(verdict.message) < 240


BY_SENDER: dict[str, tuple[str, str, bytes]] = {
    "a body that was cut": ("body.json.well-formed", JSON_SETTINGS, b'{"id": "1", "da'),
    "a raw quote": ("body.json.well-formed", JSON_SETTINGS, b'{"id": "a "b" c", "date": ""}'),
    "a raw ampersand": ("body.xml.well-formed", XML_SETTINGS, b"<a><id>A & B</id></a>"),
    "a raw ampersand at the end of a value": ("body.xml.well-formed", XML_SETTINGS, b"<a><id>A &</id></a>"),
    "a body of something else": ("body.json.well-formed", WOUNDED, b"<html></html>"),
    "a token that was not replaced": ("value.unreplaced-token", JSON_SETTINGS, b'{"id": "{ActionId}", "date": ""}'),
    "a stray percent sign": ("body.query.percent-encoding", FORM_SETTINGS, b"id=1&name=100%"),
}


@pytest.mark.parametrize(("rule_id", "text", "body"), BY_SENDER.values(), ids=BY_SENDER.keys())
def test_what_the_template_does_not_break_is_not_laid_at_it(
    rule_id: str, text: str, body: bytes, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule_id, text, [capture(body)])
    assert (verdict.outcome, verdict.cause, "own template" in verdict.message) == ("fail", "", False)
    assert "mend your own" not in verdict.fix


def test_a_body_names_where_it_leaves_its_template(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("body.template-shape", JSON_SETTINGS, [capture(b'{"id": "1", "day": ""}')])
    assert verdict.message == (
        "the body leaves its template at byte 15 (line 1, column 16), where line 1, column 25 of the template stands"
    )
    assert (verdict.expected, verdict.actual) == ("…'te\": \"'", '…\'y": ""}\'')
    assert verdict.where.span == (15, 16)


def test_a_place_in_a_compressed_body_is_no_place_in_the_capture(judged_by: JudgedBy) -> None:
    arrived = capture(gzip.compress(b'{"id": }'), headers=(GZIP,))
    (verdict,) = judged_by("body.json.well-formed", JSON_SETTINGS, [arrived])
    assert verdict.where.span is None
    assert verdict.message.endswith("at byte 7 (line 1, column 8) when decoded")
    assert verdict.actual == '{"id": }'


def test_of_thousands_of_repeated_keys_some_are_named(judged_by: JudgedBy) -> None:
    body = b"{" + b",".join(b'"%d":1,"%d":1' % (number, number) for number in range(2000)) + b"}"
    (verdict,) = judged_by("body.json.duplicate-key", JSON_SETTINGS, [capture(body)])
    assert "and 1990 more" in verdict.message
    assert len(verdict.message) < 300


ONE_FAULT: dict[str, tuple[str, bytes, str]] = {
    "NaN without quotes": (UNQUOTED, b'{"id": "1", "q": NaN}', "body.json.non-finite"),
    "minus infinity without quotes": (UNQUOTED, b'{"id": "1", "q": -Infinity}', "body.json.non-finite"),
    "NaN in a text": (UNQUOTED.replace("{Amount}", '"{Amount}"'), b'{"id": "1", "q": "NaN"}', "value.null-word"),
    "null in a text": (UNQUOTED.replace("{Amount}", '"{Amount}"'), b'{"id": "1", "q": "null"}', "value.null-word"),
    "infinity in a text": (UNQUOTED.replace("{Amount}", '"{Amount}"'), b'{"id": "1", "q": "Infinity"}', "field.money"),
    "null without quotes": (UNQUOTED, b'{"id": "1", "q": null}', "value.null-word"),
    "brackets that nobody closes": (JSON_SETTINGS, b"[" * 200_000, "body.json.well-formed"),
}


@pytest.mark.parametrize(("text", "body", "rule_id"), ONE_FAULT.values(), ids=ONE_FAULT.keys())
def test_one_fault_is_one_finding(text: str, body: bytes, rule_id: str, read_settings: ReadSettings) -> None:
    verdicts = judge([capture(body)], read_settings(text), RULES).verdicts
    assert [one.rule for one in verdicts if one.outcome == "fail"] == [rule_id]


SIZE = 400_000
HOSTILE: dict[str, tuple[str, bytes, bytes, bytes]] = {
    "deep lists": (JSON_SETTINGS, b"", b"[", b""),
    "deep objects": (JSON_SETTINGS, b"", b'{"a":', b""),
    "one key": (JSON_SETTINGS, b"{", b'"a":1,', b'"a":1}'),
    "one long value": (JSON_SETTINGS, b'{"id": "', b"x", b'", "date": ""}'),
    "a value of quotes": (JSON_SETTINGS, b'{"id": "', b'"', b""),
    "a value of keys": (JSON_SETTINGS, b'{"id": "', b'a": "', b'", "date": ""}'),
    "a value of backslashes": (JSON_SETTINGS, b'{"id": "', b"\\", b'", "date": ""}'),
    "half characters": (JSON_SETTINGS, b'{"id": "', b"\\ud800", b'", "date": ""}'),
    "one long number": (JSON_SETTINGS, b'{"id": ', b"9", b"}"),
    "a large exponent": (JSON_SETTINGS, b'{"id": 1e', b"9", b"}"),
    "blanks": (JSON_SETTINGS, b'{"id": "1",', b" ", b'"date": ""}'),
    "tokens": (JSON_SETTINGS, b"", b"{SubId9", b"}"),
    "NUL": (JSON_SETTINGS, b"", b"\x00", b""),
    "no UTF-8": (JSON_SETTINGS, b"", b"\xff", b""),
    "deep elements": (XML_SETTINGS, b"", b"<a>", b""),
    "an entity bomb": (XML_SETTINGS, b"<!DOCTYPE a [", b'<!ENTITY b "bb">', b"]><a>&b;</a>"),
    "open sections": (XML_SETTINGS, b"<a>\x00", b"<![CDATA[", b""),
    "open comments": (XML_SETTINGS, b"", b"<!--", b"\x00"),
    "references": (XML_SETTINGS, b"<a>", b"&#9;", b"&#0;</a>"),
    "ampersands": (XML_SETTINGS, b"<a><id>", b"&", b"</id></a>"),
    "percent signs": (FORM_SETTINGS, b"id=", b"%", b""),
    "parameters": (FORM_SETTINGS, b"id=", b"&name=", b""),
    "blanks in a form": (FORM_SETTINGS, b"id=1&name=", b"+", b""),
}


@pytest.mark.parametrize(("text", "lead", "unit", "tail"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_crashes_no_rule_and_costs_time_by_its_length(
    text: str, lead: bytes, unit: bytes, tail: bytes, read_settings: ReadSettings
) -> None:
    notification = read_settings(text)
    arrived = capture(lead + unit * (SIZE // len(unit)) + tail)
    with cpu_time() as spent:
        verdicts = judge([arrived], notification, RULES).verdicts
    assert [one for one in verdicts if one.outcome == "error"] == []
    assert all(len(one.message) + len(one.actual) + len(one.expected) < 2000 for one in verdicts)
    assert spent.seconds < 10


def test_ten_megabytes_in_one_value_are_judged(read_settings: ReadSettings) -> None:
    body = b'{"id": "' + b"x" * 10_000_000 + b'", "date": ""}'
    rules = select(RULES, only=["body.*", "value.*", "http.*", "header.*"])
    verdicts = judge([capture(body)], read_settings(JSON_SETTINGS), rules).verdicts
    assert {one.outcome for one in verdicts} == {"pass", "not_applicable"}


@settings(max_examples=30)
@given(body=st.binary(max_size=60) | st.text('{}[]":,\\1aN <>&;#x0!-', max_size=60).map(str.encode))
def test_whatever_a_body_holds_no_rule_of_bodies_crashes(body: bytes, read_settings: ReadSettings) -> None:
    rules = select(RULES, only=["body.*", "value.*"])
    for text in (JSON_SETTINGS, XML_SETTINGS, FORM_SETTINGS, RAW_SETTINGS):
        verdicts = judge([capture(body)], read_settings(text), rules).verdicts
        assert [one for one in verdicts if one.outcome == "error"] == []
