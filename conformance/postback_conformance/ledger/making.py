"""Makes actions move: each step of a life gives the update to send, and its place among those of its action."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from postback_conformance.ledger.step import Send
from postback_sender.action import (
    NOTHING,
    TRANSITIONS,
    Action,
    Conversion,
    Money,
    approve,
    clear,
    modify,
    restore,
    reverse,
    track,
)
from postback_sender.event import Event
from postback_sender.notification import Notification

CENT: Final = Decimal("0.01")
_GAP: Final = timedelta(seconds=1)


class Life:
    """One action from its first update on. `updates` are all that were made."""

    def __init__(self, notification: Notification, conversion: Conversion, at: datetime) -> None:
        self._kind, self._like = notification.event, notification.catalogue.kinds[notification.event].like
        self._at = at
        self.updates: list[Send] = []
        self.action, event = track(conversion, at=at)
        self._made(event)

    @property
    def action_id(self) -> str:
        return self.action.action_id

    @property
    def newest(self) -> Send:
        """The update that was made last."""
        return self.updates[-1]

    @property
    def can_be_modified(self) -> bool:
        return self.action.stage == "PENDING" and self.action.current.amount > 0

    @property
    def can_be_reversed(self) -> bool:
        return self.action.stage == "PENDING" and self.action.current != NOTHING

    @property
    def can_be_restored(self) -> bool:
        """An action without money would be restored to none: PENDING, where everybody must read REVERSED."""
        is_elsewhere = self.action.current != self.action.intended
        return "restore" in TRANSITIONS[self.action.stage] and is_elsewhere and self.action.intended != NOTHING

    @property
    def can_be_cleared(self) -> bool:
        return self.action.stage == "PENDING"

    def modify(self, payout: Decimal, amount: Decimal) -> Send:
        """Set new figures, each at least a cent: nothing at all would be a reversal."""
        money = Money(payout=max(payout, CENT), amount=max(amount, CENT))
        return self._take(lambda at: modify(self.action, money=money, items=(), at=at))

    def reverse(self, reason: str = "ITEM_RETURNED") -> Send:
        """Take everything back."""
        return self._take(lambda at: reverse(self.action, reason=reason, at=at))

    def restore(self) -> Send:
        """Return to what it was meant to be."""
        return self._take(lambda at: restore(self.action, at=at))

    def clear(self) -> Send:
        """Lock it, of which nobody is told, and clear its commission."""
        self.action = approve(self.action)
        return self._take(lambda at: clear(self.action, at=at))

    def _take(self, step: Callable[[datetime], tuple[Action, Event]]) -> Send:
        self._at += _GAP
        self.action, event = step(self._at)
        return self._made(event)

    def _made(self, event: Event) -> Send:
        # A kind of the partner's own is told like the documented one that it is like.
        event = replace(event, kind=self._kind) if event.kind == self._like else event
        self.updates.append(Send(event=event, made=len(self.updates)))
        return self.newest
