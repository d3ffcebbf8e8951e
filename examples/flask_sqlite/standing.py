"""Where an action stands, told from its updates in whatever order they came."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol, TypeVar

Point = tuple[Decimal, Decimal]
"""Payout and amount."""


class Update(Protocol):
    """What a postback tells of its action: how it stands after the update, and what has changed."""

    @property
    def status(self) -> str: ...
    @property
    def payout(self) -> Decimal: ...
    @property
    def amount(self) -> Decimal: ...
    @property
    def delta_payout(self) -> Decimal: ...
    @property
    def delta_amount(self) -> Decimal: ...


AnUpdate = TypeVar("AnUpdate", bound=Update)


def standing(updates: Sequence[AnUpdate]) -> AnUpdate:
    """Return the update that tells how an action stands; `updates` are all that arrived, at least one, in that order.

    No postback has a number, and any may overtake another. But each tells where its update began (the figures minus
    the deltas) and where it ended, so that the updates make a walk that begins at nothing. Where it has come to is the
    one place that is entered once more than it is left. What is approved does not change any more.
    """
    approved = [update for update in updates if update.status == "APPROVED"]
    if approved:
        return approved[-1]
    moves = {(_start(update), _end(update)) for update in updates}
    visits = Counter[Point]([(Decimal(0), Decimal(0))])
    visits.update(end for _, end in moves)
    visits.subtract(start for start, _ in moves)
    # While an update is still missing there may be several such places; the latest to arrive is the best guess.
    return next((update for update in reversed(updates) if visits[_end(update)] > 0), updates[-1])


def _start(update: Update) -> Point:
    return update.payout - update.delta_payout, update.amount - update.delta_amount


def _end(update: Update) -> Point:
    return update.payout, update.amount
