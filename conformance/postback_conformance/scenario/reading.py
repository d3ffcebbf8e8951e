"""Reads a scenario file into a `Scenario`, and turns every slip into one message with its place."""

import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from postback_conformance.generating.zones import ZONES
from postback_conformance.receiving.numbered_entries import numbered_entries
from postback_conformance.scenario.script import (
    KEYS,
    MAX_EVENTS,
    ActionFile,
    ItemFile,
    Role,
    Scenario,
    ScenarioFile,
    Step,
    StepFile,
)
from postback_sender.action import TYPED_TOKENS, Item
from postback_sender.quantities import NANOSECONDS_PER_SECOND, QuantityError, parse_duration
from postback_sender.settings_table import decode_table, did_you_mean, fail, read_toml
from postback_sender.template.compiler import ITEMS
from postback_sender.tokens import CATALOGUE, Catalogue

T = TypeVar("T", bound=msgspec.Struct)

_ACTION_KINDS = ("action_lifecycle", "action_clearing")
# What decimal(18,2), impact.com's widest money, can hold.
_MONEY = re.compile(r"\d{1,16}(\.\d{1,2})?", re.ASCII)
# Below it a float holds every cent, so that str() gives the decimal that was typed.
_LARGEST_NUMBER = 10**13
# A life lasts months. A script of centuries is a slip of the pen, and its dates would leave the calendar.
_LONGEST_DAYS = 20 * 365
_LONGEST_NS = _LONGEST_DAYS * 86_400 * NANOSECONDS_PER_SECOND


def read_scenario(text: str, *, name: str, catalogue: Catalogue = CATALOGUE) -> Scenario:
    """Return the scenario of a TOML text, or raise `NotificationError`; `name` is what messages call the file.

    `catalogue` is that of the notification by which it will be sent, and knows the tokens that `texts` may name.
    """
    return _Reader(text, name, catalogue).scenario()


