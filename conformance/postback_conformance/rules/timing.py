"""Delivery over time: minimum delay, maximum requests, gaps. Each says for sure, or says that it cannot tell.

Arrival is not sending: a request travels, and the receiver stamps it when its event loop gets to it. What that may
have cost is the tolerance, and a measurement within it is no verdict. Over a network it is large: requests wait for
one that had to be sent again and then arrive at once, and two machines do not agree on the time.
"""

from collections import deque
from itertools import islice
from typing import NamedTuple

from postback_conformance.judging.clocks import (
    LOCAL_TRAVEL_NS,
    Instant,
    instant_of,
    is_local,
    share_clock,
    skew_ns,
    wall_ns,
)
from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.resends import undecided
from postback_conformance.judging.rule import Check, Rule, StreamCheck
from postback_conformance.judging.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.rules.applying import NothingToTest, where_it_applies
from postback_conformance.rules.delivery_sources import PRODUCT_DATA_PAGE, SETTINGS_PAGE, TROUBLESHOOTING
from postback_conformance.rules.examples import JSON_BODY, JSON_SETTINGS, capture, example
from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND, Rate, format_duration

# How much sooner after each other requests may arrive over a network than they were sent: three repeats of a lost
# packet (1, 2 and 4 seconds later, by RFC 6298), and some time in the queue of a proxy.
_REMOTE_JITTER_NS = 10 * NANOSECONDS_PER_SECOND
# EventDate is written in whole seconds: the event happened somewhere within that second, or within half of one before
# it, where the date was rounded and not cut.
_EVENT_DATE_RESOLUTION_NS = NANOSECONDS_PER_SECOND
_ROUNDING_NS = NANOSECONDS_PER_SECOND // 2
# Ids that one finding names at most; ten thousand of them for each request would be all that a report holds.
_MAX_EVIDENCE = 100


def _no_minimum_delay(notification: Notification) -> str:
    return "" if notification.minimum_delay_ns else "the notification sets no minimum delay"


def _minimum_delay(evidence: Evidence) -> Outcome | None:
    notification, capture = evidence.notification, evidence.capture
    date = evidence.texts.get("EventDate")
    if date is None:
        return evidence.without("EventDate")
    happened_ns = wall_ns(date)
    if happened_ns is None:
        return Inconclusive(why=f"the event date does not say when: {date[:40]!r}", captures=(capture.id,))
    waited_ns = capture.received_at_ns - happened_ns
    over_ns = waited_ns - notification.minimum_delay_ns
    if waited_ns < 0:
        return Inconclusive(
            why=f"arrived {_seconds(-waited_ns)} before the event date: clocks that do not agree, or a date of later",
            captures=(capture.id,),
        )
    apart_ns = skew_ns(evidence)
    if over_ns >= _EVENT_DATE_RESOLUTION_NS + capture.lateness_ns + apart_ns:
        return None
    limit = format_duration(notification.minimum_delay_ns)
    if over_ns < -_ROUNDING_NS - apart_ns:
        return Fail(
            message=f"arrived {_seconds(waited_ns)} after the event date, before the minimum delay of {limit} was over",
            expected=f"at least {limit} after {date}",
            actual=_seconds(waited_ns),
            captures=(capture.id,),
            where=evidence.values["EventDate"].where,
        )
    clocks = f" by the clocks of two machines, which may be {format_duration(apart_ns)} apart" if apart_ns else ""
    return Inconclusive(
        why=f"arrived {_seconds(waited_ns)} after an event date in whole seconds{clocks}: too close to {limit} to tell",
        captures=(capture.id,),
    )


class _Arrival(NamedTuple):
    id: str
    surely_counts: bool
    is_local: bool


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
        self._doubtful = self._remote = 0

    def push(self, capture: Capture, monotonic_ns: int, *, surely_counts: bool, is_local: bool) -> None:
        self._arrivals.append(_Arrival(capture.id, surely_counts, is_local))
        self._doubtful += not surely_counts
        self._remote += not is_local
        if len(self._arrivals) > self._length:
            gone = self._arrivals.popleft()
            self._doubtful -= not gone.surely_counts
            self._remote -= not gone.is_local
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
    def tolerance_ns(self) -> int:
        """How much shorter the span may be than that of sending."""
        return (_REMOTE_JITTER_NS if self._remote else LOCAL_TRAVEL_NS) + self._lateness.value

    @property
    def all_count(self) -> bool:
        return not self._doubtful

    def evidence(self) -> tuple[str, ...]:
        """Return the ids of the arrivals; of more than anybody would look at, the earliest and the last."""
        ids = [one.id for one in islice(self._arrivals, _MAX_EVIDENCE)]
        return (*ids[:-1], self._arrivals[-1].id)


