"""Delivery over time: minimum delay, maximum requests, gaps. Each says for sure, or says that it cannot tell.

Arrival is not sending: a request travels, and the receiver stamps it when its event loop gets to it. What that may
have cost is the tolerance, and a measurement within it is no verdict.
"""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from postback_conformance.rule import Rule, Source, StreamCheck, each_capture
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example
from postback_conformance.rules.resends import Resends, undecided
from postback_conformance.token_values import token_value
from postback_conformance.verdict import Fail, Inconclusive, NotApplicable, Outcome, Pass
from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND, Rate, format_duration

_SETTINGS_PAGE = "help centre, Enable Action Clearing Events Notification"

# Time from the sender's decision to the first byte here that nobody measured: a connection to open, a scheduler's
# slice. Measured on a busy two-core machine over loopback, doubled.
_UNSEEN_TRAVEL_NS = 50_000_000
# EventDate is written in whole seconds: the event happened somewhere within that second.
_EVENT_DATE_RESOLUTION_NS = NANOSECONDS_PER_SECOND
# Ids that one finding names at most; ten thousand of them for each request would be all that a report holds.
_MAX_EVIDENCE = 100


def _minimum_delay(notification: Notification, capture: Capture) -> Outcome | None:
    if not notification.minimum_delay_ns:
        return NotApplicable(why="the notification sets no minimum delay")
    text = token_value(notification, capture, "EventDate")
    happened_ns = _wall_ns(text) if text else None
    if happened_ns is None:
        return Inconclusive(why="the event date is not among the values that arrived", captures=(capture.id,))
    waited_ns = capture.received_at_ns - happened_ns
    limit = format_duration(notification.minimum_delay_ns)
    if waited_ns < notification.minimum_delay_ns:
        return Fail(
            message=f"arrived {_seconds(waited_ns)} after the event date, before the minimum delay of {limit} was over",
            expected=f"at least {limit} after {text}",
            actual=_seconds(waited_ns),
            captures=(capture.id,),
        )
    if waited_ns < notification.minimum_delay_ns + _EVENT_DATE_RESOLUTION_NS + capture.lateness_ns:
        return Inconclusive(
            why=f"arrived {_seconds(waited_ns)} after an event date in whole seconds: too close to {limit} to tell",
            captures=(capture.id,),
        )
    return None


class _Arrival(NamedTuple):
    id: str
    surely_counts: bool


class _SlidingMaximum:
    """The largest of the latest so many numbers, in constant time for each on average."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._seen = 0
        # Falling: what a later and larger number outlives can never be the largest again.
        self._candidates: deque[tuple[int, int]] = deque()

    def push(self, number: int) -> None:
        while self._candidates and self._candidates[-1][1] <= number:
            self._candidates.pop()
        self._candidates.append((self._seen, number))
        self._seen += 1
        if self._candidates[0][0] < self._seen - self._length:
            self._candidates.popleft()

    @property
    def value(self) -> int:
        return self._candidates[0][1]


class _Window:
    """The latest N + 1 arrivals."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._arrivals: deque[_Arrival] = deque()
        self._last = _SlidingMaximum(length)
        self._first = _SlidingMaximum(length)
        self._lateness = _SlidingMaximum(length)
        self._doubtful = 0

    def push(self, capture: Capture, monotonic_ns: int, *, surely_counts: bool) -> None:
        self._arrivals.append(_Arrival(capture.id, surely_counts))
        self._doubtful += not surely_counts
        if len(self._arrivals) > self._length:
            self._doubtful -= not self._arrivals.popleft().surely_counts
        self._last.push(monotonic_ns)
        self._first.push(-monotonic_ns)
        self._lateness.push(capture.lateness_ns)

    @property
    def is_full(self) -> bool:
        return len(self._arrivals) == self._length

    @property
    def span_ns(self) -> int:
        # Not the last minus the first: a request is captured when its body is there, and stamped when its head is.
        return self._last.value + self._first.value

    @property
    def lateness_ns(self) -> int:
        return self._lateness.value

    @property
    def all_count(self) -> bool:
        return not self._doubtful

    def evidence(self) -> tuple[str, ...]:
        """Return the ids of the arrivals; of more than anybody would look at, the earliest and the last."""
        ids = [one.id for one in islice(self._arrivals, _MAX_EVIDENCE)]
        return (*ids[:-1], self._arrivals[-1].id)


class _MaximumRequests(StreamCheck):
    """Looks at every run of N + 1 requests: the first and the last of them must be a window apart."""

    def __init__(self, notification: Notification) -> None:
        super().__init__(notification)
        self._rate = notification.maximum_requests
        self._counts_all = notification.maximum_requests_scope == "all"
        self._resends = Resends(notification)
        self._window = _Window(self._rate.count + 1 if self._rate else 1)

    def see(self, capture: Capture) -> Iterator[Outcome]:
        resend = self._resends.see(capture)
        if self._rate is None:
            yield NotApplicable(why="the notification sets no maximum of requests")
            return
        if capture.monotonic_ns is None:
            yield Inconclusive(why="the capture has no monotonic time stamp", captures=(capture.id,))
            return
        if resend is None and not self._counts_all:
            yield NotApplicable(why="the maximum is for resends, and nothing was sent again")
            return
        # The same bytes after a success are a resend, or an action back in an earlier state, which is a first send.
        surely = self._counts_all or (resend is not None and not resend.after_success)
        self._window.push(capture, capture.monotonic_ns, surely_counts=surely)
        yield self._outcome(self._rate)

    def _outcome(self, rate: Rate) -> Outcome:
        span_ns, count = self._window.span_ns, rate.count + 1
        if not self._window.is_full or span_ns >= rate.window_ns:
            return Pass()
        tolerance_ns = _UNSEEN_TRAVEL_NS + self._window.lateness_ns
        if span_ns >= rate.window_ns - tolerance_ns:
            return Inconclusive(
                why=f"{count} requests within {_seconds(span_ns)}, tolerance {_seconds(tolerance_ns)}: "
                f"too close to {rate} to tell",
                captures=self._window.evidence(),
            )
        if not self._window.all_count:
            return Inconclusive(
                why=f"{count} within {_seconds(span_ns)}, but not all are resends for sure: {rate} is for resends",
                captures=self._window.evidence(),
            )
        return Fail(
            message=f"{count} requests within {_seconds(span_ns)}, more than {rate} allows",
            expected=f"at most {rate.count} within {format_duration(rate.window_ns)}",
            actual=f"{count} within {_seconds(span_ns)}",
            captures=self._window.evidence(),
        )


