"""What becomes of a request that has arrived, whoever read it: recorded first, answered second.

    request ─► reply chosen ─► store.append ─► answer written ─► time of the answer noted

The order is the promise: whoever got an answer finds the request in the store, even if the receiver was killed in the
next microsecond. When the store fails, the sender is told so with a 503 and nothing else.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from msgspec.structs import force_setattr, replace

from postback_receiver.capture import Answer, Capture, path_of
from postback_receiver.capture_request import CaptureRequest, RequestEnd
from postback_receiver.counts import ReceiverCounts
from postback_receiver.endpoint import Endpoint, EndpointTable
from postback_receiver.errors import StoreError
from postback_receiver.lateness import INTERVAL_NS, LatenessGauge
from postback_receiver.line import Line
from postback_receiver.reply import Reply, same_request, take_from, text_reply
from postback_receiver.stamps import Clock
from postback_receiver.store import CaptureStore

_log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024
"""Kept of one body: hundreds of times a usual postback (1 to 4 KiB), and room for a thousand items. nginx, too, takes
1 MiB by default."""

STALL_TIMEOUT_S: Final = 30.0
"""A body may pause this long. Generous, since a pause is worth seeing, not worth punishing: it only frees connections
of peers that are gone without a word."""

_NOT_STORED: Final = text_reply(503, "The request could not be recorded and is not acknowledged. Send it again later.")
_SCRIPT_FAILED: Final = text_reply(500, "The request was recorded, but the receiver's own reply script failed.")
_BROKEN_OFF: Final = {
    RequestEnd.STALLED: text_reply(408, "The body stopped arriving before its end. What came of it was recorded."),
    RequestEnd.DECODED: Reply(
        status=415,
        headers=(("Content-Type", "text/plain; charset=utf-8"), ("Accept-Encoding", "identity")),
        body=b"This body was decompressed on its way to the receiver, which keeps bodies as they were sent."
        b" All else was recorded.\n",
    ),
}

Observer = Callable[[Capture], None]

Write = Callable[[Reply], Awaitable[bool]]
"""Answers a request; True when the answer left whole, and as it should be."""


Relay = Callable[[Capture], Awaitable[Reply]]
"""Asks somebody else for the reply to a capture, which is in the store by then. It must not raise."""


class Recorder:
    """Turns requests into captures, keeps them in a store, has them answered, and tells observers of it.

    Endpoints are looked for below `mount`, the path under which the receiver is reached. `run` is the id of this start
    of the receiver. What observers raise is logged and never reaches the peer.
    """

    def __init__(
        self,
        store: CaptureStore,
        endpoints: Iterable[Endpoint],
        *,
        max_body_bytes: int,
        clock: Clock,
        new_id: Callable[[], str],
        on_arrival: Observer | None,
        on_capture: Observer | None,
    ) -> None:
        self.mount = ""
        self.run = ""
        self._store = store
        self._endpoints = EndpointTable(endpoints)
        self._take = {prefix: take_from(self._endpoints[prefix].replies) for prefix in self._endpoints.prefixes()}
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._new_id = new_id
        self._on_arrival = on_arrival
        self._on_capture = on_capture
        self._gauge = LatenessGauge()
        self._captures = self._unmatched = self._malformed = self._truncated = self._not_answered = 0
        self._store_failures = self._answers_not_kept = 0
        self._faults: Counter[str] = Counter()
        # Most requests get the same reply as the one before, and captures can share what says so.
        self._usual_reply: Reply | None = None
        self._usual_answer: Answer | None = None

    @property
    def counts(self) -> ReceiverCounts:
        """What was counted so far; of connections it knows nothing."""
        return ReceiverCounts(
            captures=self._captures,
            unmatched=self._unmatched,
            malformed=self._malformed,
            truncated=self._truncated,
            not_answered=self._not_answered,
            store_failures=self._store_failures,
            answers_not_kept=self._answers_not_kept,
            faults=dict(self._faults),
        )

    @property
    def lateness_ns(self) -> int:
        """How late the event loop ran at worst in about the last second."""
        return self._gauge.worst_ns(self._clock.monotonic_ns())

    async def begin(self) -> None:
        """Begin a run; StoreError when the store cannot be written."""
        await self._store.set_endpoints(self._endpoints.settings())
        self.run = self._new_id()

    async def watch_lateness(self) -> None:
        """Measure how late the event loop runs, until cancelled."""
        while True:
            self._gauge.expect(self._clock.monotonic_ns() + INTERVAL_NS)
            await asyncio.sleep(INTERVAL_NS / 1e9)
            self._gauge.woke(self._clock.monotonic_ns())

    def capture_of(self, request: CaptureRequest) -> Capture:
        """Return the capture of a request, which nobody else knows of yet."""
        connection = request.connection
        endpoint = None
        if request.target:
            path = path_of(request.target)
            endpoint = self._endpoints.match(path_below(path, self.mount) if self.mount else path)
        # With more than 15 names in a call, CPython makes a dictionary of them, at several times the cost.
        capture = Capture(
            id=self._new_id(),
            run=self.run,
            endpoint=None if endpoint is None else endpoint.prefix,
            received_at_ns=request.received_at_ns,
            connected_ns=connection.connected_ns,
            monotonic_ns=request.monotonic_ns,
            body_done_ns=request.body_done_ns,
            connection=connection.name,
            connection_request=request.number,
            remote=connection.remote,
            http_version=request.http_version,
            method=request.method,
            target=request.target,
            headers=request.headers,
            body=request.body,
        )
        for name, value in self._unusual(request):
            # It is nobody's yet, so this saves a copy of everything else in it.
            force_setattr(capture, name, value)
        return capture

    def _unusual(self, request: CaptureRequest) -> Iterator[tuple[str, object]]:
        """What a capture has that most do not have."""
        connection, malformed, ending = request.connection, request.malformed, request.ending
        if lateness_ns := self._gauge.worst_ns(request.monotonic_ns):
            yield "lateness_ns", lateness_ns
        if connection.tls is not None:
            yield "tls", connection.tls
        if connection.fault is not None:
            yield "fault", connection.fault
        if request.trailers:
            yield "trailers", request.trailers
        if malformed is not None:
            yield "malformed", malformed.reason
        is_cut = ending is not RequestEnd.COMPLETE and ending is not RequestEnd.UNANSWERED
        if is_cut and (malformed is None or request.method):
            yield "truncated", True

    def choose_reply(self, request: CaptureRequest, capture: Capture) -> Reply | None:
        """Return the reply to plan; None when nobody is left to get it."""
        if request.ending is RequestEnd.COMPLETE:
            return self._scripted_reply(request, capture)
        if request.malformed is not None and request.ending is not RequestEnd.PEER_LEFT:
            return text_reply(
                request.malformed.status,
                f"This request could not be read as HTTP: {request.malformed.reason}. It was recorded.",
            )
        if request.ending is RequestEnd.TOO_LARGE:
            limit = f"This receiver takes bodies of up to {self._max_body_bytes} bytes."
            return text_reply(413, f"{limit} The first {len(capture.body)} bytes were recorded.")
        return _BROKEN_OFF.get(request.ending)

    async def record(
        self, request: CaptureRequest, capture: Capture, reply: Reply | None, write: Write, relay: Relay | None = None
    ) -> None:
        """Keep a capture with the answer it is to get, and only then have that written.

        With `relay` it is kept without one, and only then that is asked for the reply.
        """
        if reply is not None:
            if reply is not self._usual_reply:
                self._usual_reply, self._usual_answer = reply, reply.answer
            force_setattr(capture, "answer", self._usual_answer)
            if not reply.is_plain:
                force_setattr(capture, "fault", _both(capture.fault, reply.fault))
        try:
            await self._store.append(capture)
        except StoreError as error:
            self._not_stored(request, error)
            if reply is not None or relay is not None:
                await write(_NOT_STORED)
            return
        request.connection.last_capture_id = capture.id
        self._count(capture)
        if self._on_arrival is not None:
            tell(self._on_arrival, capture)
        if relay is not None:
            await self._relay(capture, relay, request.connection, write)
            return
        is_sent = False
        try:
            # One who had closed its half by then may have been waiting for it; `gone_ns` says so.
            if reply is not None and await write(reply):
                is_sent = True
                capture = self._sent(capture)
        finally:
            self._settle(capture, is_sent=is_sent)

    def _settle(self, capture: Capture, *, is_sent: bool) -> None:
        """Count and tell what became of a capture in the store, also when the receiver stopped first."""
        self._not_answered += not is_sent
        if self._on_capture is not None:
            tell(self._on_capture, capture)

    def _sent(self, capture: Capture) -> Capture:
        """Note that the answer has left; return the capture with the time, should anybody hear of it."""
        at_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        self._store.record_answer_sent(capture.id, at_ns, monotonic_ns)
        if self._on_capture is None or capture.answer is None:
            return capture
        return replace(capture, answer=replace(capture.answer, sent_at_ns=at_ns, sent_ns=monotonic_ns))

    def _not_stored(self, request: CaptureRequest, error: StoreError) -> None:
        self._store_failures += 1
        _log.error("A request could not be recorded and was answered 503. %s", error, extra={"event": "store_failure"})
        if request.give_back is not None:
            request.give_back()

    async def _relay(self, capture: Capture, relay: Relay, line: Line, write: Write) -> None:
        """Have somebody else's answer written, and add it to the capture."""
        answer, is_sent = None, False
        try:
            reply = await _reply_unless_cut(relay(capture), line)
            if reply is None:
                return
            answer = reply.answer
            if await write(reply) and answer is not None:
                is_sent = True
                answer = replace(answer, sent_at_ns=self._clock.now_ns(), sent_ns=self._clock.monotonic_ns())
            if answer is not None:
                await self._record_answer(capture.id, answer)
        finally:
            self._settle(replace(capture, answer=answer), is_sent=is_sent)

    async def _record_answer(self, capture_id: str, answer: Answer) -> None:
        try:
            await self._store.record_answer(capture_id, answer)
        except StoreError as error:
            # Whoever is told of this would send again what somebody else has taken already.
            self._answers_not_kept += 1
            _log.error(
                "The relayed answer to %s was sent, but could not be recorded. %s",
                capture_id,
                error,
                extra={"event": "answer_not_kept"},
            )

    def lost(self, line: Line) -> None:
        """The connection is gone, and what was read from it has been recorded."""
        if line.gone_ns is not None and line.last_capture_id is not None:
            self._store.record_peer_gone(line.last_capture_id, line.gone_ns)

    def _count(self, capture: Capture) -> None:
        self._captures += 1
        if capture.fault is not None:
            self._faults[kind_of_fault(capture.fault)] += 1
        if capture.truncated:
            self._truncated += 1
        if capture.malformed is not None:
            self._malformed += 1
            _log.warning(
                "A request could not be read as HTTP: %s; it was recorded as %s",
                capture.malformed,
                capture.id,
                extra={"event": "unreadable_request"},
            )
        elif capture.endpoint is None:
            self._unmatched += 1

    def _scripted_reply(self, request: CaptureRequest, capture: Capture) -> Reply:
        if capture.endpoint is None:
            known = ", ".join(self.mount + prefix for prefix in self._endpoints.prefixes()) or "none"
            return text_reply(404, f"No endpoint takes this path. Endpoints: {known}. The request was recorded.")
        try:
            reply, request.give_back = self._take[capture.endpoint](capture)
            if reply.is_plain:
                return reply
            # A script settles its replies itself; of other functions, the same request meets the same luck.
            reply = reply if reply.is_settled else reply.settled(same_request(capture), 0)
            return reply.to_head() if request.method == "HEAD" else reply
        except Exception:  # noqa: BLE001 -- somebody else's function
            _log.exception("The reply script of endpoint %s failed; answered 500", capture.endpoint)
            return _SCRIPT_FAILED


