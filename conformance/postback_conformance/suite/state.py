"""What is on the books after postbacks that come twice, late, or not for sure: looked up with the probe.

Each case is a few scripts of steps. They are done through the real sender, and after each step what was recorded is
compared with what is certain by then (see `ledger.model`). What nobody can know is left undecided.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from decimal import Decimal
from functools import partial
from itertools import permutations
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from postback_conformance.held_tokens import held_names
from postback_conformance.hosting.hosted import HostingError
from postback_conformance.ledger.machine import Ground, Search, TimeIsUpError, search
from postback_conformance.ledger.making import Life
from postback_conformance.ledger.model import tells
from postback_conformance.ledger.play import LedgerError, play
from postback_conformance.ledger.shortening import shorten, with_fresh_ids
from postback_conformance.ledger.step import Restart, Send, Step
from postback_conformance.ledger.story import difference_text, in_one_line
from postback_conformance.rule import Source
from postback_conformance.rules.fact_sources import ACTIONS_API, LIFE_CYCLE, MODIFICATIONS, OUR_MODEL
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import ACKNOWLEDGE, NO_RETRY
from postback_conformance.suite.partner import BenchPartner
from postback_conformance.suite.probe import ProbeError
from postback_conformance.verdict import PASS, Fail, NotApplicable, Outcome
from postback_sender.quantities import NANOSECONDS_PER_SECOND

_AT_ONCE: Final = 8
# Binary floating point holds these, and their sums, exactly: only the case about exact money is about that.
_TRACKED: Final = (Decimal("4.50"), Decimal("90.00"))
_LESS: Final = (Decimal("3.25"), Decimal("65.00"))
_MORE: Final = (Decimal("6.75"), Decimal("135.00"))
_NS: Final = NANOSECONDS_PER_SECOND
# The machine stops after this time, Hypothesis' shrinking of what it found after the next; then steps are left out. In
# sum it stays below what a case may take.
_SEARCHES_FOR_NS: Final = 30 * _NS
_SHRINKS_FOR_NS: Final = 10 * _NS
_QUICK_NS: Final = 3 * _NS
_QUICKLY_SHRINKS_FOR_NS: Final = _NS
_SHORTENS_FOR_NS: Final = 10 * _NS
_ONE_STEP_S: Final = 60.0


class LedgerFail(Fail, frozen=True, kw_only=True):
    """A failure with the steps that led to it, for a case file."""

    steps: tuple[Step, ...]
    error: LedgerError


class _Script(NamedTuple):
    """Steps about one action, and in words what is special about them."""

    what: str
    steps: Sequence[Step]


Scripts = Callable[[Bench], Iterator[_Script]]


def _life(bench: Bench, payout: str = f"{_TRACKED[0]}", amount: str = f"{_TRACKED[1]}") -> Life:
    return Life(bench.notification, bench.conversion(payout=payout, amount=amount), bench.started_at)


def _first(bench: Bench) -> Send:
    """Return the first update of a new action that the notification reports."""
    life = _life(bench)
    return life.clear() if bench.like == "action_clearing" else life.newest


def _duplicate(bench: Bench) -> Iterator[_Script]:
    one = _first(bench)
    yield _Script("the same postback twice", (one, one))
    if not _tells_updates(bench):
        return
    life = _life(bench)
    tracked, modified = life.newest, life.modify(*_LESS)
    yield _Script("a postback again after a later one", (tracked, modified, tracked, modified))
    life = _life(bench)
    tracked, gone = life.newest, life.reverse()
    yield _Script("a reversal twice", (tracked, gone, gone, tracked))


def _concurrent_duplicate(bench: Bench) -> Iterator[_Script]:
    number = 3 if bench.quick else 6
    for _ in range(number):
        yield _Script("the same postback at the same moment", (replace(_first(bench), at_once=_AT_ONCE),))
    if _tells_updates(bench):
        life = _life(bench)
        tracked, modified = life.newest, life.modify(*_LESS)
        yield _Script("a modification at the same moment", (tracked, replace(modified, at_once=_AT_ONCE)))


def _accepted_then_lost(bench: Bench) -> Iterator[_Script]:
    yield _Script("a postback whose answer got lost", (replace(_first(bench), lost=True),))
    if _tells_updates(bench):
        life = _life(bench)
        steps = (life.newest, life.modify(*_LESS), life.reverse())
        yield _Script("a life whose answers got lost", tuple(replace(step, lost=True) for step in steps))


def _out_of_order(bench: Bench) -> Iterator[_Script]:
    for numbers in ((1, 0), *list(permutations(range(3)))[1:]):
        life = _life(bench)
        steps = (life.newest, life.modify(*_LESS), life.modify(*_MORE))
        yield _Script("modifications that came late", [steps[number] for number in numbers])
    life = _life(bench)
    tracked = life.newest
    yield _Script("a reversal that came too early", (life.reverse(), tracked))
    for numbers in ((2, 0, 1), (2, 1, 0), (0, 2, 1)):
        life = _life(bench)
        steps = (life.newest, life.modify(*_LESS), life.reverse())
        yield _Script("a reversal that came too early", [steps[number] for number in numbers])


def _reversal(bench: Bench) -> Iterator[_Script]:
    life = _life(bench)
    yield _Script("a reversal", (life.newest, life.reverse()))
    life = _life(bench)
    yield _Script(
        "a reversal after a modification",
        (life.newest, life.modify(*_LESS), life.reverse()),
    )


def _modification(bench: Bench) -> Iterator[_Script]:
    life = _life(bench)
    yield _Script("less than before", (life.newest, life.modify(*_LESS)))
    life = _life(bench)
    yield _Script("more than before", (life.newest, life.modify(*_MORE)))
    life = _life(bench)
    steps = (
        life.newest,
        life.modify(_LESS[0], _TRACKED[1]),
        life.modify(*_TRACKED),
        life.modify(_TRACKED[0], _LESS[1]),
    )
    yield _Script("payout and amount each by itself, and back", steps)


def _restore(bench: Bench) -> Iterator[_Script]:
    life = _life(bench)
    steps = (life.newest, life.modify(*_LESS), life.restore())
    yield _Script("a restored modification", steps)
    # With the figures it was tracked with it is the same update again, and nobody can tell; here it is still recorded.
    life = _life(bench)
    yield _Script("a restored reversal", (life.newest, life.reverse(), life.restore()))


def _restart(bench: Bench) -> Iterator[_Script]:
    one = _first(bench)
    yield _Script("the same postback after a restart", (one, Restart(), one))
    if _tells_updates(bench):
        life = _life(bench)
        tracked, modified = life.newest, life.modify(*_LESS)
        yield _Script("a life with a restart in it", (tracked, modified, Restart(), tracked, modified, life.reverse()))


def _exact_money(bench: Bench) -> Iterator[_Script]:
    if not _tells_updates(bench):
        yield _Script("an amount", (_first(bench),))
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
        yield _Script("figures that binary floating point cannot hold", steps)


def _tells_updates(bench: Bench) -> bool:
    return bench.like == "action_lifecycle" and bench.notification.level == "global"


def _not_applicable(bench: Bench, *, of_updates: bool) -> NotApplicable | None:
    """Return why nothing of an action's state can be looked up with these settings."""
    why = ""
    told = tells(bench.notification)
    if bench.like not in {"action_lifecycle", "action_clearing"}:
        why = f"{bench.notification.event} tells of no action"
    elif "ActionId" not in held_names(bench.notification):
        why = "the templates leave {ActionId} out, without which no postback can be told to belong to an action"
    elif not told.anything:
        why = "the templates tell neither status nor payout nor amount"
    elif of_updates and not _tells_updates(bench):
        why = "the notification reports one update of each action only"
    return NotApplicable(why=why, by_settings=True) if why else None


