"""Retries: what an answer's Retry-After changes, and the plan that people are shown before anything is sent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_sender import Notification, NotificationError
from postback_sender.delivery.policy import Attempt, DeliveryPolicy, GiveUp, Send, Wait, next_step
from postback_sender.delivery.retry import RETRY_PROFILES, Failure, custom_profile
from postback_sender.delivery.retry_after import parse_retry_after
from postback_sender.delivery.retry_plan import FAILURES, retry_plan

Settings = Callable[[str], Notification]

SECOND = 1_000_000_000
NOW = datetime(2026, 5, 11, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * SECOND


@pytest.mark.parametrize(
    ("value", "wait_ns"),
    [
        ("0", 0),
        ("120", 120 * SECOND),
        (" 1.5 ", 3 * SECOND // 2),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30 * SECOND),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), 0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1e9", None),
        ("9" * 50, None),
        ("Mon, 99 Foo 9999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, wait_ns: int | None) -> None:
    assert parse_retry_after(value, now_ns=NOW_NS) == wait_ns


@given(st.text())
def test_any_retry_after_is_a_wait_or_nothing(value: str) -> None:
    wait_ns = parse_retry_after(value, now_ns=NOW_NS)

    assert wait_ns is None or wait_ns >= 0


@given(st.integers(0, 10**12), st.none() | st.integers(0, 10**13))
def test_retry_after_lengthens_a_wait_to_at_most_twice_the_planned_one_and_never_shortens_it(
    planned_ns: int, asked_ns: int | None
) -> None:
    profile = replace(custom_profile((planned_ns,)), honours_retry_after=True)
    failed = Attempt(number=1, started_ns=0, finished_ns=7, failure=Failure.ANSWER, status=503, retry_after_ns=asked_ns)

    match next_step(DeliveryPolicy(retry=profile), 0, failed, 7):
        case Wait(until_ns):
            assert planned_ns <= until_ns - 7 <= 2 * planned_ns
            assert asked_ns is None or until_ns - 7 >= min(asked_ns, 2 * planned_ns)
        case step:
            assert step == Send()
            assert planned_ns == 0

    plain = DeliveryPolicy(retry=custom_profile((planned_ns,)))
    assert next_step(plain, 0, failed, 7 + planned_ns) == Send()


@pytest.mark.parametrize("profile", RETRY_PROFILES)
@pytest.mark.parametrize(("failure", "status"), FAILURES, ids=str)
def test_the_plan_is_what_the_policy_does(profile: str, failure: Failure, status: int | None) -> None:
    policy = DeliveryPolicy(retry=RETRY_PROFILES[profile])
    plan = retry_plan(policy, failure, status)

    now_ns, number = 0, 1
    for delay_ns in plan.delays_ns:
        last = Attempt(number=number, started_ns=now_ns, finished_ns=now_ns, failure=failure, status=status)
        assert next_step(policy, 0, last, now_ns + delay_ns) == Send()
        assert delay_ns == 0 or isinstance(next_step(policy, 0, last, now_ns + delay_ns - 1), Wait)
        now_ns, number = now_ns + delay_ns, number + 1
    last = Attempt(number=number, started_ns=now_ns, finished_ns=now_ns, failure=failure, status=status)
    assert next_step(policy, 0, last, now_ns) == GiveUp(plan.reason)


def test_a_table_says_what_the_sources_leave_open(settings: Settings) -> None:
    retries = settings('retry = {profile = "help-centre", retry_after = true}').retry
    sends = settings('retry = {profile = "help-centre", sends = 15}').retry
    own = settings('retry = {delays = [1, "2s", 3], sends = 2}').retry

    assert (len(retries.delays_ns), retries.honours_retry_after) == (15, True)
    assert (len(sends.delays_ns), sends.honours_retry_after) == (14, False)
    assert own.delays_ns == (SECOND,)


def test_a_timeout_can_be_told_by_phase(settings: Settings) -> None:
    timeouts = settings('timeout = {total = "20s", connect = "500ms"}').timeouts

    assert (timeouts.total_ns, timeouts.connect_ns, timeouts.read_ns) == (20 * SECOND, SECOND // 2, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('retry = {profile = "none", delays = [1]}', "profile and delays are both set"),
        ("retry = {sends = 0}", "retry"),
        ("retry = {retires = 3}", "unknown key 'retry.retires'"),
        ('timeout = {connect = "0s"}', "timeout.connect: expected more than 0"),
        ('timeout = {conect = "1s"}', 'did you mean "connect"'),
    ],
)
def test_a_slip_in_a_table_is_told(settings: Settings, text: str, message: str) -> None:
    with pytest.raises(NotificationError) as caught:
        settings(text)

    assert message in str(caught.value)
