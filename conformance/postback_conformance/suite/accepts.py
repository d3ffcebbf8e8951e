"""What an endpoint has to accept, and to record: everything that impact.com may send."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import Final

from msgspec.structs import replace

from postback_conformance.generating.generation import draw_endlessly
from postback_conformance.judging.held_tokens import held_fields, held_names, held_tokens
from postback_conformance.judging.verdict import Fail, NotApplicable, Outcome
from postback_conformance.judging.wire_money import money_text, wire_money
from postback_conformance.rules.fact_sources import CAPTURED_CALLS
from postback_conformance.strategies import events as any_events
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import ACKNOWLEDGE, NO_RETRY, OURS, URL_LENGTH
from postback_conformance.suite.free_texts import LEGAL_TEXTS, free_texts
from postback_conformance.suite.kept import looked_up, text_differences
from postback_conformance.suite.outcomes import accepted_each, must_take, settings_fault
from postback_sender import Event, Postback
from postback_sender.action import Money, approve, clear, modify, restore, reverse, track
from postback_sender.quantities import NANOSECONDS_PER_SECOND

FLOOR_BODY_BYTES: Final = 64 * 1024
"""What an endpoint has to take at least; impact.com names no limit, and servers begin at 100 kB."""
FLOOR_URL_BYTES: Final = 8000

_SECRET: Final = "See that the notification sends the secret that the endpoint asks for, in its headers or its URL."
_FIXES: Final = {
    401: _SECRET,
    403: _SECRET,
    404: "See that this is the URL postbacks are sent to, with its path.",
    405: "See that the notification's method is the one the endpoint takes.",
    415: "See that the notification's body_format is the one the endpoint takes.",
}

_MANY_ITEMS: Final = 1000
_LONG_TEXT: Final = 500
# An endpoint that takes long, and not too long, must not be asked beyond the time that a case may take.
_GENERATES_FOR_NS: Final = 30 * NANOSECONDS_PER_SECOND


async def _documented(bench: Bench) -> Iterable[Outcome]:
    what, event = "the documented example", bench.event()
    if fault := settings_fault(bench.notification, bench.postback(event)):
        return [NotApplicable(why=f"{what}: {fault}")]
    (sent,) = await bench.send([event])
    outcome = await must_take(bench, event, sent, what)
    fix = _FIXES.get(sent.status or 0)
    return [replace(outcome, fix=fix) if fix and isinstance(outcome, Fail) else outcome]


async def _all_kinds(bench: Bench) -> Iterable[Outcome]:
    outcomes = await accepted_each(bench, dict(_life(bench)))
    used = {token.name: token for token in held_tokens(bench.notification)}
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
    empty = {token.name: "" for token in held_tokens(bench.notification) if token.may_be_empty and token.type != "list"}
    if not empty:
        return [NotApplicable(why="every value the notification sends is always there", by_settings=True)]
    cases = {
        "a postback in which all is empty that may be": bench.event(empty),
        "a postback without items": bench.event(items=()),
    }
    return await accepted_each(bench, cases)


async def _unicode(bench: Bench) -> Iterable[Outcome]:
    names = free_texts(bench.notification, held_names(bench.notification))
    if not names:
        return [NotApplicable(why="the notification sends no free text", by_settings=True)]
    return await accepted_each(
        bench, {what: bench.event(dict.fromkeys(names, text)) for what, text in LEGAL_TEXTS.items()}
    )


async def _long_text(bench: Bench) -> Iterable[Outcome]:
    names = free_texts(bench.notification, held_names(bench.notification))
    outcomes: list[Outcome] = []
    text = "x" * _LONG_TEXT
    for name in names:
        event = bench.event({name: text})
        if not _is_within_floor(bench.postback(event)):
            continue
        (sent,) = await bench.send([event])
        what = f"{name} of {_LONG_TEXT} letters"
        outcomes.append(await must_take(bench, event, sent, what))
        if not sent.is_answered:
            break
        if bench.probe is not None:
            outcomes += text_differences([name], text, what, await looked_up(bench, event, sent), sent)
    return outcomes or [NotApplicable(why="the notification sends no free text", by_settings=True)]


async def _many_items(bench: Bench) -> Iterable[Outcome]:
    if not held_fields(bench.notification):
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
    until_ns = bench.clock.monotonic_ns() + _GENERATES_FOR_NS
    # Some are larger than an endpoint has to take.
    for drawn in islice(draw_endlessly(strategy, seed=bench.seed), 4 * bench.max_examples):
        fresh = {name: text for name, text in bench.event().values.items() if name in {"ActionId", "Id"}}
        event = replace(drawn, values={**drawn.values, **fresh})
        postback = bench.postback(event)
        if _is_within_floor(postback) and not settings_fault(bench.notification, postback):
            *_, sent = await bench.send([*_what_was_before(bench, event), event])
            outcomes.append(
                await must_take(bench, event, sent, f"the generated event {len(outcomes)} of seed {bench.seed}")
            )
            is_over = len(outcomes) == bench.max_examples or bench.clock.monotonic_ns() > until_ns
            if is_over or not sent.is_answered:
                break
    return outcomes or [NotApplicable(why="no generated event was small enough for this method, and well-formed")]


def _what_was_before(bench: Bench, event: Event) -> Iterator[Event]:
    """Yield an update that leads to where this one begins: without it, an endpoint may well put this one off."""
    if bench.like != "action_lifecycle" or bench.notification.level == "event":
        return
    before: dict[str, str] = {}
    for figure in ("Payout", "Amount"):
        now, delta = (wire_money(event.values.get(name, "")) for name in (figure, f"Delta{figure}"))
        if now is None or delta is None:
            return
        before |= dict.fromkeys((figure, f"Delta{figure}"), money_text(now - delta))
    if any(wire_money(text) for text in before.values()):
        yield replace(event, values={**event.values, **before, "Status": "PENDING"})


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
)
