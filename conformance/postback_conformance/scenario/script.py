"""The words of a scenario file: its tables and keys as they are written, and what they become once they are read."""

from collections.abc import Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from postback_sender.action import Item

Do = Literal["track", "modify", "reverse", "restore", "approve", "clear", "duplicate"]

# Everything is planned before anything is sent, and this many actions fit into the memory of a small machine.
MAX_EVENTS = 100_000

_MANY = 10**9
_MAX_ITEMS = 1000
_Number = Annotated[int, Meta(ge=1, le=_MANY)]
_Times = Annotated[int, Meta(ge=1, le=MAX_EVENTS)]
_Figure = str | float
_Duration = str | float

_EVERY_STEP = ("do", "action", "after", "within")
_SENDING_STEP = (*_EVERY_STEP, "late")
KEYS: Mapping[Do, tuple[str, ...]] = {
    "track": (*_SENDING_STEP, "status_detail"),
    "modify": (*_SENDING_STEP, "payout", "amount", "items", "status_detail"),
    "reverse": (*_SENDING_STEP, "reason"),
    "restore": (*_SENDING_STEP, "status_detail"),
    # impact.com reports no approval: there is nothing that could be late.
    "approve": (*_EVERY_STEP, "status_detail"),
    "clear": _SENDING_STEP,
    "duplicate": (*_SENDING_STEP, "times"),
}
"""The keys of each step."""


class ScenarioFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file as it is written."""

    seed: Annotated[int, Meta(ge=0, lt=2**62)] | None = None
    zone: str | None = None
    campaign_id: _Number | None = None
    actions: dict[str, dict[str, Any]] = {}
    step: list[dict[str, Any]] = []


class ActionFile(msgspec.Struct, frozen=True, kw_only=True):
    """A table `[actions.NAME]`."""

    count: _Times = 1
    payout: _Figure | None = None
    amount: _Figure | None = None
    currency: str | None = None
    original_amount: _Figure | None = None
    original_currency: str | None = None
    items: Annotated[list[dict[str, Any]], Meta(max_length=_MAX_ITEMS)] | None = None
    texts: dict[str, str] = {}
    sequence: _Number | None = None
    locks_after: _Duration | None = None


class ItemFile(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order: an entry of `items`."""

    sku: str
    amount: _Figure
    quantity: Annotated[int, Meta(ge=0, le=_MANY)] = 1
    category: str = ""
    name: str = ""
    cart_amount: _Figure | None = None
    rebate: _Figure | None = None


class StepFile(msgspec.Struct, frozen=True, kw_only=True):
    """A table `[[step]]`; `KEYS` says which keys go with which `do`."""

    do: Do
    action: str
    after: _Duration = "0s"
    within: _Duration = "0s"
    late: _Duration = "0s"
    payout: _Figure | None = None
    amount: _Figure | None = None
    items: Annotated[list[dict[str, Any]], Meta(max_length=_MAX_ITEMS)] | None = None
    status_detail: str | None = None
    reason: str | None = None
    times: _Times = 1


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario says of an action, or of each of `count` alike; what is None is generated.

    `locks_after_ns` counts from when the action is tracked.
    """

    count: int = 1
    payout: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    original_amount: Decimal | None = None
    original_currency: str | None = None
    items: tuple[Item, ...] | None = None
    texts: Mapping[str, str] = {}
    sequence: int | None = None
    locks_after_ns: int | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step, taken by each action of its name; `at_ns` counts from the start of the script to the first one."""

    number: int
    do: Do
    action: str
    at_ns: int
    within_ns: int
    late_ns: int
    payout: Decimal | None
    amount: Decimal | None
    items: tuple[Item, ...] | None
    status_detail: str | None
    reason: str | None
    times: int

    @property
    def place(self) -> str:
        return f"step {self.number}"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A script, checked and in plain units; `name` is its file, and `numbered_text` tells the lines for messages.

    Whether each step is legal where its action stands turns out when it is planned.
    """

    name: str
    numbered_text: str
    seed: int | None
    zone: tzinfo | None
    campaign_id: int | None
    actions: Mapping[str, Role]
    steps: tuple[Step, ...]
