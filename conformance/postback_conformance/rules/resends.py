"""Which captures repeat an earlier one, byte for byte, and what the earlier one was answered."""

from collections import OrderedDict
from hashlib import blake2b

import msgspec

from postback_conformance.token_values import token_value
from postback_conformance.verdict import Inconclusive
from postback_receiver import Capture
from postback_sender.delivery.policy import DeliveryPolicy, judge_answer
from postback_sender.notification import Notification

# One entry is about 300 bytes. Beyond this the oldest request is forgotten, and its repeat would count as new.
MAX_REMEMBERED = 200_000


class Resend(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A repeat: the how-manyth it is (from 1) since the request was new or a success, and the arrival before it."""

    number: int
    previous_id: str
    previous_ns: int | None
    previous_lateness_ns: int
    previous_status: int | None
    """What the arrival before was answered; None when its answer never left."""
    after_success: bool
    is_certain: bool
    """Nothing else about the same action came in between. Otherwise the action may honestly be back where it was."""


class _Seen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    repeats: int
    id: str
    monotonic_ns: int | None
    lateness_ns: int
    status: int | None
    succeeded: bool


def undecided(resend: Resend, capture: Capture) -> Inconclusive:
    """Return the outcome for a repeat that need not be a resend at all."""
    return Inconclusive(
        why="the same bytes came again, and something else about the action in between: a resend, or an action back "
        "in an earlier state",
        captures=(resend.previous_id, capture.id),
    )


class Resends:
    """Remembers what arrived. A postback carries no id of its own, so the same bytes are the only sign of a resend."""

    def __init__(self, notification: Notification) -> None:
        self._policy = DeliveryPolicy(
            retry=notification.retry,
            success_response=notification.success_response,
            error_response=notification.error_response,
        )
        self._notification = notification
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._latest: OrderedDict[str | None, bytes] = OrderedDict()

    def see(self, capture: Capture) -> Resend | None:
        """Take in the next capture; return what it repeats, or None when its bytes are new, or not all there."""
        if capture.truncated:
            return None
        digest = blake2b(
            b"\0".join((capture.method.encode(), capture.target.encode("latin-1"), capture.body)), digest_size=16
        ).digest()
        # Where no action id can be read, all captures are about one action: then less is certain, and nothing wrong.
        action = token_value(self._notification, capture, "ActionId")
        is_certain = self._latest.pop(action, None) == digest
        self._latest[action] = digest
        before = self._seen.pop(digest, None)
        # An answer that never left cannot have been read, neither as a success nor as an error.
        answer = capture.answer if capture.answer and capture.answer.sent_at_ns is not None else None
        self._seen[digest] = _Seen(
            repeats=before.repeats + 1 if before and not before.succeeded else 0,
            id=capture.id,
            monotonic_ns=capture.monotonic_ns,
            lateness_ns=capture.lateness_ns,
            status=answer.status if answer else None,
            succeeded=answer is not None and judge_answer(self._policy, answer.status, answer.body) is None,
        )
        for remembered in (self._seen, self._latest):
            if len(remembered) > MAX_REMEMBERED:
                remembered.popitem(last=False)
        if before is None:
            return None
        return Resend(
            number=before.repeats + 1,
            previous_id=before.id,
            previous_ns=before.monotonic_ns,
            previous_lateness_ns=before.lateness_ns,
            previous_status=before.status,
            after_success=before.succeeded,
            is_certain=is_certain,
        )
