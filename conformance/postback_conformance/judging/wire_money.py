"""Money on the wire as whole numbers, so that sums and differences are exact, and what one capture says of it."""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

UNITS = 10_000
"""Money is counted in ten-thousandths: one API sample has four decimals, everything else two."""

# As long as every figure, and the sum of two, is a signed integer of 64 bits.
_MONEY = re.compile(r"(-?)([0-9]{1,14})(?:\.([0-9]{1,4}))?")


# The same few hundred amounts come over and over.
@lru_cache(maxsize=4096)
def wire_money(text: str) -> int | None:
    """Return the ten-thousandths of a plain decimal such as `12.50`; None for any other text, an empty one too."""
    found = _MONEY.fullmatch(text)
    if found is None:
        return None
    sign, whole, decimals = found.groups("")
    units = int(whole) * UNITS + int(decimals.ljust(4, "0"))
    return -units if sign else units


def money_text(units: int) -> str:
    """Return ten-thousandths as a person writes them: two decimals, or four when it takes them."""
    whole, rest = divmod(abs(units), UNITS)
    decimals = f"{rest:04d}"
    return f"{'-' if units < 0 else ''}{whole}.{decimals[:2] if decimals.endswith('00') else decimals}"


def differ(one: int | None, other: int | None) -> bool:
    """Tell whether two figures are known and not the same."""
    return one is not None and other is not None and one != other


def point_text(payout: int | None, amount: int | None) -> str:
    """Return a point in the plane of payout and amount as a person writes it: `0.88 of 21.99`.

    One of which only the amount is known says so: `amount 21.99`.
    """
    if payout is None:
        return "unknown" if amount is None else f"amount {money_text(amount)}"
    return money_text(payout) if amount is None else f"{money_text(payout)} of {money_text(amount)}"


class Figures(msgspec.Struct, frozen=True, gc=False):
    """What one capture says of its action's money, in ten-thousandths; None where it says nothing, or nothing clear."""

    status: str | None
    payout: int | None
    amount: int | None
    delta_payout: int | None
    delta_amount: int | None
    intended_payout: int | None
    intended_amount: int | None

    @property
    def previous_payout(self) -> int | None:
        """The payout before the last update."""
        return _minus(self.payout, self.delta_payout)

    @property
    def previous_amount(self) -> int | None:
        """The amount before the last update."""
        return _minus(self.amount, self.delta_amount)

    @property
    def had_nothing(self) -> bool:
        """Whether it is told for sure that there was no money before the last update."""
        return self.previous_payout == 0 and self.previous_amount == 0

    @property
    def has_nothing(self) -> bool:
        """Whether it is told for sure that there is no money now."""
        return self.payout == 0 and self.amount == 0

    @property
    def was_meant_to_have(self) -> bool:
        """Whether it is told for sure that the action was tracked with money."""
        return bool(self.intended_payout) or bool(self.intended_amount)

    @property
    def differs_from_intended(self) -> bool:
        """Whether it is told for sure that the money is not what it was meant to be."""
        return differ(self.payout, self.intended_payout) or differ(self.amount, self.intended_amount)

    @property
    def is_creation(self) -> bool:
        """Whether this may be the first update of an action: the whole is new, as intended, and not taken back."""
        return (
            self.previous_payout in {0, None}
            and self.previous_amount in {0, None}
            and not self.differs_from_intended
            and (self.status != "REVERSED" or not self.was_meant_to_have)
        )


def read_figures(texts: Mapping[str, str]) -> Figures:
    """Return the figures that stand in values read back from a capture."""
    return Figures(
        texts.get("Status") or None,
        wire_money(texts.get("Payout", "")),
        wire_money(texts.get("Amount", "")),
        wire_money(texts.get("DeltaPayout", "")),
        wire_money(texts.get("DeltaAmount", "")),
        wire_money(texts.get("IntendedPayout", "")),
        wire_money(texts.get("IntendedAmount", "")),
    )


def _minus(current: int | None, delta: int | None) -> int | None:
    return None if current is None or delta is None else current - delta