async def _run(bench: Bench, scripts: Scripts, *, of_updates: bool) -> Iterable[Outcome]:
    if reason := _not_applicable(bench, of_updates=of_updates):
        return (reason,)
    # Texts and dates that are recorded wrongly are for other cases to tell, and would fail each of these.
    return await _play_all(bench, scripts(bench), texts=False)


async def resend_after_restart(bench: Bench) -> Iterable[Outcome]:
    """Send again what was accepted before a restart, and return whether it is still known; needs probe and restart."""
    return await _run(bench, _restart, of_updates=False)


async def run_steps(bench: Bench, *, steps: Sequence[Step]) -> Iterable[Outcome]:
    """Do the steps of a case file about new actions, and return what came of it."""
    if reason := _not_applicable(bench, of_updates=False):
        return (reason,)
    if bench.endpoint.restart is None and any(isinstance(step, Restart) for step in steps):
        return (NotApplicable(why="the file has the endpoint restarted, and there is no restart hook"),)
    steps = with_fresh_ids(steps, partial(_fresh_id, bench))
    return await _play_all(bench, (_Script("once more", steps),), texts=True)


async def _play_all(bench: Bench, scripts: Iterable[_Script], *, texts: bool) -> Iterable[Outcome]:
    compared, undecided = 0, dict[str, int]()
    for script in scripts:
        partner = BenchPartner(bench)
        try:
            run = await play(bench.notification, partner, script.steps, texts=texts)
        except LedgerError as error:
            return (_failure(script.what, error, partner, bench),)
        compared += run.compared
        undecided |= run.undecided
    return (PASS,) if compared else (_untold(undecided),)


