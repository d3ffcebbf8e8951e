"""What becomes of a request that has arrived, whoever read it: recorded first, answered second.

    request ─► reply chosen ─► store.append ─► answer written ─► time of the answer noted

The order is the promise: whoever got an answer finds the request in the store, even if the receiver was killed in the
next microsecond. When the store fails, the sender is told so with a 503 and nothing else.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from msgspec.structs import force_setattr, replace

from postback_receiver.capture import Answer, Capture, path_of
from postback_receiver.capture_request import CaptureRequest, Ending
from postback_receiver.counts import ReceiverCounts
from postback_receiver.endpoint import Endpoint, EndpointTable
from postback_receiver.errors import StoreError
from postback_receiver.lateness import INTERVAL_NS, LatenessGauge
from postback_receiver.line import Line
from postback_receiver.reply import Reply, same_request, text_reply
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
_WHOLE: Final = frozenset({Ending.COMPLETE, Ending.UNANSWERED})
_BROKEN_OFF: Final = {
    Ending.STALLED: text_reply(408, "The body stopped arriving before its end. What came of it was recorded."),
    Ending.DECODED: Reply(
        status=415,
        headers=(("Content-Type", "text/plain; charset=utf-8"), ("Accept-Encoding", "identity")),
        body=b"This body was decompressed on its way to the receiver, which keeps bodies as they were sent."
        b" All else was recorded.\n",
    ),
}

Observer = Callable[[Capture], None]

Write = Callable[[Reply], Awaitable[bool]]
"""Answers a request; True when the answer left whole, and as it should be."""


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
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._new_id = new_id
        self._on_arrival = on_arrival
        self._on_capture = on_capture
        self._gauge = LatenessGauge()
        self._captures = self._unmatched = self._malformed = self._truncated = self._not_answered = 0
        self._store_failures = 0
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
        malformed = request.malformed
        return Capture(
            id=self._new_id(),
            run=self.run,
            endpoint=None if endpoint is None else endpoint.prefix,
            received_at_ns=request.received_at_ns,
            connected_ns=connection.connected_ns,
            monotonic_ns=request.monotonic_ns,
            body_done_ns=request.body_done_ns,
            lateness_ns=self._gauge.worst_ns(request.monotonic_ns),
            connection=connection.name,
            connection_request=request.number,
            remote=connection.remote,
            tls=connection.tls,
            http_version=request.http_version,
            method=request.method,
            target=request.target,
            headers=request.headers,
            body=request.body,
            trailers=request.trailers,
            truncated=request.ending not in _WHOLE and (malformed is None or bool(request.method)),
            malformed=None if malformed is None else malformed.reason,
        )

    def choose_reply(self, request: CaptureRequest, capture: Capture) -> Reply | None:
        """Return the reply to plan; None when nobody is left to get it."""
        if request.ending is Ending.COMPLETE:
            return self._scripted_reply(capture)
        if request.malformed is not None and request.ending is not Ending.PEER_LEFT:
            return text_reply(
                request.malformed.status,
                f"This request could not be read as HTTP: {request.malformed.reason}. It was recorded.",
            )
        if request.ending is Ending.TOO_LARGE:
            limit = f"This receiver takes bodies of up to {self._max_body_bytes} bytes."
            return text_reply(413, f"{limit} The first {len(capture.body)} bytes were recorded.")
        return _BROKEN_OFF.get(request.ending)

    async def record(self, request: CaptureRequest, capture: Capture, reply: Reply | None, write: Write) -> None:
        """Keep a capture with the answer it is to get, and only then have that written."""
        if reply is not None:
            # The capture is nobody's yet, so this saves a copy of everything else in it.
            if reply is not self._usual_reply:
                self._usual_reply, self._usual_answer = reply, reply.answer
            force_setattr(capture, "answer", self._usual_answer)
            if not reply.is_plain:
                force_setattr(capture, "fault", reply.fault)
        try:
            await self._store.append(capture)
        except StoreError as error:
            self._store_failures += 1
            _log.error(
                "A request could not be recorded and was answered 503. %s", error, extra={"event": "store_failure"}
            )
            if reply is not None:
                await write(_NOT_STORED)
            return
        request.connection.last_capture_id = capture.id
        self._count(capture)
        if self._on_arrival is not None:
            _tell(self._on_arrival, capture)
        is_sent = reply is not None and await write(reply)
        # One who had closed its half by then may have been waiting for it; `gone_ns` says so.
        if is_sent:
            at_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
            self._store.record_answer_sent(capture.id, at_ns, monotonic_ns)
            if self._on_capture is not None and capture.answer is not None:
                answer = replace(capture.answer, sent_at_ns=at_ns, sent_ns=monotonic_ns)
                capture = replace(capture, answer=answer)
        else:
            self._not_answered += 1
        if self._on_capture is not None:
            _tell(self._on_capture, capture)

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

    def _scripted_reply(self, capture: Capture) -> Reply:
        if capture.endpoint is None:
            known = ", ".join(self.mount + prefix for prefix in self._endpoints.prefixes()) or "none"
            return text_reply(404, f"No endpoint takes this path. Endpoints: {known}. The request was recorded.")
        try:
            reply = self._endpoints[capture.endpoint].replies(capture)
            # A script settles its replies itself; of other functions, the same request meets the same luck.
            return reply if reply.is_settled else reply.settled(same_request(capture), 0)
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


def _tell(observer: Observer, capture: Capture) -> None:
    try:
        observer(capture)
    except Exception:  # noqa: BLE001 -- somebody else's function
        _log.exception("An observer failed on capture %s; the receiver goes on", capture.id)
