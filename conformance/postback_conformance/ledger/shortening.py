"""Plays steps again under new action ids, and leaves out what a wrong ledger does not need."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from postback_conformance.ledger.play import LedgerError, Partner, play
from postback_conformance.ledger.step import Send, Step
from postback_sender.notification import Notification
from postback_sender.postback import event_key

_MOST_TRIALS: Final = 60
# What ties the postbacks of one action together; see `event_key`.
_KEYS: Final = ("ActionId", "Id")

FreshId = Callable[[str], str]
"""Returns an id that the endpoint cannot know for one that it may know."""


class Shortened(msgspec.Struct, frozen=True, kw_only=True):
    """The shortest way that was found. `is_flaky` tells that the steps did not lead there again."""

    error: LedgerError
    is_flaky: bool


def with_fresh_ids(steps: Sequence[Step], fresh: FreshId) -> tuple[Step, ...]:
    """Return the steps about new actions, each action under one new id; ids that end alike do so again."""
    known: dict[str, str] = {}
    ends: dict[str, str] = {}
    for key in {event_key(step.event): None for step in steps if isinstance(step, Send) and event_key(step.event)}:
        start, dot, end = key.rpartition(".")
        if end not in ends:
            known[key] = fresh(key)
            ends[end] = known[key].rpartition(".")[2]
        else:
            known[key] = f"{start}{dot}{ends[end]}"

    def renamed(step: Send) -> Send:
        ids = {name: known[event_key(step.event)] for name in _KEYS if step.event.values.get(name)}
        return replace(step, event=replace(step.event, values={**step.event.values, **ids}))

    return tuple(renamed(step) if isinstance(step, Send) and event_key(step.event) else step for step in steps)


async def play_again(
    notification: Notification, partner: Partner, steps: Sequence[Step], fresh: FreshId
) -> LedgerError | None:
    """Do the steps about new actions, and return what is wrong then."""
    try:
        await play(notification, partner, with_fresh_ids(steps, fresh))
    except LedgerError as error:
        return error
    return None


async def shorten(
    notification: Notification,
    partner: Partner,
    error: LedgerError,
    fresh: FreshId,
    *,
    is_over: Callable[[], bool],
) -> Shortened:
    """Return the shortest way to a wrong ledger that leaving things out leads to."""
    again = await play_again(notification, partner, error.steps, fresh)
    if again is None:
        return Shortened(error=error, is_flaky=True)
    trials, is_shorter = 0, True
    while is_shorter:
        is_shorter = False
        for steps in _shorter(again):
            trials += 1
            if trials > _MOST_TRIALS or is_over():
                return Shortened(error=again, is_flaky=False)
            found = await play_again(notification, partner, steps, fresh)
            if found is not None:
                again, is_shorter = found, True
                break
    return Shortened(error=again, is_flaky=False)


def _shorter(error: LedgerError) -> Iterator[tuple[Step, ...]]:
    """Yield steps with something left out: other actions, one step, a fault."""
    steps = error.steps
    wrong = {difference.action for difference in error.found}
    of_wrong = tuple(step for step in steps if not isinstance(step, Send) or event_key(step.event) in wrong)
    if len(of_wrong) < len(steps):
        yield of_wrong
    if len(steps) > 1:
        for place in reversed(range(len(steps))):
            yield (*steps[:place], *steps[place + 1 :])
    for place, step in enumerate(steps):
        if isinstance(step, Send) and (step.lost or step.at_once > 1):
            yield (*steps[:place], replace(step, lost=False, at_once=1), *steps[place + 1 :])
