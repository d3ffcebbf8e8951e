"""Which captures repeat an earlier one, byte for byte, and what the earlier one was answered."""

from collections import OrderedDict
from hashlib import blake2b
from sys import intern

import msgspec

from postback_conformance.judging.clocks import travel_ns
from postback_conformance.judging.evidence import Evidence, Resend
from postback_conformance.judging.verdict import Inconclusive
from postback_conformance.judging.wire_money import read_figures
from postback_receiver import Capture
from postback_sender.delivery.policy import DeliveryPolicy, judge_answer
from postback_sender.notification import Notification

# One entry is about 300 bytes. Beyond this the oldest request is forgotten, and its repeat would count as new.
MAX_REMEMBERED = 200_000

# Kinds of event that happen once to whatever they are about: an action clears once, a job ends once.
_ONCE = frozenset({"action_clearing", "job_completion", "tracking_value_request"})
IDS = ("ActionId", "Id")

_ALIKE = "the same bytes came again: a resend, or another event of which the template says the same"
_ELSEWHERE = (
    "the same bytes came again, and something else about the action in between: a resend, or an action back in an "
    "earlier state"
)
_UNCLEAR = "the same bytes came again, and nobody can tell whether the sender still got the answer before"


class _Seen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    repeats: int
    id: str
    monotonic_ns: int | None
    received_ns: int
    lateness_ns: int
    run: str
    ended_ns: int | None
    status: int | None
    is_read: bool
    succeeded: bool | None
    is_unclear: bool
    """Since the last success for sure, there was one that the sender may not have got."""


def undecided(resend: Resend, capture: Capture) -> Inconclusive:
    """Return the outcome for a repeat that need not be a resend at all, or not of what had failed."""
    return Inconclusive(why=resend.doubt or _UNCLEAR, captures=(resend.previous_id, capture.id))


def happens_once(evidence: Evidence) -> bool:
    """Tell whether the same bytes can only be the same event: it happens once, and says to what."""
    notification = evidence.notification
    kind = notification.catalogue.kinds.get(notification.event)
    is_single = notification.level == "event" or (kind is not None and kind.like in _ONCE)
    return is_single and any(evidence.texts.get(name) for name in IDS)


def _moved_money(evidence: Evidence) -> bool:
    """Tell whether it says that this action went from one sum to another: it cannot do so twice in a row."""
    texts = evidence.texts
    if not texts.get("ActionId") or not texts.get("Status"):
        return False
    said = read_figures(texts)
    return (said.payout is not None and bool(said.delta_payout)) or (
        said.amount is not None and bool(said.delta_amount)
    )


def is_read(evidence: Evidence) -> bool | None:
    """Tell whether the sender got the answer: it left before he had gone, and before his time was over.

    None within what the way there and back, and a late event loop, may have taken of that time.
    """
    capture, timeouts = evidence.capture, evidence.notification.timeouts
    answer = capture.answer
    if answer is None or answer.sent_at_ns is None:
        return False
    took_ns = answer.sent_at_ns - capture.received_at_ns
    if answer.sent_ns is not None:
        if capture.gone_ns is not None and capture.gone_ns <= answer.sent_ns:
            return False
        if capture.monotonic_ns is not None:
            took_ns = answer.sent_ns - capture.monotonic_ns
    if took_ns >= timeouts.total_ns:
        return False
    patience_ns = min(timeouts.total_ns, timeouts.read_ns or timeouts.total_ns)
    return True if took_ns + capture.lateness_ns + travel_ns(evidence) < patience_ns else None


def has_succeeded(policy: DeliveryPolicy, evidence: Evidence, *, read: bool | None) -> bool | None:
    """Tell whether a request was a success for its sender, who got its answer or not; None when nobody can tell."""
    answer = evidence.capture.answer
    if answer is None or read is False or judge_answer(policy, answer.status, answer.body) is not None:
        return False
    return read


def policy_of(notification: Notification) -> DeliveryPolicy:
    """Return what decides by its answer whether a request was a success."""
    return DeliveryPolicy(
        retry=notification.retry,
        success_response=notification.success_response,
        error_response=notification.error_response,
    )


class Resends:
    """Remembers what arrived. A postback carries no id of its own, so the same bytes are the only sign of a resend."""

    def __init__(self, notification: Notification) -> None:
        self._policy = policy_of(notification)
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._latest: OrderedDict[str | None, bytes] = OrderedDict()
        self.forgotten = 0
        """Requests it knows no more."""

    def see(self, evidence: Evidence) -> Resend | None:
        """Take in the next capture; return what it repeats, or None when its bytes are new, or not all there."""
        capture = evidence.capture
        if capture.truncated:
            return None
        digest = blake2b(
            b"\0".join((capture.method.encode(), capture.target.encode("latin-1"), capture.body)), digest_size=16
        ).digest()
        # Where no action id can be read, all captures are about one action: then nothing is certain, and nothing wrong.
        action = evidence.texts.get("ActionId")
        is_next = self._latest.pop(action, None) == digest
        self._latest[action] = digest
        before = self._seen.pop(digest, None)
        answer, read = capture.answer, is_read(evidence)
        succeeded = has_succeeded(self._policy, evidence, read=read)
        is_first = before is None or before.succeeded is True
        self._seen[digest] = _Seen(
            repeats=0 if before is None or is_first else before.repeats + 1,
            id=capture.id,
            monotonic_ns=capture.monotonic_ns,
            received_ns=capture.received_at_ns,
            lateness_ns=capture.lateness_ns,
            # One text for all captures of a run.
            run=intern(capture.run),
            ended_ns=ended_ns(capture),
            status=answer.status if answer and read is not False else None,
            is_read=read is True,
            succeeded=succeeded,
            is_unclear=succeeded is None or (before is not None and not is_first and before.is_unclear),
        )
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
            self.forgotten += 1
            # Of an action whose latest request is forgotten, nothing that is remembered was the latest.
            while (oldest := next(iter(self._latest))) != action and self._latest[oldest] not in self._seen:
                del self._latest[oldest]
        if before is None:
            return None
        return Resend(
            number=before.repeats + 1,
            previous_id=before.id,
            previous_ns=before.monotonic_ns,
            previous_received_ns=before.received_ns,
            previous_lateness_ns=before.lateness_ns,
            previous_run=before.run,
            previous_ended_ns=before.ended_ns,
            previous_status=before.status,
            is_read=before.is_read,
            after_success=before.succeeded,
            doubt=_UNCLEAR if before.is_unclear else _doubt(evidence, is_next=is_next),
        )


def _doubt(evidence: Evidence, *, is_next: bool) -> str:
    """Return why the same bytes may be two events, empty when they cannot."""
    if happens_once(evidence):
        return ""
    if not _moved_money(evidence):
        return _ALIKE
    return "" if is_next else _ELSEWHERE


def ended_ns(capture: Capture) -> int | None:
    """Return when nobody waited for its answer any more: it had left, or its peer had gone."""
    answered_ns, gone_ns = capture.answer.sent_ns if capture.answer else None, capture.gone_ns
    if answered_ns is None or gone_ns is None:
        return gone_ns if answered_ns is None else answered_ns
    return min(answered_ns, gone_ns)
