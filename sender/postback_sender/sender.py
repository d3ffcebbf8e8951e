"""`Sender`: the thin shell that drives the delivery policy with real requests."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from types import TracebackType
from typing import Self, cast

import aiohttp
import msgspec
import yarl
from aiohttp.abc import AbstractResolver

from postback_sender.clock import Clock, SystemClock
from postback_sender.delivery.pacing import Pacer
from postback_sender.delivery.policy import (
    Attempt,
    Delivered,
    DeliveryPolicy,
    GiveUp,
    Send,
    Wait,
    judge_answer,
    next_step,
)
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.target import check_target
from postback_sender.event import Event
from postback_sender.matcher import MAX_ANSWER_BYTES
from postback_sender.notification import Notification
from postback_sender.postback import Postback, render_postback
from postback_sender.quantities import NANOSECONDS_PER_SECOND
from postback_sender.subscription import happened_ns, histories, newest, reported

# Enough to keep a local endpoint busy at any rate a notification allows; few enough to stay polite.
DEFAULT_CONCURRENCY = 16


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one postback: every attempt, and how it ended. `outcome` is None when it was stopped.

    `postback` is what was sent, or would have been had it been sent at once.
    """

    postback: Postback
    attempts: tuple[Attempt, ...]
    outcome: Delivered | GiveUp | None