def _failure(what: str, error: LedgerError, partner: BenchPartner, bench: Bench) -> LedgerFail:
    first = error.found[0]
    return LedgerFail(
        message=f"{what}: {in_one_line(error.steps, bench.notification)}. {difference_text(first, error.steps)}",
        expected=f"{first.field}: {first.expected}",
        actual=first.actual,
        captures=tuple(partner.captures[-len(error.steps) :]),
        steps=error.steps,
        error=error,
    )


def _untold(undecided: Iterable[str]) -> NotApplicable:
    if reasons := sorted(undecided):
        return NotApplicable(why=f"nobody can know what must be recorded: {'; '.join(reasons)}")
    return NotApplicable(why="the probe tells nothing of the figures that the postbacks tell: status, payout, amount")


async def _life_cycles(bench: Bench) -> Iterable[Outcome]:
    if reason := _not_applicable(bench, of_updates=False):
        return (reason,)
    partner = BenchPartner(bench)
    found = await _search(bench, partner)
    if found.shortest is None:
        return (PASS,) if found.compared else (_untold(found.undecided),)
    until_ns = bench.clock.monotonic_ns() + _SHORTENS_FOR_NS
    partner = BenchPartner(bench)
    short = await shorten(
        bench.notification,
        partner,
        found.shortest,
        partial(_fresh_id, bench),
        is_over=lambda: bench.clock.monotonic_ns() > until_ns,
    )
    if short.is_flaky:
        return (_failure("now and then, and not when the same was done again", short.error, partner, bench),)
    return (_failure("a life cycle", short.error, partner, bench),)


def _fresh_id(bench: Bench, old: str) -> str:
    return f"{old.rpartition('.')[0]}.{bench.fresh_sequence()}"


async def _search(bench: Bench, partner: BenchPartner) -> Search:
    """Run the machine on a thread beside this loop; leaving early ends it."""
    loop = asyncio.get_running_loop()
    until_ns: int | None = None
    is_left = is_shrinking = False
    fault: ProbeError | HostingError | None = None

    def is_over(is_found: bool) -> bool:  # noqa: FBT001  the machine's one question
        nonlocal until_ns, is_shrinking
        now_ns = bench.clock.monotonic_ns()
        if until_ns is None:
            # Hypothesis takes a while to begin.
            until_ns = now_ns + (_QUICK_NS if bench.quick else _SEARCHES_FOR_NS)
        if is_found and not is_shrinking:
            is_shrinking = True
            until_ns = min(until_ns, now_ns + (_QUICKLY_SHRINKS_FOR_NS if bench.quick else _SHRINKS_FOR_NS))
        return is_left or now_ns > until_ns

    def wait(work: Coroutine[Any, Any, None]) -> None:
        nonlocal fault
        # Whoever waited for the search may have gone, and the loop with it.
        if is_left or loop.is_closed():
            work.close()
            raise TimeIsUpError
        try:
            asyncio.run_coroutine_threadsafe(work, loop).result(_ONE_STEP_S)
        except CancelledError:
            raise TimeIsUpError from None
        except (ProbeError, HostingError) as error:
            # Nothing to look for the shortest way to.
            fault = error
            raise TimeIsUpError from None

    ground = Ground(
        notification=bench.notification,
        partner=partner,
        conversion=bench.conversion,
        started_at=bench.started_at,
        wait=wait,
        is_over=is_over,
        restarts=bench.endpoint.restart is not None,
    )
    try:
        found = await asyncio.to_thread(search, ground, seed_number=bench.seed, max_examples=bench.max_examples)
    finally:
        is_left = True
    if fault is not None and found.shortest is None:
        raise fault
    return found


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
    Case(
        id="state.life-cycles",
        level="MUST",
        requirement="Whatever happens to the postbacks of many actions, nothing is lost, doubled or rounded.",
        fix="The steps are the shortest that lead there: do them again with --replay, and look at what the endpoint "
        "stores after each.",
        sources=(OUR_MODEL(),),
        needs=("probe",),
        run=_life_cycles,
    ),
)
"""The cases of this family."""
