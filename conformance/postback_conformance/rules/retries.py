"""Which requests come again: after what, how often, and whether they are still the same."""

from collections import OrderedDict

import msgspec

from postback_conformance.judging.clocks import Instant, instant_of, share_clock
from postback_conformance.judging.evidence import Evidence, Resend
from postback_conformance.judging.held_tokens import held_names
from postback_conformance.judging.resends import (
    IDS,
    ended_ns,
    happens_once,
    has_succeeded,
    is_read,
    policy_of,
    undecided,
)
from postback_conformance.judging.rule import Rule, StreamCheck, each_capture
from postback_conformance.judging.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.rules.delivery_sources import PRODUCT_DATA_PAGE, TROUBLESHOOTING
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example
from postback_conformance.rules.fact_sources import (
    EVENT_LEVEL,
    LIFE_CYCLE,
    MODIFICATIONS,
    NOTIFICATIONS_API,
    TRACKER_PRESET,
)
from postback_receiver import Capture
from postback_sender.delivery.retry import Failure
from postback_sender.notification import Notification

# Failed requests whose next attempt is waited for; one more and the oldest is no longer compared.
_MAX_FAILED = 20_000

_NOTHING_TWICE = NotApplicable(why="no request came twice")
_NO_RETRY = NotApplicable(why="nothing was sent again after an error")
_NO_REPEAT = NotApplicable(why="nothing was sent again after a success")
_NO_OVERLAP = NotApplicable(why="no request came twice, or nobody knows when the first was answered")
_AT_ONCE = NotApplicable(why="what came again came before the answer, of which delivery.duplicate tells")
_NOTHING_FAILED = NotApplicable(why="nothing about the same action followed a request that had failed")


def _only_after_error(evidence: Evidence) -> Outcome | None:
    """Ask of a repeat whether the answer before it was one the notification's profile retries."""
    capture, resend, retry = evidence.capture, evidence.resend, evidence.notification.retry
    if resend is None:
        return _NOTHING_TWICE
    if resend.after_success:
        return NotApplicable(why="what came again had been answered with success: delivery.no-retry-after-success")
    if retry.retries(Failure.ANSWER, resend.previous_status):
        return None
    if _is_told_as_duplicate(evidence, resend):
        return _AT_ONCE
    if resend.doubt or not resend.is_read:
        return undecided(resend, capture)
    return Fail(
        message=f"sent again after an answer of {resend.previous_status}",
        expected=f"no retry after {resend.previous_status}, by the profile {retry.name}",
        actual="the same bytes again",
        captures=(resend.previous_id, capture.id),
    )


def _not_after_success(evidence: Evidence) -> Outcome | None:
    capture, resend = evidence.capture, evidence.resend
    if resend is None:
        return _NOTHING_TWICE
    if resend.after_success is None:
        return undecided(resend, capture)
    if not resend.after_success:
        return None
    if _is_told_as_duplicate(evidence, resend):
        return _AT_ONCE
    if not happens_once(evidence):
        # An action that went from 10 to 0 and back to 10 yields the same bytes again, honestly.
        return Inconclusive(
            why="the same bytes came again after a success: a resend, or an action back in an earlier state",
            captures=(resend.previous_id, capture.id),
        )
    return Fail(
        message=f"sent again after a success, an answer of {resend.previous_status}",
        expected="nothing more about what was acknowledged",
        actual="the same bytes again",
        captures=(resend.previous_id, capture.id),
    )


def _retry_count(evidence: Evidence) -> Outcome | None:
    """Count the repeats of a request against the longest schedule there is."""
    capture, resend, retry = evidence.capture, evidence.resend, evidence.notification.retry
    allowed = len(retry.delays_ns)
    if resend is None or resend.after_success:
        return _NO_RETRY
    if resend.number <= allowed:
        return None
    if resend.doubt:
        return undecided(resend, capture)
    return Fail(
        message=f"the same request came {resend.number + 1} times",
        expected=f"at most {allowed} retries, by the profile {retry.name}",
        actual=f"{resend.number} retries",
        captures=(resend.previous_id, capture.id),
    )


