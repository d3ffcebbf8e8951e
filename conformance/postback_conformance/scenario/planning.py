"""Plays a scenario in thought: which postbacks leave, when, and which of them break the order of their action."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import msgspec

from postback_conformance.scenario.filling import Filling
from postback_conformance.scenario.script import Role, Scenario, Step
from postback_sender.action import Action, TransitionError, approve, clear, modify, restore, reverse, track
from postback_sender.event import Event
from postback_sender.settings_table import fail

_CHANGING = frozenset({"modify", "reverse", "restore"})


class PlannedSend(msgspec.Struct, frozen=True, kw_only=True):
    """A postback of a scenario: `offset_ns` after the start, and the notification's minimum delay later, it may leave.

    `in_order` is False for what is late or a duplicate. `Event.at` stays when it happened, in both. `is_first` says
    that it tells the action's first event of its kind, which is all that notifications at event level report.
    """

    event: Event
    offset_ns: int
    in_order: bool
    is_first: bool


class _Life:
    """Where one action stands, and the last that was told of it."""

    __slots__ = ("action", "event", "is_first")

    def __init__(self, action: Action, event: Event) -> None:
        self.action = action
        self.event = event
        self.is_first = True

    def take(self, told: tuple[Action, Event]) -> None:
        self.action, event = told
        self.is_first = event.kind != self.event.kind
        self.event = event


def plan(scenario: Scenario, *, started_at: datetime, seed: int) -> Iterator[PlannedSend]:
    """Yield the postbacks of a scenario that starts at an aware instant, in the order in which their events happen.

    What the scenario does not say is generated from the seed. The same scenario, instant and seed give the same
    postbacks; see `draw_endlessly` for how long that lasts. Raises `NotificationError` when it comes to a step that is
    not legal where its action stands: whoever wants no half of a script goes through all of it first.
    """
    if started_at.utcoffset() is None:
        raise ValueError(f"expected a start with an offset, got {started_at.isoformat()}")
    return _Play(scenario, started_at.astimezone(UTC), seed).sends()


class _Play:
    def __init__(self, scenario: Scenario, started_at: datetime, seed: int) -> None:
        self._scenario = scenario
        self._started_at = started_at
        self._filling = Filling(scenario, seed)
        self._lives: dict[str, list[_Life]] = {}
        self._approved = {step.action for step in scenario.steps if step.do == "approve"}
        self._last_steps = {step.action: step.number for step in scenario.steps}
        last = scenario.steps[-1]
        self._ends_at = self._time(last.at_ns + last.within_ns)

    def sends(self) -> Iterator[PlannedSend]:
        self._check_sequences()
        for step in self._scenario.steps:
            role = self._scenario.actions.get(step.action, Role())
            turns = step.times * role.count
            if step.do == "track" and step.action in self._lives:
                self._fail(step, f"{step.action} is tracked already; give another action another name")
            for turn in range(turns):
                at_ns = step.at_ns + step.within_ns * turn // turns
                number = turn % role.count
                life = self._life_after(step, role, number, self._time(at_ns))
                if step.do == "approve":
                    continue
                yield PlannedSend(
                    event=life.event,
                    offset_ns=at_ns + step.late_ns,
                    in_order=step.do != "duplicate" and not step.late_ns,
                    is_first=life.is_first,
                )

    def _life_after(self, step: Step, role: Role, number: int, at: datetime) -> _Life:
        """Take a step with one action of a role."""
        if step.do == "track":
            life = self._tracked(step, role, number, at)
            # In a burst to which nothing else happens, nobody needs to remember a hundred thousand actions.
            if self._last_steps[step.action] != step.number:
                self._lives.setdefault(step.action, []).append(life)
            return life
        life = self._lives[step.action][number]
        if step.do in _CHANGING:
            self._check_unlocked(step, life.action, at)
        try:
            self._take(step, life, at)
        except (TransitionError, ValueError) as error:
            self._fail(step, str(error))
        return life

    def _take(self, step: Step, life: _Life, at: datetime) -> None:
        detail = step.status_detail or ""
        match step.do:
            case "modify":
                money, items = self._filling.figures(life.action, step)
                life.take(modify(life.action, money=money, items=items, at=at, status_detail=detail))
            case "reverse":
                reason = self._filling.reason() if step.reason is None else step.reason
                life.take(reverse(life.action, reason=reason, at=at))
            case "restore":
                life.take(restore(life.action, at=at, status_detail=detail))
            case "approve":
                told = {} if step.status_detail is None else {"status_detail": step.status_detail}
                life.action = approve(life.action, **told)
            case "clear":
                life.take(clear(life.action, at=at))
            case "track" | "duplicate":
                pass

    def _tracked(self, step: Step, role: Role, number: int, at: datetime) -> _Life:
        try:
            conversion = self._filling.conversion(
                role,
                number=number,
                tracked_at=at,
                # A day on which generated actions lock would contradict the script's own approval.
                changes_until=None if step.action in self._approved else self._ends_at,
            )
            return _Life(*track(conversion, at=at, status_detail=step.status_detail or ""))
        except ValueError as error:
            self._fail(step, str(error))

    def _check_unlocked(self, step: Step, action: Action, at: datetime) -> None:
        locks_at = action.conversion.locks_at
        if locks_at is not None and locks_at <= at:
            self._fail(step, f"action {action.action_id} is locked since {locks_at.isoformat()}; set locks_after later")

    def _check_sequences(self) -> None:
        """Refuse two actions of one id."""
        ends = 0
        owner = ""
        given = [
            (role.sequence, role.sequence + role.count, name)
            for name, role in self._scenario.actions.items()
            if role.sequence is not None
        ]
        for start, end, name in sorted(given):
            if start < ends:
                message = f"actions.{name}.sequence: {start} is taken by {owner}; choose another"
                fail(
                    message, f"actions.{name}", "sequence", text=self._scenario.numbered_text, name=self._scenario.name
                )
            ends, owner = end, name

    def _time(self, offset_ns: int) -> datetime:
        return self._started_at + timedelta(microseconds=offset_ns // 1000)

    def _fail(self, step: Step, problem: str) -> NoReturn:
        message = f"{step.place} ({step.do} {step.action}): {problem}"
        fail(message, "", step.place, text=self._scenario.numbered_text, name=self._scenario.name)
