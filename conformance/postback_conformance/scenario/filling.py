"""Fills in what a scenario does not say: conversions, new figures and reasons, the same ones for the same seed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import count, cycle, islice
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.generating.action_strategies import actions
from postback_conformance.generating.generation import draw_endlessly
from postback_conformance.generating.wire_strategies import CENT, POSITIVE_AMOUNTS
from postback_conformance.scenario.script import Role, Scenario, Step
from postback_sender.action import REVERSAL_REASONS, Action, Conversion, Item, Money
from postback_sender.program_time import in_zone, start_of_day

T = TypeVar("T")

# Drawing one takes milliseconds. From here on what was drawn comes again, under other ids.
_MOST_DRAWN = 100
_MAX_ITEMS = 4
# When generated conversions are tracked; each is moved to when its action really is.
_REFERENCE = datetime(2026, 1, 1, tzinfo=UTC)
_CONVERSIONS = actions(started_at=_REFERENCE, max_updates=0, max_items=_MAX_ITEMS).map(lambda action: action.conversion)


class _Change(NamedTuple):
    money: Money
    reason: str


_CHANGES = st.builds(
    _Change,
    money=st.builds(Money, payout=POSITIVE_AMOUNTS, amount=POSITIVE_AMOUNTS),
    reason=st.sampled_from(REVERSAL_REASONS),
)


class Filling:
    """The values of one run of a scenario: each call takes the next ones of its seed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._conversions = _then_again(draw_endlessly(_CONVERSIONS, seed=seed))
        self._changes = _then_again(draw_endlessly(_CHANGES, seed=seed))
        program = next(self._conversions)
        self._zone: tzinfo = scenario.zone or program.zone
        self._campaign_id = scenario.campaign_id or program.campaign_id
        self._taken = {
            sequence
            for role in scenario.actions.values()
            if role.sequence is not None
            for sequence in range(role.sequence, role.sequence + role.count)
        }
        self._sequences = count(program.sequence)

    def conversion(
        self, role: Role, *, number: int, tracked_at: datetime, changes_until: datetime | None
    ) -> Conversion:
        """Return the conversion of the `number`-th action (from 0) of a role.

        It locks after `changes_until`, or on a day that nobody has set when that is None; the role may say otherwise.
        Raises `ValueError` for what no conversion can hold.
        """
        drawn = next(self._conversions)
        amount, items = role.amount, role.items
        if items is None:
            items = drawn.items if amount is None else ()
        if amount is None:
            amount = drawn.money.amount if role.items is None else _total(items)
        payout = drawn.money.payout if role.payout is None else role.payout
        currency = role.currency or drawn.currency
        original = (drawn.original_currency, drawn.original_amount)
        if (role.amount, role.items, role.currency, role.original_amount, role.original_currency) != (None,) * 5:
            original = (role.original_currency or currency, amount)
        return Conversion(
            campaign_id=self._campaign_id,
            sequence=self._sequence() if role.sequence is None else role.sequence + number,
            zone=self._zone,
            event_date=(tracked_at - (_REFERENCE - drawn.event_date)).replace(microsecond=0),
            money=Money(payout=payout, amount=amount),
            currency=currency,
            original_currency=original[0],
            original_amount=original[1] if role.original_amount is None else role.original_amount,
            locking_date=self._locking_date(role, drawn, tracked_at, changes_until),
            items=items,
            texts={name: text for name, text in {**drawn.texts, **role.texts}.items() if text},
        )

    def figures(self, action: Action, step: Step) -> tuple[Money, tuple[Item, ...]]:
        """Return the figures and lines of an action after a modification.

        Lines that added up to the amount still do, also where the step names the amount alone.
        """
        payout, amount = step.payout, step.amount
        if payout is None and amount is None and step.items is None:
            drawn = next(self._changes).money
            payout = drawn.payout
            # Other than before and than intended, so that there is something to restore.
            while payout in {action.current.payout, action.intended.payout}:
                payout += CENT
            # What was tracked without an amount, such as a sign-up, keeps having none.
            amount = drawn.amount if action.current.amount else action.current.amount
        if amount is None:
            amount = action.current.amount if step.items is None else _total(step.items)
        money = Money(payout=action.current.payout if payout is None else payout, amount=amount)
        if step.items is not None:
            return money, step.items
        adds_up = _total(action.items) == action.current.amount
        return money, _spread(action.items, amount) if action.items and adds_up else action.items

    def reason(self) -> str:
        """Return a reason for a reversal."""
        return next(self._changes).reason

    def _sequence(self) -> int:
        return next(sequence for sequence in self._sequences if sequence not in self._taken)

    def _locking_date(
        self, role: Role, drawn: Conversion, tracked_at: datetime, changes_until: datetime | None
    ) -> date | None:
        if role.locks_after_ns is not None:
            earliest = in_zone(tracked_at + timedelta(microseconds=role.locks_after_ns // 1000), self._zone)
            day = earliest.date()
            return day if start_of_day(day, self._zone) >= earliest else day + timedelta(days=1)
        if changes_until is None or drawn.locking_date is None:
            return None
        return in_zone(changes_until, self._zone).date() + (drawn.locking_date - drawn.event_day)


def _total(items: tuple[Item, ...]) -> Decimal:
    return sum((item.amount for item in items), Decimal(0))


def _spread(items: tuple[Item, ...], amount: Decimal) -> tuple[Item, ...]:
    """Return the lines filled up to a new amount, from the first to the last, which takes what is left."""
    lines: list[Item] = []
    for item in items[:-1]:
        lines.append(replace(item, amount=min(item.amount, amount)))
        amount -= lines[-1].amount
    return (*lines, replace(items[-1], amount=amount))


def _then_again(values: Iterator[T]) -> Iterator[T]:
    """Yield the first values, and from then on the same ones over and over."""
    kept: list[T] = []
    for value in islice(values, _MOST_DRAWN):
        kept.append(value)
        yield value
    yield from cycle(kept)
