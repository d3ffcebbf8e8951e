"""How fast an endpoint answers: by itself, at the maximum of requests, and beside somebody slow."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from postback_conformance.judging.verdict import PASS, Fail, Outcome
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import MAXIMUM, NO_RETRY, OURS, PATIENCE
from postback_conformance.suite.outcomes import is_there, must_accept, unknown_actions
from postback_conformance.suite.proxy import ProxyFault
from postback_conformance.suite.sent import Sent
from postback_sender.delivery.request import request_bytes
from postback_sender.quantities import NANOSECONDS_PER_SECOND

BUDGET_S: Final = 2.0
"""Within which an answer should come. impact.com publishes no time-out; networks like it wait this long."""

_REQUESTS: Final = 30
_QUICK_REQUESTS: Final = 10
_BURST: Final = 200
_QUICK_BURST: Final = 60
_CONCURRENCY: Final = 16
# At a maximum of few requests, a burst of many would take minutes.
_BURST_LASTS_S: Final = 4
_TRIALS: Final = 3
_NEIGHBOURS: Final = 4
_NEIGHBOUR_PIECES: Final = 20
_NEIGHBOUR_PAUSE_NS: Final = 50_000_000
_NEIGHBOUR_BUDGET_S: Final = _NEIGHBOUR_PIECES * _NEIGHBOUR_PAUSE_NS / NANOSECONDS_PER_SECOND / 2


class Trial(NamedTuple):
    """What was sent one after the other and what at the same time, and what became of it means."""

    in_turn: list[Sent]
    at_once: list[Sent]
    outcomes: list[Outcome]


async def _budget(bench: Bench) -> Iterable[Outcome]:
    count = _QUICK_REQUESTS if bench.quick else _REQUESTS

    async def trial() -> Trial:
        sents = await bench.send([bench.event() for _ in range(count)])
        return Trial(sents, [], _within_budget(sents, ""))

    return await _each_time(trial)


async def _burst(bench: Bench) -> Iterable[Outcome]:
    count = _QUICK_BURST if bench.quick else _BURST
    rate = bench.notification.maximum_requests
    if rate is not None and bench.notification.maximum_requests_scope == "all":
        count = max(2, min(count, rate.count * _BURST_LASTS_S * NANOSECONDS_PER_SECOND // rate.window_ns))
    events = [bench.event() for _ in range(count)]
    sents = await bench.send(events, concurrency=_CONCURRENCY)
    refused = [sent for sent in sents if not sent.accepted]
    if refused:
        told = ", ".join(sorted({sent.told for sent in refused})[:3])
        return [
            Fail(
                message=f"of {count} postbacks, {_CONCURRENCY} at a time, {len(refused)} were not accepted: {told}",
                expected="all of them accepted",
                actual=told,
                captures=tuple(sent.captures[-1] for sent in refused[:3] if sent.captures),
            )
        ]
    if bench.probe is None or unknown_actions(bench):
        return [PASS]
    ids = [event.values["ActionId"] for event in events]
    lost = [one for one in ids if await bench.recorded(one, wanted=is_there) is None]
    if lost:
        return [
            Fail(
                message=f"of {count} accepted postbacks, {len(lost)} were not recorded, such as {lost[0]}",
                expected="all of them recorded",
                actual=f"{count - len(lost)} recorded",
                captures=tuple(sent.captures[-1] for sent in sents if sent.key in lost[:3]),
            )
        ]
    return [PASS]


def slow_neighbours(data: bytes, *, patience_ns: int) -> ProxyFault:
    """Return what lets a request arrive slowly, whole within half the patience of its sender."""
    head = data.find(b"\r\n\r\n") + 4
    # The head comes at once: whoever waits for the body, waits in the endpoint's own code. Without a body, half of it.
    after = head + 1 if len(data) > head + _NEIGHBOUR_PIECES else head // 2
    return ProxyFault(
        kind="slow",
        times=_NEIGHBOURS,
        after=after,
        piece=max(1, -(-(len(data) - after) // _NEIGHBOUR_PIECES)),
        # The sender's own patience may be short, and is not what is tried here.
        pause_ns=min(_NEIGHBOUR_PAUSE_NS, patience_ns // (2 * _NEIGHBOUR_PIECES)),
    )


async def _slow_neighbour(bench: Bench) -> Iterable[Outcome]:
    _, data = request_bytes(bench.postback(bench.event()))
    fault = slow_neighbours(data, patience_ns=bench.notification.timeouts.total_ns)
    return await _each_time(partial(_beside, bench, fault))


async def _beside(bench: Bench, fault: ProxyFault) -> Trial:
    slow = [bench.event() for _ in range(_NEIGHBOURS)]
    async with bench.proxy(fault) as proxy:

        async def beside() -> list[Sent]:
            # They have begun, and are far from their end.
            await proxy.begun(_NEIGHBOURS)
            return await bench.send([bench.event() for _ in range(3)])

        # What takes as long with nobody beside is no neighbour's fault.
        alone = max(sent.took_s for sent in await bench.send([bench.event() for _ in range(2)]))
        slow_sents, sents = await asyncio.gather(bench.send(slow, concurrency=_NEIGHBOURS, via=proxy), beside())
    when = f" beside {_NEIGHBOURS} clients that send slowly"
    outcomes = _within_budget(sents, when, budget_s=alone + _NEIGHBOUR_BUDGET_S)
    outcomes += (must_accept(sent, "a request that arrived slowly") for sent in slow_sents)
    return Trial(sents, slow_sents, outcomes)


async def _each_time(trial: Callable[[], Awaitable[Trial]]) -> list[Outcome]:
    """Return what is late each time: a machine that stood still for a while is not the endpoint's fault.

    It does not stand still again and again: who is late with most of what came in turn is not tried again, as that
    takes long.
    """
    for _ in range(_TRIALS - 1):
        in_turn, at_once, outcomes = await trial()
        is_refused = any(sent.is_answered and not sent.accepted for sent in (*in_turn, *at_once))
        late = sum(sent.took_s > BUDGET_S for sent in in_turn)
        if is_refused or late * 2 > len(in_turn) or not any(isinstance(one, Fail) for one in outcomes):
            return outcomes
    return (await trial()).outcomes


def _within_budget(sents: list[Sent], when: str, *, budget_s: float = BUDGET_S) -> list[Outcome]:
    outcomes = [must_accept(sent, f"a postback{when}") for sent in sents if not sent.accepted]
    slowest = max(sents, key=lambda sent: sent.took_s)
    if slowest.accepted and slowest.took_s > budget_s:
        outcomes.append(
            Fail(
                message=f"a postback{when} took {slowest.took_s:.2f} s to be answered",
                expected=f"an answer within {budget_s:g} s",
                actual=f"{slowest.took_s:.2f} s",
                captures=slowest.captures,
            )
        )
    return outcomes


CASES: Final = (
    Case(
        id="latency.budget",
        level="SHOULD",
        requirement=f"Postbacks are answered within {BUDGET_S:g} s.",
        fix="Record, answer, and do the rest of the work afterwards; a sender that gives up sends again.",
        sources=(PATIENCE, OURS),
        run=_budget,
    ),
    Case(
        id="latency.burst",
        level="MUST",
        requirement="A burst, at the maximum of requests where the settings have one, is accepted and recorded whole.",
        fix="Take requests from several connections at once, with transactions that wait for each other; or set "
        "maximum_requests to what the endpoint can do.",
        sources=(MAXIMUM, NO_RETRY),
        run=_burst,
    ),
    Case(
        id="latency.slow-neighbour",
        level="SHOULD",
        requirement="Clients that send slowly do not keep others waiting.",
        fix="Serve with several workers or asynchronously, behind a server that reads requests whole.",
        sources=(OURS,),
        run=_slow_neighbour,
    ),
)
