"""What the retry policy will do, computed by running it: for people who want to know before anything is sent."""

import msgspec

from postback_sender.delivery.policy import Attempt, DeliveryPolicy, GiveUp, Wait, next_step
from postback_sender.delivery.retry import Failure


class RetryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a failure that comes again at every attempt: the waits in between, and why it ends."""

    failure: Failure
    status: int | None
    delays_ns: tuple[int, ...]
    reason: str


# What an endpoint, or the way to it, can do to a postback, told apart as far as some profile tells it apart.
FAILURES: tuple[tuple[Failure, int | None], ...] = (
    (Failure.ANSWER, 200),
    (Failure.ANSWER, 302),
    (Failure.ANSWER, 404),
    (Failure.ANSWER, 429),
    (Failure.ANSWER, 500),
    (Failure.ANSWER, 503),
    (Failure.TIMEOUT, None),
    (Failure.CONNECTION, None),
    (Failure.BROKEN_ANSWER, None),
    (Failure.TLS, None),
    (Failure.HOST_NOT_FOUND, None),
    (Failure.MALFORMED_URL, None),
)


def retry_plans(policy: DeliveryPolicy) -> list[RetryPlan]:
    """Return the plan for everything that can fail; an answer 200 can only where the settings look into answers."""
    looks_into = policy.success_response is not None or policy.error_response is not None
    return [retry_plan(policy, *each) for each in FAILURES if looks_into or each != (Failure.ANSWER, 200)]


def retry_plan(policy: DeliveryPolicy, failure: Failure, status: int | None) -> RetryPlan:
    """Return what the policy does when every attempt fails like that, and takes no time."""
    delays: list[int] = []
    number, now_ns = 1, 0
    while True:
        last = Attempt(number=number, started_ns=now_ns, finished_ns=now_ns, failure=failure, status=status)
        match next_step(policy, 0, last, now_ns):
            case GiveUp(reason):
                return RetryPlan(failure=failure, status=status, delays_ns=tuple(delays), reason=reason)
            case Wait(until_ns):
                delays.append(until_ns - now_ns)
                now_ns = until_ns
            case _:
                delays.append(0)
        number += 1