def _duplicate(evidence: Evidence) -> Outcome | None:
    """Ask whether two identical requests were under way at once."""
    capture, resend = evidence.capture, evidence.resend
    gap = None if resend is None else _gap(evidence, resend)
    if resend is None or gap is None:
        return _NO_OVERLAP
    gap_ns, is_overlap = gap
    if not is_overlap:
        return None
    ids = (resend.previous_id, capture.id)
    if not happens_once(evidence):
        return Inconclusive(
            why="the same bytes came while the first were not answered yet: sent twice, or an action back in an "
            "earlier state",
            captures=ids,
        )
    return Fail(
        message=f"the same request came again {gap_ns / 1_000_000:.0f} ms later, while the first was not answered yet",
        expected="one at a time, until an answer or a time-out",
        actual="two at once",
        captures=ids,
    )


def _gap(evidence: Evidence, resend: Resend) -> tuple[int, bool] | None:
    """Return how far apart two equal requests were, and whether both were under way at once; None if nobody knows.

    A stamp taken late hides that, and invents none. A sender that may have given up on the first sends none at once.
    """
    capture = evidence.capture
    if resend.previous_ns is None or capture.monotonic_ns is None:
        return None
    before = Instant(run=resend.previous_run, received_ns=resend.previous_received_ns, monotonic_ns=resend.previous_ns)
    # Captures are kept in the order in which they were complete: the one before may have begun later.
    later_ns = max(resend.previous_ns, capture.monotonic_ns)
    over_ns = resend.previous_ended_ns if later_ns == capture.monotonic_ns else ended_ns(capture)
    if over_ns is None or not share_clock(before, instant_of(capture)):
        return None
    gap_ns = abs(capture.monotonic_ns - resend.previous_ns)
    is_given_up = gap_ns + capture.lateness_ns + resend.previous_lateness_ns >= evidence.notification.timeouts.total_ns
    return gap_ns, later_ns < over_ns and not is_given_up


def _is_told_as_duplicate(evidence: Evidence, resend: Resend) -> bool:
    """Tell whether `_duplicate` blames it for sure; where that is in doubt, another rule may still be certain."""
    gap = _gap(evidence, resend)
    return gap is not None and gap[1] and happens_once(evidence)


class _Failed(msgspec.Struct, frozen=True, gc=False):
    """A request that failed: what it said, and its bytes."""

    id: str
    said: int
    bytes: int


class _SameBytes(StreamCheck):
    """Compares what came after a failed request with it: whoever says the same again has to use the same bytes."""

    def __init__(self, notification: Notification) -> None:
        super().__init__(notification)
        self._policy = policy_of(notification)
        self._names = held_names(notification)
        self._failed: OrderedDict[str, _Failed] = OrderedDict()

    def see(self, evidence: Evidence) -> tuple[Outcome, ...]:
        # What may have been a success is compared with nothing, either.
        succeeded = has_succeeded(self._policy, evidence, read=is_read(evidence)) is not False
        if succeeded and not self._failed:
            return _ALL_NEW
        action = next((text for name in IDS if (text := evidence.texts.get(name)) is not None), "")
        if not action:
            return _ALL_NEW
        before = self._failed.pop(action, None)
        # A value that cannot be told may be what is different.
        if not self._names <= evidence.texts.keys():
            return _NOT_ALL_TOLD
        if not succeeded:
            self._failed[action] = _Failed(evidence.capture.id, _said(evidence), _bytes(evidence.capture))
            if len(self._failed) > _MAX_FAILED:
                self._failed.popitem(last=False)
        return _ALL_NEW if before is None else (_compared(before, evidence),)


def _compared(before: _Failed, evidence: Evidence) -> Outcome:
    if before.bytes == _bytes(evidence.capture):
        return PASS
    if before.said != _said(evidence):
        return _NOTHING_FAILED
    return Fail(
        message="the values of a failed request came again, written otherwise: whoever compares bytes sees a new one",
        expected="the bytes of the attempt before",
        actual="other bytes with the same values",
        captures=(before.id, evidence.capture.id),
    )


def _said(evidence: Evidence) -> int:
    """Return a number that two captures share when all their values are the same."""
    items = tuple(frozenset(item.items()) for item in evidence.item_texts or ())
    return hash((frozenset(evidence.texts.items()), items))


def _bytes(capture: Capture) -> int:
    return hash((capture.method, capture.target, capture.body))


_ALL_NEW = (_NOTHING_FAILED,)
_NOT_ALL_TOLD = (NotApplicable(why="not all values can be told, so nobody knows whether two requests say the same"),)
_CLEARING = 'event = "action_clearing"\n' + JSON_SETTINGS
_PROFILE = _CLEARING + 'retry = "help-centre"\n'
_TWICE = _CLEARING + "retry = [0.1]\n"
_CLEARED = b'{"id": "1.2.3", "date": "2026-05-11T00:07:27+03:00"}'
_ESCAPED = b'{"id": "1.2.3", "date": "2026\\u002d05\\u002d11T00:07:27+03:00"}'

