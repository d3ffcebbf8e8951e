"""A receiver for programs and tests that are not asynchronous: one `with` block, plain calls, its own thread.

with Receiver() as receiver:
    run_the_thing_under_test(receiver.url)
    first = receiver.wait_for(path("/postback"))
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

from postback_receiver.arrivals import Arrivals, Follower, Mark
from postback_receiver.capture import Capture, path_of
from postback_receiver.endpoint import Endpoint, EndpointTable
from postback_receiver.errors import ReceiverStateError, WaitTimeout
from postback_receiver.loop_thread import LoopThread
from postback_receiver.matching import Match, Matcher, to_matcher
from postback_receiver.memory_store import MemoryStore
from postback_receiver.order import Key, check_order, key_function
from postback_receiver.recording import MAX_BODY_BYTES, STALL_TIMEOUT_S
from postback_receiver.reply import GiveBack, Replies, Reply, same_request, take_from
from postback_receiver.reply_script import Case, End, ReplyScript, always
from postback_receiver.server import CLOSE_GRACE_S, CaptureServer
from postback_receiver.stamps import Clock, SystemClock
from postback_receiver.store import CaptureStore
from postback_receiver.waiting import CountWait, IdleWait, SilenceWait, Wait

T = TypeVar("T")

TIMEOUT_S: Final = 5.0
QUIET_S: Final = 0.5

_EVERY_PATH: Final = (Endpoint(),)
_LONGEST_PAUSE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Rule:
    """Replies for the requests that match; None matches all of them."""

    when: Matcher | None
    replies: Replies


class _ByRules:
    """The replies of an endpoint, by the rule that holds for a request at that moment."""

    def __init__(self, rule_of: Callable[[Capture], _Rule]) -> None:
        self._rule_of = rule_of

    def __call__(self, capture: Capture) -> Reply:
        return self.take(capture)[0]

    def take(self, capture: Capture) -> tuple[Reply, GiveBack | None]:
        return take_from(self._rule_of(capture).replies)(capture)


class ReceiverBase:
    """What every receiver has: it captures requests on a port of its own for as long as its block lasts.

    Captures stay readable afterwards. A store that is passed in stays the caller's to close, and what others have put
    there is not shown here. `on_arrival` is called on the receiver's thread with each capture that is stored, before it
    is answered, and `on_capture` after its answer; both must be quick. With `ssl_context` it speaks TLS.
    """

    def __init__(
        self,
        *,
        endpoints: Iterable[Endpoint] = _EVERY_PATH,
        store: CaptureStore | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        close_grace_s: float = CLOSE_GRACE_S,
        clock: Clock | None = None,
        on_arrival: Callable[[Capture], None] | None = None,
        on_capture: Callable[[Capture], None] | None = None,
    ) -> None:
        endpoints = list(endpoints)
        self._endpoints = EndpointTable(endpoints)
        self._rules: dict[str, tuple[_Rule, ...]] = {
            endpoint.prefix: (_Rule(None, endpoint.replies),) for endpoint in endpoints
        }
        self._clock = clock or SystemClock()
        kept: CaptureStore = MemoryStore() if store is None else store
        self._arrivals = Arrivals(kept, self._clock)
        self._on_arrival = on_arrival
        self._server = CaptureServer(
            kept,
            [replace(endpoint, replies=_ByRules(partial(self._rule, endpoint.prefix))) for endpoint in endpoints],
            host=host,
            port=port,
            ssl_context=ssl_context,
            max_body_bytes=max_body_bytes,
            stall_timeout_s=stall_timeout_s,
            close_grace_s=close_grace_s,
            clock=self._clock,
            on_arrival=self._arrived,
            on_capture=on_capture,
        )
        self._thread = LoopThread(self._server, name="postback receiver")
        self._state: Literal["not begun", "listening", "closed"] = "not begun"

    def __enter__(self) -> Self:
        """Start to listen; ListenError when the port cannot be had, ReceiverStateError for a second time."""
        if self._state != "not begun":
            again = "is listening already" if self._state == "listening" else "has been closed"
            raise ReceiverStateError(f"This receiver {again}, and it listens only once: make a new one for each block.")
        # One that cannot be started is done with, too.
        self._state = "closed"
        self._thread.start()
        self._state = "listening"
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop to listen, once requests under way are finished; whoever still waits gets a ReceiverStateError."""
        try:
            self._thread.stop()
        finally:
            self._state = "closed"
            self._arrivals.wake_all()

    @property
    def url(self) -> str:
        """Where to send postbacks, without a path."""
        self._refuse_before_start("has no address")
        return self._server.url

    @property
    def port(self) -> int:
        """The port in use."""
        self._refuse_before_start("has no port")
        return self._server.port

    def url_of(self, path: str) -> str:
        """The URL of a path, or of a path with a query; ValueError when no endpoint takes it."""
        if not path.startswith("/") or self._endpoints.match(path_of(path)) is None:
            raise ValueError(f"no endpoint takes {path!r}; there are: {', '.join(self._endpoints.prefixes())}")
        return self.url + path

    @property
    def unreadable_requests(self) -> int:
        """Requests that could not be read as HTTP: refused, and recorded as malformed."""
        return self._server.unreadable_requests

    def captures(self, match: Match | None = None, *, after: Mark | Capture | None = None) -> list[Capture]:
        """What has arrived so far and matches, in order; with `after`, only what came later than that."""
        matcher = to_matcher(match)
        return [capture for capture in self._arrivals.captures(after) if matcher.matches(capture)]

    def mark(self) -> Mark:
        """This moment, for `after`: what has arrived by now is left out then."""
        return self._arrivals.mark()

    def clear(self) -> None:
        """Begin anew: what has arrived is no longer shown or counted here. The store keeps it."""
        self._arrivals.clear()

    def assert_order(self, *matches: Match, key: Key | None = None, after: Mark | Capture | None = None) -> None:
        """Raise OutOfOrder unless requests that match have arrived in this order, with a `key` within each event.

        A request may come again as long as the next one has not; what is like none of them may come at any time.
        """
        __tracebackhide__ = True
        check_order(self.captures(after=after), matches, key=key)

    def reply(
        self,
        *replies: Reply | int | Replies,
        when: Match | None = None,
        endpoint: str | None = None,
        key: Key = same_request,
        end: End = "last",
        cases: Sequence[Case] = (),
    ) -> None:
        """From now on answer with these, one after the other for each event; see `ReplyScript`.

        A number is a status. A function of a capture chooses by itself, and stands alone. With `when`, only requests
        that match are answered so, and the others as before; without it, nothing said before holds any longer.
        `endpoint` is the prefix of the endpoint that is to answer so; it can be left out for the only one, or for `/`.
        """
        prefix = self._prefix(endpoint)
        rule = _Rule(None if when is None else to_matcher(when), _script(replies, key, end, cases))
        # Replaced in one step, since the receiver's thread reads it.
        self._rules[prefix] = (rule,) if rule.when is None else (rule, *self._rules[prefix])

    def _prefix(self, endpoint: str | None) -> str:
        prefixes = self._endpoints.prefixes()
        wanted = endpoint if endpoint is not None else prefixes[0] if len(prefixes) == 1 else "/"
        if wanted not in prefixes:
            raise ValueError(f"there is no endpoint {wanted!r}; there are: {', '.join(prefixes)}")
        return wanted

    def _rule(self, prefix: str, capture: Capture) -> _Rule:
        return next(rule for rule in self._rules[prefix] if rule.when is None or rule.when.matches(capture))

    def _arrived(self, capture: Capture) -> None:
        self._arrivals.add(capture)
        if self._on_arrival is not None:
            self._on_arrival(capture)

    def _refuse_before_start(self, what: str) -> None:
        if self._state == "not begun":
            raise ReceiverStateError(f"A receiver {what} before it listens: use it with a with statement.")

    def _count_wait(self, match: Match | None, count: int, timeout: float) -> CountWait:
        return CountWait(match, count, now_ns=self._clock.monotonic_ns(), timeout_s=timeout)

    def _idle_wait(self, quiet: float, timeout: float) -> IdleWait:
        return IdleWait(quiet, now_ns=self._clock.monotonic_ns(), timeout_s=timeout)

    def _silence_wait(self, match: Match | None, for_: float) -> SilenceWait:
        return SilenceWait(match, now_ns=self._clock.monotonic_ns(), silence_s=for_)

    def _pause_s(self, wait: Wait[T], follower: Follower) -> float | None:
        """Show a wait what is new: the seconds to sleep until something comes or the wait ends, None when it has."""
        now_ns = self._clock.monotonic_ns()
        # What was there already came in time, however long the store took to tell.
        for capture, at_ns in follower.news(min(now_ns, wait.due_ns)):
            wait.see(capture, at_ns)
        if wait.is_over(now_ns):
            return None
        if self._state != "listening":
            self._refuse_before_start("cannot be waited for")
            raise ReceiverStateError("The receiver was closed, so that what is waited for cannot come any more.")
        return min((wait.due_ns - now_ns) / 1e9, _LONGEST_PAUSE_S)