class _Link(NamedTuple):
    """A request as the last of a stretch of k·N + 1, the one in which most of the k windows is missing."""

    id: str
    monotonic_ns: int
    first_id: str
    windows: int
    missing_ns: int


class _Stretch:
    """Looks at requests over as many windows as it takes: k·N + 1 of them take k windows to send.

    What is missing of these grows with a sender that is too fast, and jitter does not. What was stamped out of order
    is left out, which makes nobody look faster.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._links: deque[_Link] = deque(maxlen=rate.count)

    def push(self, capture: Capture, monotonic_ns: int) -> _Link | None:
        """Take in the next request; return the link in which more is missing than jitter explains, and start anew."""
        if self._links and monotonic_ns < self._links[-1].monotonic_ns:
            return None
        # The first may have been stamped as much too late.
        link = _Link(capture.id, monotonic_ns, capture.id, 0, -capture.lateness_ns)
        if len(self._links) == self._rate.count:
            before = self._links[0]
            missing_ns = before.missing_ns + self._rate.window_ns - (monotonic_ns - before.monotonic_ns)
            if missing_ns > link.missing_ns:
                link = _Link(capture.id, monotonic_ns, before.first_id, before.windows + 1, missing_ns)
        self._links.append(link)
        if link.missing_ns <= _REMOTE_JITTER_NS:
            return None
        self._links.clear()
        return link


class _MaximumRequests(StreamCheck):
    """Looks at every run of N + 1 requests: the first and the last of them must be a window apart."""

    def __init__(self, notification: Notification, rate: Rate) -> None:
        super().__init__(notification)
        self._rate = rate
        self._counts_all = notification.maximum_requests_scope == "all"
        self._window = _Window(rate.count + 1)
        self._stretch = _Stretch(rate)
        self._latest: Capture | None = None

    def see(self, evidence: Evidence) -> tuple[Outcome, ...]:
        capture = evidence.capture
        if capture.monotonic_ns is None:
            return (Inconclusive(why="the capture has no monotonic time stamp", captures=(capture.id,)),)
        resend = None if self._counts_all else evidence.resend
        if resend is None and not self._counts_all:
            return _NO_RESEND
        if self._latest is not None and not share_clock(instant_of(self._latest), instant_of(capture)):
            self._window = _Window(self._rate.count + 1)
            self._stretch = _Stretch(self._rate)
        self._latest = capture
        # The same bytes after a success are a resend, or an action back in an earlier state, which is a first send.
        surely = self._counts_all or (resend is not None and resend.after_success is False and not resend.doubt)
        self._window.push(capture, capture.monotonic_ns, surely_counts=surely, is_local=is_local(evidence))
        too_many = self._stretch.push(capture, capture.monotonic_ns) if surely else None
        outcome = self._outcome(self._rate)
        return (outcome if too_many is None or isinstance(outcome, Fail) else self._over_all(too_many),)

    def _over_all(self, link: _Link) -> Fail:
        rate, count = self._rate, link.windows * self._rate.count + 1
        allowed_ns = link.windows * rate.window_ns
        span_ns = allowed_ns - link.missing_ns
        return Fail(
            message=f"{count} requests within {_seconds(span_ns)}, more than {rate} allows over the whole of it",
            expected=f"at least {_seconds(allowed_ns)} for {count}, of which {_seconds(_REMOTE_JITTER_NS)} may be lost "
            "on the way",
            actual=f"{count} within {_seconds(span_ns)}",
            captures=(link.first_id, link.id),
        )

    def _outcome(self, rate: Rate) -> Outcome:
        span_ns, count = self._window.span_ns, rate.count + 1
        if not self._window.is_full or span_ns >= rate.window_ns:
            return PASS
        tolerance_ns = self._window.tolerance_ns
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


def _maximum_requests(notification: Notification) -> Check:
    rate = notification.maximum_requests
    if rate is None:
        return NothingToTest("the notification sets no maximum of requests")
    return _MaximumRequests(notification, rate)


def _no_schedule(notification: Notification) -> str:
    is_custom = notification.retry.name == "custom"
    return "" if is_custom else "impact.com publishes no delays; only a schedule in the settings can be compared"


def _retry_gap(evidence: Evidence) -> Outcome | None:
    """Compare the gap between a failed attempt and the next with the schedule of the notification."""
    capture, resend, delays_ns = evidence.capture, evidence.resend, evidence.notification.retry.delays_ns
    if resend is None or resend.after_success or resend.number > len(delays_ns):
        return _NO_RETRY
    if capture.monotonic_ns is None or resend.previous_ns is None:
        return Inconclusive(why="the captures have no monotonic time stamps", captures=(capture.id,))
    # A retry that was answered starts after our answer, and so after the stamp. One whose sender lost patience may
    # have waited before our event loop got to it: then the stamp came late, and the gap looks shorter than it was.
    gap_ns, delay_ns = capture.monotonic_ns - resend.previous_ns, delays_ns[resend.number - 1]
    limit = format_duration(delay_ns)
    message = f"retry {resend.number} came {_seconds(gap_ns)} after the failed attempt"
    ids = (resend.previous_id, capture.id)
    before = Instant(run=resend.previous_run, received_ns=resend.previous_received_ns, monotonic_ns=resend.previous_ns)
    is_foreign = gap_ns < 0 or not share_clock(before, instant_of(capture))
    if gap_ns >= delay_ns and not is_foreign:
        return None
    if is_foreign or gap_ns + resend.previous_lateness_ns >= delay_ns:
        return Inconclusive(why=f"{message} by late or foreign clocks: too close to {limit} to tell", captures=ids)
    if resend.doubt:
        return undecided(resend, capture)
    return Fail(message=message, expected=f"at least {limit}", actual=_seconds(gap_ns), captures=ids)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / NANOSECONDS_PER_SECOND:.3f} s"


def _actions(*at_s: float) -> list[Capture]:
    """Return captures of as many actions."""
    return [
        capture(JSON_BODY.replace(b"1", b"%d" % number, 1), at_s=after_s)
        for number, after_s in enumerate(at_s, start=1)
    ]


_DELAY = JSON_SETTINGS + 'minimum_delay = "2s"\n'
_RATE = JSON_SETTINGS + 'maximum_requests = "2/s"\nmaximum_requests_scope = "all"\n'
_SCHEDULE = 'event = "action_clearing"\nretry = [0.5]\n' + JSON_SETTINGS
_THREE_SECONDS_BEFORE = b'{"id": "1", "date": "2026-05-11T00:07:27+03:00"}'
_ONE_SECOND_BEFORE = b'{"id": "1", "date": "2026-05-11T00:07:29+03:00"}'

_NO_RESEND = (NotApplicable(why="the maximum is for resends, and nothing was sent again"),)
_NO_RETRY = NotApplicable(why="nothing was sent again after an error")

RULES = (
    Rule(
        id="delivery.minimum-delay",
        level="MUST",
        requirement="No postback arrives before the event date plus the minimum delay.",
        needs="a minimum delay, {EventDate} in the template, clocks of one machine, or a delay of more than a minute",
        fix="Do not count on the delay; the data behind an event may not be settled when its postback arrives.",
        sources=(
            SETTINGS_PAGE(section="step 6, Minimum Delay"),
            PRODUCT_DATA_PAGE(section="Minimum Delay: before a postback is generated"),
        ),
        start=where_it_applies(_no_minimum_delay, _minimum_delay),
        passing=example(_DELAY, capture(_THREE_SECONDS_BEFORE)),
        failing=example(_DELAY, capture(_ONE_SECOND_BEFORE)),
    ),
    Rule(
        id="delivery.maximum-requests",
        level="MUST",
        requirement="No window of the given length holds more requests (or resends) than the maximum.",
        needs="a maximum of requests, monotonic time stamps; over a network, a stretch that jitter does not explain",
        fix="Answer fast and queue the work; a burst must not cost you postbacks.",
        # The two differ in what is counted, so the settings say which: `maximum_requests_scope`.
        sources=(
            SETTINGS_PAGE(section="step 6, Maximum Requests: resends"),
            PRODUCT_DATA_PAGE(section="Maximum Requests: all requests"),
        ),
        start=_maximum_requests,
        remembers=("resends",),
        passing=example(_RATE, *_actions(0.0, 0.1, 1.1)),
        failing=example(_RATE, *_actions(0.0, 0.1, 0.2)),
    ),
    Rule(
        id="delivery.retry-gap",
        level="MUST",
        requirement="A retry waits as long as the schedule of the notification says.",
        needs="an explicit retry schedule, and a request that came again after an error and can only be one event",
        fix="Compare the schedule in the notification file with the sender's.",
        sources=(TROUBLESHOOTING(section="a table of delays, lost in every public copy", certainty="inferred"),),
        start=where_it_applies(_no_schedule, _retry_gap),
        remembers=("resends",),
        passing=example(_SCHEDULE, capture(_ONE_SECOND_BEFORE, status=503), capture(_ONE_SECOND_BEFORE, at_s=0.6)),
        failing=example(_SCHEDULE, capture(_ONE_SECOND_BEFORE, status=503), capture(_ONE_SECOND_BEFORE, at_s=0.4)),
    ),
)
