"""Networks that do one thing wrong: one for each rule, which is made for it."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from msgspec.structs import replace

from networks import BUSY_ONCE, CLEARING, FORM, GET, INQUIRY, JSON, OK, XML, BrokenSender
from postback_receiver import Reply
from postback_sender import Event


def _swap(old: str, new: str) -> Callable[[str], str]:
    """Go by other settings: something in them reads otherwise."""

    def goes_by(settings: str) -> str:
        assert old in settings, f"{old!r} is not in the settings"
        return settings.replace(old, new)

    return goes_by


def _values(**others: str | Callable[[Mapping[str, str]], str]) -> Callable[[list[Event]], list[Event]]:
    """Tell other values in every event; a function makes one of the true ones."""

    def told(event: Event) -> Event:
        made = {name: one if isinstance(one, str) else one(event.values) for name, one in others.items()}
        return replace(event, values={**event.values, **made})

    return lambda events: [told(event) for event in events]


def _items(**others: str) -> Callable[[list[Event]], list[Event]]:
    """Tell other fields of every item."""
    return lambda events: [replace(event, items=tuple({**item, **others} for item in event.items)) for event in events]


def _of(status: str, **others: str) -> Callable[[list[Event]], list[Event]]:
    """Tell other values in the events of that status."""
    change = _values(**others)
    return lambda events: [change([event])[0] if event.values["Status"] == status else event for event in events]


def _without(number: int, events: list[Event]) -> list[Event]:
    """Leave out that update of each action."""
    seen: dict[str, int] = {}
    kept: list[Event] = []
    for event in events:
        seen[event.values["ActionId"]] = count = seen.get(event.values["ActionId"], 0) + 1
        if count != number:
            kept.append(event)
    return kept


def _body(change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    """Write another body, with its right length."""

    def written(request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
        other = change(body)
        assert other != body, f"nothing of this in {body!r}"
        return b"\r\n".join((*lines, b"Content-Length: %d" % len(other), b"", other))

    return lambda requests: [written(request) for request in requests]


def _bytes(old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """Write other bytes in the place of these, wherever they stand first."""

    def written(request: bytes) -> bytes:
        assert old in request, f"{old!r} is not in {request!r}"
        return request.replace(old, new, 1)

    return lambda requests: [written(request) for request in requests]


def _each_twice(requests: list[bytes]) -> list[bytes]:
    return [request for request in requests for _ in range(2)]


def _written_anew(requests: list[bytes]) -> list[bytes]:
    """Write the first once more, a character otherwise."""
    (again,) = _body(lambda body: body.replace(b"SUMMER", b"\\u0053UMMER"))(requests[:1])
    return [requests[0], again]


def _later(values: Mapping[str, str], name: str, **by: float) -> str:
    return (datetime.fromisoformat(values[name]) + timedelta(**by)).isoformat()


def _late_news(events: list[Event]) -> list[Event]:
    """Tell of the second action as if it had been tracked an hour ago."""
    dates = {name: partial(_later, name=name, hours=-1) for name in ("EventDate", "CreationDate")}
    return [events[0], *_values(**dates)(events[1:2])]


SENDERS: Final[tuple[BrokenSender, ...]] = (
    # The request
    BrokenSender("sends with another method", "http.method", writes=_bytes(b"POST ", b"PUT ")),
    BrokenSender(
        "leaves a parameter of the URL out", "http.target", settings=GET, goes_by=_swap("&SubId1={SubId1}", "")
    ),
    BrokenSender(
        "sends a parameter twice",
        "http.repeated-parameter",
        settings=GET,
        goes_by=_swap("&SubId1=", "&Status={Status}&SubId1="),
    ),
    BrokenSender(
        "sends a parameter that nobody asked for",
        "http.unknown-parameter",
        settings=GET,
        goes_by=_swap("&SubId1=", "&utm_source=impact&SubId1="),
    ),
    BrokenSender(
        "forgets the partner's own header", "header.custom-present", goes_by=_swap("headers.X-Partner = 'seven'\n", "")
    ),
    BrokenSender("sends JSON as plain text", "header.content-type", writes=_bytes(b"application/json", b"text/plain")),
    BrokenSender(
        "does not say how long a body is",
        "header.content-length",
        also=("body.json.well-formed", "capture.complete"),
        writes=_bytes(b"Content-Length:", b"X-Length:"),
    ),
    BrokenSender("names a URL for a host", "header.host", writes=_bytes(b"Host: ", b"Host: http://")),
    BrokenSender(
        "sends a body with a GET",
        "body.empty-on-get",
        settings=GET,
        writes=_bytes(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n{}"),
    ),
    BrokenSender("hangs up in the middle of a body", "capture.complete", writes=lambda requests: [requests[0][:-9]]),
    # The body
    BrokenSender("begins with a byte order mark", "body.bom", writes=_body(lambda body: b"\xef\xbb\xbf" + body)),
    BrokenSender(
        "writes Latin-1",
        "body.utf8",
        tells=_values(CampaignName="Café"),
        writes=_body(lambda body: body.decode().encode("latin-1")),
    ),
    BrokenSender(
        "writes a comma after the last field", "body.json.well-formed", writes=_body(lambda body: body[:-1] + b",}")
    ),
    BrokenSender(
        "writes a key twice",
        "body.json.duplicate-key",
        also=("body.template-shape",),
        goes_by=_swap('"Status": "{Status}"', '"Status": "{Status}", "Status": "{Status}"'),
    ),
    BrokenSender(
        "writes NaN for a figure",
        "body.json.non-finite",
        settings=JSON.replace('"{DeltaPayout}"', "{DeltaPayout}"),
        writes=_body(lambda body: re.sub(rb'"DeltaPayout": [-0-9.]+', b'"DeltaPayout": NaN', body)),
    ),
    BrokenSender(
        "writes raw blanks into a form",
        "body.query.percent-encoding",
        settings=FORM,
        writes=_body(lambda body: body + b"% "),
    ),
    BrokenSender("leaves a field out", "body.template-shape", goes_by=_swap('"SubId1": "{SubId1}", ', "")),
    BrokenSender(
        "writes XML whose tags do not fit",
        "body.xml.well-formed",
        settings=XML,
        writes=_body(lambda body: body[:-2] + b"s>"),
    ),
    BrokenSender(
        "declares a document type",
        "body.xml.no-dtd",
        also=("body.template-shape",),
        settings=XML,
        writes=_body(lambda body: b"<!DOCTYPE postback>" + body),
    ),
    BrokenSender(
        "writes a character that XML has not",
        "body.xml.illegal-char",
        settings=XML,
        writes=_body(lambda body: body.replace(b"</CampaignName>", b"&#1;</CampaignName>")),
    ),
    # The values
    BrokenSender("leaves a token unreplaced", "value.unreplaced-token", goes_by=_swap('"{SubId1}"', r'"\{SubId1\}"')),
    BrokenSender(
        "escapes nothing",
        "value.unescaped",
        also=("body.json.well-formed",),
        goes_by=lambda settings: f"template.escaping = 'raw'\n{settings}",
        tells=_values(CampaignName='The "best" shoes'),
    ),
    BrokenSender(
        "encodes a URL for a URL, in JSON",
        "value.double-encoded",
        tells=_values(LandingPageUrl="https%3A%2F%2Fshop.example%2F"),
    ),
    BrokenSender(
        "writes another value where a token stands again",
        "value.one-value",
        settings=f"{GET.replace('&SubId1=', '&Again={Currency}&SubId1=')}",
        goes_by=_swap("&Again={Currency}", "&Again=EUR"),
    ),
    BrokenSender("writes null for a value it has not", "value.null-word", tells=_values(LockingDate="null")),
    BrokenSender("writes the name of a country", "field.country", tells=_values(RefCustomerCountry="United States")),
    BrokenSender("writes the sign of a currency", "field.currency", tells=_values(Currency="$")),
    BrokenSender(
        "writes dates in UTC with a Z",
        "field.date",
        tells=_values(CreationDate=lambda values: _later(values, "CreationDate")[:19] + "Z"),
    ),
    BrokenSender(
        "locks at noon",
        "field.date-midnight",
        tells=_values(LockingDate=lambda values: values["LockingDate"].replace("T00", "T12")),
    ),
    BrokenSender(
        "writes its words in small letters", "field.enum", settings=INQUIRY, tells=_values(ResolutionStatus="valid")
    ),
    BrokenSender("groups the digits of an id", "field.id", tells=_values(CampaignId="1,000")),
    BrokenSender("writes an endless article number", "field.length", tells=_items(sku="A" * 41)),
    BrokenSender(
        "writes a decimal comma",
        "field.money",
        tells=_values(Payout=lambda values: values["Payout"].replace(".", ",")),
    ),
    BrokenSender(
        "writes money without its cents",
        "field.money-decimals",
        tells=_values(IntendedAmount=lambda values: values["IntendedAmount"].removesuffix(".00")),
    ),
    BrokenSender(
        "writes commissions as debts",
        "field.money-sign",
        tells=_values(IntendedPayout=lambda values: "-" + values["IntendedPayout"]),
    ),
    BrokenSender("leaves the status empty", "field.present", tells=_values(Status="")),
    BrokenSender("counts in words", "field.quantity", tells=_items(qty="one")),
    BrokenSender("invents a referring type", "field.referring-type", tells=_values(ReferringType="CLICK")),
    BrokenSender(
        "writes the status in small letters",
        "field.status",
        tells=_values(Status=lambda values: values["Status"].lower()),
    ),
    BrokenSender("leaves the scheme of a URL out", "field.url", tells=_values(LandingPageUrl="shop.example/balls")),
    # The action
    BrokenSender(
        "clears what is pending", "action.cleared-is-approved", settings=CLEARING, tells=_values(Status="PENDING")
    ),
    BrokenSender(
        "locks before the sale",
        "action.dates-ordered",
        tells=_values(LockingDate=lambda values: _later(values, "LockingDate", days=-60)),
    ),
    BrokenSender(
        "tells a delta larger than the figure", "action.delta-consistent", tells=_of("PENDING", DeltaPayout="5.00")
    ),
    BrokenSender("numbers an action by another program", "action.id-agrees", tells=_values(CampaignId="2000")),
    BrokenSender(
        "forgets a line of the order",
        "action.items-sum",
        tells=lambda events: [replace(each, items=each.items[:1]) for each in events],
    ),
    BrokenSender(
        "keeps the payout of a reversal",
        "action.reversed-is-zero",
        tells=_of("REVERSED", Payout="3.15", DeltaPayout="0.00"),
    ),
    BrokenSender(
        "takes everything back and calls it pending", "action.zero-is-reversed", tells=_of("REVERSED", Status="PENDING")
    ),
    # The life cycle
    BrokenSender("loses an update for good", "lifecycle.delta-chain", tells=partial(_without, 2)),
    BrokenSender(
        "reports reversals at event level",
        "lifecycle.event-level-only-created",
        settings=f"level = 'event'\n{JSON}",
        goes_by=_swap("level = 'event'", ""),
    ),
    BrokenSender(
        "changes what was approved",
        "lifecycle.final-after-approved",
        also=("lifecycle.silent-approval",),
        tells=lambda events: [*_values(Status="APPROVED")(events[:3]), *events[3:]],
    ),
    BrokenSender(
        "tells of locking", "lifecycle.silent-approval", tells=lambda events: _values(Status="APPROVED")(events[:1])
    ),
    BrokenSender(
        "changes the currency of an action",
        "lifecycle.identity-stable",
        tells=lambda events: [*events[:3], *_values(Currency="EUR")(events[3:])],
    ),
    BrokenSender(
        "takes what holds for what was intended",
        "lifecycle.intended-stable",
        tells=_values(IntendedPayout=lambda values: values["Payout"]),
    ),
    BrokenSender(
        "tracks at another figure than intended",
        "lifecycle.transition",
        tells=lambda events: _values(Payout="5.00", DeltaPayout="5.00")(events[:1]),
    ),
    # The delivery
    BrokenSender(
        "does not wait the minimum delay",
        "delivery.minimum-delay",
        settings=f"minimum_delay = '1h'\n{JSON}",
        goes_by=_swap("minimum_delay = '1h'", ""),
    ),
    BrokenSender(
        "sends as fast as it can",
        "delivery.maximum-requests",
        settings=f"maximum_requests = '2/s'\nmaximum_requests_scope = 'all'\n{JSON}",
        goes_by=_swap("'2/s'", "'900/s'"),
    ),
    BrokenSender(
        "retries at once",
        "delivery.retry-gap",
        settings=CLEARING.replace("[0.02]", "[5]"),
        goes_by=_swap("[5]", "[0.0]"),
        replies=BUSY_ONCE,
    ),
    BrokenSender(
        "never gives up",
        "delivery.retry-count",
        settings=CLEARING,
        goes_by=_swap("[0.02]", "[0.02, 0.02]"),
        replies=(Reply(status=503),),
    ),
    BrokenSender(
        "retries what was refused",
        "delivery.retry-only-after-error",
        settings=CLEARING.replace("[0.02]", "'help-centre'"),
        goes_by=_swap("'help-centre'", "[0.02]"),
        replies=(Reply(status=404), *OK),
    ),
    BrokenSender(
        "sends again what was accepted", "delivery.no-retry-after-success", settings=CLEARING, writes=_each_twice
    ),
    BrokenSender(
        "sends twice at the same moment",
        "delivery.duplicate",
        settings=CLEARING,
        writes=_each_twice,
        at_once=True,
        replies=(Reply(delay=0.2),),
    ),
    BrokenSender(
        "writes a retry anew", "delivery.same-bytes", settings=CLEARING, writes=_written_anew, replies=BUSY_ONCE
    ),
    BrokenSender("tells of a sale an hour late", "delivery.latency", tells=_late_news),
)
"""One for each rule, in the order of what it is about."""
