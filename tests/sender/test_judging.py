"""What an answer means: success or not, by status and text, in whatever coding it came."""

import gzip
from datetime import UTC, datetime

import pytest

from postback_sender.delivery.answer import Answer, Headers
from postback_sender.delivery.judging import judged
from postback_sender.delivery.policy import Attempt, DeliveryPolicy
from postback_sender.delivery.retry import RETRY_PROFILES, Failure
from postback_sender.matcher import ResponseMatcher

BY_BROTLI = b"\x8b\x01\x80DONE\x03"
SECOND = 1_000_000_000
NOW = datetime(2026, 5, 11, 12, tzinfo=UTC)
DONE = DeliveryPolicy(retry=RETRY_PROFILES["none"], success_response=ResponseMatcher(body_equals="DONE"))
PLAIN = DeliveryPolicy(retry=RETRY_PROFILES["none"])


def judge(
    policy: DeliveryPolicy,
    status: int | None,
    body: bytes = b"",
    *headers: tuple[str, str],
    failure: Failure | None = None,
) -> Attempt:
    answer = Answer(sent_ns=3, finished_ns=9, status=status, headers=headers, body=body, failure=failure, detail="")
    return judged(policy, answer, number=2, started_ns=3, now_ns=int(NOW.timestamp()) * SECOND)


def test_an_attempt_tells_when_and_as_what() -> None:
    attempt = judge(PLAIN, 200)

    assert attempt == Attempt(number=2, started_ns=3, finished_ns=9, failure=None, status=200)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("br", BY_BROTLI),
        ("gzip", gzip.compress(b"DONE", mtime=0)),
        ("GZIP", gzip.compress(b"DONE", mtime=0)),
        ("identity", b"DONE"),
        ("br, gzip", gzip.compress(BY_BROTLI, mtime=0)),
    ],
    ids=["br", "gzip", "in capitals", "identity", "both"],
)
def test_answers_are_read_in_every_encoding_that_is_asked_for(coding: str, packed: bytes) -> None:
    assert judge(DONE, 200, packed, ("content-ENCODING", coding)).failure is None
    assert judge(DONE, 200, packed[:-20], ("Content-Encoding", coding)).failure is not None


def test_a_body_that_is_not_what_its_encoding_says_is_a_broken_answer() -> None:
    attempt = judge(DONE, 200, b"DONE", ("Content-Encoding", "gzip"))

    assert (attempt.failure, attempt.status) == (Failure.BROKEN_ANSWER, 200)
    assert attempt.detail


@pytest.mark.parametrize(
    ("status", "headers", "detail"),
    [
        (302, (("Location", "http://elsewhere/"),), "a redirect, which is not followed"),
        (304, (), ""),
        (200, (("Location", "/x"),), ""),
    ],
    ids=["redirect", "no location", "no redirect"],
)
def test_a_redirect_is_told_as_one(status: int, headers: Headers, detail: str) -> None:
    attempt = judge(PLAIN, status, b"", *headers)

    assert (attempt.failure, attempt.detail) == (None if status == 200 else Failure.ANSWER, detail)


@pytest.mark.parametrize(
    ("status", "value", "wait_ns"),
    [
        (503, "2.5", 5 * SECOND // 2),
        (503, "Mon, 11 May 2026 12:00:07 GMT", 7 * SECOND),
        (503, "later", None),
        (200, "2", None),
    ],
    ids=["seconds", "a date", "neither", "a success"],
)
def test_an_answer_may_ask_to_be_left_alone_for_a_while(status: int, value: str, wait_ns: int | None) -> None:
    assert judge(PLAIN, status, b"", ("retry-AFTER", value)).retry_after_ns == wait_ns


def test_where_there_is_no_answer_the_reason_stands() -> None:
    """Also when there was the beginning of one."""
    assert judge(PLAIN, None, failure=Failure.TLS).failure is Failure.TLS
    attempt = judge(PLAIN, 200, b"half", failure=Failure.TIMEOUT)
    assert (attempt.failure, attempt.status) == (Failure.TIMEOUT, 200)
