"""What the ledger machine costs: `python benchmarks/ledger.py` runs it against an aiohttp endpoint in this process.

A step is a postback through the real sender, an answer, a look with the probe, and what Hypothesis and the model think
about it. Beside it, in alternating rounds, a bare aiohttp client posts the same bytes to the same endpoint, one by one;
the ratio is of the CPU time of this process. Steps per second of wall time mean something on a quiet machine only.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from hypothesis import settings as hypothesis_settings

from postback_conformance.ledger.machine import Ground, search
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.endpoint import Endpoint
from postback_conformance.suite.partner import BenchPartner
from postback_conformance.suite.probe import CallableProbe
from postback_receiver import new_event_loop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from ledgers import AddsDeltas, LedgerEndpoint, settings

ROUNDS = 7
EXAMPLES = 12
REQUESTS = 400
AIM = 300
# Steps per request of the bare client, by CPU time; one step is a request, a look into the books, and the thinking.
FLOOR = 0.16


class Pace(NamedTuple):
    """How many of something were done in a second of wall time, and in one of CPU time."""

    wall: float
    cpu: float


class Stopwatch:
    """Times what is done between making it and asking it."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def pace(self, count: int) -> Pace:
        return Pace(count / (time.perf_counter() - self._wall), count / (time.process_time() - self._cpu))


async def steps(bench: Bench, seed: int) -> Pace:
    """Run the machine once."""
    loop = asyncio.get_running_loop()

    def wait(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result()

    ground = Ground(
        notification=bench.notification,
        partner=BenchPartner(bench),
        conversion=bench.conversion,
        started_at=bench.started_at,
        wait=wait,
        is_over=lambda _: False,
    )
    watch = Stopwatch()
    found = await asyncio.to_thread(search, ground, seed_number=seed, max_examples=EXAMPLES)
    if found.shortest is not None:
        raise found.shortest
    return watch.pace(found.steps)


async def requests(bench: Bench, session: aiohttp.ClientSession) -> Pace:
    """Post bodies of new actions, one by one."""
    bodies = [bench.postback(bench.event()).body for _ in range(REQUESTS)]
    watch = Stopwatch()
    for body in bodies:
        async with session.post(bench.endpoint.url, data=body) as answer:
            await answer.read()
            answer.raise_for_status()
    return watch.pace(REQUESTS)


async def main() -> int:
    hypothesis_settings.register_profile("bench", database=None)
    hypothesis_settings.load_profile("bench")
    async with LedgerEndpoint(AddsDeltas) as server, aiohttp.ClientSession() as session:
        bench = Bench(Endpoint(url=server.url), settings(), probe=CallableProbe(server.probe))
        async with bench:
            await steps(bench, 0)
            rounds = [(await requests(bench, session), await steps(bench, seed)) for seed in range(1, ROUNDS + 1)]
    ratio = statistics.median(step.cpu / request.cpu for request, step in rounds)
    for name, paces in (("requests", [each for each, _ in rounds]), ("steps", [each for _, each in rounds])):
        wall = statistics.median(pace.wall for pace in paces)
        cpu = statistics.median(pace.cpu for pace in paces)
        print(f"{name:<9} {wall:7.0f} per second, {cpu:7.0f} per CPU second, at best {max(paces).wall:.0f}")
    best = max(step.wall for _, step in rounds)
    print(
        f"ratio     {ratio:7.2f} steps per request by CPU time (floor {FLOOR}) {'ok' if ratio >= FLOOR else 'MISSED'}"
    )
    print(f"aim       {AIM} steps per second: {'reached' if best >= AIM else 'not reached here'}")
    return int(ratio < FLOOR)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        sys.exit(runner.run(main()))
