"""`Sender`: takes events into an outbox and delivers them as the settings of a notification say."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable
from contextlib import aclosing
from itertools import islice
from types import TracebackType
from typing import Self

from postback_sender.clock import Clock, SystemClock
from postback_sender.delivery.connections import Connections, Resolve
from postback_sender.delivery.departures import Departures
from postback_sender.delivery.entry_request import postback_of
from postback_sender.delivery.policy import DeliveryPolicy
from postback_sender.delivery.run import Delivery, DeliveryRun, OnAttempt, attempts_of
from postback_sender.delivery.turns import Turns
from postback_sender.entry_postbacks import EntryPostbacks
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.outbox.entry import Draft
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.outbox import Outbox
from postback_sender.postback import event_key
from postback_sender.subscription import happened_ns, reported

# Enough to keep a local endpoint busy at any rate a notification allows; few enough to stay polite.
DEFAULT_CONCURRENCY = 16

_ACCEPTED_AT_A_TIME = 1000


class Sender:
    """Sends postbacks of one notification: minimum delay, maximum requests, retries, order per action.

    Use it as an asynchronous context manager. What it has accepted is in `outbox`, in memory unless you hand in
    another; with a durable one, what an earlier run left there is delivered, too. `on_attempt` is told of every attempt
    as it ends, with what comes next. `resolve` replaces the machine's own way to find the addresses of a host, `trust`
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
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | bool = True,
        on_attempt: OnAttempt | None = None,
    ) -> None:
        self._notification = notification
        self._concurrency = concurrency
        self._outbox = MemoryOutbox() if outbox is None else outbox
        self._clock = clock or SystemClock()
        self._on_attempt = on_attempt
        # Wall time minus monotonic time, read once: a wall clock that jumps later moves nothing that is waiting.
        self._wall_offset_ns = self._clock.now_ns() - self._clock.monotonic_ns()
        self._postbacks = EntryPostbacks(notification, to=to, allowed_hosts=allowed_hosts, clock=self._clock)
        self._connections = Connections(
            notification.timeouts, allowed_hosts=allowed_hosts, clock=self._clock, trust=trust, resolve=resolve
        )
        self._departures = Departures(
            self._connections,
            self._clock,
            turns=self._turns(),
            limits_first_sends=notification.maximum_requests_scope == "all",
            places=concurrency,
        )
        self._accepting = asyncio.Lock()
        self._run: DeliveryRun | None = None
        self._is_open = False
        self._is_stopped = False

    async def __aenter__(self) -> Self:
        self._is_open = True
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        if self._run is not None:
            await self._run.end()
        await self._connections.__aexit__(kind, error, trace)

    async def send(self, events: Iterable[Event]) -> AsyncIterator[Delivery]:
        """Accept events and deliver until the outbox has nothing left; see `accept` and `deliver`."""
        await self.accept(events)
        async with aclosing(self.deliver()) as deliveries:
            async for delivery in deliveries:
                yield delivery

    async def accept(self, events: Iterable[Event]) -> int:
        """Take the events this notification reports into the outbox, all or none, and return how many they are.

        Where values are read when a postback leaves, `events` is also what is known of each action by then; else there
        may be more of them than fit into the memory. Every event is rendered and its target checked: raises
        `RenderError` or `TargetError` for the first that cannot be sent.
        """
        if self._notification.template.values_at == "send":
            events = list(events)
            self._postbacks.learn(events)
        return await self._accept(self._draft(event) for event in reported(self._notification, events))

    async def accept_drafts(self, drafts: Iterable[Draft]) -> int:
        """Take drafts into the outbox as they are, due when they say, and return how many they are; see `accept`."""
        if self._notification.template.values_at == "send":
            drafts = list(drafts)
            self._postbacks.learn([draft.event for draft in drafts])
        return await self._accept(drafts)

    async def deliver(self) -> AsyncGenerator[Delivery]:
        """Deliver what is in the outbox, and yield each delivery as it ends, until nothing is left or it is stopped.

        What an earlier run accepted and these settings cannot render is given up, with the reason, and the rest goes
        on. Raises `OutboxError` when the outbox cannot say or keep what happened.
        """
        if not self._is_open:
            raise RuntimeError("a Sender works inside `async with` only")
        if self._run is not None and not self._run.has_ended:
            raise RuntimeError("this Sender delivers already; one `deliver` at a time")
        if self._is_stopped:
            return
        run = self._run = DeliveryRun(
            self._outbox,
            self._postbacks,
            self._departures,
            DeliveryPolicy(
                retry=self._notification.retry,
                success_response=self._notification.success_response,
                error_response=self._notification.error_response,
            ),
            workers=self._concurrency,
            clock=self._clock,
            wall_offset_ns=self._wall_offset_ns,
            on_attempt=self._on_attempt,
        )
        async with aclosing(run.deliveries()) as deliveries:
            async for delivery in deliveries:
                yield delivery

    async def undelivered(self) -> AsyncGenerator[Delivery]:
        """Yield what waits in the outbox, without outcome, with the attempts made so far."""
        last_id = 0
        while page := await self._outbox.waiting(after_id=last_id, limit=_ACCEPTED_AT_A_TIME):
            for entry in page:
                attempts = await attempts_of(entry, self._outbox, self._wall_offset_ns)
                yield Delivery(postback=postback_of(entry, self._postbacks), attempts=attempts, outcome=None)
            last_id = page[-1].id

    def stop(self) -> None:
        """Send nothing more: requests in flight are finished, and not repeated; the rest stays in the outbox."""
        self._is_stopped = True
        if self._run is not None:
            self._run.stop()

    def cut(self) -> None:
        """Stop at once: requests in flight are cut, and stay in the outbox like what still waits."""
        self._is_stopped = True
        if self._run is not None:
            self._run.cut()

    def _turns(self) -> Turns | None:
        rate = self._notification.maximum_requests
        if rate is None:
            return None
        # An earlier run may have used the limit up in its last moment.
        last_ns = self._outbox.last_used_ns
        spent_ns = None if last_ns is None else min(last_ns, self._clock.now_ns()) - self._wall_offset_ns
        return Turns(self._clock, rate, spent_ns=spent_ns, most=self._concurrency)

    def _draft(self, event: Event) -> Draft:
        # By the wall clock as it is now, and from then on by the one that does not jump.
        remaining_ns = happened_ns(event) + self._notification.minimum_delay_ns - self._clock.now_ns()
        due_ns = self._clock.monotonic_ns() + max(0, remaining_ns) + self._wall_offset_ns
        return Draft(event=event, key=event_key(event), due_ns=due_ns)

    async def _accept(self, drafts: Iterable[Draft]) -> int:
        """Accept in batches; more than one are held until all are in, so that it is all or none."""
        async with self._accepting:
            return await self._accept_alone(drafts)

    async def _accept_alone(self, drafts: Iterable[Draft]) -> int:
        waiting, count, is_held = iter(drafts), 0, False
        try:
            batch = list(islice(waiting, _ACCEPTED_AT_A_TIME))
            while batch:
                postbacks = [self._postbacks.render(draft.event) for draft in batch]
                following = list(islice(waiting, _ACCEPTED_AT_A_TIME))
                is_held = bool(count or following)
                ids = await self._outbox.add(batch, held=is_held)
                self._postbacks.keep(ids, postbacks)
                count, batch = count + len(ids), following
            if is_held:
                await self._outbox.publish()
        except BaseException:
            self._postbacks.forget()
            if is_held:
                await self._outbox.discard()
            raise
        finally:
            # Also what was accepted behind something held, which is gone now.
            if self._run is not None:
                self._run.look_again()
        return count
