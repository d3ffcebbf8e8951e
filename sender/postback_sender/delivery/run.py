"""One run of delivering: a few workers take what is due from the outbox until nothing is left, or it is stopped."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import cast

import msgspec

from postback_sender.clock import Clock
from postback_sender.delivery.at_hand import AtHand, until_set_or_due
from postback_sender.delivery.departures import Departures
from postback_sender.delivery.entry_request import EntryRequest, Postbacks, postback_of
from postback_sender.delivery.handover import Handover
from postback_sender.delivery.judging import judged
from postback_sender.delivery.policy import (
    Attempt,
    Delivered,
    DeliveryPolicy,
    GiveUp,
    Send,
    Step,
    Wait,
    next_step,
    used_up,
)
from postback_sender.delivery.retry import Failure
from postback_sender.errors import SenderError
from postback_sender.outbox.entry import CUT_OFF_DETAIL, Begun, Entry, LoggedAttempt
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.outbox import Outbox
from postback_sender.postback import Postback
from postback_sender.quantities import NANOSECONDS_PER_SECOND

# Entries are taken from the outbox this long before they are due, and so many at a time: enough to be punctual and
# busy, and few enough that a million of them do not fill the memory.
_AHEAD_NS = NANOSECONDS_PER_SECOND // 2
_MOST_AT_HAND = 1024
# Deliveries that nobody has asked for yet; then sending waits.
_MOST_UNTOLD = 1024

OnAttempt = Callable[[Postback, Attempt, Step], None]


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one postback: every attempt of its round, and how it ended, None when it still waits.

    One that cannot be rendered with the settings as they are now has no method and no URL.
    """

    postback: Postback
    attempts: tuple[Attempt, ...]
    outcome: Delivered | GiveUp | None