RULES = (
    Rule(
        id="delivery.retry-only-after-error",
        # The two sources contradict each other on what is retried.
        level="INFO",
        strict="MUST",
        requirement="A request is sent again only after an answer, or a silence, that the retry profile retries.",
        needs="the same bytes at least twice, which can only be one event, and what the first was answered",
        fix="Keep your endpoint idempotent: the same postback may come again for reasons nobody can see.",
        sources=(
            TROUBLESHOOTING(section="retries: not for 400 to 500"),
            NOTIFICATIONS_API(section="any answer but 2xx is retried"),
        ),
        start=each_capture(_only_after_error),
        remembers=("resends",),
        passing=example(_PROFILE, capture(_CLEARED, status=503), capture(_CLEARED, at_s=1)),
        failing=example(_PROFILE, capture(_CLEARED, status=404), capture(_CLEARED, at_s=1)),
    ),
    Rule(
        id="delivery.no-retry-after-success",
        level="SHOULD",
        strict="MUST",
        lenient="INFO",
        requirement="What was answered with success is not sent again.",
        needs="the same bytes at least twice, about what happens once: a clearing, a job, an event-level postback",
        fix="Keep your endpoint idempotent: your answer may have been lost on its way, and then it is sent again.",
        sources=(
            NOTIFICATIONS_API(section="2xx acknowledges"),
            TROUBLESHOOTING(section="retries: after a failure"),
            MODIFICATIONS(section="none after locking, so an action clears once", certainty="inferred"),
            EVENT_LEVEL(section="no modifications and reversals at event level"),
        ),
        start=each_capture(_not_after_success),
        remembers=("resends",),
        passing=example(_CLEARING, capture(_CLEARED, status=503), capture(_CLEARED, at_s=1)),
        failing=example(_CLEARING, capture(_CLEARED), capture(_CLEARED, at_s=1)),
    ),
    Rule(
        id="delivery.retry-count",
        level="MUST",
        lenient="SHOULD",
        requirement="A request is retried no more often than the retry profile allows.",
        needs="a request that was sent again after an error, or after a silence, and can only be one event",
        fix="Alert on error answers: after the last retry the postback is lost, and the API has to be asked.",
        sources=(TROUBLESHOOTING(section="at most 15 retries in total"),),
        start=each_capture(_retry_count),
        remembers=("resends",),
        passing=example(_TWICE, capture(_CLEARED, status=503), capture(_CLEARED, at_s=1)),
        failing=example(_TWICE, *(capture(_CLEARED, status=503, at_s=at_s) for at_s in (0, 1, 2))),
    ),
    Rule(
        id="delivery.same-bytes",
        level="INFO",
        strict="SHOULD",
        requirement="A retry has the bytes of the attempt before it.",
        needs="a request that failed, and then one about the same action with the same values",
        fix="Compare ActionId, status and amounts, and not a hash of the body, to tell what you have seen.",
        sources=(
            TROUBLESHOOTING(section="a failed postback is sent again", certainty="inferred"),
            PRODUCT_DATA_PAGE(section="a postback is generated before it is sent", certainty="inferred"),
        ),
        start=_SameBytes,
        passing=example(_PROFILE, capture(_CLEARED, status=503), capture(_CLEARED, at_s=1)),
        failing=example(_PROFILE, capture(_CLEARED, status=503), capture(_ESCAPED, at_s=1)),
    ),
    Rule(
        id="delivery.duplicate",
        level="SHOULD",
        strict="MUST",
        lenient="INFO",
        requirement="A request is not sent again while it is under way.",
        needs="the same bytes at least twice, about an event that happens once, and when the first was answered",
        fix="Let the second of two concurrent requests wait for the first: a unique key on ActionId and Status does.",
        sources=(
            TROUBLESHOOTING(section="retries: after a failure"),
            LIFE_CYCLE(section="an action clears once", certainty="inferred"),
            TRACKER_PRESET(section="duplicates by ActionId and Status"),
        ),
        start=each_capture(_duplicate),
        remembers=("resends",),
        passing=example(_CLEARING, capture(_CLEARED, status=503), capture(_CLEARED, at_s=1)),
        failing=example(_CLEARING, capture(_CLEARED, answered_after_s=0.3), capture(_CLEARED, at_s=0.1)),
    ),
)
