"""What has arrived at a receiver, numbered in its order, and who is to be woken when there is more.

Captures arrive on the receiver's thread, and are asked for and waited for on any other.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from postback_receiver.capture import Capture
from postback_receiver.stamps import Clock
from postback_receiver.store import CaptureReader

MAX_NUMBERED: Final = 1_000_000
"""Arrivals that are remembered, about 200 MB at most; of more, the oldest are no longer shown."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in what arrives at a receiver: after so many requests."""

    arrived: int


@dataclass(slots=True, eq=False)
class Follower:
    """Somebody who waits: what was there already, what has come since (with the time it came), and how to wake them."""

    wake: Callable[[], None]
    already: list[Capture] = field(default_factory=list[Capture])
    since: deque[tuple[Capture, int]] = field(default_factory=deque[tuple[Capture, int]])

    def news(self, already_ns: int) -> Iterator[tuple[Capture, int]]:
        """Each capture once, with the time it came; what was there already with the time that is given."""
        already, self.already = self.already, []
        yield from ((capture, already_ns) for capture in already)
        while self.since:
            yield self.since.popleft()


class Arrivals:
    """The arrivals of one receiver. The store may hold more: what others put there is left out.

    Captures themselves are read from the store, which knows when their answers left; here are only their numbers.
    """

    def __init__(self, store: CaptureReader, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # What an older run left in the store is not read again at each look; those evicted count, too.
        self._number_before = store.evictions().captures + store.count()
        self._lock = threading.Lock()
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._count = 0
        self._cleared = 0
        self._followers: list[Follower] = []

    def add(self, capture: Capture) -> None:
        """Number a capture that is in the store by now, and wake those who wait."""
        at_ns = self._clock.monotonic_ns()
        with self._lock:
            self._count += 1
            self._numbers[capture.id] = self._count
            if len(self._numbers) > MAX_NUMBERED:
                self._numbers.popitem(last=False)
            followers = list(self._followers)
            for follower in followers:
                follower.since.append((capture, at_ns))
        for follower in followers:
            follower.wake()

    def wake_all(self) -> None:
        """Let those who wait look again."""
        with self._lock:
            followers = list(self._followers)
        for follower in followers:
            follower.wake()

    def mark(self) -> Mark:
        """This moment."""
        return Mark(self._count)

    def clear(self) -> None:
        """Forget what has arrived; the store keeps it."""
        with self._lock:
            self._numbers = OrderedDict()
            self._cleared = self._count

    def captures(self, after: Mark | Capture | None = None) -> list[Capture]:
        """What has arrived, in order; ValueError when `after` is a capture that has not, or was cleared away."""
        with self._lock:
            first, last, numbers = self._place(after), self._count, self._numbers
        return self._read(first, last, numbers)

    @contextmanager
    def followed(self, wake: Callable[[], None], after: Mark | Capture | None = None) -> Generator[Follower]:
        """Follow what arrives: each capture once, what was there already included."""
        follower = Follower(wake)
        with self._lock:
            first, last, numbers = self._place(after), self._count, self._numbers
            self._followers.append(follower)
        try:
            # Without the lock, since a store on disk takes its time and the receiver must not wait for it.
            follower.already = self._read(first, last, numbers)
            yield follower
        finally:
            with self._lock:
                self._followers.remove(follower)

    def _place(self, after: Mark | Capture | None) -> int:
        match after:
            case None:
                return self._cleared
            case Mark():
                return max(self._cleared, after.arrived)
            case Capture() if after.id in self._numbers:
                return self._numbers[after.id]
            case _:
                raise ValueError(f"expected after as a mark or a capture that arrived here, got {after!r:.100}")

    def _read(self, first: int, last: int, numbers: Mapping[str, int]) -> list[Capture]:
        if first >= last:
            return []
        found = ((numbers.get(capture.id, 0), capture) for capture in self._store.captures(after=self._number_before))
        return [capture for _, capture in sorted((each for each in found if first < each[0] <= last), key=_number)]


def _number(numbered: tuple[int, Capture]) -> int:
    return numbered[0]
