"""`Action`: what impact.com knows of one conversion, and how it changes during its life.

A life is a walk in the plane of (payout, amount). The action keeps the point where it stands, the point where it stood
before its last update, and the point where it was meant to stand; so every relation between the current, the delta and
the intended figures holds by construction. Steps are pure: they return the new action and, where impact.com reports the
step, the event of it. No figure is ever a float and none is ever rounded. Money has two decimals on the wire in every
currency, also in those without cents: every captured call has two, and impact.com's widest money is decimal(18,2).
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, tzinfo
from decimal import Context, Decimal
from typing import Literal

import msgspec
from msgspec.structs import replace

from postback_sender.errors import SenderError
from postback_sender.event import Event
from postback_sender.program_time import in_zone, start_of_day, wire_date
from postback_sender.tokens import EventKind

Status = Literal["PENDING", "APPROVED", "REVERSED"]
# Where an action is in its life. The wire knows no CLEARED: such an action still reads APPROVED, with a cleared date.
Stage = Literal["PENDING", "APPROVED", "REVERSED", "CLEARED"]
Step = Literal["modify", "reverse", "restore", "approve", "clear"]

# Which steps a stage allows, and where each one leads. Approval is final: after the locking date nothing changes any
# more, so an approved action can only clear.
TRANSITIONS: Mapping[Stage, Mapping[Step, Stage]] = {
    "PENDING": {"modify": "PENDING", "reverse": "REVERSED", "restore": "PENDING", "approve": "APPROVED"},
    "REVERSED": {"restore": "PENDING"},
    "APPROVED": {"clear": "CLEARED"},
    "CLEARED": {},
}

# Codes of the API. Brands can have reasons of their own as well, so any text is a reason.
REVERSAL_REASONS = (
    "ORDER_UPDATE",
    "ITEM_RETURNED",
    "CONS_FRAUD",
    "CONS_ERROR",
    "ORDER_ERROR",
    "PUB_ACT_DISPUTE",
    "ADV_ACT_DISPUTE",
    "NOT_COMPLIANCE_TERMS",
    "ITEM_OUT_OF_STOCK",
    "TEST_ACTION",
    "PARTNER_NOT_ACTIVE",
    "CREDITED_DIFFERENT_MP",
    "OTHER",
    "REJECTED",
    "CONS_INFO_INVALID",
    "MP_RETURNED",
)

# API documentation: an action can be modified a thousand times.
MAX_MODIFICATIONS = 1000

_WHOLE_DIGITS = 16
_CENT = Decimal("0.01")
# Sums of our own, so that a caller who computes with fewer digits does not round them.
_EXACT = Context(prec=28)

# Every known action id counts its days from here.
DAY_ZERO = date(2008, 1, 1)


class TransitionError(SenderError):
    """A step that the action does not allow where it stands; names the action, its stage and what is allowed."""


def _check_exact(figure: Decimal | None) -> None:
    """Refuse what impact.com's widest money, decimal(18,2), cannot hold."""
    if figure is None:
        return
    # A caller without a type checker: 1.5 is not 1.5 in binary.
    if not isinstance(figure, Decimal):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f'expected a Decimal such as Decimal("12.50"), got {figure!r}')
    if not figure.is_finite() or figure.adjusted() >= _WHOLE_DIGITS or figure != figure.quantize(_CENT, context=_EXACT):
        raise ValueError(f"expected an amount of at most {_WHOLE_DIGITS} digits and two decimals, got {figure}")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an order; `amount` is that of the whole line, not of one piece."""

    sku: str
    amount: Decimal
    quantity: int = 1
    category: str = ""
    name: str = ""
    cart_amount: Decimal | None = None
    rebate: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse figures that two decimals cannot hold."""
        for figure in (self.amount, self.cart_amount, self.rebate):
            _check_exact(figure)


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """A point in the plane in which an action moves: the partner's commission and the customer's sale amount."""

    payout: Decimal
    amount: Decimal

    def __post_init__(self) -> None:
        """Refuse negative figures, and those that two decimals cannot hold."""
        for figure in (self.payout, self.amount):
            _check_exact(figure)
            if figure < 0:
                raise ValueError(f"expected money of at least 0, got {figure}")


