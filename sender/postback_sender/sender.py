"""`Sender`: the thin shell that takes events into an outbox and drives the delivery policy with real requests."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import aclosing
from itertools import chain, islice
from types import TracebackType
from typing import Self, cast

import msgspec
from aiohttp.abc import AbstractResolver

from postback_sender.clock import Clock, SystemClock
from postback_sender.delivery.client import Client
from postback_sender.delivery.pacing import Pacer
from postback_sender.delivery.policy import (
    Attempt,
    Delivered,
    DeliveryPolicy,
    GiveUp,
    Step,
    Wait,
    judge_answer,
    next_step,
)
from postback_sender.delivery.target import check_target
from postback_sender.delivery.turns import Turns
from postback_sender.errors import RenderError, SenderError
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.outbox.entry import Draft, Entry, LoggedAttempt
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.outbox import Outbox
from postback_sender.postback import Postback, event_key, render_postback
from postback_sender.quantities import NANOSECONDS_PER_SECOND
from postback_sender.subscription import happened_ns, histories, newest, reported

# Enough to keep a local endpoint busy at any rate a notification allows; few enough to stay polite.
DEFAULT_CONCURRENCY = 16

# Entries are taken from the outbox this long before they are due, and so many at a time: enough to be punctual and
# busy, and few enough that a million of them do not fill the memory.
_AHEAD_NS = NANOSECONDS_PER_SECOND // 2
_MOST_AT_HAND = 1024
_ACCEPTED_AT_A_TIME = 1000
# What was rendered to be accepted is kept for sending, up to here; the rest is rendered again.
_MOST_READY = 8 * _ACCEPTED_AT_A_TIME

OnAttempt = Callable[[Postback, Attempt, Step], None]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one postback: every attempt of this run, and how it ended, None when it was stopped."""

    postback: Postback
    attempts: tuple[Attempt, ...]
    outcome: Delivered | GiveUp | None


