"""The search for the shortest life cycles after which an endpoint's books are wrong, in bounded time."""

import asyncio
from collections.abc import Coroutine, Iterable
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, Final

from postback_conformance.hosting.hosted import HostingError
from postback_conformance.judging.verdict import PASS, Outcome
from postback_conformance.ledger.machine import Ground, Search, TimeIsUpError, search
from postback_conformance.ledger.shortening import shorten
from postback_conformance.rules.fact_sources import OUR_MODEL
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.partner import BenchPartner
from postback_conformance.suite.playing import failure, fresh_id, not_applicable, untold
from postback_conformance.suite.probe import ProbeError
from postback_sender.quantities import NANOSECONDS_PER_SECOND

_NS: Final = NANOSECONDS_PER_SECOND
# The machine stops after this time, Hypothesis' shrinking of what it found after the next; then steps are left out. In
# sum it stays below what a case may take.
_SEARCHES_FOR_NS: Final = 30 * _NS
_SHRINKS_FOR_NS: Final = 10 * _NS
_QUICK_NS: Final = 3 * _NS
_QUICKLY_SHRINKS_FOR_NS: Final = _NS
_SHORTENS_FOR_NS: Final = 10 * _NS
_ONE_STEP_S: Final = 60.0


async def _life_cycles(bench: Bench) -> Iterable[Outcome]:
    if reason := not_applicable(bench, of_updates=False):
        return (reason,)
    partner = BenchPartner(bench)
    found = await _search(bench, partner)
    if found.shortest is None:
        return (PASS,) if found.compared else (untold(found.undecided),)
    until_ns = bench.clock.monotonic_ns() + _SHORTENS_FOR_NS
    partner = BenchPartner(bench)
    short = await shorten(
        bench.notification,
        partner,
        found.shortest,
        partial(fresh_id, bench),
        is_over=lambda: bench.clock.monotonic_ns() > until_ns,
    )
    if short.is_flaky:
        return (failure("now and then, and not when the same was done again", short.error, partner, bench),)
    return (failure("a life cycle", short.error, partner, bench),)


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


CASES: Final = (
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
