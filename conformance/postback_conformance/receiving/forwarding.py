"""Captures sent on to one server of the user's, with the same method, headers and bytes.

`Forwarder.take` sends beside our own answer, one request after the other in the order they were recorded; `relay` asks
that server for the answer. Nothing is sent twice, no redirect is followed, and a target beyond this machine has to be
allowed by name.

One header field is added, `Via` with a name of our own (RFC 9110 §7.6.3), and a request that bears it already is not
sent on again: two receivers that send to each other would never end. To remember what was sent would leave the bytes
alone, but the resends that receivers are for are the same bytes, too.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self, get_args

import msgspec
from msgspec.structs import replace

from postback_conformance.captured.replaying import recorded_request, unfit
from postback_receiver import Capture, Reply, text_reply
from postback_receiver.reply import RelayedReply
from postback_sender.clock import Clock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import Connections
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.target import check_target
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.matcher import MAX_ANSWER_BYTES
from postback_sender.quantities import NANOSECONDS_PER_SECOND
from postback_sender.replay.request import Destination, request_bytes

_log = logging.getLogger(__name__)

QUEUE_LENGTH: Final = 1000
"""Captures that wait to be sent on, a few megabytes of usual postbacks. Past it the newest is not sent on, and said."""

MAX_RELAYED: Final = 64
"""Requests that are relayed at the same time; further ones wait their turn within the time-out."""

DRAIN_NS: Final = 5 * NANOSECONDS_PER_SECOND
"""How long what waits may still be sent on when the receiver stops."""

Outcome = Literal["forwarded", "failed", "dropped", "unfit", "looped"]

# RFC 9110 §7.6.1: they speak of the connection to the server behind us. The length is worked out anew.
_OF_ONE_CONNECTION = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DIGITS: Final = re.compile(r"[0-9]{1,15}")
_NEVER_IN_A_VALUE: Final = str.maketrans(dict.fromkeys("\r\n\0", " "))
_FIRST_FINAL: Final = 200
_NO_CONTENT: Final = 204
_NOT_MODIFIED: Final = 304


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one capture: `status` of the answer when it was forwarded, else why there is none.

    `failed` means that there was no whole answer, or none to relay, and the server may have taken the request or not;
    `dropped`, that too many waited or the receiver stopped; `unfit`, that the capture is no whole HTTP request;
    `looped`, that it had been here before.
    """

    capture: str
    outcome: Outcome
    status: int | None = None
    detail: str = ""
    duration_ns: int = 0


class Forwarder:
    """Sends captures on to one server. Use it with `async with`; leaving waits a bounded time for what is queued.

    `name` stands in the `Via` field of what is sent on, and has to be another one for every receiver that runs. `tell`
    gets what became of each capture, on the event loop. Raises `TargetError` for a URL that cannot be read, or a
    host that was not allowed.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        allowed_hosts: Collection[str] = (),
        timeout_ns: int,
        clock: Clock,
        tell: Callable[[Forwarded], None],
        queue_length: int = QUEUE_LENGTH,
        drain_ns: int = DRAIN_NS,
    ) -> None:
        check_target(url, allowed_hosts=allowed_hosts)
        self.to = Destination.parse(url)
        self._name = f"postback-{name}"
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
        """Send a capture on and return that server's answer as the reply; a 502, 504 or 508 says why there is none."""
        if self._looped(capture):
            text = "The request was recorded, but not relayed: the server behind sends what it gets back to here."
            return text_reply(508, text)
        try:
            async with asyncio.timeout(self._timeout_ns / NANOSECONDS_PER_SECOND):
                await self._turns.acquire()
        except TimeoutError:
            self._note(Forwarded(capture=capture.id, outcome="dropped", detail=f"{MAX_RELAYED} others are under way"))
            return text_reply(504, "The request was recorded, but too many others wait for the server behind.")
        try:
            answer = await self._forward(capture, why_not_relayed)
        finally:
            self._turns.release()
        return _not_relayed(502, answer) if isinstance(answer, str) else relayed_reply(answer, capture.method)

    async def _send_queued(self) -> None:
        while True:
            capture = await self._queue.get()
            try:
                if not self._looped(capture):
                    await self._forward(capture, _why_failed)
            finally:
                self._queue.task_done()

    def _looped(self, capture: Capture) -> bool:
        """Tell, and note, whether a capture has been sent on from here before."""
        is_looped = has_passed(capture, self._name)
        if is_looped:
            detail = "it was sent on from here, and came back; --forward-to leads to a server that sends it here"
            self._note(Forwarded(capture=capture.id, outcome="looped", detail=detail))
        return is_looped

    async def _forward(self, capture: Capture, why_not: Callable[[Answer], str | None]) -> Answer | str:
        """Send a capture on; return the answer, or why the capture could not be sent.

        `why_not` says why an answer is not good enough, None when it is.
        """
        try:
            return await self._send(capture, why_not)
        except Exception as error:  # noqa: BLE001 -- the captures behind this one are to be sent on all the same
            _log.exception("Capture %s could not be sent on; the receiver goes on", capture.id)
            reason = f"an unexpected {type(error).__name__}"
            self._note(Forwarded(capture=capture.id, outcome="failed", detail=reason))
            return reason

    async def _send(self, capture: Capture, why_not: Callable[[Answer], str | None]) -> Answer | str:
        reason = unfit(capture)
        if reason is not None:
            self._note(Forwarded(capture=capture.id, outcome="unfit", detail=reason))
            return reason
        request = recorded_request(capture)
        via = ("Via", f"{capture.http_version} {self._name}")
        request = replace(request, headers=(*request.headers, via))
        started_ns = self._clock.monotonic_ns()
        try:
            answer = await self._connections.exchange(self.to.origin, request_bytes(request, self.to), request.method)
        except asyncio.CancelledError:
            detail = "the receiver stopped before the answer came"
            self._note(Forwarded(capture=capture.id, outcome="failed", detail=detail))
            raise
        reason = why_not(answer)
        self._note(
            Forwarded(
                capture=capture.id,
                outcome="forwarded" if reason is None else "failed",
                status=answer.status if reason is None else None,
                detail=reason or "",
                duration_ns=answer.finished_ns - started_ns,
            )
        )
        return answer

    def _note(self, forwarded: Forwarded) -> None:
        self.outcomes[forwarded.outcome] += 1
        try:
            self._tell(forwarded)
        except Exception:  # noqa: BLE001 -- somebody else's function
            _log.exception("What became of capture %s could not be told", forwarded.capture)


