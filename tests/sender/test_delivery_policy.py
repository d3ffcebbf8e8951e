"""What happens next to a postback: tables of claims, and laws over whole histories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_sender.delivery.policy import (
    Attempt,
    Delivered,
    DeliveryPolicy,
    GiveUp,
    Send,
    Wait,
    judge_answer,
    next_step,
)
from postback_sender.delivery.retry import RETRY_PROFILES, Failure, custom_profile
from postback_sender.matcher import ResponseMatcher

HELP_CENTRE = DeliveryPolicy(retry=RETRY_PROFILES["help-centre"])
OPENAPI = DeliveryPolicy(retry=RETRY_PROFILES["openapi"])
NONE = DeliveryPolicy(retry=RETRY_PROFILES["none"])


def attempt(failure: Failure | None, status: int | None = None, *, number: int = 1, finished_ns: int = 0) -> Attempt:
    return Attempt(number=number, started_ns=finished_ns, finished_ns=finished_ns, failure=failure, status=status)


def test_the_first_attempt_waits_until_it_may() -> None:
    assert next_step(NONE, 10, None, 9) == Wait(10)
    assert next_step(NONE, 10, None, 10) == Send()


@pytest.mark.parametrize(
    ("failure", "status", "help_centre", "openapi"),
    [
        (Failure.ANSWER, 399, True, True),
        (Failure.ANSWER, 400, False, True),
        (Failure.ANSWER, 429, False, True),
        (Failure.ANSWER, 500, False, True),
        (Failure.ANSWER, 501, True, True),
        (Failure.ANSWER, 503, True, True),
        # An answer that is 200 by status and an error by its text is in neither source's list of final ones.
        (Failure.ANSWER, 200, True, True),
        (Failure.TIMEOUT, None, True, True),
        (Failure.CONNECTION, None, True, True),
        (Failure.BROKEN_ANSWER, None, True, True),
        (Failure.HOST_NOT_FOUND, None, False, True),
        (Failure.MALFORMED_URL, None, False, False),
    ],
)
def test_which_failures_are_retried_depends_on_the_profile(
    failure: Failure,
    status: int | None,
    help_centre: bool,  # noqa: FBT001  a table of claims
    openapi: bool,  # noqa: FBT001  a table of claims
) -> None:
    later = 10**15
    failed = attempt(failure, status)
    assert isinstance(next_step(HELP_CENTRE, 0, failed, later), Send) == help_centre
    assert isinstance(next_step(OPENAPI, 0, failed, later), Send) == openapi
    assert isinstance(next_step(NONE, 0, failed, later), GiveUp)


@given(st.lists(st.integers(0, 10**12), max_size=20), st.integers(0, 10**12))
def test_a_postback_that_always_fails_is_sent_once_more_than_there_are_delays(
    delays_ns: list[int], duration_ns: int
) -> None:
    policy = DeliveryPolicy(retry=custom_profile(tuple(delays_ns)))
    attempts: tuple[Attempt, ...] = ()
    now = 0
    for _ in range(10 * len(delays_ns) + 10):
        match next_step(policy, 5, attempts[-1] if attempts else None, now):
            case Wait(until_ns):
                assert until_ns > now
                now = until_ns
            case Send():
                # Never before the delay after the last failure is over.
                if attempts:
                    assert now >= attempts[-1].finished_ns + delays_ns[len(attempts) - 1]
                now += duration_ns
                attempts += (attempt(Failure.ANSWER, 503, number=len(attempts) + 1, finished_ns=now),)
            case step:
                assert isinstance(step, GiveUp)
                break
    assert len(attempts) == len(delays_ns) + 1


def test_nothing_follows_a_success() -> None:
    assert next_step(OPENAPI, 0, attempt(None, 200, number=2), 0) == Delivered()


def test_giving_up_says_why() -> None:
    assert next_step(HELP_CENTRE, 0, attempt(Failure.ANSWER, 404), 0) == GiveUp(
        "error answer 404: the retry profile help-centre does not try that again"
    )


def test_the_help_centre_profile_retries_fifteen_times() -> None:
    assert len(RETRY_PROFILES["help-centre"].delays_ns) == 15


CONTAINS_OK = ResponseMatcher(body_contains="OK")
CONTAINS_ERR = ResponseMatcher(body_contains="ERR")


@pytest.mark.parametrize(
    ("success", "error", "status", "body", "succeeded"),
    [
        (None, None, 200, b"", True),
        (None, None, 202, b"", True),
        (None, None, 302, b"", False),
        (None, None, 500, b"", False),
        (CONTAINS_OK, None, 200, b"all OK", True),
        (CONTAINS_OK, None, 200, b"", False),
        (CONTAINS_OK, None, 500, b"OK", True),
        (None, CONTAINS_ERR, 200, b"ERR", False),
        (None, CONTAINS_ERR, 200, b"fine", True),
        (CONTAINS_OK, CONTAINS_ERR, 200, b"OK ERR", False),
        (ResponseMatcher(status=(200, 202), body_equals="OK"), None, 202, b" OK\n", True),
        (ResponseMatcher(status=(200, 202), body_equals="OK"), None, 201, b"OK", False),
        (ResponseMatcher(body_regex="^O.$"), None, 200, b"\xff", False),
        (ResponseMatcher(body_regex="^O.$"), None, 200, b"OK", True),
    ],
)
def test_success_is_a_matter_of_status_and_text(
    success: ResponseMatcher | None,
    error: ResponseMatcher | None,
    status: int,
    body: bytes,
    succeeded: bool,  # noqa: FBT001  a table of claims
) -> None:
    policy = DeliveryPolicy(retry=RETRY_PROFILES["none"], success_response=success, error_response=error)

    assert (judge_answer(policy, status, body) is None) == succeeded


@given(
    number=st.integers(1, 20),
    uncounted=st.integers(0, 20),
    failure=st.sampled_from(Failure),
    profile=st.sampled_from(sorted(RETRY_PROFILES)),
    now_ns=st.integers(0, 10**14),
)
def test_attempts_that_were_cut_off_change_nothing_about_what_comes_next(
    number: int, uncounted: int, failure: Failure, profile: str, now_ns: int
) -> None:
    policy = DeliveryPolicy(retry=RETRY_PROFILES[profile])
    counted = attempt(failure, number=number)
    with_others = replace(counted, number=number + uncounted, uncounted=uncounted)
    assert next_step(policy, 0, with_others, now_ns) == next_step(policy, 0, counted, now_ns)
