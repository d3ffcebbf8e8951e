"""The bench: what a case works with. Postbacks go through the real sender, all else over raw connections."""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from postback_conformance.generating.generation import generate
from postback_conformance.redaction import redacted_target
from postback_conformance.suite.endpoint import Endpoint
from postback_conformance.suite.kept_senders import KeptSenders, Way
from postback_conformance.suite.patience import Patience
from postback_conformance.suite.probe import (
    CallableProbe,
    Probe,
    ProbeError,
    ProbeHangsError,
    Recorded,
    UrlProbe,
)
from postback_conformance.suite.proxy import Proxy, ProxyFault
from postback_conformance.suite.sent import Sent, capture_of_request, sent_by_delivery, sent_raw
from postback_receiver import Capture
from postback_sender import Event, Notification, Postback, example_event, render_postback
from postback_sender.action import Conversion, Item, Money
from postback_sender.clock import Clock, SystemClock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import Connections
from postback_sender.delivery.judging import judged
from postback_sender.delivery.origin import Origin, split_url
from postback_sender.delivery.policy import Attempt, DeliveryPolicy
from postback_sender.delivery.request import request_bytes
from postback_sender.delivery.retry import custom_profile
from postback_sender.delivery.run import Delivery
from postback_sender.postback import redirect
from postback_sender.quantities import NANOSECONDS_PER_SECOND

T = TypeVar("T")

DEFAULT_EXAMPLES: Final = 25
QUICK_EXAMPLES: Final = 5

# Reports show requests of the last findings; a suite makes thousands that nobody looks at.
_MOST_CAPTURES: Final = 2000
# Head and all; a capture has less than this of a body.
_MOST_KEPT_BYTES: Final = 512 * 1024
# Each costs as long as a probe may take.
_MOST_HANGS: Final = 3
_ZONE: Final = timezone(timedelta(hours=3))
_CAMPAIGN: Final = 25619
# The day of the documented example, as ids count days.
_EXAMPLE_DAY: Final = 6705


