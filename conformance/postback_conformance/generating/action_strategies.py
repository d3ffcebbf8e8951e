"""Hypothesis strategies for what impact.com sends: order items, actions, their life cycles, events.

Values respect the token catalogue and are legal on the wire, yet nasty: quotes and markup, text from right to left,
characters of four bytes, very long and empty texts, blanks at the end, offsets of 45 minutes, conversions around the
hour in which the clocks of their zone switch, orders of 1000 lines.
Texts hold no control characters but tab and line feed, so that each can stand in XML; pass `texts=st.text()` for more.
Every nasty value sits behind a branch whose first choice is a plain one, so a failure shrinks to plain values.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from msgspec.structs import replace

from postback_conformance.generating.own_tokens import events_by_catalogue, with_own_tokens
from postback_conformance.generating.wire_strategies import (
    AMOUNTS,
    CENT,
    CURRENCIES,
    INSTANTS,
    POSITIVE_AMOUNTS,
    prepared,
    texts_by_token,
    wire_texts,
)
from postback_conformance.generating.wrong_options import invalid
from postback_conformance.generating.zones import ZONES, RuleZone, switches
from postback_sender.action import (
    MAX_MODIFICATIONS,
    NOTHING,
    REVERSAL_REASONS,
    TYPED_TOKENS,
    Action,
    Conversion,
    Item,
    Money,
    approve,
    clear,
    modify,
    restore,
    reverse,
    track,
)
from postback_sender.event import Event
from postback_sender.program_time import in_zone
from postback_sender.tokens import CATALOGUE, Catalogue

_MANY_ITEMS = 1000
_DIFFERENT_ITEMS = 4
_LONGEST_SKU = 40

_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_LONGEST_GAP = 4 * _DAY
_LONGEST_MAX_GAP = 366 * _DAY
# A pinned clock must leave room for a day number before it and for a whole life after it.
_PINNED_FROM = datetime(2008, 1, 3, tzinfo=UTC)
_PINNED_TO = datetime(9000, 1, 1, tzinfo=UTC)

_CLEARING_TAKES = st.integers(1, 60 * 86_400)
# Shrinks to False.
_RARELY = st.sampled_from((*[False] * 9, True))
# Now and then an order is huge.
_IS_HUGE = st.sampled_from((*[False] * 24, True))
_SOMETIMES = st.sampled_from((False, False, True))
_ZONES = st.sampled_from(ZONES)
# Within two hours of a switch lie the hour that is skipped and the one that comes twice.
_AROUND_A_SWITCH = st.integers(-7200, 7200)

_Ending = Literal["open", "approved", "cleared"]
_History = list[tuple[Action, Event | None]]


def items(*, texts: SearchStrategy[str] | None = None) -> SearchStrategy[Item]:
    """Lines of an order; `texts` replaces the texts they are made of."""
    texts = wire_texts() if texts is None else texts
    return st.builds(
        Item,
        sku=texts.map(lambda text: text[:_LONGEST_SKU]),
        amount=AMOUNTS,
        quantity=st.integers(1, 100),
        category=texts,
        name=texts,
        # Never empty: the documented body writes it without quotes, so that an empty one would not be JSON.
        cart_amount=AMOUNTS,
        rebate=st.one_of(st.none(), AMOUNTS),
    )


def actions(
    *,
    started_at: datetime | None = None,
    max_updates: int = 5,
    max_items: int = _MANY_ITEMS,
    texts: SearchStrategy[str] | None = None,
) -> SearchStrategy[Action]:
    """Actions anywhere in their lives, each reached by legal steps; options as for `lifecycles`."""
    histories = _histories(
        ("open", "approved", "cleared"),
        started_at=started_at,
        max_updates=max_updates,
        max_items=max_items,
        texts=texts,
    )
    return prepared(histories.map(lambda history: history[-1][0]))


def lifecycles(
    *,
    started_at: datetime | None = None,
    max_updates: int = 5,
    max_gap: timedelta = _LONGEST_GAP,
    max_items: int = _MANY_ITEMS,
    clearing: bool = True,
    texts: SearchStrategy[str] | None = None,
) -> SearchStrategy[list[Event]]:
    """All events of one action, in the order and at the times they happened.

    The first says that the action was tracked, between 2 seconds and 1 hour after the conversion; `started_at` (aware)
    pins the time of this event. Then come up to `max_updates` modifications, reversals and restorations, each at most
    `max_gap` after the one before. With `clearing`, some lives end with approval, which is silent, and a clearing event
    at least a day after the last update; for that, a reversed action is restored first, beyond `max_updates`.
    `max_items` bounds the lines of the order, and `texts` replaces the texts a person typed.

    An action stands at no payout and no amount only when it is reversed, or when it was tracked like that; so where the
    walk of its money ends tells its status. While an order has lines, their amounts add up to the action's.
    """
    endings: tuple[_Ending, ...] = ("open", "cleared") if clearing else ("open",)
    histories = _histories(
        endings, started_at=started_at, max_updates=max_updates, max_gap=max_gap, max_items=max_items, texts=texts
    )
    return prepared(histories.map(_events_of))


def events(
    *, kind: str | None = None, catalogue: Catalogue = CATALOGUE, texts: SearchStrategy[str] | None = None
) -> SearchStrategy[Event]:
    """Single events of one kind, or of any; those of an action come from somewhere in its life.

    `catalogue` is that of a notification whose own tokens and kinds should occur.
    """
    if kind is None:
        return st.one_of([events(kind=each, catalogue=catalogue, texts=texts) for each in catalogue.kinds])
    if kind not in catalogue.kinds:
        return invalid(f"expected an event kind, one of {', '.join(catalogue.kinds)}, got {kind!r}")
    match catalogue.kinds[kind].like:
        case "action_lifecycle":
            lives = lifecycles(clearing=False, texts=texts)
        case "action_clearing":
            lives = _histories(("cleared",), texts=texts).map(lambda history: _events_of(history)[-1:])
        case _:
            return events_by_catalogue(kind, catalogue, texts)
    return prepared(with_own_tokens(lives, kind, catalogue, texts).flatmap(st.sampled_from))


class _Move(NamedTuple):
    """One draw of everything an update may need; how much of it counts depends on where the action stands."""

    step: Literal["modify", "reverse", "restore"]
    gap: int
    money: Money
    item: int
    reason: str


def _histories(
    endings: tuple[_Ending, ...],
    *,
    started_at: datetime | None = None,
    max_updates: int = 5,
    max_gap: timedelta = _LONGEST_GAP,
    max_items: int = _MANY_ITEMS,
    texts: SearchStrategy[str] | None = None,
) -> SearchStrategy[_History]:
    """Whole lives: the action after each step, with the event of the step if there is one."""
    problem = _problem_with(started_at=started_at, max_updates=max_updates, max_gap=max_gap, max_items=max_items)
    if problem:
        return invalid(problem)
    unit = _SECOND if max_gap >= _SECOND else _MILLISECOND
    moves = st.builds(
        _Move,
        step=st.sampled_from(("modify", "reverse", "restore")),
        gap=st.integers(1, max_gap // unit),
        money=st.builds(Money, payout=AMOUNTS, amount=POSITIVE_AMOUNTS),
        item=st.integers(0, _MANY_ITEMS),
        reason=st.sampled_from(REVERSAL_REASONS),
    )
    return _lives(
        started_at=started_at,
        endings=st.sampled_from(endings),
        orders=_orders(max_items, items(texts=texts)),
        texts=texts_by_token(_TOKENS_OF_TEXTS, texts),
        moves=st.lists(moves, max_size=max_updates),
        unit=unit,
        updates_take=(max_updates + 1) * max_gap,
    )


@st.composite
def _lives(
    draw: DrawFn,
    *,
    started_at: datetime | None,
    endings: SearchStrategy[_Ending],
    orders: SearchStrategy[tuple[Item, ...]],
    texts: SearchStrategy[Mapping[str, str]],
    moves: SearchStrategy[list[_Move]],
    unit: timedelta,
    updates_take: timedelta,
) -> _History:
    zone = draw(_ZONES)
    # All arithmetic is in UTC: in a zone Python adds to the face of the clock, not to the time.
    at = draw(_instants_in(zone)) if started_at is None else started_at.astimezone(UTC)
    ending = draw(endings)
    conversion = draw(
        _conversions(at, zone, orders=orders, texts=texts, locks_after=updates_take, always_locks=ending != "open")
    )
    history: _History = [track(conversion, at=at)]
    for move in draw(moves):
        at += move.gap * unit
        update = _update(history[-1][0], move, at, stays_open=ending == "open")
        if update is None:
            break
        history.append(update)
    locks_at = conversion.locks_at
    if ending == "open" or locks_at is None:
        return history
    if history[-1][0].stage == "REVERSED":
        history.append(restore(history[-1][0], at=at + unit))
    history.append((approve(history[-1][0]), None))
    if ending == "cleared":
        history.append(clear(history[-1][0], at=locks_at + draw(_CLEARING_TAKES) * _SECOND))
    return history


@st.composite
def _instants_in(draw: DrawFn, zone: RuleZone) -> datetime:
    instant = draw(INSTANTS)
    near = switches(zone, instant.year)
    if not near or not draw(_SOMETIMES):
        return instant
    return draw(st.sampled_from(near)) + draw(_AROUND_A_SWITCH) * _SECOND


@st.composite
def _conversions(
    draw: DrawFn,
    tracked_at: datetime,
    zone: RuleZone,
    *,
    orders: SearchStrategy[tuple[Item, ...]],
    texts: SearchStrategy[Mapping[str, str]],
    locks_after: timedelta,
    always_locks: bool,
) -> Conversion:
    # The wire cuts fractions off, which can add a second to what lies between the conversion and its tracking.
    event_date = (tracked_at - draw(st.integers(2, 3599)) * _SECOND).replace(microsecond=0)
    locking_date = None
    if always_locks or not draw(_RARELY):
        # Two days more than the updates take: the conversion's day is not over, and its offset may differ.
        event_day = in_zone(event_date, zone).date()
        locking_date = event_day + locks_after + (2 + draw(st.integers(0, 90))) * _DAY
    lines = draw(orders)
    amount = sum((line.amount for line in lines), Decimal(0)) if lines else draw(AMOUNTS)
    currency = draw(CURRENCIES)
    original = draw(st.one_of(st.just((currency, amount)), st.tuples(CURRENCIES, AMOUNTS)))
    return Conversion(
        campaign_id=draw(st.integers(1, 99_999)),
        sequence=draw(st.integers(1, 999_999)),
        zone=zone,
        event_date=event_date,
        money=Money(payout=draw(AMOUNTS), amount=amount),
        currency=currency,
        original_currency=original[0],
        original_amount=original[1],
        locking_date=locking_date,
        items=lines,
        texts=draw(texts),
    )


def _update(action: Action, move: _Move, at: datetime, *, stays_open: bool) -> tuple[Action, Event] | None:
    """Take the step of the move, or the nearest one that is legal here; None when there is none."""
    # An action tracked without money would be restored to no money: PENDING where everybody must read REVERSED.
    restorable = action.intended != NOTHING
    if action.stage == "REVERSED":
        return restore(action, at=at) if restorable else None
    if move.step == "reverse" and (restorable or stays_open):
        return reverse(action, reason=move.reason, at=at)
    if move.step == "restore" and restorable and action.current != action.intended:
        return restore(action, at=at)
    if action.current.amount == 0:
        free = Money(payout=max(move.money.payout, CENT), amount=action.current.amount)
        return modify(action, money=free, at=at)
    if not action.items:
        return modify(action, money=move.money, at=at)
    changed = move.item % len(action.items)
    lines = tuple(
        replace(line, amount=move.money.amount) if index == changed else line for index, line in enumerate(action.items)
    )
    money = Money(payout=move.money.payout, amount=sum((line.amount for line in lines), Decimal(0)))
    return modify(action, money=money, items=lines, at=at)


def _events_of(history: _History) -> list[Event]:
    return [event for _, event in history if event is not None]


def _orders(max_items: int, lines: SearchStrategy[Item]) -> SearchStrategy[tuple[Item, ...]]:
    # Few different lines, repeated under other article numbers: drawing each of 1000 lines would leave no room for
    # anything else in what Hypothesis lets one value draw.
    few = st.lists(lines, max_size=min(max_items, _DIFFERENT_ITEMS)).map(tuple)
    if max_items < _MANY_ITEMS:
        return few
    different = st.lists(lines, min_size=_DIFFERENT_ITEMS, max_size=_DIFFERENT_ITEMS)
    many = different.map(lambda drawn: _repeated(drawn, _MANY_ITEMS))
    return _IS_HUGE.flatmap(lambda is_huge: many if is_huge else few)


def _repeated(lines: list[Item], count: int) -> tuple[Item, ...]:
    repeats = (replace(lines[index % len(lines)], sku=f"APP-{index}") for index in range(len(lines), count))
    return (*lines, *repeats)


def _problem_with(*, started_at: datetime | None, max_updates: int, max_gap: timedelta, max_items: int) -> str:
    """Say what is wrong with the options of a life, or nothing."""
    if started_at is not None and started_at.utcoffset() is None:
        return f"expected started_at with an offset, got {started_at!r}"
    if started_at is not None and not _PINNED_FROM <= started_at <= _PINNED_TO:
        return f"expected started_at from {_PINNED_FROM:%Y-%m-%d} to {_PINNED_TO:%Y-%m-%d}, got {started_at!r}"
    if max_updates < 0 or max_items < 0:
        return f"expected max_updates and max_items of at least 0, got {max_updates} and {max_items}"
    if max_updates > MAX_MODIFICATIONS:
        return f"expected max_updates of at most {MAX_MODIFICATIONS}, got {max_updates}"
    if not _MILLISECOND <= max_gap <= _LONGEST_MAX_GAP:
        return f"expected max_gap from a millisecond to {_LONGEST_MAX_GAP.days} days, got {max_gap}"
    return ""


_TOKENS_OF_TEXTS = tuple(
    token
    for token in CATALOGUE.tokens("action_lifecycle")
    if token.certainty == "official" and token.type != "list" and token.name not in TYPED_TOKENS
)
