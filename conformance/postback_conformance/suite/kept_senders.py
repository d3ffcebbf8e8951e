"""Real senders, kept for the next events: making one takes longer than sending with it."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from msgspec.structs import replace

from postback_conformance.suite.endpoint import Endpoint
from postback_sender import Event, Notification, Sender
from postback_sender.clock import Clock
from postback_sender.delivery.origin import split_url
from postback_sender.delivery.retry import custom_profile
from postback_sender.delivery.run import Delivery
from postback_sender.outbox.entry import Draft
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.postback import event_key
from postback_sender.quantities import NANOSECONDS_PER_SECOND

# Proxies come and go, and each has a port of its own.
_MOST_KEPT: Final = 4
# What was opened for a burst must not stay: there are servers that nobody else gets into meanwhile.
_MOST_CONNECTIONS: Final = 2
_UNFORESEEN_NS: Final = 10 * NANOSECONDS_PER_SECOND


class Way(NamedTuple):
    """How events are sent: so many at once, each again after `retries_ns`, through what listens on a port here."""

    concurrency: int = 1
    retries_ns: tuple[int, ...] = ()
    port: int | None = None


class KeptSenders:
    """Senders to one endpoint, one for each way; the one that was used longest ago goes first."""

    def __init__(self, endpoint: Endpoint, notification: Notification, clock: Clock) -> None:
        self._endpoint = endpoint
        self._notification = notification
        self._clock = clock
        self._idle: dict[Way, Sender] = {}

    async def deliver(self, events: Sequence[Event], way: Way) -> list[Delivery]:
        """Send events, and return what became of each, in the order in which they ended."""
        # One that is busy is not there, and another one is made.
        sender = self._idle.pop(way, None)
        if sender is None:
            sender = await self._made(way).__aenter__()
        try:
            deliveries = await self._deliver(sender, events, way)
        except BaseException:
            await sender.__aexit__(None, None, None)
            raise
        await self._keep(way, sender)
        return deliveries

    async def close(self) -> None:
        """Close the connections of all that are kept."""
        while self._idle:
            await self._idle.popitem()[1].__aexit__(None, None, None)

    async def _keep(self, way: Way, sender: Sender) -> None:
        if way.concurrency > _MOST_CONNECTIONS or way in self._idle:
            await sender.__aexit__(None, None, None)
            return
        self._idle[way] = sender
        if len(self._idle) > _MOST_KEPT:
            await self._idle.pop(next(iter(self._idle))).__aexit__(None, None, None)

    def _made(self, way: Way) -> Sender:
        notification = replace(self._notification, retry=custom_profile(way.retries_ns))
        url, hosts = self._endpoint.url, self._endpoint.allowed_hosts
        if way.port is not None:
            # Only the connection leads elsewhere: the endpoint is asked for by its own name.
            names = {name.lower() for name, _ in notification.headers}
            (_, authority, _), _ = split_url(url)
            host = () if "host" in names else (("Host", authority),)
            notification = replace(notification, headers=(*notification.headers, *host))
            url, hosts = _with_port(url, way.port), (*hosts, "127.0.0.1")
        return Sender(
            notification,
            to=url,
            allowed_hosts=hosts,
            concurrency=way.concurrency,
            outbox=MemoryOutbox(ordered=False),
            clock=self._clock,
            trust=self._endpoint.trust,
            resolve=_this_machine if way.port is not None else None,
        )

    async def _deliver(self, sender: Sender, events: Sequence[Event], way: Way) -> list[Delivery]:
        now_ns = self._clock.now_ns()
        await sender.accept_drafts([Draft(event=each, key=event_key(each), due_ns=now_ns) for each in events])
        # Each request has its own time-out; this bounds what no time-out foresees, on a machine that is elsewhere too.
        requests = len(events) * (1 + len(way.retries_ns))
        limit_ns = requests * self._request_limit_ns() + sum(way.retries_ns) + _UNFORESEEN_NS
        async with asyncio.timeout(limit_ns / NANOSECONDS_PER_SECOND), aclosing(sender.deliver()) as deliveries:
            return [delivery async for delivery in deliveries]

    def _request_limit_ns(self) -> int:
        rate = self._notification.maximum_requests
        pace_ns = rate.window_ns // max(1, rate.count) if rate is not None else 0
        return self._notification.timeouts.total_ns + pace_ns


def _with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{port}"))


async def _this_machine(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]
