"""What a verdict rests on: each row is traffic, the one rule that judges it, and what that can tell."""

from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, XML_SETTINGS, capture
from postback_receiver import Answer, Capture
from rule_settings import CLEARED, CLEARING_SETTINGS, FORM_SETTINGS, MONEY_SETTINGS

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]

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
