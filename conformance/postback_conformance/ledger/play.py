"""Does steps to an endpoint, and compares what it recorded with the model after each of them.

A postback that is answered with an error though nobody can tell yet where its update belongs is sent again after the
next one: an endpoint may well put off what it cannot place. Any other error is a difference by itself.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from postback_conformance.ledger.comparing import ANSWER, Difference, Record, differences, is_comparable
from postback_conformance.ledger.model import (
    REFUSED,
    UNPLACED,
    Arrival,
    Expected,
    Tells,
    expected,
    tells,
    texts_of,
    update_of,
)
from postback_conformance.ledger.step import Restart, Send, Step
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import event_key
from postback_sender.subscription import reported

_ROUNDS: Final = 3
"""How often everything that was refused is sent again at the end: each round can place one more update."""


class Reply(msgspec.Struct, frozen=True):
    """What became of one postback: whether it was taken, and what was said, for people."""

    is_taken: bool
    detail: str = ""


class Partner(Protocol):
    """An endpoint and its probe."""

    async def send(self, event: Event, *, lost: bool = False, at_once: int = 1) -> Sequence[Reply]:
        """Send the postback of an event and return a reply for each; see `Send`."""
        ...

    async def recorded(self, action_id: str, wanted: Callable[[Record | None], bool]) -> Record | None:
        """Return what the probe tells of an action, None for nothing; whatever it raises is the probe's.

        What is not as `wanted` may be looked at again, where an endpoint books later than it answers.
        """
        ...

    async def restart(self) -> None:
        """Start the endpoint anew and return when it listens again."""
        ...


class LedgerError(Exception):
    """An endpoint's ledger that is wrong for certain, with the steps that led there."""

    def __init__(self, steps: Sequence[Step], found: Sequence[Difference]) -> None:
        self.steps = tuple(steps)
        self.found = tuple(found)
        super().__init__(
            "; ".join(f"{one.action}: {one.field}: expected {one.expected}, got {one.actual}" for one in found)
        )


class Play:
    """One script on its way: what was done, what arrived, what was refused.

    Without `texts` only status and money are compared.
    """

    def __init__(self, notification: Notification, partner: Partner, *, texts: bool = True) -> None:
        self.steps: list[Step] = []
        self.compared = 0
        """Comparisons in which something was certain, and told by the probe."""
        self.undecided: dict[str, int] = {}
        """How often something could not be known, by the reason."""
        self._notification = notification
        self._partner = partner
        told = tells(notification)
        self._tells: Tells = told if texts else replace(told, texts=())
        self._arrivals: dict[str, list[Arrival]] = {}
        self._refused: dict[str, list[Send]] = {}
        # What was certain of an action after so many arrivals.
        self._expected: dict[str, tuple[int, Expected]] = {}

    async def take(self, step: Step) -> None:
        """Do one step and compare; raises `LedgerError` when the ledger is wrong."""
        self.steps.append(step)
        if isinstance(step, Restart):
            await self._partner.restart()
            await self._compare(self._arrivals)
            return
        if not self._is_reported(step):
            return
        key = event_key(step.event)
        if await self._send(step):
            await self._send_refused(key)
        if key in self._arrivals:
            await self._compare((key,))

    async def end(self) -> None:
        """Send again what was refused, and compare every action; raises `LedgerError` when the ledger is wrong."""
        for _ in range(_ROUNDS):
            for key in tuple(self._refused):
                await self._send_refused(key)
        for key, steps in self._refused.items():
            # Whoever took it when the answer got lost may refuse it ever after: then it has to be in the ledger.
            lost = [step for step in steps if step.lost]
            self._arrivals.setdefault(key, []).extend(map(self._arrival, lost))
            known = [arrival.update for arrival in self._arrivals[key]]
            steps[:] = [step for step in steps if self._arrival(step).update not in known]
            if any(self._can_be_placed(key, self._arrival(step)) for step in steps):
                self._fail_by_answer(key, "it was sent again after everything else, and refused again")
        await self._compare([key for key, arrivals in self._arrivals.items() if arrivals])

    def _is_reported(self, step: Send) -> bool:
        """Tell whether the notification reports the update; at event level that is only an action's first one."""
        is_first = self._notification.level == "global" or step.made == 0
        return is_first and any(reported(self._notification, (step.event,)))

    def expected(self, key: str) -> Expected:
        """Return what is certain of an action now."""
        if self._refused.get(key):
            return Expected(why=(REFUSED,))
        arrivals = self._arrivals[key]
        known = self._expected.get(key)
        if known is None or known[0] != len(arrivals):
            known = self._expected[key] = (len(arrivals), expected(arrivals, self._tells))
        return known[1]

    async def _send(self, step: Send) -> bool:
        """Send once; tell whether it was taken. A refusal of what could be placed is a `LedgerError`."""
        key = event_key(step.event)
        replies = await self._partner.send(step.event, lost=step.lost, at_once=step.at_once)
        arrivals = self._arrivals.get(key, [])
        arrival = self._arrival(step)
        if any(reply.is_taken for reply in replies):
            # What was refused beside it, and what was lost, may have been taken as well.
            self._arrivals.setdefault(key, []).extend([arrival] * (len(replies) + step.lost))
            return True
        waiting = self._refused.get(key, [])
        arrivals = [*arrivals, *(self._arrival(one) for one in waiting if one.lost and one != step)]
        if any(one.update == arrival.update for one in arrivals):
            # It was taken before, or looks as if: refusing a repeat changes nothing.
            return False
        detail = replies[0].detail if replies else "no answer"
        if not step.lost and not waiting and self._can_be_placed(key, arrival):
            self._fail_by_answer(key, detail)
        if step not in self._refused.setdefault(key, []):
            self._refused[key].append(step)
        return False

    def _arrival(self, step: Send) -> Arrival:
        values = step.event.values
        return Arrival(update_of(values, self._tells), step.made, texts_of(values, self._tells))

    def _can_be_placed(self, key: str, arrival: Arrival) -> bool:
        """Tell whether it is certain where an action stands with one update more."""
        wanted = expected([*self._arrivals.get(key, ()), arrival], self._tells)
        return not UNPLACED.intersection(wanted.why)

    async def _send_refused(self, key: str) -> None:
        waiting = self._refused.pop(key, [])
        for step in sorted(waiting, key=lambda step: step.made):
            await self._send(step)

    async def _compare(self, keys: Iterable[str]) -> None:
        found: list[Difference] = []
        for key in keys:
            wanted = self.expected(key)
            compared = partial(differences, key, wanted, arrivals=self._arrivals[key])
            record = await self._partner.recorded(key, partial(_is_right, compared))
            found += compared(record)
            self.compared += is_comparable(wanted, record)
            for why in wanted.why:
                self.undecided[why] = self.undecided.get(why, 0) + 1
        if found:
            raise LedgerError(self.steps, found)

    def _fail_by_answer(self, key: str, detail: str) -> None:
        difference = Difference(action=key, field=ANSWER, expected="the update taken", actual=detail)
        raise LedgerError(self.steps, (difference,))


async def play(notification: Notification, partner: Partner, steps: Sequence[Step], *, texts: bool = True) -> Play:
    """Do all steps and what belongs to the end, see `Play`; raises `LedgerError` when the ledger is wrong."""
    run = Play(notification, partner, texts=texts)
    for step in steps:
        await run.take(step)
    await run.end()
    return run


def _is_right(compared: Callable[[Record | None], Sequence[Difference]], record: Record | None) -> bool:
    return not compared(record)
