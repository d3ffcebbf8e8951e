"""What happens next to a postback: pure decisions over its last attempt and the time. No clock, no network.

no attempt, too early      → Wait         failed, retry allowed, too early → Wait
no attempt, time has come  → Send         failed, retry allowed, due       → Send
last attempt succeeded     → Delivered    failed, no retry left or allowed → GiveUp
"""

import msgspec

from postback_sender.delivery.retry import Failure, RetryProfile
from postback_sender.matcher import ResponseMatcher


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One send of a postback and its outcome; times are nanoseconds of the sender's monotonic clock.

    `number` counts from 1, and `uncounted` of those before it were cut off, which no policy counts. `failure` is None
    for a success. `status` is None when no answer came. `retry_after_ns` is how long the answer asked to be left alone.
    `detail` is for people.
    """

    number: int
    started_ns: int
    finished_ns: int
    failure: Failure | None
    status: int | None = None
    retry_after_ns: int | None = None
    detail: str = ""
    uncounted: int = 0

    @property
    def counted(self) -> int:
        """How many attempts there were that the policy counts, with this one."""
        return self.number - self.uncounted


class DeliveryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What decides over a postback once it was sent: the settings of a notification about answers and retries."""

    retry: RetryProfile
    success_response: ResponseMatcher | None = None
    error_response: ResponseMatcher | None = None


class Send(msgspec.Struct, frozen=True):
    """Send it now (as soon as the maximum of requests allows)."""


class Wait(msgspec.Struct, frozen=True):
    """Ask again at `until_ns`, monotonic."""

    until_ns: int


class Delivered(msgspec.Struct, frozen=True):
    """Done: the last attempt was answered with success."""


class GiveUp(msgspec.Struct, frozen=True):
    """Done without success; `reason` says why no further attempt is made."""

    reason: str


Step = Send | Wait | Delivered | GiveUp


def next_step(policy: DeliveryPolicy, ready_ns: int, last: Attempt | None, now_ns: int) -> Step:
    """Return what to do with a postback that may be sent from `ready_ns` on, by its last attempt."""
    if last is None:
        return Send() if now_ns >= ready_ns else Wait(ready_ns)
    if last.failure is None:
        return Delivered()
    profile = policy.retry
    if not profile.retries(last.failure, last.status):
        status = f" {last.status}" if last.status is not None else ""
        return GiveUp(f"{last.failure}{status}: {profile.title} does not try that again")
    if last.counted > len(profile.delays_ns):
        return GiveUp(f"{last.failure} after {_attempts(last.counted)}: {profile.title} allows no more")
    due_ns = last.finished_ns + _delay_ns(profile, last)
    return Send() if now_ns >= due_ns else Wait(due_ns)


def used_up(policy: DeliveryPolicy, attempts: int) -> GiveUp | None:
    """Return the end of a postback of which so many attempts failed under settings that allowed more than these do."""
    if attempts <= len(policy.retry.delays_ns):
        return None
    return GiveUp(f"{_attempts(attempts)} made: {policy.retry.title} allows no more")


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number} attempts"


def _delay_ns(profile: RetryProfile, failed: Attempt) -> int:
    """Return how long to wait after a failed attempt: as planned, or as asked, up to twice as long."""
    planned_ns = profile.delays_ns[failed.counted - 1]
    if not profile.honours_retry_after or failed.retry_after_ns is None:
        return planned_ns
    return min(max(planned_ns, failed.retry_after_ns), 2 * planned_ns)


def judge_answer(policy: DeliveryPolicy, status: int, body: bytes) -> Failure | None:
    """Return None when an answer means success.

    An error response decides first, then the success response; without them any 2xx is success (impact.com's OpenAPI
    names 200 and 202). A redirect is an answer like any other: it is not followed.
    """
    if policy.error_response is not None and policy.error_response.matches(status, body):
        return Failure.ANSWER
    if policy.success_response is not None:
        return None if policy.success_response.matches(status, body) else Failure.ANSWER
    return None if 200 <= status < 300 else Failure.ANSWER