class DeliveryRun:
    """Delivers what is in an outbox, once. `workers` is how many requests are under way at most.

    `wall_offset_ns` is wall time minus the clock's monotonic time.
    """

    def __init__(
        self,
        outbox: Outbox,
        postbacks: Postbacks,
        departures: Departures,
        policy: DeliveryPolicy,
        *,
        workers: int,
        clock: Clock,
        wall_offset_ns: int,
        on_attempt: OnAttempt | None,
    ) -> None:
        self._outbox = outbox
        self._postbacks = postbacks
        self._departures = departures
        self._policy = policy
        self._clock = clock
        self._wall_offset_ns = wall_offset_ns
        self._on_attempt = on_attempt
        # First sends and resends at hand; the same unless a limit keeps them apart.
        first_sends = AtHand(clock, wall_offset_ns)
        is_apart = departures.keeps_resends_apart
        self._at_hand = (first_sends, AtHand(clock, wall_offset_ns) if is_apart else first_sends)
        self._ended = Handover[Delivery](_MOST_UNTOLD)
        self._workers: set[asyncio.Task[None]] = set()
        for at_hand in dict.fromkeys(self._at_hand):
            self._workers |= {asyncio.create_task(self._work(at_hand)) for _ in range(workers)}
        for worker in self._workers:
            worker.add_done_callback(self._worker_ended)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._feeding = asyncio.create_task(self._feed_until_the_end())
        # What was taken from hand and is not put down yet.
        self._begun: set[int] = set()
        # What was cut on its way, still to be logged.
        self._cut_off: list[tuple[EntryRequest, Attempt]] = []
        self._busy = 0
        self._errors: list[BaseException] = []
        self._is_stopped = False
        # When the feeding will look into the outbox again, if it knows.
        self._changed = asyncio.Event()
        self._looks_again_ns: int | None = None

    async def deliveries(self) -> AsyncGenerator[Delivery]:
        """Yield each delivery as it ends. Whoever leaves early stops everything at once."""
        try:
            async with aclosing(self._ended.take_until_end()) as deliveries:
                async for delivery in deliveries:
                    yield delivery
        finally:
            if not self.has_ended:
                self.cut()
            await self.end()
        self._feeding.result()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is under way any more."""
        return self._feeding.done()

    async def end(self) -> None:
        """Wait until nothing of it is under way, whatever happens: what was claimed is given back at the very end."""
        cancelled: asyncio.CancelledError | None = None
        while not self._feeding.done():
            try:
                await asyncio.wait((self._feeding,))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def look_again(self) -> None:
        """Look into the outbox: something was added."""
        self._changed.set()

    def stop(self) -> None:
        """Send nothing more: requests in flight are finished, and not repeated; the rest stays in the outbox."""
        self._is_stopped = True
        self._changed.set()
        for task in self._workers - self._in_flight:
            task.cancel()

    def cut(self) -> None:
        """Stop at once: requests in flight are cut, and stay in the outbox like what still waits."""
        self.stop()
        for task in self._workers:
            task.cancel()

    async def _feed_until_the_end(self) -> None:
        try:
            await self._feed()
        except Exception as error:  # noqa: BLE001  whatever it is, nothing more must be sent
            # What is in flight is finished and put down, if that is possible, rather than sent once more.
            self._errors.append(error)
        try:
            self.stop()
            ended = await asyncio.gather(*self._workers, return_exceptions=True)
            self._errors += [error for error in ended if isinstance(error, Exception)]
            self._outbox.note_use(self._clock.now_ns())
            await self._log_cut_off()
            left = [entry.id for at_hand in self._at_hand for entry in at_hand.take_all()]
            await self._outbox.release([*self._begun, *left])
            if self._errors:
                raise self._errors[0]
        finally:
            self._ended.end()

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        # Others must not go on; its error is told at the end.
        if not worker.cancelled() and worker.exception():
            self.stop()

    async def _feed(self) -> None:
        """Keep what is nearly due at hand, until nothing is left or it is stopped."""
        while not self._is_stopped:
            # From here on, whatever becomes due is news.
            self._changed.clear()
            self._looks_again_ns = None
            found_ns = [await self._claim(resends=resends) for resends in (True, False)]
            looks_again_ns = min((ns for ns in found_ns if ns is not None), default=None)
            if self._changed.is_set():
                continue
            if looks_again_ns is None and not self._busy and not any(map(len, self._at_hand)):
                return
            self._looks_again_ns = looks_again_ns
            await until_set_or_due(self._changed, self._clock, looks_again_ns)

    async def _claim(self, *, resends: bool) -> int | None:
        """Put what is nearly due at hand, and return when to look for more that there is room for, if there is any."""
        at_hand = self._at_hand[resends]
        room = _MOST_AT_HAND - len(at_hand)
        # Where both share the room, neither takes all of it.
        limit = room - room // 2 if resends and not self._departures.keeps_resends_apart else room
        if limit > 0:
            await self._put_at_hand(at_hand, limit, _AHEAD_NS, resends=resends)
        at_hand.is_full = len(at_hand) >= _MOST_AT_HAND
        if at_hand.is_full and len(at_hand) < 2 * _MOST_AT_HAND:
            # What is due already does not wait for room that others hold who are not.
            await self._put_at_hand(at_hand, 2 * _MOST_AT_HAND - len(at_hand), 0, resends=resends)
        if len(at_hand) >= 2 * _MOST_AT_HAND:
            return None
        due_ns = await self._outbox.next_due_ns(resends=resends)
        return None if due_ns is None else due_ns - self._wall_offset_ns - (0 if at_hand.is_full else _AHEAD_NS)

    async def _put_at_hand(self, at_hand: AtHand, limit: int, ahead_ns: int, *, resends: bool) -> None:
        until_ns = self._clock.monotonic_ns() + ahead_ns + self._wall_offset_ns
        at_hand.put(await self._outbox.claim(until_ns=until_ns, limit=limit, resends=resends))

    async def _work(self, at_hand: AtHand) -> None:
        """Deliver one entry after the other."""
        worker = cast("asyncio.Task[None]", asyncio.current_task())
        while not self._is_stopped:
            entry = await at_hand.next_due()
            self._begun.add(entry.id)
            self._busy += 1
            try:
                delivery = await self._deliver(entry, worker)
                if delivery is not None:
                    await self._ended.put(delivery)
            finally:
                self._in_flight.discard(worker)
                self._busy -= 1
                is_low = at_hand.is_full and len(at_hand) <= _MOST_AT_HAND // 2
                if is_low or not (self._busy or at_hand):
                    self._changed.set()

    async def _deliver(self, entry: Entry, worker: "asyncio.Task[None]") -> Delivery | None:
        """Make the one attempt an entry is due for; None when there will be another."""
        if end := used_up(self._policy, entry.attempts - entry.cut_off):
            self._in_flight.add(worker)
            return await self._give_up(entry, end)

        def begin(begun: Begun) -> None:
            self._outbox.begin(begun)
            self._in_flight.add(worker)

        try:
            leaving = EntryRequest(entry, self._postbacks, begin, wall_offset_ns=self._wall_offset_ns)
        except SenderError as error:
            self._in_flight.add(worker)
            return await self._give_up(entry, GiveUp(str(error)))
        attempt = await self._attempt(leaving)
        step = next_step(self._policy, 0, attempt, attempt.finished_ns)
        try:
            await self._keep(entry, attempt, step)
        except OutboxError:
            # What cannot be put down must not go on, not even with who is next in line for this place.
            self.stop()
            raise
        # Told while it still counts as in flight: who is told may call stop().
        if self._on_attempt:
            self._on_attempt(leaving.postback, attempt, step)
        if not isinstance(step, Delivered | GiveUp):
            return None
        self._postbacks.ended(entry)
        attempts = await attempts_of(entry, self._outbox, self._wall_offset_ns) if entry.attempts else ()
        # Its log is gone if somebody purged what has ended this very moment.
        return Delivery(postback=leaving.postback, attempts=attempts or (attempt,), outcome=step)

    async def _attempt(self, leaving: EntryRequest) -> Attempt:
        """Send a request and judge what comes back; one that is cut off on its way is remembered for the log."""
        try:
            started_ns, answer = await self._departures.exchange(leaving.request())
        except asyncio.CancelledError:
            if leaving.left_ns is not None:
                cut_off = Attempt(
                    number=leaving.number,
                    started_ns=leaving.left_ns,
                    finished_ns=self._clock.monotonic_ns(),
                    failure=Failure.CUT_OFF,
                    detail=CUT_OFF_DETAIL,
                    uncounted=leaving.entry.cut_off,
                )
                self._cut_off.append((leaving, cut_off))
            raise
        return judged(
            self._policy,
            answer,
            number=leaving.number,
            started_ns=started_ns,
            now_ns=self._clock.now_ns(),
            uncounted=leaving.entry.cut_off,
        )

    async def _give_up(self, entry: Entry, end: GiveUp) -> Delivery:
        """End an entry without another attempt: settings that have changed allow no more, or cannot render it."""
        delivery = Delivery(
            postback=postback_of(entry, self._postbacks),
            attempts=await attempts_of(entry, self._outbox, self._wall_offset_ns),
            outcome=end,
        )
        if await self._outbox.record(entry.id, None, outcome="given up", reason=end.reason):
            self._changed.set()
        self._begun.discard(entry.id)
        self._postbacks.ended(entry)
        return delivery

    async def _log_cut_off(self) -> None:
        """Put down what was cut, best effort: what cannot be is found by whoever opens the outbox next."""
        for leaving, attempt in self._cut_off:
            entry = leaving.entry
            with suppress(OutboxError):
                await self._keep(entry, attempt, Wait(entry.due_ns - self._wall_offset_ns))
                if self._on_attempt:
                    self._on_attempt(leaving.postback, attempt, Send())

    async def _keep(self, entry: Entry, attempt: Attempt, step: Step) -> None:
        """Put an attempt and what follows it into the outbox."""
        logged = LoggedAttempt(
            number=attempt.number,
            started_at_ns=attempt.started_ns + self._wall_offset_ns,
            finished_at_ns=attempt.finished_ns + self._wall_offset_ns,
            failure=attempt.failure or "",
            status=attempt.status,
            detail=attempt.detail,
        )
        match step:
            case Delivered():
                is_news = await self._outbox.record(entry.id, logged, outcome="delivered")
            case GiveUp(reason):
                is_news = await self._outbox.record(entry.id, logged, outcome="given up", reason=reason)
            case _:
                due_ns = (step.until_ns if isinstance(step, Wait) else attempt.finished_ns) + self._wall_offset_ns
                await self._outbox.record(entry.id, logged, due_ns=due_ns)
                nearly_ns = due_ns - self._wall_offset_ns - _AHEAD_NS
                is_news = self._looks_again_ns is None or nearly_ns < self._looks_again_ns
        self._begun.discard(entry.id)
        if is_news:
            self._changed.set()


async def attempts_of(entry: Entry, outbox: Outbox, wall_offset_ns: int) -> tuple[Attempt, ...]:
    """Return what was tried with an entry in this round, as its outbox has it."""
    attempts: list[Attempt] = []
    uncounted = 0
    for logged in await outbox.log(entry.id):
        if logged.round != entry.round:
            continue
        # What nobody saw the end of took no time that anybody knows of.
        finished_at_ns = logged.started_at_ns if logged.finished_at_ns is None else logged.finished_at_ns
        attempt = Attempt(
            number=logged.number,
            started_ns=logged.started_at_ns - wall_offset_ns,
            finished_ns=finished_at_ns - wall_offset_ns,
            failure=Failure(logged.failure) if logged.failure else None,
            status=logged.status,
            detail=logged.detail,
            uncounted=uncounted,
        )
        attempts.append(attempt)
        uncounted += logged.is_cut_off
    return tuple(attempts)