NOTHING = Money(payout=Decimal(0), amount=Decimal(0))


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What the brand reported: the part of an action that never changes.

    Dates are aware, in any zone; the wire tells them in `zone`, the program's, such as `ZoneInfo("Asia/Jerusalem")`.
    `locking_date` is a day there, at whose start the action locks. `creation_date` is absent in every captured call.
    `texts` holds every other wire text by token name (sub ids, click, geography), as it was typed: nothing is trimmed.
    """

    campaign_id: int
    sequence: int
    zone: tzinfo
    event_date: datetime
    money: Money
    currency: str = "USD"
    original_currency: str = ""
    original_amount: Decimal | None = None
    creation_date: datetime | None = None
    locking_date: date | None = None
    items: tuple[Item, ...] = ()
    texts: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse what the wire could not tell: naive dates, a lock inside a day, a text that a typed field holds."""
        _check_exact(self.original_amount)
        if self.event_day < DAY_ZERO:
            raise ValueError(f"expected an event date from {DAY_ZERO} on, got {self.event_date}")
        if self.creation_date is not None:
            in_zone(self.creation_date, self.zone)
        # Every datetime is a date to Python, and would lose its time here without a word.
        if isinstance(self.locking_date, datetime):
            raise TypeError(f"expected a locking date without a time, got {self.locking_date}")
        if self.locking_date is not None:
            start_of_day(self.locking_date, self.zone)
        if typed := TYPED_TOKENS & self.texts.keys():
            raise ValueError(f"expected texts without a field of their own, got {', '.join(sorted(typed))}")

    @property
    def event_day(self) -> date:
        """The day of the event in the program's zone."""
        return in_zone(self.event_date, self.zone).date()

    @property
    def locks_at(self) -> datetime | None:
        """The instant from which the action is locked, in the program's zone."""
        return None if self.locking_date is None else start_of_day(self.locking_date, self.zone)

    @property
    def action_id(self) -> str:
        """Campaign, day of the event, sequence: the pattern of the ids seen so far, promised by nobody."""
        return f"{self.campaign_id}.{(self.event_day - DAY_ZERO).days}.{self.sequence}"


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion and where it stands: `current` now, `previous` before its last update, `modifications` so far."""

    conversion: Conversion
    stage: Stage = "PENDING"
    status_detail: str = ""
    current: Money
    previous: Money = NOTHING
    items: tuple[Item, ...] = ()
    modifications: int = 0
    cleared_date: datetime | None = None

    @property
    def action_id(self) -> str:
        return self.conversion.action_id

    @property
    def status(self) -> Status:
        """The status as the wire tells it."""
        return "APPROVED" if self.stage == "CLEARED" else self.stage

    @property
    def intended(self) -> Money:
        return self.conversion.money

    @property
    def delta_payout(self) -> Decimal:
        return _EXACT.subtract(self.current.payout, self.previous.payout)

    @property
    def delta_amount(self) -> Decimal:
        return _EXACT.subtract(self.current.amount, self.previous.amount)


def track(conversion: Conversion, *, at: datetime, status_detail: str = "") -> tuple[Action, Event]:
    """Begin the life of an action: it stands where it is meant to stand, and its delta is all of it.

    The detail of a pending action is empty in captured calls; reports also know "Open", and codes of the brand's own.
    """
    action = Action(
        conversion=conversion, current=conversion.money, items=conversion.items, status_detail=status_detail
    )
    return action, _report(action, "action_lifecycle", at)


def modify(
    action: Action, *, money: Money, at: datetime, items: tuple[Item, ...] | None = None, status_detail: str = ""
) -> tuple[Action, Event]:
    """Set new figures; `items` are the lines as they stand afterwards, left out when they stay.

    A modification cannot take the whole amount, or all of the money, away: at impact.com that is a reversal. Nor is
    there a 1001st.
    """
    stage = _stage_after(action, "modify")
    if (money.amount == 0 and action.current.amount != 0) or (money == NOTHING and action.current != NOTHING):
        raise TransitionError(f"action {action.action_id}: a modification to nothing is a reversal; reverse it instead")
    if action.modifications == MAX_MODIFICATIONS:
        raise TransitionError(
            f"action {action.action_id} was modified {MAX_MODIFICATIONS} times, which is all that impact.com allows"
        )
    action = replace(action, modifications=action.modifications + 1)
    lines = action.items if items is None else items
    return _update(action, stage, money=money, items=lines, at=at, status_detail=status_detail)


def reverse(action: Action, *, reason: str, at: datetime) -> tuple[Action, Event]:
    """Take everything back: no money is left, on the action and on each of its lines; the reason is its detail."""
    stage = _stage_after(action, "reverse")
    # No source tells what the lines of a reversed action say. With amounts of 0 they still add up to the action's.
    items = tuple(map(_without_money, action.items))
    return _update(action, stage, money=NOTHING, items=items, at=at, status_detail=reason)


def restore(action: Action, *, at: datetime, status_detail: str = "") -> tuple[Action, Event]:
    """Return a modified or reversed action to what it was meant to be (at impact.com: the reason RESET)."""
    stage = _stage_after(action, "restore")
    if action.stage == "PENDING" and (action.current, action.items) == (action.intended, action.conversion.items):
        raise TransitionError(
            f"action {action.action_id} has its intended figures: nothing to restore; modify or reverse it first"
        )
    items = action.conversion.items
    return _update(action, stage, money=action.intended, items=items, at=at, status_detail=status_detail)


def approve(action: Action, *, status_detail: str = "Payment Pending") -> Action:
    """Lock the action. There is no event: impact.com reports neither locking nor paying out.

    The details of reports, once locked, are Payment Pending, Paid, Overdue and Defaulted; a clearing event tells it.
    """
    return replace(action, stage=_stage_after(action, "approve"), status_detail=status_detail)


def clear(action: Action, *, at: datetime) -> tuple[Action, Event]:
    """Clear the commission of a locked action; its figures, deltas included, stay those of its last update."""
    action = replace(action, stage=_stage_after(action, "clear"), cleared_date=at)
    return action, _report(action, "action_clearing", at)


def _without_money(item: Item) -> Item:
    def nothing(figure: Decimal | None) -> Decimal | None:
        return None if figure is None else Decimal(0)

    return replace(item, amount=Decimal(0), cart_amount=nothing(item.cart_amount), rebate=nothing(item.rebate))


def _stage_after(action: Action, step: Step) -> Stage:
    allowed = TRANSITIONS[action.stage]
    if step not in allowed:
        raise TransitionError(
            f"action {action.action_id} is {action.stage}: cannot {step} it; allowed: {', '.join(allowed) or 'nothing'}"
        )
    return allowed[step]


def _update(
    action: Action, stage: Stage, *, money: Money, items: tuple[Item, ...], at: datetime, status_detail: str
) -> tuple[Action, Event]:
    action = replace(
        action, stage=stage, status_detail=status_detail, previous=action.current, current=money, items=items
    )
    return action, _report(action, "action_lifecycle", at)


def _report(action: Action, kind: EventKind, at: datetime) -> Event:
    return Event(
        kind=kind,
        at=in_zone(at, action.conversion.zone),
        values=values(action),
        items=tuple(_item_values(item) for item in action.items),
    )


def values(action: Action) -> dict[str, str]:
    """Return the wire texts of an action by token; an absent value is empty."""
    return {**{name: write(action) for name, write in _WRITERS.items()}, **action.conversion.texts}


def _item_values(item: Item) -> dict[str, str]:
    return {
        "sku": item.sku,
        "amt": _wire_money(item.amount),
        "cat": item.category,
        "qty": str(item.quantity),
        "cartamt": _wire_money(item.cart_amount),
        "rbt": _wire_money(item.rebate),
        "name": item.name,
    }


def _wire_money(figure: Decimal | None) -> str:
    # Adding 0 turns a negative zero, which Decimal has and the wire has not, into a plain one.
    return "" if figure is None else f"{_EXACT.add(figure, 0):.2f}"


def _program_date(action: Action, when: datetime | None) -> str:
    return "" if when is None else wire_date(in_zone(when, action.conversion.zone))


# How each token that the life cycle touches is written. Every other token is a text of the conversion.
_WRITERS: Mapping[str, Callable[[Action], str]] = {
    "CampaignId": lambda action: str(action.conversion.campaign_id),
    "ActionId": lambda action: action.action_id,
    "Status": lambda action: action.status,
    "StatusDetail": lambda action: action.status_detail,
    "Payout": lambda action: _wire_money(action.current.payout),
    "DeltaPayout": lambda action: _wire_money(action.delta_payout),
    "IntendedPayout": lambda action: _wire_money(action.intended.payout),
    "Amount": lambda action: _wire_money(action.current.amount),
    "DeltaAmount": lambda action: _wire_money(action.delta_amount),
    "IntendedAmount": lambda action: _wire_money(action.intended.amount),
    "Currency": lambda action: action.conversion.currency,
    "OriginalCurrency": lambda action: action.conversion.original_currency,
    "OriginalAmount": lambda action: _wire_money(action.conversion.original_amount),
    "EventDate": lambda action: _program_date(action, action.conversion.event_date),
    "CreationDate": lambda action: _program_date(action, action.conversion.creation_date),
    "LockingDate": lambda action: _program_date(action, action.conversion.locks_at),
    "ClearedDate": lambda action: _program_date(action, action.cleared_date),
}
TYPED_TOKENS = frozenset(_WRITERS)
