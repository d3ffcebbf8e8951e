"""The answer that a notification's sender takes for a success, or for an error."""

from itertools import product
from typing import Literal

from postback_sender import Notification
from postback_sender.delivery.policy import DeliveryPolicy, judge_answer

Wanted = Literal["success", "error"]

# What to try where the settings leave the status open. 503 is the error that every retry profile tries again; where a
# text tells the two apart, it does so with any status, and a 200 shows that it is the text that counts.
_SUCCESS: tuple[int, ...] = (200,)
_ERROR: tuple[int, ...] = (503, 200)
_ERROR_BY_TEXT: tuple[int, ...] = (200, 503)


def wanted_answer(notification: Notification, wanted: Wanted) -> tuple[int, bytes]:
    """Return a status and body that the settings tell to be a success or an error.

    Raises ValueError where none can be told from them: which texts a regular expression finds is not worked out.
    """
    matcher = notification.success_response if wanted == "success" else notification.error_response
    policy = DeliveryPolicy(
        retry=notification.retry,
        success_response=notification.success_response,
        error_response=notification.error_response,
    )
    texts = [""]
    statuses = _SUCCESS if wanted == "success" else _ERROR
    if matcher is not None:
        # A regular expression may well be a plain text.
        texts = [text for text in (matcher.body_equals, matcher.body_contains, matcher.body_regex) if text] or texts
        statuses = matcher.status or (_ERROR_BY_TEXT if wanted == "error" else _SUCCESS)
    for status, text in product(statuses, texts):
        body = text.encode()
        is_taken = matcher is None or matcher.matches(status, body)
        is_success = judge_answer(policy, status, body) is None
        if 200 <= status <= 599 and is_taken and is_success == (wanted == "success"):
            return status, body
    has_regex = matcher is not None and matcher.body_regex is not None
    reason = "has a regular expression" if has_regex else "takes nothing that the other one leaves"
    raise ValueError(
        f"the {wanted}_response of {notification.name} {reason}, which does not tell what to answer; "
        "write status and body instead"
    )
