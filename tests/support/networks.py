"""A network that sends as impact.com does, and what the rules say of it; a broken one does one thing wrong.

Postbacks are rendered and delivered by the real sender, and captured by a real receiver. A broken network tells of
other events than happened, goes by other settings than the partner's, or writes requests that the sender never would.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from fork_server import PATIENCE_S
from postback_conformance.judging.judge import judge
from postback_conformance.judging.verdict import Verdict
from postback_conformance.rules import RULES
from postback_receiver import Capture, CaptureServer, Endpoint, MemoryStore, Reply, ReplyScript, same_request
from postback_sender import Event, Notification, Sender, example_event, render_postback
from postback_sender.action import Conversion, Item, Money, approve, clear, modify, reverse, track
from postback_sender.clock import SystemClock
from postback_sender.delivery.connections import Connection, Connections
from postback_sender.delivery.origin import Origin
from postback_sender.delivery.request import request_bytes
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.notification import NotificationSource, parse_notification
from postback_sender.subscription import reported

_OF_THE_LIFE = [
    "ActionId",
    "CampaignId",
    "Status",
    "Payout",
    "DeltaPayout",
    "IntendedPayout",
    "Amount",
    "DeltaAmount",
    "IntendedAmount",
    "Currency",
    "EventDate",
    "CreationDate",
    "LockingDate",
    "ClearedDate",
]
_TEXTS = ["ReferringType", "RefCustomerCountry", "LandingPageUrl", "CampaignName", "SubId1", "PromoCode"]
_TOKENS = (*_OF_THE_LIFE, *_TEXTS)
_FIELDS = ", ".join(f'"{name}": "{{{name}}}"' for name in _TOKENS)
_QUERY = "&".join(f"{name}={{{name}}}" for name in _TOKENS)
_ELEMENTS = "".join(f"<{name}>{{{name}}}</{name}>" for name in _TOKENS)
_ITEM = r"\{\"sku\": \"{i.sku}\", \"amount\": \"{i.amt}\", \"pieces\": \"{i.qty}\"\}"
_ITEMS = '"items": [{join(items, i, "' + _ITEM + '")}]'
_POST = "url = 'http://127.0.0.1:8080/postback'\n"

JSON: Final = f"{_POST}body_format = 'json'\nheaders.X-Partner = 'seven'\nbody = '''" + rf"\{{{_FIELDS}, {_ITEMS}\}}'''"
XML: Final = f"{_POST}body_format = 'xml'\nbody = '''<postback>{_ELEMENTS}</postback>'''"
FORM: Final = f"{_POST}body_format = 'query'\nbody = '''{_QUERY}'''"
GET: Final = f"url = 'http://127.0.0.1:8080/postback?{_QUERY}'\nmethod = 'GET'"
CLEARING: Final = f"event = 'action_clearing'\nretry = [0.02]\n{JSON}"
"""What clears happens once, so that what comes again is surely the same postback."""
INQUIRY: Final = (
    f"event = 'action_inquiry'\n{_POST}body = '''" + r'\{"id": "{ActionId}", "is": "{ResolutionStatus}"\}' + "'''"
)

_ZONE: Final = timezone(timedelta(hours=3))
OK: Final = (Reply(),)
BUSY_ONCE: Final = (Reply(status=503), *OK)
_PATIENCE: Final = Timeouts(total_ns=round(PATIENCE_S * 1e9))
# To what does not come whole there is no answer to wait for.
_HANGS_UP: Final = Timeouts(total_ns=_PATIENCE.total_ns, read_ns=100_000_000)


@dataclass(frozen=True)
class BrokenSender:
    """What it does wrong, the rule made for it, and which others cannot but see it, too.

    `settings` are the partner's, and the judge's; it goes by what `goes_by` makes of them. `tells` changes the events.
    `writes` changes the requests, which are then sent one by one, or all `at_once`. `replies` are the endpoint's.
    """

    wrong: str
    caught_by: str
    also: tuple[str, ...] = ()
    settings: str = JSON
    goes_by: Callable[[str], str] = str
    tells: Callable[[list[Event]], list[Event]] = list
    writes: Callable[[list[bytes]], list[bytes]] | None = None
    at_once: bool = False
    replies: tuple[Reply, ...] = OK


CORRECT: Final = BrokenSender("nothing", "")


# How a network sends, and what comes of it


def lives() -> list[Event]:
    """Return what is told of four actions of today, of two that clear today, and of an inquiry."""
    now = datetime.now(UTC).replace(microsecond=0)
    happened: list[Event] = []
    for number in range(4):
        action, event = track(_conversion(number, now - timedelta(seconds=1)), at=now)
        happened.append(event)
        if number >= 2:
            items = tuple(replace(item, amount=Decimal("31.50")) for item in action.items)
            less = Money(payout=Decimal("3.15"), amount=Decimal("63.00"))
            action, event = modify(action, money=less, items=items, at=now)
            happened.append(event)
        if number == 3:
            _, event = reverse(action, reason="ITEM_RETURNED", at=now)
            happened.append(event)
    long_ago = now - timedelta(days=100)
    for number in range(2):
        action, _ = track(_conversion(number, long_ago), at=long_ago)
        _, event = clear(approve(action), at=now)
        happened.append(event)
    return [*happened, replace(example_event("action_inquiry"), at=now)]


def _conversion(number: int, at: datetime) -> Conversion:
    example = example_event("action_lifecycle").values
    return Conversion(
        campaign_id=1000,
        sequence=1 + number,
        zone=_ZONE,
        event_date=at,
        creation_date=at,
        locking_date=at.date() + timedelta(days=40),
        money=Money(payout=Decimal("4.20"), amount=Decimal("84.00")),
        items=tuple(Item(sku=f"APP-{each}", amount=Decimal("42.00")) for each in range(2)),
        texts={name: example[name] for name in _TEXTS},
    )


def verdicts_on(sender: BrokenSender, events: Sequence[Event] | None = None) -> tuple[Verdict, ...]:
    """Let a network send, by default of `lives`, and judge by all rules what arrived."""
    arrived = asyncio.run(captured_from(sender, lives() if events is None else events))
    assert arrived, "nothing arrived that could be judged"
    return judge(arrived, _read(sender.settings), RULES).verdicts


async def captured_from(sender: BrokenSender, events: Sequence[Event]) -> list[Capture]:
    """Return what arrives of what a network sends."""
    store, notification = MemoryStore(), _read(sender.goes_by(sender.settings))
    told = [*reported(notification, sender.tells([each for each in events if each.kind == notification.event]))]
    endpoint = Endpoint(replies=ReplyScript(sender.replies, key=same_request))
    async with CaptureServer(store, [endpoint], close_grace_s=1) as server:
        if sender.writes is None:
            # One by one, so that all arrives in the order of the events.
            async with Sender(notification, to=server.url, concurrency=1) as real:
                assert [delivery async for delivery in real.send(told)]
        else:
            postbacks = [render_postback(notification, event, to=server.url) for event in told]
            origin, _ = request_bytes(postbacks[0])
            requests = sender.writes([request_bytes(postback)[1] for postback in postbacks])
            timeouts = _PATIENCE if all(map(_is_whole, requests)) else _HANGS_UP
            async with Connections(timeouts, allowed_hosts=(), clock=SystemClock()) as connections:
                if sender.at_once:
                    # With all connections there, all is on its way before any of it is read.
                    opened = [await _connected(connections, origin) for _ in requests]
                    pairs = zip(opened, requests, strict=True)
                    await asyncio.gather(*(connections.ask(*pair, notification.method) for pair in pairs))
                else:
                    for data in requests:
                        await connections.exchange(origin, data, notification.method)
    return list(store.captures())


def _is_whole(request: bytes) -> bool:
    """Whether the body is as long as the head says, if it does."""
    head, _, body = request.partition(b"\r\n\r\n")
    told = re.search(rb"^Content-Length: (\d+)", head, re.MULTILINE)
    return told is None or len(body) >= int(told[1])


async def _connected(connections: Connections, origin: Origin) -> Connection:
    connection = await connections.connect(origin)
    assert isinstance(connection, Connection), connection
    return connection


def _read(text: str) -> Notification:
    return parse_notification(NotificationSource(name="n.toml", text=text), {})