def path_below(path: str, mount: str) -> str:
    """Return what of a path lies below a mount of as many segments, whatever these are encoded as; `/` for no more."""
    depth = mount.count("/")
    return "/" + path.split("/", depth + 1)[depth + 1] if path.count("/") > depth else "/"


def kind_of_fault(label: str) -> str:
    """Return a fault's label without its numbers, such as `delay + dribble`: there are few of them to count by."""
    return " + ".join(part.split(" ")[0] for part in label.split(" + "))


def _both(fault: str | None, other: str | None) -> str | None:
    return f"{fault} + {other}" if fault and other else fault or other


async def _reply_unless_cut(relayed: Awaitable[Reply], line: Line) -> Reply | None:
    """Wait for a relayed reply; None when we end the connection before it comes.

    When the peer leaves, it is waited for all the same: what the server behind did belongs to the capture.
    """
    asked = asyncio.ensure_future(relayed)
    cut = asyncio.ensure_future(line.gone(due_ns=0))
    try:
        await asyncio.wait((asked, cut), return_when=asyncio.FIRST_COMPLETED)
        if asked.done() or line.gone_ns is not None:
            return await asked
        return None
    finally:
        # Both have ended by the time this has: a relay says what became of it.
        for each in (asked, cut):
            each.cancel()
        await asyncio.wait((asked, cut))


def tell(observer: Observer, capture: Capture) -> None:
    """Tell an observer of a capture; what it raises is logged, and nothing else comes of it."""
    try:
        observer(capture)
    except Exception:  # noqa: BLE001 -- somebody else's function
        _log.exception("An observer failed on capture %s; the receiver goes on", capture.id)