class Receiver(ReceiverBase):
    """A receiver for code that is not asynchronous: `with Receiver() as receiver`. Its calls wait in their own thread.

    It can be used from several threads at once. In asynchronous code, use `AsyncReceiver`: these calls would block the
    event loop.
    """

    def wait_for(
        self, match: Match | None = None, *, timeout: float = TIMEOUT_S, after: Mark | Capture | None = None
    ) -> Capture:
        """The first capture that matches, now or within `timeout` seconds; else WaitTimeout, which tells what differed.

        What has arrived already counts, unless it came before `after` (a capture, or what `mark` gave). A capture
        counts from the moment it is stored: its answer may still be on its way.
        """
        __tracebackhide__ = True
        return self._wait(self._count_wait(match, 1, timeout), after)[0]

    def wait_for_count(
        self,
        count: int,
        match: Match | None = None,
        *,
        timeout: float = TIMEOUT_S,
        after: Mark | Capture | None = None,
    ) -> list[Capture]:
        """All captures that match, as soon as there are at least `count`; else WaitTimeout after `timeout` seconds."""
        __tracebackhide__ = True
        return self._wait(self._count_wait(match, count, timeout), after)

    def wait_idle(self, *, quiet: float = QUIET_S, timeout: float = TIMEOUT_S) -> list[Capture]:
        """All captures, once nothing has arrived for `quiet` seconds; WaitTimeout when requests keep coming."""
        __tracebackhide__ = True
        self._wait(self._idle_wait(quiet, timeout), self.mark())
        return self.captures()

    def assert_silent(
        self, match: Match | None = None, *, for_: float = QUIET_S, after: Mark | Capture | None = None
    ) -> None:
        """Return when nothing that matches has arrived, nor arrives for `for_` seconds; else SilenceBroken, at once.

        What came before `after` (a capture, or what `mark` gave) does not count.
        """
        __tracebackhide__ = True
        self._wait(self._silence_wait(match, for_), after)

    def _wait(self, wait: Wait[T], after: Mark | Capture | None) -> T:
        __tracebackhide__ = True
        if self._thread.is_current:
            raise ReceiverStateError("What runs on the receiver's own thread, as observers do, cannot wait for it.")
        woken = threading.Event()
        with self._arrivals.followed(woken.set, after) as follower:
            while (pause_s := self._pause_s(wait, follower)) is not None:
                woken.wait(pause_s)
                woken.clear()
        try:
            return wait.outcome()
        except WaitTimeout as error:
            if _runs_event_loop():
                error.add_note("The wait blocked the event loop of this thread all the while; AsyncReceiver does not.")
            raise


def _script(replies: Sequence[Reply | int | Replies], key: Key, end: End, cases: Sequence[Case]) -> Replies:
    fixed: list[Reply] = []
    event = key_function(key)
    for reply in replies:
        if isinstance(reply, int | Reply):
            fixed.append(Reply(status=reply) if isinstance(reply, int) else reply)
        elif not callable(reply):
            raise TypeError(f"expected a Reply, a status such as 503 or a function of a capture, got {reply!r:.100}")
        elif len(replies) > 1:
            raise ValueError("a function that chooses the reply stands alone: no other replies go before or after it")
        else:
            return reply
    if len(fixed) == 1 and fixed[0].is_settled and end == "last" and not cases:
        return always(fixed[0])
    return ReplyScript(fixed, key=event, end=end, cases=cases)


def _runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
