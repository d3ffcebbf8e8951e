"""`check --follow`: judges a store while a receiver in another process fills it."""

import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from postback_conformance.captured.traffic import is_store_begun, notifications_of
from postback_conformance.cli.saying import say
from postback_conformance.judging.following import Following
from postback_conformance.judging.judge import Judgement, Judges, Notifications
from postback_conformance.judging.verdict import Verdict
from postback_receiver import Capture, CaptureReader, Evictions, StoreError, open_store

# Often enough for a person who waits, and seldom enough to cost the receiver nothing.
_POLL_S = 0.2
_MAKING_S = 2.0


class Follower:
    """Judges what is in a store and what comes into it; `judgement` tells what came of it.

    Without settings that are `given`, those in the store are taken. `make_judges` makes the judges of some settings;
    `tell` is handed each finding, with the capture it came with; `following` knows which captures are ready.
    """

    def __init__(
        self,
        file: Path,
        given: Notifications | None,
        *,
        make_judges: Callable[[Notifications], Judges],
        tell: Callable[[Capture, Verdict], None],
        following: Following | None = None,
    ) -> None:
        self.notifications: Notifications = given or {}
        self._is_given = given is not None
        self.evicted = 0
        self._file = file
        self._make_judges = make_judges
        self._tell = tell
        self._judges: Judges | None = None
        self._following = following or Following(time.time_ns, time.monotonic_ns)

    def until_stopped(self) -> None:
        """Go on until Ctrl-C or SIGTERM. Raises `StoreError` or `TrafficError` for what cannot be followed."""
        with _stopped_by_signals() as stopped:
            if not self._wait_for_store(stopped):
                return
            store = self._open(stopped)
            try:
                say(f"following {self._file}; Ctrl-C ends it with a summary")
                self._follow(store, stopped)
            finally:
                store.close()

    def judgement(self) -> Judgement | None:
        """Return the verdicts, None when not one capture came."""
        return self._judges.judgement(Evictions(captures=self.evicted)) if self._judges else None

    def _wait_for_store(self, stopped: threading.Event) -> bool:
        is_told = False
        while not is_store_begun(self._file):
            if not is_told:
                say(f"waiting for {self._file}: there is no store yet; Ctrl-C ends the waiting")
                is_told = True
            if stopped.wait(_POLL_S):
                return False
        return True

    def _open(self, stopped: threading.Event) -> CaptureReader:
        deadline = time.monotonic() + _MAKING_S
        while True:
            try:
                return open_store(self._file)
            except StoreError:
                # Whoever makes the store may not be done; whatever else is wrong with it stays.
                if time.monotonic() > deadline or stopped.wait(_POLL_S):
                    raise

    def _follow(self, store: CaptureReader, stopped: threading.Event) -> None:
        while self.look(store, stopped.is_set):
            if stopped.wait(_POLL_S):
                # What still waited for its answer is judged without.
                self.look(store, to_the_end=True)
                return

    def look(
        self, store: CaptureReader, is_stopped: Callable[[], bool] = lambda: False, *, to_the_end: bool = False
    ) -> bool:
        """Judge what is ready, all there is with `to_the_end`; return whether it came to its end."""
        numbered = store.numbered(after=self._following.after)
        with closing(self._following.ready(numbered, to_the_end=to_the_end)) as ready:
            for capture in ready:
                for finding in self._judges_of(capture, store).see(capture):
                    self._tell(capture, finding)
                if is_stopped():
                    return False
        self.evicted = min(self._following.missed, store.evictions().captures)
        return True

    def _judges_of(self, capture: Capture, store: CaptureReader) -> Judges:
        is_new = not self._is_given and capture.endpoint not in self._known()
        if self._judges is None:
            if is_new:
                self.notifications = notifications_of(store.endpoints(), name=str(self._file))
            self._judges = self._make_judges(self.notifications)
        elif is_new and capture.endpoint is not None:
            # A receiver that was started again may have endpoints it had not before.
            found = notifications_of(store.endpoints(), name=str(self._file))
            for endpoint in found.keys() - self._known():
                self._judges.add(endpoint, found[endpoint])
            self.notifications = found
        return self._judges

    def _known(self) -> frozenset[str | None]:
        return frozenset(self.notifications) if isinstance(self.notifications, Mapping) else frozenset()


@contextmanager
def _stopped_by_signals() -> Generator[threading.Event]:
    """Hand out an event that Ctrl-C sets, so that nothing is left half judged."""
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
