"""What one can wait for, and when each wait is over. It has no clock and no threads: it is told what arrives, and when.

Whoever runs one (`Receiver`, `AsyncReceiver`) shows it each capture, and asks `is_over` after that and at `due_ns`.
All times are monotonic nanoseconds.
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Final, Generic, TypeVar

from postback_receiver.capture import Capture
from postback_receiver.errors import MAX_LISTED, SilenceBroken, WaitTimeout
from postback_receiver.faults import check_seconds
from postback_receiver.matching import AllOf, Match, Matcher, nearest_miss, to_matcher
from postback_receiver.summary import one_line

T = TypeVar("T")

MAX_COMPARED: Final = 500
"""Captures among which the nearest miss is sought, the latest ones: enough for a test, and a moment's work."""

_DESCRIPTION: Final = 400
_NS: Final = 1_000_000_000


class Wait(ABC, Generic[T]):
    """One wait: told what arrives, it knows when it is over and how it ended."""

    @property
    @abstractmethod
    def due_ns(self) -> int:
        """When it is over if nothing more arrives."""

    @abstractmethod
    def see(self, capture: Capture, at_ns: int) -> None:
        """Take note of a capture and of the time it arrived."""

    @abstractmethod
    def is_over(self, now_ns: int) -> bool:
        """Whether the outcome is certain by now."""

    @abstractmethod
    def outcome(self) -> T:
        """How it ended, once it is over; raises what a wait in vain raises."""


class CountWait(Wait[list[Capture]]):
    """Until so many captures match; WaitTimeout when they have not in time."""

    def __init__(self, match: Match | None, count: int, *, now_ns: int, timeout_s: float) -> None:
        __tracebackhide__ = True
        if not isinstance(count, int):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody checks types
            raise TypeError(f"expected the count of requests as a number, got {count!r:.100}")
        self._match = to_matcher(match)
        self._count = count
        self._timeout_s = timeout_s
        self._due_ns = now_ns + duration_ns("timeout", timeout_s)
        self._found: list[Capture] = []
        self._latest: deque[Capture] = deque(maxlen=MAX_COMPARED)
        self._seen = 0

    @property
    def due_ns(self) -> int:
        return self._due_ns

    def see(self, capture: Capture, at_ns: int) -> None:  # noqa: ARG002 -- what comes late, but is seen, still counts
        self._seen += 1
        self._latest.append(capture)
        if self._match.matches(capture):
            self._found.append(capture)

    def is_over(self, now_ns: int) -> bool:
        return len(self._found) >= self._count or now_ns >= self._due_ns

    def outcome(self) -> list[Capture]:
        __tracebackhide__ = True
        if len(self._found) >= self._count:
            return self._found
        number = "a request" if self._count == 1 else f"{self._count} requests"
        raise WaitTimeout(
            wanted=number + _with(self._match),
            timeout_s=self._timeout_s,
            arrived=[one_line(capture) for capture in list(self._latest)[-MAX_LISTED:]],
            count=self._seen,
            matching=None if _is_anything(self._match) else len(self._found),
            nearest=nearest_miss(self._match, self._latest),
        )


class IdleWait(Wait[None]):
    """Until nothing has arrived for a while; WaitTimeout when requests keep coming."""

    def __init__(self, quiet_s: float, *, now_ns: int, timeout_s: float) -> None:
        __tracebackhide__ = True
        self._quiet_s = quiet_s
        self._quiet_ns = duration_ns("quiet", quiet_s)
        self._timeout_s = timeout_s
        self._deadline_ns = now_ns + duration_ns("timeout", timeout_s)
        if quiet_s > timeout_s:
            raise ValueError(f"expected quiet to be at most the timeout of {timeout_s:g} s, got {quiet_s:g} s")
        self._idle_ns = now_ns + self._quiet_ns
        self._latest: deque[Capture] = deque(maxlen=MAX_LISTED)
        self._seen = 0

    @property
    def due_ns(self) -> int:
        return min(self._idle_ns, self._deadline_ns)

    def see(self, capture: Capture, at_ns: int) -> None:
        if at_ns < self.due_ns:
            self._seen += 1
            self._latest.append(capture)
            self._idle_ns = at_ns + self._quiet_ns

    def is_over(self, now_ns: int) -> bool:
        return now_ns >= self.due_ns

    def outcome(self) -> None:
        __tracebackhide__ = True
        if self._idle_ns > self._deadline_ns:
            raise WaitTimeout(
                wanted=f"{self._quiet_s:g} s without a request",
                timeout_s=self._timeout_s,
                arrived=[one_line(capture) for capture in self._latest],
                count=self._seen,
            )


class SilenceWait(Wait[None]):
    """Until the time has passed; SilenceBroken as soon as a capture matches."""

    def __init__(self, match: Match | None, *, now_ns: int, silence_s: float) -> None:
        __tracebackhide__ = True
        self._match = to_matcher(match)
        self._silence_s = silence_s
        self._due_ns = now_ns + duration_ns("for_", silence_s)
        self._broken_by: Capture | None = None

    @property
    def due_ns(self) -> int:
        return self._due_ns

    def see(self, capture: Capture, at_ns: int) -> None:
        if self._broken_by is None and at_ns <= self._due_ns and self._match.matches(capture):
            self._broken_by = capture

    def is_over(self, now_ns: int) -> bool:
        return self._broken_by is not None or now_ns >= self._due_ns

    def outcome(self) -> None:
        __tracebackhide__ = True
        if self._broken_by is not None:
            unwanted = "no request" + _with(self._match)
            raise SilenceBroken(unwanted=unwanted, silence_s=self._silence_s, capture=self._broken_by)


def duration_ns(name: str, seconds: float) -> int:
    """A number of seconds in nanoseconds; ValueError when it is negative, TypeError when it is no number."""
    __tracebackhide__ = True
    check_seconds(name, seconds)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"expected {name} as a number of seconds from 0 up, got {seconds!r}")
    return round(seconds * _NS)


def _is_anything(match: Matcher) -> bool:
    return isinstance(match, AllOf) and not match.parts


def _with(match: Matcher) -> str:
    if _is_anything(match):
        return ""
    text = str(match)
    return f" with {text if len(text) <= _DESCRIPTION else text[:_DESCRIPTION] + '…'}"