def has_passed(capture: Capture, name: str) -> bool:
    """Return whether a `Via` field says that a server of this name has sent the request on."""
    passed = ",".join(capture.header("via")).split(",")
    return any(entry.split()[1:2] == [name] for entry in passed)


def why_not_relayed(answer: Answer) -> str | None:
    """Return why an answer cannot be passed on; None when it can."""
    if (reason := _why_failed(answer)) is not None:
        return reason
    if answer.cut:
        return f"its answer is longer than {MAX_ANSWER_BYTES} bytes"
    if answer.status is None or answer.status < _FIRST_FINAL:
        return f"its answer {answer.status} is not a final one"
    return None


def relayed_reply(answer: Answer, method: str) -> Reply:
    """Return another server's answer to a request of this method as our reply, or a 502 or 504 that says why not.

    It is status and body as they are, and the header fields but those of one connection (RFC 9110 §7.6.1) and those
    whose name is none. Where no body comes, the length is the one that server told (§8.6).
    """
    reason = why_not_relayed(answer)
    if reason is not None or answer.status is None:
        return _not_relayed(504 if answer.failure is Failure.TIMEOUT else 502, str(reason))
    named = ",".join(value for name, value in answer.headers if name.lower() == "connection").lower().split(",")
    left_out = _OF_ONE_CONNECTION.union(part.strip() for part in named)
    headers = [
        # Whoever passes these on replaces them (RFC 9110 §5.5).
        (name, value.translate(_NEVER_IN_A_VALUE))
        for name, value in answer.headers
        if _TOKEN.fullmatch(name) and name.lower() not in left_out
    ]
    if method == "HEAD" or answer.status == _NOT_MODIFIED:
        headers += _told_length(answer)
    return RelayedReply(status=answer.status, headers=tuple(headers), body=answer.body)


def _told_length(answer: Answer) -> list[tuple[str, str]]:
    """Return the length field of an answer without a body; none if it may not be there (RFC 9110 §8.6)."""
    lengths = {value for name, value in answer.headers if name.lower() == "content-length"}
    [length, *others] = lengths or {""}
    is_chunked = any(name.lower() == "transfer-encoding" for name, _value in answer.headers)
    is_told = not others and not is_chunked and answer.status != _NO_CONTENT and _DIGITS.fullmatch(length)
    return [("Content-Length", length)] if is_told else []


def _why_failed(answer: Answer) -> str | None:
    return None if answer.failure is None else f"{answer.failure}: {answer.detail}"


def _not_relayed(status: int, reason: str) -> Reply:
    return text_reply(status, f"The request was recorded, but the server behind gave no answer to relay: {reason}.")
