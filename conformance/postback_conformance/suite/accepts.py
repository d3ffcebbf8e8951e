"""What an endpoint has to accept: everything that impact.com may send, in every way HTTP allows to send it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Final

from msgspec.structs import replace

from postback_conformance.generation import draw_endlessly
from postback_conformance.rules.fact_sources import CAPTURED_CALLS
from postback_conformance.strategies import events as any_events
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import ACKNOWLEDGE, HTTP, HTTP_1, NO_RETRY, OURS, URL_LENGTH
from postback_conformance.suite.free_texts import free_texts
from postback_conformance.suite.outcomes import accepted_each, must_accept, settings_fault
from postback_conformance.suite.probe import Recorded
from postback_conformance.suite.proxy import ProxyFault
from postback_conformance.suite.sent import Sent
from postback_conformance.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_sender import Event, Postback
from postback_sender.action import Money, approve, clear, modify, restore, reverse, track
from postback_sender.delivery.request import request_bytes
from postback_sender.tokens import Token

FLOOR_BODY_BYTES: Final = 64 * 1024
"""What an endpoint has to take at least; impact.com names no limit, and servers begin at 100 kB."""
FLOOR_URL_BYTES: Final = 8000

_MANY_ITEMS: Final = 1000
_LONG_TEXT: Final = 500
# Nobody's default.
_CURRENCY: Final = "CHF"
_LEGAL_TEXTS: Final[Mapping[str, str]] = {
    "quotes": "Say \"hi\", it's 'fine'",
    "a backslash": "C:\\new\\table",
    "markup": "<b>A & B</b> ]]> &amp; -->",
    "what means something in a query": "50%+tax=a&b;c#d?e",
    "line ends and tabs": "first\nsecond\tthird",
    "blanks around": "  kept  ",
    "accents, whole and combining": "Crème brûlée, Cafe\u0301",
    "text from right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202eabc\u202c",
    "Chinese and Japanese": "\u4f60\u597d \u6771\u4eac",
    "characters of four bytes": "\U0001d54f \U00020000",
    "emoji joined from several": "\U0001f469\u200d\U0001f4bb \U0001f1ee\U0001f1f1 \U0001f600",
    "braces": "{SubId1} ${HOME} %s %(x)s {{x}}",
    "words that mean something": "null NaN true None undefined",
    "SQL": "Robert'); DROP TABLE actions;--",
    "separators of lines": "a\u2028b\u2029c\u0085d",
}


async def _documented(bench: Bench) -> Iterable[Outcome]:
    return await accepted_each(bench, {"the documented example": bench.event()})


async def _all_kinds(bench: Bench) -> Iterable[Outcome]:
    outcomes = await accepted_each(bench, dict(_life(bench)))
    used = {token.name: token for token in _tokens(bench)}
    values = {
        f"{token.name} = {value}": bench.event({token.name: value})
        for token in used.values()
        if token.name not in {"Status", "StatusDetail"}
        for value in token.values
    }
    return outcomes + await accepted_each(bench, values) or [NotApplicable(why="events of this kind are all alike")]


def _life(bench: Bench) -> Iterator[tuple[str, Event]]:
    """Yield what can happen to an action, as far as the notification reports it."""
    at = bench.started_at
    if bench.like == "action_lifecycle":
        action, event = track(bench.conversion(), at=at)
        yield "a tracked action", bench.told(event)
        if bench.notification.level == "event":
            return
        action, event = modify(action, money=Money(payout=Decimal("2.10"), amount=Decimal("42.00")), at=at)
        yield "a modified action", bench.told(event)
        # Not after the reversal: that would be the first postback once more, which may be refused as known.
        action, event = restore(action, at=at)
        yield "a restored action", bench.told(event)
        action, event = reverse(action, reason="ITEM_RETURNED", at=at)
        yield "a reversed action", bench.told(event)
    elif bench.like == "action_clearing":
        action, _ = track(bench.conversion(), at=at)
        _, event = clear(approve(action), at=at)
        yield "a cleared action", bench.told(event)


async def _empties(bench: Bench) -> Iterable[Outcome]:
    empty = {token.name: "" for token in _tokens(bench) if token.may_be_empty and token.type != "list"}
    if not empty:
        return [NotApplicable(why="every value the notification sends is always there", by_settings=True)]
    cases = {
        "a postback in which all is empty that may be": bench.event(empty),
        "a postback without items": bench.event(items=()),
    }
    return await accepted_each(bench, cases)


async def _unicode(bench: Bench) -> Iterable[Outcome]:
    names = free_texts(bench.notification, _names(bench))
    if not names:
        return [NotApplicable(why="the notification sends no free text", by_settings=True)]
    return await accepted_each(
        bench, {what: bench.event(dict.fromkeys(names, text)) for what, text in _LEGAL_TEXTS.items()}
    )


async def _text_kept(bench: Bench) -> Iterable[Outcome]:
    names = free_texts(bench.notification, _names(bench))
    outcomes: list[Outcome] = []
    for what, text in _LEGAL_TEXTS.items():
        event = bench.event(dict.fromkeys(names, text))
        if settings_fault(bench.notification, bench.postback(event)):
            continue
        (sent,) = await bench.send([event])
        if not sent.is_answered:
            return [must_accept(sent, what)]
        outcomes += _text_differences(names, text, what, await _looked_up(bench, event, sent), sent)
    outcomes += await _currency_kept(bench)
    return outcomes or [
        NotApplicable(why="the probe tells none of the texts that the notification sends", by_settings=True)
    ]


async def _currency_kept(bench: Bench) -> list[Outcome]:
    if "Currency" not in _names(bench):
        return []
    event = bench.event({"Currency": _CURRENCY})
    (sent,) = await bench.send([event])
    recorded = await _looked_up(bench, event, sent)
    if recorded is None or recorded.currency is None or recorded.currency == _CURRENCY:
        return [PASS] if recorded is not None and recorded.currency is not None else []
    return [
        Fail(
            message="Currency was recorded otherwise than it was sent",
            expected=_CURRENCY,
            actual=ascii(recorded.currency),
            captures=sent.captures,
        )
    ]


async def _looked_up(bench: Bench, event: Event, sent: Sent) -> Recorded | None:
    """Return what was recorded of an action whose postback was accepted."""
    return await bench.recorded(event.values.get("ActionId", "")) if sent.accepted else None


def _text_differences(
    names: Iterable[str], text: str, what: str, recorded: Recorded | None, sent: Sent
) -> Iterator[Outcome]:
    if recorded is None:
        # Whether it is accepted and recorded at all is for other cases to say.
        return
    told = {name.replace("_", "").lower(): value for name, value in recorded.texts.items()}
    for name in names:
        value = told.get(name.lower())
        if value is None:
            continue
        yield (
            PASS
            if value == text
            else Fail(
                message=f"{name} was recorded otherwise than it was sent: {what}",
                expected=ascii(text),
                actual=ascii(value),
                captures=sent.captures,
            )
        )


async def _dates_kept(bench: Bench) -> Iterable[Outcome]:
    if "EventDate" not in {token.name for token in _tokens(bench)}:
        return [NotApplicable(why="the notification does not send {EventDate}", by_settings=True)]
    outcomes: list[Outcome] = []
    for text in (
        "2026-01-15T23:30:00-05:00",
        "2026-07-15T00:07:27+03:00",
        "2026-03-29T02:30:00+05:45",
        "2026-10-25T01:30:00+01:00",
        "2026-10-25T01:30:00+00:00",
    ):
        event = bench.event({"EventDate": text})
        (sent,) = await bench.send([event])
        recorded = await _looked_up(bench, event, sent)
        if recorded is not None and recorded.event_date is not None:
            outcomes.append(_date_outcome(text, recorded.event_date, sent))
    return outcomes or [NotApplicable(why="the probe tells no event_date")]


def _date_outcome(sent_text: str, recorded: str, sent: Sent) -> Outcome:
    expected = f"the instant {sent_text}, in any zone"
    try:
        instant = datetime.fromisoformat(recorded)
    except ValueError:
        return Inconclusive(why=f"the probe's event_date {ascii(recorded)[:80]} is no ISO 8601 date")
    if instant.tzinfo is not None and instant == datetime.fromisoformat(sent_text):
        return PASS
    what = "another instant" if instant.tzinfo is not None else "a time without an offset, which is no instant"
    return Fail(message=f"EventDate was recorded as {what}", expected=expected, actual=recorded, captures=sent.captures)


async def _long_text(bench: Bench) -> Iterable[Outcome]:
    names = free_texts(bench.notification, _names(bench))
    outcomes: list[Outcome] = []
    text = "x" * _LONG_TEXT
    for name in names:
        event = bench.event({name: text})
        if not _is_within_floor(bench.postback(event)):
            continue
        (sent,) = await bench.send([event])
        what = f"{name} of {_LONG_TEXT} letters"
        outcomes.append(must_accept(sent, what))
        if not sent.is_answered:
            break
        if bench.probe is not None:
            outcomes += _text_differences([name], text, what, await _looked_up(bench, event, sent), sent)
    return outcomes or [NotApplicable(why="the notification sends no free text", by_settings=True)]


async def _many_items(bench: Bench) -> Iterable[Outcome]:
    if not _has_items(bench):
        return [NotApplicable(why="the notification sends no items", by_settings=True)]
    most = _MANY_ITEMS
    while most > 1 and not _is_within_floor(bench.postback(_with_items(bench, most))):
        most = most * 3 // 4
    return await accepted_each(
        bench, {"an order of 1 item": _with_items(bench, 1), f"an order of {most} items": _with_items(bench, most)}
    )


def _with_items(bench: Bench, count: int) -> Event:
    event = bench.event()
    base: Mapping[str, str] = event.items[0] if event.items else {}
    return replace(event, items=tuple({**base, "sku": f"APP-{number}"} for number in range(count)))


async def _generated(bench: Bench) -> Iterable[Outcome]:
    strategy = any_events(kind=bench.notification.event, catalogue=bench.notification.catalogue)
    outcomes: list[Outcome] = []
    # Some are larger than an endpoint has to take.
    for drawn in islice(draw_endlessly(strategy, seed=bench.seed), 4 * bench.max_examples):
        fresh = {name: text for name, text in bench.event().values.items() if name in {"ActionId", "Id"}}
        event = replace(drawn, values={**drawn.values, **fresh})
        postback = bench.postback(event)
        if _is_within_floor(postback) and not settings_fault(bench.notification, postback):
            (sent,) = await bench.send([event])
            outcomes.append(must_accept(sent, f"the generated event {len(outcomes)} of seed {bench.seed}"))
            if len(outcomes) == bench.max_examples or not sent.is_answered:
                break
    return outcomes or [NotApplicable(why="no generated event was small enough for this method, and well-formed")]


async def _unknown_extras(bench: Bench) -> Iterable[Outcome]:
    postback = bench.postback(bench.event())
    outcomes = [
        must_accept(
            await bench.send_postback(
                replace(postback, headers=(*postback.headers, ("X-Unknown-Extra", "1"), ("Traceparent", "00-0-0-00")))
            ),
            "a header that nobody announced",
        )
    ]
    sent = await bench.send_postback(_with_extra(bench, bench.postback(bench.event())))
    if sent.is_refused:
        return [
            *outcomes,
            NotApplicable(why=f"an unknown field is refused ({sent.told}), which is the endpoint's right"),
        ]
    return [*outcomes, must_accept(sent, "a field that nobody announced")]


def _with_extra(bench: Bench, postback: Postback) -> Postback:
    body, body_format = postback.body, bench.notification.body_format
    if not body:
        mark = "&" if "?" in postback.url else "?"
        return replace(postback, url=f"{postback.url}{mark}unknown_extra=1")
    if body_format == "query":
        return replace(postback, body=body + b"&unknown_extra=1")
    if body_format == "xml":
        head, end, tail = body.rpartition(b"</")
        return replace(postback, body=head + b"<unknown_extra>1</unknown_extra>" + end + tail if end else body)
    head, brace, tail = body.partition(b"{")
    comma = b"" if tail.strip() == b"}" else b", "
    return replace(postback, body=head + brace + b'"unknown_extra": {"a": [1]}' + comma + tail if brace else body)


async def _chunked(bench: Bench) -> Iterable[Outcome]:
    postback = bench.postback(bench.event())
    if not postback.body:
        return [NotApplicable(why="the notification sends no body", by_settings=True)]
    sent = await bench.send_bytes(_chunked_bytes(postback))
    if sent.status == 411:
        return [NotApplicable(why="answered 411: it wants a length, which RFC 9110 §15.5.12 allows")]
    return [must_accept(sent, "a chunked body")]


def _chunked_bytes(postback: Postback) -> bytes:
    _, data = request_bytes(postback)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    middle = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:middle], body[middle:]) if part)
    return b"\r\n".join((*lines, b"Transfer-Encoding: chunked", b"", b"")) + chunks + b"0\r\n\r\n"


async def _in_pieces(bench: Bench) -> Iterable[Outcome]:
    event = bench.event()
    _, data = request_bytes(bench.postback(event))
    fault = ProxyFault(kind="slow", piece=max(1, len(data) // 8), pause_ns=5_000_000)
    async with bench.proxy(fault) as proxy:
        (sent,) = await bench.send([event], via=proxy)
    return [must_accept(sent, "a request that arrived in several pieces")]


async def _connection_close(bench: Bench) -> Iterable[Outcome]:
    postback = bench.postback(bench.event())
    sent = await bench.send_postback(replace(postback, headers=(*postback.headers, ("Connection", "close"))))
    return [must_accept(sent, "a request with Connection: close")]


async def _keep_alive(bench: Bench) -> Iterable[Outcome]:
    # A way of its own: a sender keeps no connection of a server that has closed one on it before.
    async with bench.proxy() as proxy:
        sents = await bench.send([bench.event() for _ in range(5)], via=proxy)
    return [must_accept(sent, f"request {number} on a connection") for number, sent in enumerate(sents, start=1)]


async def _header_case(bench: Bench) -> Iterable[Outcome]:
    _, data = request_bytes(bench.postback(bench.event()))
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    lower = [name.lower() + b":" + value for name, _, value in (line.partition(b":") for line in lines)]
    sent = await bench.send_bytes(b"\r\n".join((first, *lower, b"", b"")) + body, method=bench.notification.method)
    return [must_accept(sent, "a request with header names in small letters")]


def _tokens(bench: Bench) -> Iterator[Token]:
    """Yield the tokens that the notification sends and the catalogue knows, without those of items."""
    wanted = _names(bench)
    yield from (
        token for token in bench.notification.catalogue.tokens(bench.notification.event) if token.name in wanted
    )


def _names(bench: Bench) -> frozenset[str]:
    body = bench.notification.body
    return bench.notification.url.names | (body.names if body is not None else frozenset[str]())


def _has_items(bench: Bench) -> bool:
    return any("." in name for name in _names(bench))


def _is_within_floor(postback: Postback) -> bool:
    return len(postback.body) <= FLOOR_BODY_BYTES and len(postback.url) <= FLOOR_URL_BYTES


_LENIENT_FIX: Final = "Take what the notification sends as it is: every value is text, and any may be empty."

CASES: Final = (
    Case(
        id="accepts.documented-example",
        level="MUST",
        requirement="The documented example of an event is accepted.",
        fix="See what the endpoint misses in it; its log says why it refused.",
        sources=(ACKNOWLEDGE,),
        run=_documented,
    ),
    Case(
        id="accepts.all-kinds",
        level="MUST",
        requirement="Everything that can happen to an action, and every documented value, is accepted.",
        fix="Do not refuse a status or a value because it is rare: what is refused is lost.",
        sources=(ACKNOWLEDGE, NO_RETRY),
        run=_all_kinds,
    ),
    Case(
        id="accepts.empties",
        level="MUST",
        requirement="A postback in which everything is empty that may be is accepted.",
        fix="Guard each date and number: absent values come as empty texts.",
        sources=(CAPTURED_CALLS(),),
        run=_empties,
    ),
    Case(
        id="accepts.unicode",
        level="MUST",
        requirement="Any text is accepted: quotes, markup, accents, emoji, any direction.",
        fix="Let a parser read the request, use parameters in SQL, and UTF-8 all the way to the database (utf8mb4).",
        sources=(ACKNOWLEDGE, OURS),
        run=_unicode,
    ),
    Case(
        id="accepts.text-kept",
        level="MUST",
        requirement="Texts are recorded as they were sent.",
        fix="Do not trim, unescape, shorten or re-encode texts: a sub id that differs matches no click.",
        sources=(OURS,),
        run=_text_kept,
        needs=("probe",),
    ),
    Case(
        id="accepts.dates-kept",
        level="MUST",
        requirement="Dates are recorded as the instants that they are.",
        fix="Read the offset of a date and keep it, or convert to UTC; never drop it.",
        sources=(CAPTURED_CALLS(),),
        run=_dates_kept,
        needs=("probe",),
    ),
    Case(
        id="accepts.long-text",
        level="SHOULD",
        requirement=f"Texts of {_LONG_TEXT} letters are accepted, and recorded whole.",
        fix="Give texts room in the database; impact.com names no limit for them.",
        sources=(OURS,),
        run=_long_text,
    ),
    Case(
        id="accepts.many-items",
        level="MUST",
        requirement=f"Orders of up to {_MANY_ITEMS} items are accepted, as far as the request stays within "
        f"{FLOOR_BODY_BYTES // 1024} KiB of body or {FLOOR_URL_BYTES} bytes of URL.",
        fix="Raise the limit of the server for bodies, or for URLs; a request over it is refused and lost.",
        sources=(URL_LENGTH, OURS),
        run=_many_items,
    ),
    Case(
        id="accepts.generated",
        level="MUST",
        requirement="Generated events of the notification's kind are accepted.",
        fix=_LENIENT_FIX,
        sources=(ACKNOWLEDGE, OURS),
        run=_generated,
    ),
    Case(
        id="accepts.unknown-extras",
        level="INFO",
        requirement="A header or field that nobody announced breaks nothing.",
        fix="Ignore what you do not know: proxies add headers, and brands add fields.",
        sources=(HTTP(section="§5.1: unrecognized fields"), OURS),
        run=_unknown_extras,
    ),
    Case(
        id="accepts.chunked",
        level="SHOULD",
        requirement="A body in chunks is accepted, or refused with 411.",
        fix="Let the server in front of the endpoint put chunks together; do not rely on Content-Length.",
        sources=(HTTP_1(section="§7.1"), HTTP(section="§15.5.12")),
        run=_chunked,
    ),
    Case(
        id="accepts.in-pieces",
        level="MUST",
        requirement="A request that arrives in several pieces is accepted.",
        fix="Read until the body is complete; one read from a socket is not one request.",
        sources=(HTTP_1(section="§6.2"),),
        run=_in_pieces,
    ),
    Case(
        id="accepts.connection-close",
        level="MUST",
        requirement="A request with Connection: close is answered like any other.",
        fix="Answer before the connection is closed.",
        sources=(HTTP_1(section="§9.6"),),
        run=_connection_close,
    ),
    Case(
        id="accepts.keep-alive",
        level="MUST",
        requirement="Several requests after each other, on one connection where the endpoint keeps it, are accepted.",
        fix="Read each request to its end, say Connection: close before closing, send exactly Content-Length bytes.",
        sources=(HTTP_1(section="§9.3"),),
        run=_keep_alive,
    ),
    Case(
        id="accepts.header-case",
        level="MUST",
        requirement="Names of headers mean the same in small letters.",
        fix="Look headers up without regard to case; proxies and HTTP/2 write them small.",
        sources=(HTTP(section="§5.1: case-insensitive"),),
        run=_header_case,
    ),
)