class _Reader:
    def __init__(self, text: str, name: str, catalogue: Catalogue) -> None:
        self._text = text
        self._name = name
        self._numbered = numbered_entries(text)
        kinds = [name for name, kind in catalogue.kinds.items() if kind.like in _ACTION_KINDS]
        self._tokens = {token.name for kind in kinds for token in catalogue.tokens(kind)} - TYPED_TOKENS - {ITEMS}

    def scenario(self) -> Scenario:
        file = self._table(read_toml(self._text, name=self._name), ScenarioFile, "")
        zone = None if file.zone is None else self._zone(file.zone)
        actions = {name: self._role(name, table) for name, table in file.actions.items()}
        tracked: dict[str, None] = {}
        steps: list[Step] = []
        at_ns = events = 0
        for number, table in enumerate(file.step, start=1):
            step = self._step(number, table, at_ns)
            if step.do == "track":
                tracked[step.action] = None
            elif step.action not in tracked:
                self._fail(
                    f"{step.place}: no step before it tracks {step.action!r}{did_you_mean(step.action, tracked)}",
                    f"{step.place}.action",
                )
            events += step.times * actions.get(step.action, Role()).count
            if events > MAX_EVENTS:
                self._fail(
                    f"{step.place}: with it there are {events} events; expected at most {MAX_EVENTS}", step.place
                )
            at_ns = step.at_ns + step.within_ns
            if at_ns + step.late_ns > _LONGEST_NS:
                self._fail(f"{step.place}: the script takes longer than {_LONGEST_DAYS} days", step.place)
            steps.append(step)
        if not steps:
            self._fail('no step; expected some, such as [[step]] with do = "track" and action = "shoes"', "")
        for name in actions:
            if name not in tracked:
                self._fail(f"actions.{name}: no step tracks it; add one, or remove it", f"actions.{name}")
        return Scenario(
            name=self._name,
            numbered_text=self._numbered,
            seed=file.seed,
            zone=zone,
            campaign_id=file.campaign_id,
            actions=actions,
            steps=tuple(steps),
        )

    def _role(self, name: str, table: Mapping[str, Any]) -> Role:
        path = f"actions.{name}"
        file = self._table(table, ActionFile, path)
        for token in file.texts:
            if token in TYPED_TOKENS:
                self._fail(f"{path}.texts: {token} is told by the action and its steps; remove it", f"{path}.texts")
            if token not in self._tokens:
                hint = did_you_mean(token, self._tokens) or "; declare it under [tokens] in the notification"
                self._fail(f"{path}.texts: no action has a token {token!r}{hint}", f"{path}.texts")
        return Role(
            count=file.count,
            payout=self._money(file.payout, f"{path}.payout"),
            amount=self._money(file.amount, f"{path}.amount"),
            currency=file.currency,
            original_amount=self._money(file.original_amount, f"{path}.original_amount"),
            original_currency=file.original_currency,
            items=self._items(file.items, path),
            texts=file.texts,
            sequence=file.sequence,
            locks_after_ns=None
            if file.locks_after is None
            else self._duration(file.locks_after, f"{path}.locks_after"),
        )

    def _step(self, number: int, table: Mapping[str, Any], at_ns: int) -> Step:
        path = f"step {number}"
        file = self._table(table, StepFile, path)
        for key in table:
            if key not in KEYS[file.do]:
                expected = ", ".join(KEYS[file.do])
                self._fail(f"{path}: {file.do} has no {key}; its keys are {expected}", f"{path}.{key}")
        return Step(
            number=number,
            do=file.do,
            action=file.action,
            at_ns=at_ns + self._duration(file.after, f"{path}.after"),
            within_ns=self._duration(file.within, f"{path}.within"),
            late_ns=self._duration(file.late, f"{path}.late"),
            payout=self._money(file.payout, f"{path}.payout"),
            amount=self._money(file.amount, f"{path}.amount"),
            items=self._items(file.items, path),
            status_detail=file.status_detail,
            reason=file.reason,
            times=file.times,
        )

    def _items(self, tables: Sequence[Mapping[str, Any]] | None, path: str) -> tuple[Item, ...] | None:
        if tables is None:
            return None
        return tuple(self._item(table, f"{path}.items {number}") for number, table in enumerate(tables, start=1))

    def _item(self, table: Mapping[str, Any], path: str) -> Item:
        file = self._table(table, ItemFile, path)
        return Item(
            sku=file.sku,
            amount=self._money(file.amount, f"{path}.amount") or Decimal(0),
            quantity=file.quantity,
            category=file.category,
            name=file.name,
            cart_amount=self._money(file.cart_amount, f"{path}.cart_amount"),
            rebate=self._money(file.rebate, f"{path}.rebate"),
        )

    def _money(self, value: str | float | None, key: str) -> Decimal | None:
        if value is None:
            return None
        if isinstance(value, float) and value >= _LARGEST_NUMBER:
            self._fail(f"{key}: expected a text for an amount this large, got {value}; put it in quotes", key)
        if not _MONEY.fullmatch(str(value)):
            expected = 'an amount such as "84.00", of at most 16 digits and two decimals'
            self._fail(f"{key}: expected {expected}, got {value!r}", key)
        return Decimal(str(value))

    def _duration(self, value: str | float, key: str) -> int:
        try:
            return parse_duration(value)
        except QuantityError as error:
            self._fail(f"{key}: {error}", key)

    def _zone(self, key: str) -> tzinfo:
        # The rules of generated actions first: they are the same on every machine.
        for zone in ZONES:
            if zone.key == key:
                return zone
        try:
            return ZoneInfo(key)
        except (KeyError, ValueError, OSError):
            hint = did_you_mean(key, [zone.key for zone in ZONES])
            self._fail(f'zone: expected a time zone such as "Europe/Berlin", got {key!r}{hint}', "zone")

    def _table(self, table: Mapping[str, Any], kind: type[T], path: str) -> T:
        needed = _needed(kind)
        for key in needed:
            if key not in table:
                self._fail(f"{path}: {key} is missing; expected at least {', '.join(needed)}", path)
        return decode_table(table, kind, path=path, text=self._numbered, name=self._name)

    def _fail(self, message: str, key: str) -> NoReturn:
        path, _, key = key.rpartition(".")
        fail(message, path, key, text=self._numbered, name=self._name)


@cache
def _needed(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.required)
