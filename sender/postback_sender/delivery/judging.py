"""What an answer means: an attempt that succeeded, or why it did not."""

from postback_sender.delivery.answer import Answer
from postback_sender.delivery.content_coding import ContentCodingError, decoded
from postback_sender.delivery.policy import Attempt, DeliveryPolicy, judge_answer
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.retry_after import parse_retry_after
from postback_sender.matcher import MAX_ANSWER_BYTES


def judged(
    policy: DeliveryPolicy, answer: Answer, *, number: int, started_ns: int, now_ns: int, uncounted: int = 0
) -> Attempt:
    """Return the attempt that an answer ended, number `number` of its round; `now_ns` is wall time, for its dates.

    `uncounted` as in an `Attempt`.
    """
    failure, detail = answer.failure, answer.detail
    if failure is None and answer.status is not None:
        failure, detail = _verdict(policy, answer, answer.status)
    retry_after = answer.header("retry-after") if failure is not None else ""
    return Attempt(
        number=number,
        started_ns=started_ns,
        finished_ns=answer.finished_ns,
        failure=failure,
        status=answer.status,
        retry_after_ns=parse_retry_after(retry_after, now_ns=now_ns) if retry_after else None,
        detail=detail,
        uncounted=uncounted,
    )


def _verdict(policy: DeliveryPolicy, answer: Answer, status: int) -> tuple[Failure | None, str]:
    body = answer.body
    if coding := ", ".join(value for name, value in answer.headers if name.lower() == "content-encoding"):
        try:
            body = decoded(body, coding, limit=MAX_ANSWER_BYTES)
        except ContentCodingError as error:
            return Failure.BROKEN_ANSWER, str(error)
    is_redirect = 300 <= status < 400 and answer.header("location") != ""
    return judge_answer(policy, status, body), "a redirect, which is not followed" if is_redirect else ""
