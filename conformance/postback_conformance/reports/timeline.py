"""What charts need, gathered while the judge reads: how many requests came when, and what was sent again.

Both are bounded, however long the traffic is: the pacing by making its steps wider, the time lines by keeping those
with the most attempts. Nothing here is a verdict; the charts show the stamps as they are, without any tolerance.
"""

from collections import deque
from typing import Final

import msgspec

from postback_conformance.judging.evidence import Evidence, Resend
from postback_conformance.judging.judge import Notifications
from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND, Rate

# As many as a chart of this width can tell apart.
MAX_STEPS: Final = 480
# More nobody compares by eye; of the others it is said how many there are.
MAX_LINES: Final = 60
MAX_ATTEMPTS: Final = 40
# Requests within one window that are counted one by one: above what one receiver takes in a second.
_MAX_WINDOW: Final = 50_000
# Stamps are taken at the head of a request, captures come at its end: as many as may overtake one in between.
_MAX_OVERTAKEN: Final = 256
_FIRST_STEP_NS: Final = 10_000_000
_PEOPLES_WINDOW_NS: Final = NANOSECONDS_PER_SECOND


class Step(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The most requests, and the most resends among them, that any window ending within this step held."""

    requests: int
    resends: int


class Pacing(msgspec.Struct, frozen=True, kw_only=True):
    """Requests at one endpoint over time, in steps of equal width from the first arrival.

    `started_at_ns` is wall clock. `limit` is the maximum of the settings, None without one; `is_for_resends` says that
    it counts resends only. `peak` is the most that any window held of what the limit counts.
    """

    endpoint: str | None
    captures: int
    started_at_ns: int
    step_ns: int
    window_ns: int
    limit: int | None
    is_for_resends: bool
    steps: tuple[Step, ...]

    @property
    def peak(self) -> int:
        """The most that any window held of what the limit counts; of all requests when there is no limit."""
        counts_resends = self.is_for_resends and self.limit is not None
        return max((step.resends if counts_resends else step.requests for step in self.steps), default=0)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival of an event: how long after the attempt before (None: nobody knows), and how it was answered."""

    capture: str
    gap_ns: int | None
    status: int | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """All attempts of one event that came more than once; `left_out` are those in the middle that are not kept."""

    endpoint: str | None
    action: str | None
    attempts: tuple[Attempt, ...]
    left_out: int = 0

    @property
    def count(self) -> int:
        """How many attempts there were, those not kept among them."""
        return len(self.attempts) + self.left_out


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The pacing at each endpoint, the events with the most attempts, and how many other events came more than once."""

    pacings: tuple[Pacing, ...] = ()
    lines: tuple[Line, ...] = ()
    lines_left_out: int = 0


class Timelines:
    """Feed it with every capture in the order of arrival, ask for the `timeline` at the end."""

    def __init__(self, notifications: Notifications) -> None:
        self._one = _PacingDraft(None, notifications) if isinstance(notifications, Notification) else None
        self._several = (
            {}
            if isinstance(notifications, Notification)
            else {endpoint: _PacingDraft(endpoint, one) for endpoint, one in notifications.items()}
        )
        self._lines = _LineDrafts()

    def observe(self, evidence: Evidence) -> None:
        """Take in the next capture as the judge sees it."""
        resend, endpoint = evidence.resend, evidence.capture.endpoint
        if self._one is None and endpoint not in self._several and evidence.capture.malformed is None:
            # A receiver that was started again may have endpoints it had not before.
            self._several[endpoint] = _PacingDraft(endpoint, evidence.notification)
        # The action's id names a line, and only what came again has one.
        action = evidence.value("ActionId") if resend is not None else None
        self.see(evidence.capture, resend, action.text if action is not None else None)

    def see(self, capture: Capture, resend: Resend | None, action: str | None = None) -> None:
        """Take in the next capture, what is known of its being a resend, and its action where that is known."""
        pacing = self._one or self._several.get(capture.endpoint)
        if pacing is None:
            return
        pacing.see(capture, is_resend=resend is not None)
        if resend is not None:
            self._lines.see(pacing.endpoint, capture, resend, action)

    @property
    def timeline(self) -> Timeline:
        """What has been gathered so far."""
        drafts = [self._one] if self._one else self._several.values()
        lines, left_out = self._lines.kept()
        return Timeline(
            pacings=tuple(draft.pacing() for draft in drafts if draft.captures), lines=lines, lines_left_out=left_out
        )


class _PacingDraft:
    """Counts what the window before each arrival holds; two steps become one when there are too many."""

    def __init__(self, endpoint: str | None, notification: Notification) -> None:
        rate: Rate | None = notification.maximum_requests
        self.endpoint = endpoint
        self.captures = 0
        self._limit = rate.count if rate else None
        self._is_for_resends = notification.maximum_requests_scope == "resends"
        self._window_ns = rate.window_ns if rate else _PEOPLES_WINDOW_NS
        self._requests = _Window(self._window_ns)
        self._resends = _Window(self._window_ns)
        self._started_at_ns = 0
        self._step_ns = _FIRST_STEP_NS
        self._steps: list[list[int]] = []
        self._run = ""
        self._run_offset_ns = 0

    def see(self, capture: Capture, *, is_resend: bool) -> None:
        at_ns = self._at_ns(capture)
        if not self.captures:
            self._started_at_ns = at_ns
        self.captures += 1
        requests = self._requests.count_with(at_ns)
        resends = self._resends.count_with(at_ns) if is_resend else 0
        while (index := max(0, at_ns - self._started_at_ns) // self._step_ns) >= MAX_STEPS:
            self._widen()
        while len(self._steps) <= index:
            self._steps.append([0, 0])
        step = self._steps[index]
        step[0], step[1] = max(step[0], requests), max(step[1], resends)

    def pacing(self) -> Pacing:
        return Pacing(
            endpoint=self.endpoint,
            captures=self.captures,
            started_at_ns=self._started_at_ns,
            step_ns=self._step_ns,
            window_ns=self._window_ns,
            limit=self._limit,
            is_for_resends=self._is_for_resends,
            steps=tuple(Step(requests=requests, resends=resends) for requests, resends in self._steps),
        )

    def _at_ns(self, capture: Capture) -> int:
        """Return when a capture came, by the monotonic clock laid over the wall clock once for each run."""
        if capture.monotonic_ns is None:
            return capture.received_at_ns
        if not self.captures or capture.run != self._run:
            self._run, self._run_offset_ns = capture.run, capture.received_at_ns - capture.monotonic_ns
        return capture.monotonic_ns + self._run_offset_ns

    def _widen(self) -> None:
        self._step_ns *= 2
        pairs = zip(self._steps[::2], [*self._steps[1::2], [0, 0]], strict=False)
        self._steps = [[max(one, other) for one, other in zip(left, right, strict=True)] for left, right in pairs]


class _Window:
    """The arrivals of the latest window; they are stamped at their heads, and so come nearly in order."""

    def __init__(self, length_ns: int) -> None:
        self._length_ns = length_ns
        self._arrivals: deque[int] = deque(maxlen=_MAX_WINDOW)

    def count_with(self, at_ns: int) -> int:
        """Return how many the window that ends with the latest arrival holds, this one among them."""
        arrivals = self._arrivals
        later: list[int] = []
        while arrivals and arrivals[-1] > at_ns and len(later) < _MAX_OVERTAKEN:
            later.append(arrivals.pop())
        # Overtaken by more than any connection holds back, it stands behind the last of them.
        arrivals.append(max(at_ns, arrivals[-1]) if arrivals else at_ns)
        arrivals.extend(reversed(later))
        beyond_ns = arrivals[-1] - self._length_ns
        while arrivals[0] <= beyond_ns:
            arrivals.popleft()
        return len(arrivals)


class _LineDraft:
    def __init__(self, number: int, endpoint: str | None, action: str | None, resend: Resend) -> None:
        self.number = number
        self._endpoint = endpoint
        self._action = action
        self._attempts = [Attempt(capture=resend.previous_id, gap_ns=None, status=resend.previous_status)]
        self._left_out = 0

    @property
    def count(self) -> int:
        return len(self._attempts) + self._left_out

    def add(self, capture: Capture, resend: Resend) -> None:
        gap_ns = _gap_ns(capture, resend)
        answer = capture.answer
        status = answer.status if answer is not None and answer.sent_at_ns is not None else None
        if len(self._attempts) >= MAX_ATTEMPTS:
            # The last one tells how it ended; what is missing is said to be missing in front of it.
            self._attempts.pop()
            self._left_out += 1
            gap_ns = None
        self._attempts.append(Attempt(capture=capture.id, gap_ns=gap_ns, status=status))

    def line(self) -> Line:
        return Line(
            endpoint=self._endpoint, action=self._action, attempts=tuple(self._attempts), left_out=self._left_out
        )


def _gap_ns(capture: Capture, resend: Resend) -> int | None:
    """Return how long after the attempt before a capture came: by the wall clock where the runs are not the same."""
    if capture.monotonic_ns is not None and resend.previous_ns is not None and capture.run == resend.previous_run:
        gap_ns = capture.monotonic_ns - resend.previous_ns
    else:
        gap_ns = capture.received_at_ns - resend.previous_received_ns
    return gap_ns if gap_ns >= 0 else None


class _LineDrafts:
    """The events that came more than once, by the id of their latest arrival."""

    def __init__(self) -> None:
        self._drafts: dict[str, _LineDraft] = {}
        self._known = self._made = 0

    def see(self, endpoint: str | None, capture: Capture, resend: Resend, action: str | None) -> None:
        draft = self._drafts.pop(resend.previous_id, None)
        if draft is None:
            # A later repeat whose line was given up has been counted before.
            self._known += resend.number == 1
            self._made += 1
            draft = _LineDraft(self._made, endpoint, action, resend)
        draft.add(capture, resend)
        self._drafts[capture.id] = draft
        # Seldom, and then many at once, so that the order is not made anew for each.
        if len(self._drafts) >= 8 * MAX_LINES:
            self._drafts = dict(self._most(4 * MAX_LINES))

    def kept(self) -> tuple[tuple[Line, ...], int]:
        """Return the lines in the order in which the events first came again, and how many others there were."""
        most = sorted((draft for _, draft in self._most(MAX_LINES)), key=lambda draft: draft.number)
        return tuple(draft.line() for draft in most), max(0, self._known - len(most))

    def _most(self, count: int) -> list[tuple[str, _LineDraft]]:
        return sorted(self._drafts.items(), key=lambda entry: (-entry[1].count, entry[1].number))[:count]
