"""Captures sent on to one server of the user's, with the same method, headers and bytes.

`Forwarder.take` sends beside our own answer, one request after the other in the order they were recorded; `relay` asks
that server for the answer. Nothing is sent twice, no redirect is followed, and a target beyond this machine has to be
allowed by name.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self, get_args

import msgspec

from postback_conformance.replaying import recorded_request, unfit
from postback_receiver import Capture, Reply, text_reply
from postback_sender.clock import Clock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import Connections
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.target import check_target
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.matcher import MAX_ANSWER_BYTES
from postback_sender.quantities import NANOSECONDS_PER_SECOND
from postback_sender.replay.request import Destination, request_bytes

QUEUE_LENGTH: Final = 1000
"""Captures that wait to be sent on, a few megabytes of usual postbacks. Past it the newest is not sent on, and said."""

MAX_RELAYED: Final = 64
"""Requests that are relayed at the same time; further ones wait their turn within the time-out."""

DRAIN_NS: Final = 5 * NANOSECONDS_PER_SECOND
"""How long what waits may still be sent on when the receiver stops."""

Outcome = Literal["forwarded", "failed", "dropped", "unfit"]

# RFC 9110 §7.6.1: they speak of the connection to the server behind us. The length is worked out anew.
_OF_ONE_CONNECTION = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one capture: `status` of the answer when it was forwarded, else why there is none.

    `failed` means that there was no whole answer, and the server may have taken the request or not; `dropped`, that too
    many waited or the receiver stopped; `unfit`, that the capture is no whole HTTP request.
    """

    capture: str
    outcome: Outcome
    status: int | None = None
    detail: str = ""
    duration_ns: int = 0


class Forwarder:
    """Sends captures on to one server. Use it with `async with`; leaving waits a bounded time for what is queued.

    `tell` gets what became of each capture, on the event loop. Raises `TargetError` for a URL that cannot be read, or a
    host that was not allowed.
    """

    def __init__(
        self,
        url: str,
        *,
        allowed_hosts: Collection[str] = (),
        timeout_ns: int,
        clock: Clock,
        tell: Callable[[Forwarded], None],
        queue_length: int = QUEUE_LENGTH,
        drain_ns: int = DRAIN_NS,
    ) -> None:
        check_target(url, allowed_hosts=allowed_hosts)
        self.to = Destination.parse(url)
        self._timeout_ns = timeout_ns
        self._clock = clock
        self._tell = tell
        self._drain_ns = drain_ns
        self._connections = Connections(Timeouts(total_ns=timeout_ns), allowed_hosts=allowed_hosts, clock=clock)
        self._queue: asyncio.Queue[Capture] = asyncio.Queue(queue_length)
        self._turns = asyncio.Semaphore(MAX_RELAYED)
        self._sending: asyncio.Task[None] | None = None
        self.outcomes: Counter[Outcome] = Counter(dict.fromkeys(get_args(Outcome), 0))

    @property
    def queued(self) -> int:
        """How many captures wait to be sent on."""
        return self._queue.qsize()

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        self._sending = asyncio.create_task(self._send_queued())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_ns / NANOSECONDS_PER_SECOND):
                await self._queue.join()
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        while not self._queue.empty():
            self._note(Forwarded(capture=self._queue.get_nowait().id, outcome="dropped", detail="the receiver stopped"))
        await self._connections.__aexit__(kind, error, trace)

    def take(self, capture: Capture) -> None:
        """Send a capture on when its turn comes; never waits."""
        try:
            self._queue.put_nowait(capture)
        except asyncio.QueueFull:
            detail = f"{self._queue.maxsize} others wait already"
            self._note(Forwarded(capture=capture.id, outcome="dropped", detail=detail))

    async def relay(self, capture: Capture) -> Reply:
        """Send a capture on and return that server's answer as the reply; a 502 or 504 that says why there is none."""
        try:
            async with asyncio.timeout(self._timeout_ns / NANOSECONDS_PER_SECOND):
                await self._turns.acquire()
        except TimeoutError:
            self._note(Forwarded(capture=capture.id, outcome="dropped", detail=f"{MAX_RELAYED} others are under way"))
            return text_reply(504, "The request was recorded, but too many others wait for the server behind.")
        try:
            answer = await self._forward(capture)
        finally:
            self._turns.release()
        return _not_relayed(502, answer) if isinstance(answer, str) else relayed_reply(answer)

    async def _send_queued(self) -> None:
        while True:
            capture = await self._queue.get()
            try:
                await self._forward(capture)
            finally:
                self._queue.task_done()

    async def _forward(self, capture: Capture) -> Answer | str:
        """Send a capture on; return the answer, or why the capture cannot be sent."""
        reason = unfit(capture)
        if reason is not None:
            self._note(Forwarded(capture=capture.id, outcome="unfit", detail=reason))
            return reason
        request = recorded_request(capture)
        started_ns = self._clock.monotonic_ns()
        try:
            answer = await self._connections.exchange(self.to.origin, request_bytes(request, self.to), request.method)
        except asyncio.CancelledError:
            detail = "the receiver stopped before the answer came"
            self._note(Forwarded(capture=capture.id, outcome="failed", detail=detail))
            raise
        self._note(
            Forwarded(
                capture=capture.id,
                outcome="forwarded" if answer.failure is None else "failed",
                status=answer.status if answer.failure is None else None,
                detail="" if answer.failure is None else f"{answer.failure}: {answer.detail}",
                duration_ns=answer.finished_ns - started_ns,
            )
        )
        return answer

    def _note(self, forwarded: Forwarded) -> None:
        self.outcomes[forwarded.outcome] += 1
        self._tell(forwarded)


def relayed_reply(answer: Answer) -> Reply:
    """Return another server's answer as our reply: status, headers but those of one connection, and the same bytes."""
    if answer.failure is not None or answer.status is None:
        is_late = answer.failure is Failure.TIMEOUT
        return _not_relayed(504 if is_late else 502, f"{answer.failure}: {answer.detail}")
    if answer.cut:
        return _not_relayed(502, f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    headers = tuple((name, value) for name, value in answer.headers if name.lower() not in _OF_ONE_CONNECTION)
    try:
        return Reply(status=answer.status, headers=headers, body=answer.body)
    except ValueError as error:
        return _not_relayed(502, str(error))


def _not_relayed(status: int, reason: str) -> Reply:
    return text_reply(status, f"The request was recorded, but the server behind gave no answer to relay: {reason}.")