class Sender:
    """Sends postbacks of one notification: minimum delay, maximum requests, retries, order per action.

    Use it as an asynchronous context manager. What it has accepted is in `outbox`, in memory unless you hand in
    another; with a durable one, what an earlier run left there is delivered, too. `on_attempt` is told of every attempt
    as it ends, with what comes next. `resolver` replaces the machine's own way to find the address of a host, `trust`
    the certificates it trusts; False trusts any.
    """

    def __init__(
        self,
        notification: Notification,
        *,
        to: str | None = None,
        allowed_hosts: Collection[str] = (),
        concurrency: int = DEFAULT_CONCURRENCY,
        outbox: Outbox | None = None,
        clock: Clock | None = None,
        resolver: AbstractResolver | None = None,
        trust: ssl.SSLContext | bool = True,
        on_attempt: OnAttempt | None = None,
    ) -> None:
        self._notification = notification
        self._to = to
        self._allowed_hosts = allowed_hosts
        self._outbox = MemoryOutbox() if outbox is None else outbox
        self._clock = clock or SystemClock()
        self._on_attempt = on_attempt
        self._policy = DeliveryPolicy(
            retry=notification.retry,
            success_response=notification.success_response,
            error_response=notification.error_response,
        )
        self._turns = Turns(
            self._clock,
            pacer=Pacer(notification.maximum_requests) if notification.maximum_requests else None,
            places=concurrency,
            limits_first_sends=notification.maximum_requests_scope == "all",
        )
        self._client = Client(
            notification.timeouts,
            connections=concurrency,
            allowed_hosts=allowed_hosts,
            now_ns=self._clock.now_ns,
            resolver=resolver,
            trust=trust,
        )
        # Wall time minus monotonic time, read once: a wall clock that jumps later moves nothing that is waiting.
        self._wall_offset_ns = self._clock.now_ns() - self._clock.monotonic_ns()
        self._histories: dict[str, list[Event]] = {}
        # What is at hand, by entry: what was rendered to be accepted, the attempts of this run, and the event whose
        # values have left already.
        self._ready: dict[int, Postback] = {}
        self._tried: dict[int, tuple[Postback, tuple[Attempt, ...]]] = {}
        self._sent_as: dict[int, Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._unstarted: list[Entry] = []
        self._errors: list[BaseException] = []
        self._feeding: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._is_stopped = False

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        if self._feeding is not None:
            # What it would raise, whoever left in the middle of `deliver` did not want to know.
            await asyncio.gather(self._feeding, return_exceptions=True)
        await self._client.__aexit__(kind, error, trace)

    async def send(self, events: Iterable[Event]) -> AsyncIterator[Delivery]:
        """Accept events and deliver until the outbox has nothing left; see `accept` and `deliver`."""
        await self.accept(events)
        async with aclosing(self.deliver()) as deliveries:
            async for delivery in deliveries:
                yield delivery

    async def accept(self, events: Iterable[Event]) -> int:
        """Take the events this notification reports into the outbox, and return how many they are.

        Where values are read when a postback leaves, `events` is also what is known of each action by then. Every event
        is rendered and its target checked: raises `RenderError` or `TargetError` for the first that cannot be sent. Of
        a list nothing is accepted then; of an iterator, which may be longer than the memory, what came before stays.
        """
        if self._notification.template.values_at == "send":
            events = list(events)
            self._histories |= histories(self._notification, events)
            for event in chain.from_iterable(self._histories.values()):
                self._rendered(event)
        wanted = reported(self._notification, events)
        pairs: Iterable[tuple[Draft, Postback]] = ((self._draft(event), self._rendered(event)) for event in wanted)
        waiting, count = iter(pairs if isinstance(events, Iterator) else list(pairs)), 0
        while batch := list(islice(waiting, _ACCEPTED_AT_A_TIME)):
            ids = await self._outbox.add([draft for draft, _ in batch])
            if len(self._ready) < _MOST_READY:
                self._ready.update(zip(ids, (postback for _, postback in batch), strict=True))
            count += len(ids)
        self._changed.set()
        return count

    async def accept_drafts(self, drafts: Iterable[Draft]) -> int:
        """Take drafts into the outbox as they are, due when they say, and return how many they are; see `accept`."""
        batch = list(drafts)
        if self._notification.template.values_at == "send":
            self._histories |= histories(self._notification, [draft.event for draft in batch])
        for draft in batch:
            self._rendered(draft.event)
        count = len(await self._outbox.add(batch)) if batch else 0
        self._changed.set()
        return count

    async def deliver(self) -> AsyncGenerator[Delivery]:
        """Deliver what is in the outbox, and yield each delivery as it ends, until nothing is left or it is stopped.

        Then what was tried or at hand, and did not end, is yielded without outcome; it waits in the outbox.
        Raises `OutboxError` when the outbox cannot say or keep what happened.
        """
        ended: asyncio.Queue[Delivery | None] = asyncio.Queue()
        feeding = self._feeding = asyncio.create_task(self._feed(ended))
        try:
            while (delivery := await ended.get()) is not None:
                yield delivery
        finally:
            # Whoever leaves early wants no more now, and may come back.
            was_stopped = self._is_stopped
            if not feeding.done():
                self.cut()
            await feeding
            self._is_stopped = was_stopped

    def stop(self) -> None:
        """Send nothing more: requests in flight are finished, and not repeated; what still waits has no outcome."""
        self._is_stopped = True
        self._changed.set()
        for task in self._tasks - self._in_flight:
            task.cancel()

    def cut(self) -> None:
        """Stop at once: requests in flight are cut, and like what still waits they end without outcome."""
        self._is_stopped = True
        self._changed.set()
        for task in self._tasks:
            task.cancel()

    def _draft(self, event: Event) -> Draft:
        # By the wall clock as it is now, and from then on by the one that does not jump.
        remaining_ns = happened_ns(event) + self._notification.minimum_delay_ns - self._clock.now_ns()
        due_ns = self._clock.monotonic_ns() + max(0, remaining_ns) + self._wall_offset_ns
        return Draft(event=event, key=event_key(event), due_ns=due_ns)

    def _rendered(self, event: Event) -> Postback:
        postback = render_postback(self._notification, event, to=self._to)
        check_target(postback.url, allowed_hosts=self._allowed_hosts)
        return postback

    async def _feed(self, ended: "asyncio.Queue[Delivery | None]") -> None:
        """Start what is due until nothing is left, then wait for what was started."""
        try:
            try:
                await self._start_what_is_due(ended)
            except OutboxError as error:
                # What is in flight is finished and put down, if that is possible, rather than sent once more.
                self._errors.append(error)
                self.stop()
            while self._tasks:
                await asyncio.wait(self._tasks)
            await self._outbox.release([entry.id for entry in self._unstarted])
            if self._errors:
                raise self._errors[0]
            for entry in self._unstarted:
                ended.put_nowait(Delivery(postback=self._rendered(entry.event), attempts=(), outcome=None))
            for postback, attempts in self._tried.values():
                ended.put_nowait(Delivery(postback=postback, attempts=attempts, outcome=None))
        finally:
            self._unstarted.clear()
            self._tried.clear()
            ended.put_nowait(None)

    async def _start_what_is_due(self, ended: "asyncio.Queue[Delivery | None]") -> None:
        while not self._is_stopped:
            self._changed.clear()
            until_ns = self._clock.monotonic_ns() + _AHEAD_NS + self._wall_offset_ns
            room = _MOST_AT_HAND - len(self._tasks)
            claimed = await self._outbox.claim(until_ns=until_ns, limit=room) if room else []
            for entry in claimed:
                self._start(entry, ended)
            due_ns = await self._outbox.next_due_ns() if len(self._tasks) < _MOST_AT_HAND else None
            if due_ns is None and not self._tasks:
                return
            await self._until_change(due_ns)

    def _start(self, entry: Entry, ended: "asyncio.Queue[Delivery | None]") -> None:
        if self._is_stopped:
            # Meanwhile, while it was claimed.
            self._unstarted.append(entry)
            return

        async def deliver() -> None:
            delivery = await self._deliver(entry)
            if delivery is not None:
                ended.put_nowait(delivery)

        def forget(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._changed.set()
            if task.cancelled():
                # Before its first step: nothing of it has given the claim back.
                self._unstarted.append(entry)
            elif error := task.exception():
                # The first of these errors is raised by `deliver`.
                self._errors.append(error)
                self.stop()

        task = asyncio.create_task(deliver())
        self._tasks.add(task)
        task.add_done_callback(forget)

    async def _until_change(self, due_ns: int | None) -> None:
        """Wait until something ended or was accepted, or the next entry is nearly due."""
        waits: list[asyncio.Task[object]] = [asyncio.ensure_future(self._changed.wait())]
        if due_ns is not None:
            nearly_ns = due_ns - self._wall_offset_ns - _AHEAD_NS
            waits.append(asyncio.ensure_future(self._clock.sleep_until(nearly_ns)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _deliver(self, entry: Entry) -> Delivery | None:
        """Make the one attempt an entry is due for; None when there will be another."""
        postback = self._ready.get(entry.id) or await self._rendered_again(entry)
        try:
            due_ns = entry.due_ns - self._wall_offset_ns
            while self._clock.monotonic_ns() < due_ns:
                await self._clock.sleep_until(due_ns)
            async with self._turns.turn(is_resend=entry.attempts > 0):
                if not entry.attempts:
                    postback = self._as_it_leaves(postback, entry)
                step = await self._attempt(entry, postback)
        except asyncio.CancelledError:
            step = None
        outcome = step if isinstance(step, Delivered | GiveUp) else None
        if outcome is None:
            await self._outbox.release([entry.id])
            if not self._is_stopped:
                return None
        self._sent_as.pop(entry.id, None)
        self._ready.pop(entry.id, None)
        _, attempts = self._tried.pop(entry.id, (postback, ()))
        return Delivery(postback=postback, attempts=attempts, outcome=outcome)

    async def _rendered_again(self, entry: Entry) -> Postback:
        """Return the postback of an entry whose settings may have changed since it was accepted."""
        try:
            return self._rendered(self._sent_as.get(entry.id, entry.event))
        except SenderError as error:
            await self._outbox.release([entry.id])
            raise RenderError(f"entry {entry.id} of the outbox can be sent no more; drop it, or: {error}") from None

    def _as_it_leaves(self, postback: Postback, entry: Entry) -> Postback:
        """Return the postback with the newest values of its action; a resend later repeats these bytes."""
        newer = newest(entry.event, self._histories.get(entry.key, ()), self._clock.now_ns())
        if newer is entry.event:
            return postback
        self._sent_as[entry.id] = newer
        self._ready.pop(entry.id, None)
        return self._rendered(newer)

    async def _attempt(self, entry: Entry, postback: Postback) -> Step:
        """Make one request and put down what came of it; nothing else takes its place before that is kept."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._in_flight.add(task)
        try:
            started_ns = self._clock.monotonic_ns()
            answer = await self._client.request(postback.method, postback.url, postback.headers, postback.body)
            failure = answer.failure or judge_answer(self._policy, answer.status or 0, answer.body)
            attempt = Attempt(
                number=entry.attempts + 1,
                started_ns=started_ns,
                finished_ns=self._clock.monotonic_ns(),
                failure=failure,
                status=answer.status,
                retry_after_ns=answer.retry_after_ns,
                detail=answer.detail,
            )
            step = next_step(self._policy, 0, attempt, attempt.finished_ns)
            try:
                await self._keep(entry, attempt, step)
            except OutboxError:
                # What cannot be put down must not go on, not even with who is next in line for this place.
                self.stop()
                raise
            _, earlier = self._tried.get(entry.id, (postback, ()))
            self._tried[entry.id] = postback, (*earlier, attempt)
            # Told while it still counts as in flight: who is told may call stop().
            if self._on_attempt:
                self._on_attempt(postback, attempt, step)
        finally:
            self._in_flight.discard(task)
        return step

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
                await self._outbox.record(entry.id, logged, outcome="delivered")
            case GiveUp(reason):
                await self._outbox.record(entry.id, logged, outcome="given up", reason=reason)
            case _:
                due_ns = step.until_ns if isinstance(step, Wait) else attempt.finished_ns
                await self._outbox.record(entry.id, logged, due_ns=due_ns + self._wall_offset_ns)