class Sender:
    """Sends postbacks of one notification: minimum delay, maximum requests, retries, order per action.

    Use it as an asynchronous context manager. `on_attempt` is told of every attempt as it ends; `resolver` replaces the
    machine's own way to find the address of a host.
    """

    def __init__(
        self,
        notification: Notification,
        *,
        to: str | None = None,
        allowed_hosts: Collection[str] = (),
        concurrency: int = DEFAULT_CONCURRENCY,
        clock: Clock | None = None,
        resolver: AbstractResolver | None = None,
        on_attempt: Callable[[Postback, Attempt], None] | None = None,
    ) -> None:
        self._notification = notification
        self._to = to
        self._allowed_hosts = allowed_hosts
        self._clock = clock or SystemClock()
        self._resolver = resolver
        self._on_attempt = on_attempt
        self._policy = DeliveryPolicy(
            retry=notification.retry,
            success_response=notification.success_response,
            error_response=notification.error_response,
        )
        self._pacer = Pacer(notification.maximum_requests) if notification.maximum_requests else None
        self._limits_first_sends = notification.maximum_requests_scope == "all"
        self._turn = asyncio.Lock()
        self._places = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._in_flight: set[asyncio.Task[Delivery]] = set()
        self._tasks: set[asyncio.Task[Delivery]] = set()
        self._is_stopped = False
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, resolver=self._resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._notification.timeout_ns / NANOSECONDS_PER_SECOND),
            # impact.com sends neither; what it does send is on the postback.
            skip_auto_headers=("Accept", "User-Agent", "Accept-Encoding", "Content-Type"),
        )
        # aiohttp quietly sends a GET again when a kept-alive connection breaks under it. Here every send is an
        # attempt that the policy decided on and the log shows, so that habit is switched off.
        self._session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  no public switch
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def send(self, events: Iterable[Event]) -> AsyncIterator[Delivery]:
        """Send the postbacks of the events this notification reports, and yield each delivery as it ends.

        Where values are read when a postback leaves, `events` is also what is known of each action by then. Every event
        is rendered and its target checked before the first request leaves: raises `RenderError` or `TargetError` for
        the whole batch rather than half-way through it.
        """
        events = list(events)
        batch = [(event, self._rendered(event)) for event in reported(self._notification, events)]
        known = histories(self._notification, events)
        for event in chain.from_iterable(known.values()):
            self._rendered(event)
        latest: dict[str, asyncio.Task[Delivery]] = {}
        tasks: list[asyncio.Task[Delivery]] = []
        for event, postback in batch:
            before = latest.get(postback.key) if postback.key else None
            delivering = self._deliver(event, postback, known.get(postback.key, ()), before)
            task = asyncio.create_task(delivering)
            latest[postback.key] = task
            tasks.append(task)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        for ended in asyncio.as_completed(tasks):
            yield await ended

    def stop(self) -> None:
        """Send nothing more: requests in flight are finished, and not repeated; what still waits has no outcome."""
        self._is_stopped = True
        for task in self._tasks - self._in_flight:
            task.cancel()

    def cut(self) -> None:
        """Stop at once: requests in flight are cut, and like what still waits they end without outcome."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()

    def _rendered(self, event: Event) -> Postback:
        postback = render_postback(self._notification, event, to=self._to)
        check_target(postback.url, allowed_hosts=self._allowed_hosts)
        return postback

    def _ready_ns(self, event: Event) -> int:
        """Return the monotonic instant from which an event may be sent: its time plus the minimum delay."""
        remaining_ns = happened_ns(event) + self._notification.minimum_delay_ns - self._clock.now_ns()
        return self._clock.monotonic_ns() + max(0, remaining_ns)

    async def _deliver(
        self, event: Event, postback: Postback, history: Sequence[Event], before: asyncio.Task[Delivery] | None
    ) -> Delivery:
        ready_ns = self._ready_ns(event)
        attempts: tuple[Attempt, ...] = ()
        outcome: Delivered | GiveUp | None = None
        try:
            if before is not None:
                await asyncio.wait((before,))
            while outcome is None:
                match next_step(self._policy, ready_ns, attempts, self._clock.monotonic_ns()):
                    case Wait() | Send() if self._is_stopped:
                        break
                    case Wait(until_ns):
                        await self._clock.sleep_until(until_ns)
                    case Send():
                        async with self._turn_and_place(is_resend=bool(attempts)):
                            if not attempts:
                                postback = self._as_it_leaves(postback, event, history)
                            attempts = (*attempts, await self._attempt(postback, number=len(attempts) + 1))
                    case Delivered() | GiveUp() as outcome:
                        pass
        except asyncio.CancelledError:
            # Stopped, or cut in the middle of a request: what is known of it is in the attempts.
            pass
        return Delivery(postback=postback, attempts=attempts, outcome=outcome)

    def _as_it_leaves(self, postback: Postback, event: Event, history: Sequence[Event]) -> Postback:
        """Return the postback with the newest values of its action; a resend later repeats these bytes."""
        newer = newest(event, history, self._clock.now_ns())
        return postback if newer is event else self._rendered(newer)

    async def _attempt(self, postback: Postback, *, number: int) -> Attempt:
        task = cast("asyncio.Task[Delivery]", asyncio.current_task())
        self._in_flight.add(task)
        try:
            started_ns = self._clock.monotonic_ns()
            failure, status, detail = await self._request(postback)
            attempt = Attempt(
                number=number,
                started_ns=started_ns,
                finished_ns=self._clock.monotonic_ns(),
                failure=failure,
                status=status,
                detail=detail,
            )
            # Told while it still counts as in flight: who is told may call stop().
            if self._on_attempt:
                self._on_attempt(postback, attempt)
        finally:
            self._in_flight.discard(task)
        return attempt

    @asynccontextmanager
    async def _turn_and_place(self, *, is_resend: bool) -> AsyncGenerator[None]:
        """Wait until the maximum of requests and the concurrency both allow one more; hold the place meanwhile.

        Whoever waits for a turn holds no place, so that resends under a limit never keep first sends from leaving.
        """
        if self._pacer is None or not (is_resend or self._limits_first_sends):
            async with self._places:
                yield
            return
        # The lock hands out turns in the order they were asked for.
        async with self._turn:
            await self._wait_until_allowed(self._pacer)
            await self._places.acquire()
            # Nobody else could take the turn meanwhile: it leaves now, and now is what counts.
            self._pacer.take(self._clock.monotonic_ns())
        try:
            yield
        finally:
            self._places.release()

    async def _wait_until_allowed(self, pacer: Pacer) -> None:
        while (earliest_ns := pacer.earliest_ns(now_ns := self._clock.monotonic_ns())) > now_ns:
            await self._clock.sleep_until(earliest_ns)

    async def _request(self, postback: Postback) -> tuple[Failure | None, int | None, str]:
        if self._session is None:
            raise RuntimeError("a Sender works inside `async with` only")
        try:
            async with self._session.request(
                postback.method,
                yarl.URL(postback.url, encoded=True),
                data=postback.body or None,
                headers=postback.headers,
                allow_redirects=False,
            ) as response:
                return await self._read_answer(response)
        except TimeoutError:
            return Failure.TIMEOUT, None, ""
        except aiohttp.InvalidURL as error:
            return Failure.MALFORMED_URL, None, str(error)
        except aiohttp.ClientConnectorDNSError as error:
            return Failure.HOST_NOT_FOUND, None, str(error)
        except aiohttp.ClientResponseError as error:
            return Failure.BROKEN_ANSWER, None, str(error)
        except (aiohttp.ClientConnectionError, OSError) as error:
            return Failure.CONNECTION, None, str(error) or type(error).__name__

    async def _read_answer(self, response: aiohttp.ClientResponse) -> tuple[Failure | None, int, str]:
        try:
            body = await _read_some(response)
        except aiohttp.ClientPayloadError as error:
            return Failure.BROKEN_ANSWER, response.status, str(error)
        is_redirect = 300 <= response.status < 400 and "Location" in response.headers
        detail = "a redirect, which is not followed" if is_redirect else ""
        return judge_answer(self._policy, response.status, body), response.status, detail


async def _read_some(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of an answer's body; what goes beyond the limit is left unread."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= MAX_ANSWER_BYTES:
            break
    return bytes(body[:MAX_ANSWER_BYTES])
