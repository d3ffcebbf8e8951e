"""`Replayer`: the thin shell that sends recorded requests when their schedule says."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from postback_sender.clock import Clock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.origin import Origin
from postback_sender.replay.request import Destination, HeaderChange, RecordedRequest, request_bytes
from postback_sender.replay.schedule import Schedule

# With recorded gaps the schedule alone decides how many requests overlap, up to here: far beyond what postbacks do,
# and a quarter of the files that a process may usually open.
MAX_CONCURRENCY: Final = 256

Exchange = Callable[[Origin, bytes, str], Awaitable[Answer]]
"""Sends the bytes of a request of some method to a server, and returns what came back."""

Requests = Callable[[int, int], RecordedRequest]
"""The request at a place of the schedule in a round, both counted from 0; asked shortly before it is due."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was sent again: its place and round (from 0), how late it left, and what came back.

    `lateness_ns` is None at full speed, where nothing is due, and for a request that never left.
    """

    request: RecordedRequest
    place: int
    round_number: int
    lateness_ns: int | None
    answer: Answer


class _Leaving(msgspec.Struct, frozen=True, kw_only=True):
    request: RecordedRequest
    data: bytes
    place: int
    round_number: int
    due_ns: int | None


class Replayer:
    """Sends requests by a schedule. A late request delays no other: all are due on one line of time."""

    def __init__(
        self,
        to: Destination,
        exchange: Exchange,
        *,
        clock: Clock,
        changes: Sequence[HeaderChange] = (),
        concurrency: int = MAX_CONCURRENCY,
    ) -> None:
        self._to = to
        self._exchange = exchange
        self._clock = clock
        self._changes = changes
        self._places = asyncio.Semaphore(concurrency)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._handing_out: asyncio.Task[None] | None = None
        self._fault: BaseException | None = None

    async def replay(self, requests: Requests, schedule: Schedule, on_replayed: Callable[[Replayed], None]) -> None:
        """Send every request of every round; `on_replayed` hears of each one once its answer is there."""
        self._handing_out = asyncio.create_task(self._hand_out(requests, schedule, on_replayed))
        try:
            # Not awaited itself: that it was stopped is no cancellation of whoever waits here.
            await asyncio.wait((self._handing_out,))
            while self._in_flight:
                await asyncio.wait(self._in_flight)
        finally:
            self.cut()
        if not self._handing_out.cancelled():
            self._fault = self._handing_out.exception() or self._fault
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Send nothing more; requests in flight are finished."""
        if self._handing_out is not None:
            self._handing_out.cancel()

    def cut(self) -> None:
        """Stop at once: requests in flight are cut, and nobody is told of them."""
        self.stop()
        for task in self._in_flight:
            task.cancel()

    async def _hand_out(self, requests: Requests, schedule: Schedule, on_replayed: Callable[[Replayed], None]) -> None:
        start_ns = self._clock.monotonic_ns()
        for index in range(len(schedule)):
            round_number, place = divmod(index, schedule.length)
            # Made before it is due, so that making it costs no punctuality.
            request = requests(place, round_number)
            data = request_bytes(request, self._to, self._changes)
            due_ns: int | None = None
            if schedule.speed is not None:
                due_ns = start_ns + schedule.due_ns(index)
                await self._clock.sleep_until(due_ns)
            await self._places.acquire()
            leaving = _Leaving(request=request, data=data, place=place, round_number=round_number, due_ns=due_ns)
            task = asyncio.create_task(self._send(leaving, on_replayed))
            self._in_flight.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._places.release()
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = fault
            self.stop()

    async def _send(self, leaving: _Leaving, on_replayed: Callable[[Replayed], None]) -> None:
        answer = await self._exchange(self._to.origin, leaving.data, leaving.request.method)
        sent_ns, due_ns = answer.sent_ns, leaving.due_ns
        on_replayed(
            Replayed(
                request=leaving.request,
                place=leaving.place,
                round_number=leaving.round_number,
                lateness_ns=None if sent_ns is None or due_ns is None else sent_ns - due_ns,
                answer=answer,
            )
        )
