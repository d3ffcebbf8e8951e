"""What is on the books after postbacks that come twice, late, or not for sure: looked up with the probe.

Each case is a few scripts of steps. They are done through the real sender, and after each step what was recorded is
compared with what is certain by then (see `ledger.model`). What nobody can know is left undecided.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import permutations
from typing import Final

from msgspec.structs import replace

from postback_conformance.judging.rule import Source
from postback_conformance.judging.verdict import Outcome
from postback_conformance.ledger.making import Life
from postback_conformance.ledger.step import Restart, Send
from postback_conformance.rules.fact_sources import (
    ACTIONS_API,
    CAPTURED_CALLS,
    LIFE_CYCLE,
    MODIFICATIONS,
    OUR_MODEL,
)
from postback_conformance.suite.at_once import run_at_once
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import ACKNOWLEDGE, NO_RETRY, OURS
from postback_conformance.suite.playing import Script, not_applicable, play_all, tells_updates
from postback_sender.action import Conversion

_AT_ONCE: Final = 8
# Binary floating point holds these, and their sums, exactly: only the case about exact money is about that.
_TRACKED: Final = (Decimal("4.50"), Decimal("90.00"))
_LESS: Final = (Decimal("3.25"), Decimal("65.00"))
_MORE: Final = (Decimal("6.75"), Decimal("135.00"))


Scripts = Callable[[Bench], Iterator[Script]]


def _life(bench: Bench, payout: str = f"{_TRACKED[0]}", amount: str = f"{_TRACKED[1]}") -> Life:
    return Life(bench.notification, bench.conversion(payout=payout, amount=amount), bench.started_at)


def _first(bench: Bench, life: Life | None = None) -> Send:
    """Return the first update of an action, a new one unless given, that the notification reports."""
    life = life or _life(bench)
    return life.clear() if bench.like == "action_clearing" else life.newest


def _duplicate(bench: Bench) -> Iterator[Script]:
    one = _first(bench)
    yield Script("the same postback twice", (one, one))
    if not tells_updates(bench):
        return
    life = _life(bench)
    tracked, modified = life.newest, life.modify(*_LESS)
    yield Script("a postback again after a later one", (tracked, modified, tracked, modified))
    life = _life(bench)
    tracked, gone = life.newest, life.reverse()
    yield Script("a reversal twice", (tracked, gone, gone, tracked))


def _concurrent_duplicate(bench: Bench) -> Iterator[Script]:
    number = 3 if bench.quick else 6
    for _ in range(number):
        yield Script("the same postback at the same moment", (replace(_first(bench), at_once=_AT_ONCE),))
    if tells_updates(bench):
        life = _life(bench)
        tracked, modified = life.newest, life.modify(*_LESS)
        yield Script("a modification at the same moment", (tracked, replace(modified, at_once=_AT_ONCE)))


def _accepted_then_lost(bench: Bench) -> Iterator[Script]:
    yield Script("a postback whose answer got lost", (replace(_first(bench), lost=True),))
    if tells_updates(bench):
        life = _life(bench)
        steps = (life.newest, life.modify(*_LESS), life.reverse())
        yield Script("a life whose answers got lost", tuple(replace(step, lost=True) for step in steps))


def _out_of_order(bench: Bench) -> Iterator[Script]:
    for numbers in ((1, 0), *list(permutations(range(3)))[1:]):
        life = _life(bench)
        steps = (life.newest, life.modify(*_LESS), life.modify(*_MORE))
        yield Script("modifications that came late", [steps[number] for number in numbers])
    life = _life(bench)
    tracked = life.newest
    yield Script("a reversal that came too early", (life.reverse(), tracked))
    for numbers in ((2, 0, 1), (2, 1, 0), (0, 2, 1)):
        life = _life(bench)
        steps = (life.newest, life.modify(*_LESS), life.reverse())
        yield Script("a reversal that came too early", [steps[number] for number in numbers])


def _reversal(bench: Bench) -> Iterator[Script]:
    life = _life(bench)
    yield Script("a reversal", (life.newest, life.reverse()))
    life = _life(bench)
    yield Script(
        "a reversal after a modification",
        (life.newest, life.modify(*_LESS), life.reverse()),
    )


def _modification(bench: Bench) -> Iterator[Script]:
    life = _life(bench)
    yield Script("less than before", (life.newest, life.modify(*_LESS)))
    life = _life(bench)
    yield Script("more than before", (life.newest, life.modify(*_MORE)))
    life = _life(bench)
    steps = (
        life.newest,
        life.modify(_LESS[0], _TRACKED[1]),
        life.modify(*_TRACKED),
        life.modify(_TRACKED[0], _LESS[1]),
    )
    yield Script("payout and amount each by itself, and back", steps)


def _restore(bench: Bench) -> Iterator[Script]:
    life = _life(bench)
    steps = (life.newest, life.modify(*_LESS), life.restore())
    yield Script("a restored modification", steps)
    # With the figures it was tracked with it is the same update again, and nobody can tell; here it is still recorded.
    life = _life(bench)
    yield Script("a restored reversal", (life.newest, life.reverse(), life.restore()))


def _restart(bench: Bench) -> Iterator[Script]:
    one = _first(bench)
    yield Script("the same postback after a restart", (one, Restart(), one))
    if tells_updates(bench):
        life = _life(bench)
        tracked, modified = life.newest, life.modify(*_LESS)
        yield Script("a life with a restart in it", (tracked, modified, Restart(), tracked, modified, life.reverse()))


def _exact_money(bench: Bench) -> Iterator[Script]:
    if not tells_updates(bench):
        yield Script("an amount", (_first(bench),))
        return
    # Each of these sums is wrong in binary floating point, the last figures also in single precision.
    for payouts in (
        ("0.10", "0.30", "0.70"),
        ("1.10", "3.30", "2.20", "0.01"),
        ("19.99", "999999.99", "16777.21"),
    ):
        first, *others = payouts
        life = _life(bench, payout=first, amount=first)
        steps = [life.newest, *(life.modify(Decimal(each), Decimal(each)) for each in others)]
        yield Script("figures that binary floating point cannot hold", steps)


def _no_money(bench: Bench) -> Iterator[Script]:
    for what, payout, amount in (
        ("an action that pays nothing", "0.00", "90.00"),
        ("an action without an amount", "4.50", "0.00"),
        ("an action without any money", "0.00", "0.00"),
    ):
        yield Script(what, (_first(bench, _life(bench, payout, amount)),))
    if tells_updates(bench):
        life = _life(bench, "0.00", "90.00")
        yield Script("an action that pays something later", (life.newest, life.modify(*_LESS)))


def _similar_ids(bench: Bench) -> Iterator[Script]:
    """Yield actions whose ids are alike but for the campaign, or the day: the last part alone tells none of them."""
    one = bench.conversion(payout="4.50", amount="90.00")
    other = replace(one, campaign_id=one.campaign_id + 1, money=replace(one.money, payout=_LESS[0]))
    yield _pair(bench, "campaign", one, other)
    one = bench.conversion(payout="4.50", amount="90.00")
    other = replace(one, event_date=one.event_date - timedelta(days=2), money=replace(one.money, payout=_MORE[0]))
    yield _pair(bench, "day", one, other)


def _pair(bench: Bench, what: str, *conversions: Conversion) -> Script:
    firsts = [_first(bench, Life(bench.notification, each, bench.started_at)) for each in conversions]
    return Script(f"two actions whose ids differ in the {what} only", firsts)


async def _run(bench: Bench, scripts: Scripts, *, of_updates: bool) -> Iterable[Outcome]:
    if reason := not_applicable(bench, of_updates=of_updates):
        return (reason,)
    # Texts and dates that are recorded wrongly are for other cases to tell, and would fail each of these.
    return await play_all(bench, scripts(bench), texts=False)


async def resend_after_restart(bench: Bench) -> Iterable[Outcome]:
    """Send again what was accepted before a restart, and return whether it is still known; needs probe and restart."""
    return await _run(bench, _restart, of_updates=False)


def _case(
    case_id: str, requirement: str, fix: str, scripts: Scripts, *sources: Source, of_updates: bool = False
) -> Case:
    return Case(
        id=case_id,
        level="MUST",
        requirement=requirement,
        fix=fix,
        sources=(*sources, OUR_MODEL()),
        needs=("probe",),
        run=partial(_run, scripts=scripts, of_updates=of_updates),
    )


CASES: Final = (
    _case(
        "state.duplicate",
        "A postback that comes again changes nothing.",
        "Store what tells an update from others, such as the id, the status, the figures and the deltas, under a "
        "unique key, and take what is there already for done. The id alone will not do: updates share it.",
        _duplicate,
        ACKNOWLEDGE,
        NO_RETRY,
    ),
    _case(
        "state.concurrent-duplicate",
        "A postback that comes several times at the same moment is booked once.",
        "Let the database decide, with a unique key and one transaction: between looking and writing there is room for "
        "another request.",
        _concurrent_duplicate,
        ACKNOWLEDGE,
    ),
    Case(
        id="state.concurrent-updates",
        level="MUST",
        requirement="Different updates of one action that come at the same moment are all booked.",
        fix="Keep each update as a row of its own, or lock the action's row before its figures are read: who reads, "
        "adds and writes back overwrites what another worker wrote meanwhile.",
        sources=(NO_RETRY, OUR_MODEL()),
        needs=("probe",),
        run=run_at_once,
    ),
    _case(
        "state.accepted-then-lost",
        "A postback whose answer got lost is booked once, though it is sent again.",
        "Save first, then answer, and take the same postback again for done, with an answer that means success.",
        _accepted_then_lost,
        ACKNOWLEDGE,
        NO_RETRY,
    ),
    _case(
        "state.out-of-order",
        "Updates that come in another order lead to the same figures.",
        "Do not let the latest arrival win. Keep every update, and book the deltas; or follow them: current minus "
        "delta is where an update begins, and the one that begins where no other ends comes first.",
        _out_of_order,
        NO_RETRY,
        of_updates=True,
    ),
    _case(
        "state.reversal",
        "A reversal takes all money back, and the action reads REVERSED.",
        "A reversal has the id of its action, and figures of 0. Do not take it for a duplicate, and do not skip it.",
        _reversal,
        LIFE_CYCLE(section="action states"),
        MODIFICATIONS(section="reverse actions"),
        of_updates=True,
    ),
    _case(
        "state.modification",
        "A modification replaces the figures of its action.",
        "Payout and Amount are what holds now, DeltaPayout and DeltaAmount what changed: set the first or add the "
        "second, and never add up the first.",
        _modification,
        ACTIONS_API(section="DeltaPayout and DeltaAmount"),
        of_updates=True,
    ),
    _case(
        "state.restore",
        "An action that is restored has its figures back.",
        "Being restored is an update like any other: it begins where the action stood, and ends where it was tracked.",
        _restore,
        MODIFICATIONS(section="reason RESET"),
        of_updates=True,
    ),
    _case(
        "state.exact-money",
        "Money is recorded to the cent.",
        "Read money as a decimal or as whole cents, keep it in such a column, and let it nowhere become a float.",
        _exact_money,
        ACTIONS_API(section="Payout and Amount"),
    ),
    _case(
        "state.no-money",
        "An action is recorded, and reads PENDING, though its payout or amount is 0.",
        "Do not skip what pays nothing: a sign-up may pay 0.00 now and more later. What was reversed is told by the "
        "status.",
        _no_money,
        CAPTURED_CALLS(),
    ),
    _case(
        "state.similar-ids",
        "Actions whose ids differ in one part only are different actions.",
        "Keep the whole action id, as text: its last part is counted anew each day, and by each campaign.",
        _similar_ids,
        OURS,
    ),
)
"""The cases of this family."""