class _RetryGap(StreamCheck):
    """Compares the gap between a failed attempt and the next with the schedule of the notification."""

    def __init__(self, notification: Notification) -> None:
        super().__init__(notification)
        self._resends = Resends(notification)

    def see(self, capture: Capture) -> Iterator[Outcome]:
        resend = self._resends.see(capture)
        delays_ns = self.notification.retry.delays_ns
        if self.notification.retry.name != "custom":
            yield NotApplicable(why="impact.com publishes no delays; only a schedule in the settings can be compared")
            return
        if resend is None or resend.after_success or resend.number > len(delays_ns):
            yield NotApplicable(why="nothing was sent again after an error")
            return
        if capture.monotonic_ns is None or resend.previous_ns is None:
            yield Inconclusive(why="the captures have no monotonic time stamps", captures=(capture.id,))
            return
        # A retry that was answered starts after our answer, and so after the stamp. One whose sender lost patience may
        # have waited before our event loop got to it: then the stamp came late, and the gap looks shorter than it was.
        gap_ns, delay_ns = capture.monotonic_ns - resend.previous_ns, delays_ns[resend.number - 1]
        limit = format_duration(delay_ns)
        message = f"retry {resend.number} came {_seconds(gap_ns)} after the failed attempt"
        ids = (resend.previous_id, capture.id)
        if gap_ns >= delay_ns:
            yield Pass()
        elif gap_ns < 0 or gap_ns + resend.previous_lateness_ns >= delay_ns:
            yield Inconclusive(why=f"{message} by late or foreign clocks: too close to {limit} to tell", captures=ids)
        elif not resend.is_certain:
            yield undecided(resend, capture)
        else:
            yield Fail(message=message, expected=f"at least {limit}", actual=_seconds(gap_ns), captures=ids)


def _wall_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(moment.timestamp()) * NANOSECONDS_PER_SECOND if moment.tzinfo else None


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / NANOSECONDS_PER_SECOND:.3f} s"


_DELAY = JSON_SETTINGS + 'minimum_delay = "2s"\n'
_RATE = JSON_SETTINGS + 'maximum_requests = "2/s"\nmaximum_requests_scope = "all"\n'
_SCHEDULE = JSON_SETTINGS + "retry = [0.5]\n"
_THREE_SECONDS_BEFORE = b'{"id": "1", "date": "2026-05-11T00:07:27+03:00"}'
_ONE_SECOND_BEFORE = b'{"id": "1", "date": "2026-05-11T00:07:29+03:00"}'

RULES = (
    Rule(
        id="delivery.minimum-delay",
        level="MUST",
        requirement="No postback arrives before the event date plus the minimum delay.",
        needs="a minimum delay, {EventDate} in the template, wall clocks that agree",
        fix="Do not count on the delay; the data behind an event may not be settled when its postback arrives.",
        sources=(Source(document=_SETTINGS_PAGE, section="step 6, Minimum Delay", date="2023-08-31"),),
        start=each_capture(_minimum_delay),
        passing=example(_DELAY, capture(_THREE_SECONDS_BEFORE)),
        failing=example(_DELAY, capture(_ONE_SECOND_BEFORE)),
    ),
    Rule(
        id="delivery.maximum-requests",
        level="MUST",
        requirement="No window of the given length holds more requests (or resends) than the maximum.",
        needs="a maximum of requests, captures with monotonic time stamps",
        fix="Answer fast and queue the work; a burst must not cost you postbacks.",
        sources=(
            Source(document=_SETTINGS_PAGE, section="step 6, Maximum Requests: resends", date="2023-08-31"),
            Source(document="help centre, set up product data notifications", section="all requests"),
        ),
        start=_MaximumRequests,
        passing=example(_RATE, *(capture(b"{}", at_s=at_s) for at_s in (0.0, 0.1, 1.1))),
        failing=example(_RATE, *(capture(b"{}", at_s=at_s) for at_s in (0.0, 0.1, 0.2))),
    ),
    Rule(
        id="delivery.retry-gap",
        level="MUST",
        requirement="A retry waits as long as the schedule of the notification says.",
        needs="an explicit retry schedule, and a request that was sent again after an error answer",
        fix="Compare the schedule in the notification file with the sender's.",
        sources=(
            Source(
                document="Postback Kit", section="ARCHITECTURE.md: nothing is guessed silently", certainty="inferred"
            ),
        ),
        start=_RetryGap,
        passing=example(_SCHEDULE, capture(b"{}", status=503), capture(b"{}", at_s=0.6)),
        failing=example(_SCHEDULE, capture(b"{}", status=503), capture(b"{}", at_s=0.4)),
    ),
)
