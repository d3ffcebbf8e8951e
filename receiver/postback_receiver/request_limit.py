"""A limit that is really enforced: beyond so many requests in any window, 429 with the time to wait."""

from collections import deque
from contextlib import suppress
from functools import partial

from postback_receiver.capture import Capture
from postback_receiver.reply import GiveBack, Replies, Reply, take_from

_NS = 1_000_000_000


class RequestLimit:
    """Passes at most `count` requests in any window of `window_ns` nanoseconds on to `replies`; the others get a 429.

    Strict: no window, anywhere, holds more. A request that was refused, or that could not be recorded, counts for
    nothing, and does not use up a turn of a script. Time is that of the captures, when their bodies had arrived.
    """

    def __init__(self, replies: Replies, *, count: int, window_ns: int = _NS) -> None:
        if count < 1 or window_ns < 1:
            raise ValueError(f"a limit allows 1 request or more in 1 ns or more, not {count} in {window_ns}")
        self._take = take_from(replies)
        self._window_ns = window_ns
        self._passed: deque[int] = deque(maxlen=count)
        self._now_ns = 0

    def __call__(self, capture: Capture) -> Reply:
        """The reply of the script, or a 429 that says when to come again."""
        return self.take(capture)[0]

    def take(self, capture: Capture) -> tuple[Reply, GiveBack | None]:
        """The same, and what gives the room back when the request could not be recorded."""
        arrived_ns = capture.body_done_ns if capture.body_done_ns is not None else capture.monotonic_ns
        # A later request never counts as an earlier one.
        self._now_ns = max(self._now_ns, arrived_ns or 0)
        if len(self._passed) == self._passed.maxlen:
            wait_ns = self._passed[0] + self._window_ns - self._now_ns
            # At the very distance of the window, one that includes both its ends would hold one too many.
            if wait_ns >= 0:
                return self._refusal(wait_ns), None
        self._passed.append(self._now_ns)
        reply, give_back = self._take(capture)
        return reply, partial(self._give_back, self._now_ns, give_back)

    def _give_back(self, passed_ns: int, give_back: GiveBack | None) -> None:
        # What came at the same time counts the same, so it does not matter which of them goes.
        with suppress(ValueError):
            self._passed.remove(passed_ns)
        if give_back is not None:
            give_back()

    def _refusal(self, wait_ns: int) -> Reply:
        seconds = wait_ns // _NS + 1
        text = f"More than {self._passed.maxlen} requests in {self._window_ns / _NS:g} s. Come again in {seconds} s.\n"
        headers = (("Content-Type", "text/plain; charset=utf-8"), ("Retry-After", str(seconds)))
        return Reply(status=429, headers=headers, body=text.encode())
