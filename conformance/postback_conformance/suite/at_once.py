"""Different updates of one action at the same moment: whatever the order in which they are read, all have to count."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

from postback_conformance.judging.verdict import PASS, Fail, NotApplicable, Outcome
from postback_conformance.ledger.comparing import differences
from postback_conformance.ledger.making import Life
from postback_conformance.ledger.model import UNORDERED, Arrival, expected, tells, update_of
from postback_conformance.ledger.story import difference_text
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.playing import not_applicable
from postback_conformance.suite.sent import Sent

_LIVES: Final = 6
_QUICK_LIVES: Final = 3
_FIGURES: Final = (
    (Decimal("3.25"), Decimal("65.00")),
    (Decimal("6.75"), Decimal("135.00")),
    (Decimal("5.50"), Decimal("110.00")),
)


async def run_at_once(bench: Bench) -> Iterable[Outcome]:
    """Send lives whose updates come at the same moment, and return whether all of them were booked; needs a probe."""
    if reason := not_applicable(bench, of_updates=True):
        return (reason,)
    if not tells(bench.notification).order:
        return (NotApplicable(why=UNORDERED, by_settings=True),)
    outcomes: list[Outcome] = []
    for _ in range(_QUICK_LIVES if bench.quick else _LIVES):
        life = Life(bench.notification, bench.conversion(payout="4.50", amount="90.00"), bench.started_at)
        for payout, amount in _FIGURES:
            life.modify(payout, amount)
        outcomes.append(await _booked(bench, life))
        if outcomes[-1] != PASS:
            break
    return outcomes


async def _booked(bench: Bench, life: Life) -> Outcome:
    sents = await bench.send([step.event for step in life.updates], concurrency=len(life.updates))
    steps = list(life.updates)
    if not all(sent.accepted for sent in sents):
        # Whoever cannot place an update yet, or is asked for too much at once, may put it off.
        sents = await bench.send([step.event for step in life.updates])
        steps += life.updates
    if refused := [sent for sent in sents if not (sent.accepted or sent.is_refused)]:
        return _failed(f"an update was sent again after the others, and not taken: {refused[0].told}", "", "", sents)
    told = tells(bench.notification)
    arrivals = [Arrival(update_of(step.event.values, told), step.made) for step in steps]
    wanted = expected(arrivals, told)
    compared = partial(differences, life.action_id, wanted, arrivals=arrivals)
    found = compared(await bench.recorded(life.action_id, wanted=lambda record: not compared(record)))
    if not found:
        return PASS
    first = found[0]
    message = f"{len(life.updates)} updates of an action at the same moment. {difference_text(first, life.updates)}"
    return _failed(message, first.expected, first.actual, sents)


def _failed(message: str, wanted: str, actual: str, sents: Sequence[Sent]) -> Fail:
    return Fail(
        message=message,
        expected=wanted or "all of them taken, and booked",
        actual=actual or sents[-1].told,
        captures=tuple(sent.captures[-1] for sent in sents if sent.captures),
    )
