"""Headers: what a partner asked for, and what HTTP needs to find the end of a request and its host."""

from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, capture
from postback_receiver import Capture

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]
Headers = tuple[tuple[str, str], ...]

HOST = ("Host", "partner.example")
LENGTH = ("Content-Length", "2")


def sent(*headers: tuple[str, str], body: bytes = b"{}", version: str = "1.1", truncated: bool = False) -> Capture:
    """Return a request with these headers and no others."""
    arrived = capture(body, headers=headers, truncated=truncated, is_framed=False)
    return replace(arrived, http_version=version)


LENGTHS: dict[str, tuple[Capture, OutcomeName]] = {
    "the length of the body": (sent(HOST, LENGTH), "pass"),
    "leading noughts": (sent(HOST, ("content-length", "002")), "pass"),
    "the same length twice": (sent(HOST, LENGTH, LENGTH), "pass"),
    "two lengths": (sent(HOST, LENGTH, ("Content-Length", "3")), "fail"),
    "a length that is no number": (sent(HOST, ("Content-Length", "+2")), "fail"),
    "more digits than any length has": (sent(HOST, ("Content-Length", "9" * 5000)), "fail"),
    "another length": (sent(HOST, ("Content-Length", "1")), "fail"),
    "no length at all": (sent(HOST), "fail"),
    "no length of an empty body": (sent(HOST, body=b""), "fail"),
    "chunks": (sent(HOST, ("Transfer-Encoding", "chunked")), "pass"),
    "chunks and a length": (sent(HOST, ("Transfer-Encoding", "chunked"), LENGTH), "fail"),
    "a body that was cut off": (sent(HOST, ("Content-Length", "9"), truncated=True), "inconclusive"),
    "a secret that was hidden": (sent(HOST, LENGTH, body=b'{"api_key": "[hidden]"}'), "inconclusive"),
    "a later HTTP": (sent(HOST, version="2"), "not_applicable"),
}
HOSTS: dict[str, tuple[Capture, OutcomeName]] = {
    "a name": (sent(HOST), "pass"),
    "an address and a port": (sent(("host", "[::1]:8443")), "pass"),
    "no host": (sent(), "fail"),
    "an empty host": (sent(("Host", "")), "fail"),
    "two hosts": (sent(HOST, HOST), "fail"),
    "a URL": (sent(("Host", "http://partner.example/")), "fail"),
    "HTTP/1.0": (sent(version="1.0"), "not_applicable"),
}


@pytest.mark.parametrize(("arrived", "outcome"), LENGTHS.values(), ids=LENGTHS.keys())
def test_a_length_is_there_once_and_right(arrived: Capture, outcome: OutcomeName, judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("header.content-length", JSON_SETTINGS, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)
    assert len(verdict.actual) < 100


def test_a_request_without_a_body_needs_no_length(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("header.content-length", QUERY_SETTINGS, [sent(HOST, body=b"")])
    assert verdict.outcome == "not_applicable"


@pytest.mark.parametrize(("arrived", "outcome"), HOSTS.values(), ids=HOSTS.keys())
def test_a_host_is_there_once_and_is_one(arrived: Capture, outcome: OutcomeName, judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("header.host", JSON_SETTINGS, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


@pytest.mark.parametrize("rule_id", ["header.content-length", "header.content-type", "header.custom-present"])
def test_a_header_that_an_archive_does_not_hold_may_have_been_sent(rule_id: str, judged_by: JudgedBy) -> None:
    text = JSON_SETTINGS + '[headers]\nX-Partner = "1"\n'
    arrived = sent(HOST)
    assert [one.outcome for one in judged_by(rule_id, text, [arrived])] == ["fail"]
    (verdict,) = judged_by(rule_id, text, [replace(arrived, remote="")])
    assert (verdict.outcome, verdict.message) == ("inconclusive", verdict.message)


def test_a_header_of_an_archive_with_another_value_is_wrong_all_the_same(judged_by: JudgedBy) -> None:
    arrived = replace(sent(HOST, ("Content-Length", "x"), ("Content-Type", "text/plain")), remote="")
    for rule_id in ("header.content-length", "header.content-type"):
        assert [one.outcome for one in judged_by(rule_id, JSON_SETTINGS, [arrived])] == ["fail"]