class Bench:
    """What a case works with.

    Ids of actions are new in each run and on each call, whatever the seed: an endpoint that remembers the last run must
    not take this one for duplicates. Minimum delay and retries of the notification do not count here, its time-outs and
    the maximum of requests do.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        notification: Notification,
        *,
        probe: Probe | None = None,
        seed: int = 0,
        max_examples: int = DEFAULT_EXAMPLES,
        quick: bool = False,
        clock: Clock | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.notification = replace(
            notification,
            minimum_delay_ns=0,
            retry=custom_profile(()),
            # What is sent is what a case says, also when the case sends something old again.
            template=replace(notification.template, values_at="event"),
        )
        self.probe = probe
        self.seed = seed
        self.max_examples = min(max_examples, QUICK_EXAMPLES) if quick else max_examples
        self.quick = quick
        self.clock = clock or SystemClock()
        self._captures: deque[tuple[str, Callable[[], Capture]]] = deque(maxlen=_MOST_CAPTURES)
        self._sent = 0
        self._probe_hung = 0
        self._looks = 0
        self._sights = 0
        self._patience = patience or Patience()
        self._senders = KeptSenders(endpoint, self.notification, self.clock)
        self._losing: Proxy | None = None
        self._started_at = datetime.fromtimestamp(self.clock.now_ns() / NANOSECONDS_PER_SECOND, UTC)
        self._sequence = self.clock.now_ns() // 1000 % 10**11

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._senders.close()
        if self._losing is not None:
            await self._losing.__aexit__(None, None, None)
        if isinstance(self.probe, UrlProbe | CallableProbe):
            await self.probe.close()

    # What to send

    @property
    def started_at(self) -> datetime:
        """When this run began; events happen around then."""
        return self._started_at

    @property
    def like(self) -> str | None:
        """The documented kind that the notification's kind of event is like, None when it is like none."""
        return self.notification.catalogue.kinds[self.notification.event].like

    def fresh_sequence(self) -> int:
        """Return a number no action of this or an earlier run has."""
        self._sequence += 1
        return self._sequence

    def conversion(
        self,
        *,
        payout: str = "4.20",
        amount: str = "84.00",
        texts: Mapping[str, str] | None = None,
        items: Sequence[Item] = (),
        currency: str = "USD",
    ) -> Conversion:
        """Return a conversion of a new action, to be tracked, modified and so on with `postback_sender.action`."""
        example = example_event("action_lifecycle").values
        others = {name: text for name, text in example.items() if name not in _TYPED}
        at = self._started_at.replace(microsecond=0) - timedelta(seconds=30)
        return Conversion(
            campaign_id=_CAMPAIGN,
            sequence=self.fresh_sequence(),
            zone=_ZONE,
            event_date=at,
            money=Money(payout=Decimal(payout), amount=Decimal(amount)),
            currency=currency,
            original_currency=currency,
            original_amount=Decimal(amount),
            locking_date=(at + timedelta(days=40)).date(),
            items=tuple(items),
            texts={**others, **(texts or {})},
        )

    def event(
        self, values: Mapping[str, str] | None = None, *, items: Sequence[Mapping[str, str]] | None = None
    ) -> Event:
        """Return the documented example of the notification's kind about a new action, some values replaced."""
        example = example_event(self.notification.event, self.notification.catalogue)
        number = self.fresh_sequence()
        ids = {"ActionId": f"{example.values.get('CampaignId', _CAMPAIGN)}.{_EXAMPLE_DAY}.{number}", "Id": str(number)}
        fresh = {name: text for name, text in ids.items() if name in example.values}
        return replace(
            example,
            values={**example.values, **fresh, **(values or {})},
            items=example.items if items is None else tuple(items),
        )

    def told(self, event: Event) -> Event:
        """Return an event of an action as the notification's own kind, with examples for the tokens of its own."""
        catalogue, kind = self.notification.catalogue, self.notification.event
        own = {one.name: one.example for one in catalogue.tokens(kind) if one.certainty == "own" and one.example}
        return replace(event, kind=kind, values={**own, **event.values})

    def draw(self, strategy: SearchStrategy[T], *, count: int | None = None) -> list[T]:
        """Return values of a strategy, the same for the same seed; `count` is that of the examples unless given."""
        return generate(strategy, count=self.max_examples if count is None else count, seed=self.seed)

    def postback(self, event: Event) -> Postback:
        """Return the request for an event, aimed at the endpoint."""
        return render_postback(self.notification, event, to=self.endpoint.url)

    # Sending

    async def send(
        self,
        events: Sequence[Event],
        *,
        concurrency: int = 1,
        retries_ns: Sequence[int] = (),
        via: Proxy | None = None,
    ) -> list[Sent]:
        """Send events through the real sender, and return what became of each, in the order in which they ended.

        With a `concurrency` of 1 they leave one by one in their order. Failures are retried after `retries_ns`; what
        crossed the end of a kept connection is sent once more, whatever the retries.
        """
        way = Way(concurrency, tuple(retries_ns), via.port if via is not None else None)
        # None may overtake another that is sent once more.
        groups = [[event] for event in events] if concurrency == 1 else [events]
        sents: list[Sent] = []
        for group in groups:
            sents += [await self._settled(delivery) for delivery in await self._senders.deliver(group, way)]
        return sents

    async def send_and_lose_the_answer(self, events: Sequence[Event]) -> list[Sent]:
        """Send events one by one; the first answer to each gets lost on its way, and each is sent again at once."""
        if self._losing is None:
            self._losing = self.proxy()
            await self._losing.__aenter__()
        sent: list[Sent] = []
        for event in events:
            self._losing.fault = ProxyFault(kind="cut answer", times=self._losing.faults + 1)
            sent += await self.send([event], retries_ns=(0,), via=self._losing)
        return sent

    async def send_postback(self, postback: Postback) -> Sent:
        """Send a request that may have been changed by hand, over a connection of its own."""
        origin, data = request_bytes(postback)
        return await self._exchange(origin, data, postback.method)

    async def send_bytes(self, data: bytes, *, method: str = "POST") -> Sent:
        """Send bytes that need not be HTTP over a connection of their own, and read one answer."""
        (origin, _, _), _ = split_url(self.endpoint.url)
        return await self._exchange(origin, data, method)

    def proxy(self, fault: ProxyFault | None = None) -> Proxy:
        """Return a proxy in front of the endpoint, for `send(…, via=proxy)`."""
        return Proxy(self.origin, fault, allowed_hosts=self.endpoint.allowed_hosts)

    # Looking

    async def recorded(
        self, action_id: str, *, wanted: Callable[[Recorded | None], bool] | None = None
    ) -> Recorded | None:
        """Return what the endpoint recorded of an action, by the probe; raises `ProbeError`.

        What is not as `wanted` is looked at again for a while: there are endpoints that answer first, and book soon.
        """
        if self.probe is None:
            raise ProbeError("no probe was handed in; the case has to say that it needs one")
        if self._probe_hung == _MOST_HANGS:
            raise ProbeHangsError(f"the probe gave no answer {_MOST_HANGS} times, and is not asked any more")
        try:
            recorded = await self._patience.look(partial(self.probe.recorded, action_id), wanted)
        except ProbeHangsError:
            self._probe_hung += 1
            raise
        self._probe_hung = 0
        self._looks += 1
        self._sights += recorded is not None
        return recorded

    @property
    def saw_nothing(self) -> bool:
        """Whether the probe was asked about actions, and knew none of them."""
        return bool(self._looks) and not self._sights

    async def restart(self) -> None:
        """Restart the endpoint; the case has to say that it needs this."""
        if self.endpoint.restart is None:
            raise RuntimeError("no restart hook was handed in; the case has to say that it needs one")
        await self._senders.close()
        await self.endpoint.restart()

    @property
    def origin(self) -> Origin:
        """Where the endpoint listens."""
        (origin, _, _), _ = split_url(self.endpoint.url)
        return origin

    @property
    def policy(self) -> DeliveryPolicy:
        """By which an answer means success."""
        return DeliveryPolicy(
            retry=self.notification.retry,
            success_response=self.notification.success_response,
            error_response=self.notification.error_response,
        )

    @property
    def endpoint_name(self) -> str:
        """The endpoint as it may be shown: without the secrets of its URL."""
        return redacted_target(self.endpoint.url)

    @property
    def home(self) -> str:
        """The server of the endpoint, as a URL without user, path and query."""
        parts = urlsplit(self.endpoint.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))

    @property
    def sent_count(self) -> int:
        """How many requests were sent so far."""
        return self._sent

    def captures(self, ids: Collection[str]) -> list[Capture]:
        """Return the requests of these ids with their answers, as far as they are still kept."""
        return [make() for capture_id, make in self._captures if capture_id in ids]

    # Inside

    async def _exchange(self, origin: Origin, data: bytes, method: str) -> Sent:
        connections = Connections(
            self.notification.timeouts,
            allowed_hosts=self.endpoint.allowed_hosts,
            clock=self.clock,
            trust=self.endpoint.trust,
        )
        began_ns = self.clock.monotonic_ns()
        async with connections:
            answer = await connections.exchange(origin, data, method)
        return self._keep_answer(data, answer, began_ns)

    def _keep_answer(self, data: bytes, answer: Answer, began_ns: int) -> Sent:
        attempt = judged(self.policy, answer, number=1, started_ns=began_ns, now_ns=self.clock.now_ns())
        return sent_raw(attempt, answer, self._keep(data, attempt, answer))

    async def _settled(self, delivery: Delivery) -> Sent:
        sent = self._keep_delivery(delivery)
        if sent.accepted or not sent.crossed_an_end:
            return sent
        postback = delivery.postback
        # Not through a proxy, which may be what it was sent by.
        again = await self.send_postback(replace(postback, url=redirect(postback.url, self.endpoint.url)))
        attempts, captures = (*sent.attempts, *again.attempts), (*sent.captures, *again.captures)
        return replace(again, key=sent.key, attempts=attempts, captures=captures)

    def _keep_delivery(self, delivery: Delivery) -> Sent:
        _, data = request_bytes(delivery.postback)
        return sent_by_delivery(delivery, tuple(self._keep(data, attempt) for attempt in delivery.attempts))

    def _keep(self, data: bytes, attempt: Attempt, answer: Answer | None = None) -> str:
        """Keep a request for reports, and return the id of its capture, which is made when somebody looks at it."""
        self._sent += 1
        capture_id = f"request-{self._sent}"
        wall_ns, now_ns = self.clock.now_ns(), self.clock.monotonic_ns()
        data = data[:_MOST_KEPT_BYTES]
        make = partial(capture_of_request, data, capture_id, attempt, wall_ns=wall_ns, now_ns=now_ns, answer=answer)
        self._captures.append((capture_id, make))
        return capture_id


_TYPED: Final = frozenset(
    {"CampaignId", "ActionId", "Status", "StatusDetail", "Payout", "DeltaPayout", "IntendedPayout", "Amount"}
    | {"DeltaAmount", "IntendedAmount", "Currency", "OriginalCurrency", "OriginalAmount", "EventDate", "CreationDate"}
    | {"LockingDate", "ClearedDate"}
)
