"""What a partner recorded, beside what must be recorded: the differences, and what they look like."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, Protocol

import msgspec

from postback_conformance.judging.wire_money import UNITS
from postback_conformance.ledger.model import Arrival, Expected

_CENT: Final = Decimal("0.01")
_MOST_DIGITS: Final = 40
_MOST_LETTERS: Final = 80

RECORD: Final = "record"
ANSWER: Final = "answer"


class Record(Protocol):
    """What a probe tells of one action; None is what it does not tell."""

    @property
    def status(self) -> str | None: ...
    @property
    def payout(self) -> Decimal | None: ...
    @property
    def amount(self) -> Decimal | None: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def event_date(self) -> str | None: ...
    @property
    def texts(self) -> Mapping[str, str]: ...


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One field of an action that is not what it must be; `looks_like` says how that comes about, where it shows.

    `field` is named as by the probe, or `RECORD` when there is none at all, or `ANSWER` when an update is not taken.
    """

    action: str
    field: str
    expected: str
    actual: str
    looks_like: str = ""


def differences(
    action: str, expected: Expected, record: Record | None, arrivals: Sequence[Arrival]
) -> tuple[Difference, ...]:
    """Return where the record of an action is wrong for certain, after these arrivals."""
    if record is None:
        return (Difference(action=action, field=RECORD, expected="the action recorded", actual="nothing"),)
    found: list[Difference] = []
    if expected.status is not None and record.status is not None and expected.status != record.status:
        found.append(Difference(action=action, field="status", expected=expected.status, actual=record.status))
    if expected.payout is not None and record.payout is not None and expected.payout != record.payout:
        found.append(_of_money(action, "payout", expected.payout, record.payout, arrivals))
    if expected.amount is not None and record.amount is not None and expected.amount != record.amount:
        found.append(_of_money(action, "amount", expected.amount, record.amount, arrivals))
    found += (
        Difference(action=action, field=field, expected=wanted, actual=actual)
        for field, wanted, actual in _texts(expected, record)
    )
    return tuple(found)


def _texts(expected: Expected, record: Record) -> Iterator[tuple[str, str, str]]:
    """Yield the texts that are recorded otherwise than all updates told them, with what they must be."""
    currency = expected.texts.get("Currency")
    if currency is not None and record.currency is not None and currency != record.currency:
        yield "currency", currency, _quoted(record.currency)
    date = expected.texts.get("EventDate")
    if date is not None and record.event_date is not None and not _is_same_instant(date, record.event_date):
        yield "event_date", f"{date}, in any zone", _quoted(record.event_date)
    wanted = {name.lower(): text for name, text in expected.texts.items()}
    for field, actual in record.texts.items():
        text = wanted.get(field.replace("_", "").lower())
        if text is not None and text != actual:
            yield field, _quoted(text), _quoted(actual)


def _is_same_instant(told: str, recorded: str) -> bool:
    """Tell whether two dates are the same instant, as far as both are instants; the date's form is for other cases."""
    try:
        one, other = datetime.fromisoformat(told), datetime.fromisoformat(recorded)
    except ValueError:
        return True
    return one.tzinfo is None or other.tzinfo is None or one == other


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…")


def is_comparable(expected: Expected, record: Record | None) -> bool:
    """Tell whether anything that is certain is told by a record."""
    if record is None:
        return False
    pairs = (
        (expected.status, record.status),
        (expected.payout, record.payout),
        (expected.amount, record.amount),
    )
    return any(wanted is not None and told is not None for wanted, told in pairs)


def _of_money(
    action: str, field: Literal["payout", "amount"], expected: Decimal, actual: Decimal, arrivals: Sequence[Arrival]
) -> Difference:
    told = [arrival.update.payout if field == "payout" else arrival.update.amount for arrival in arrivals]
    axis = 0 if field == "payout" else 1
    moved = [
        update.end[axis] - update.start[axis]
        for update in (arrival.update for arrival in arrivals)
        if update.start is not None and update.end is not None
    ]
    return Difference(
        action=action,
        field=field,
        expected=money_text(expected),
        actual=money_text(actual),
        looks_like=_likeness(expected, actual, told, moved),
    )


def _likeness(expected: Decimal, actual: Decimal, told: Sequence[int | None], moved: Sequence[int]) -> str:
    """Say which common mistake gives the actual figure; nothing when none does."""
    if not _is_ordinary(actual):
        return ""
    units = actual * UNITS
    mistakes = (
        (
            abs(actual - expected) < _CENT,
            "a figure that was computed or kept in binary floating point, or rounded",
        ),
        (units == told[-1], "the figure of the postback that arrived last, which is not the newest one"),
        (
            len(moved) == len(told) and units == sum(moved),
            "every postback added up, those included that had been taken before",
        ),
        (units == told[0], "the figure of the postback that arrived first: what came later was not booked"),
        (units == sum(figure or 0 for figure in told), "all figures added up, as if each were of another action"),
        (units == 0, "nothing booked"),
    )
    return next((text for is_so, text in mistakes if is_so), "")


def money_text(figure: Decimal) -> str:
    """Return money as a person writes it, with at least two decimals and every digit that was told."""
    if not _is_ordinary(figure):
        return str(figure)[:_MOST_DIGITS]
    exponent = figure.as_tuple().exponent
    return f"{figure:.{max(2, -exponent) if isinstance(exponent, int) else 2}f}"


def _is_ordinary(figure: Decimal) -> bool:
    """Tell whether one can reckon with a figure: a probe may return any."""
    exponent = figure.as_tuple().exponent
    return isinstance(exponent, int) and abs(exponent) <= _MOST_DIGITS and figure.adjusted() <= _MOST_DIGITS
