"""What capturing costs: `python benchmarks/capturing.py` compares the capture server with bare aiohttp, in one run.

Each server is a process of its own on one core, the load comes from this one on another. Counted is the CPU time of the
servers, per request, so that the load generator and the rest of the machine matter little. The rounds alternate.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from load import load, on_core
from postback_receiver import open_store

ROUNDS = 7
REQUESTS = 6000
MANY = 100_000
FLOOR = 0.75
MOST_BYTES = 300
MOST_START_S = 0.5

# Each prints its port, and for each line it is sent its CPU seconds and resident bytes.
SERVER = """
import asyncio, gc, resource, sys, time
from pathlib import Path
from postback_receiver.event_loop import new_event_loop

async def bare():
    from aiohttp import web
    async def answer(request):
        await request.read()
        return web.Response()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return site._server.sockets[0].getsockname()[1]

async def capturing(store):
    from postback_receiver import CaptureServer, Endpoint
    return (await CaptureServer(store, [Endpoint()]).__aenter__()).port

async def memory():
    from postback_receiver import MemoryStore
    return await capturing(MemoryStore())

async def sqlite():
    from postback_receiver import SqliteStore
    return await capturing(SqliteStore(sys.argv[2]))

async def main():
    print(await globals()[sys.argv[1]](), flush=True)
    gc.collect()
    gc.freeze()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        print(time.process_time(), resident, flush=True)

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(main())
"""


class Server:
    """A server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid
        self.port = int(self._read())

    def usage(self) -> tuple[float, int]:
        """Return the CPU seconds it has used, and the bytes of memory it holds."""
        print(file=self._process.stdin, flush=True)
        seconds, resident = self._read().split()
        return float(seconds), int(resident)

    def _read(self) -> str:
        return self._process.stdout.readline() if self._process.stdout else ""


@contextmanager
def running(kind: str, *arguments: str) -> Generator[Server]:
    """Run a server of this kind until the end of the block."""
    with subprocess.Popen(  # noqa: S603 -- ours
        [*on_core(0), sys.executable, "-c", SERVER, kind, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def cost(server: Server, count: int) -> float:
    """Return the CPU microseconds that a server used for one of so many requests."""
    before, _ = server.usage()
    load(server.port, count)
    after, _ = server.usage()
    return (after - before) / count * 1e6


def growth(server: Server) -> float:
    """Return the bytes of memory that stay with each of many captures."""
    _, before = server.usage()
    load(server.port, MANY)
    _, after = server.usage()
    return (after - before) / MANY


def start_s(store: Path) -> float:
    """Return how long a durable capture server takes from nothing to its port."""
    begun = time.monotonic()
    with running("sqlite", str(store)):
        return time.monotonic() - begun


def main() -> int:
    """Print the ratios; 1 when something is missed in a run that counts."""
    costs: dict[str, list[float]] = {"bare": [], "memory": [], "sqlite": []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "captures.sqlite"
        servers = {kind: stack.enter_context(running(kind, str(path))) for kind in costs}
        for server in servers.values():
            load(server.port, REQUESTS)
        for _ in range(ROUNDS):
            for kind, server in servers.items():
                costs[kind].append(cost(server, REQUESTS))
        bytes_each = growth(servers["sqlite"])
        lost = REQUESTS * (ROUNDS + 1) + MANY - open_store(path).count()
        starts = [start_s(Path(folder) / f"{number}.sqlite") for number in range(3)]
    base = statistics.median(costs["bare"])
    spread = (max(costs["bare"]) - min(costs["bare"])) / base
    print(f"bare aiohttp: {base:.0f} µs CPU a request (spread {spread:.0%}{', VOID' if spread > 0.25 else ''})")
    ratios = {kind: statistics.median(b / c for b, c in zip(costs["bare"], costs[kind], strict=True)) for kind in costs}
    for kind in ("memory", "sqlite"):
        print(f"  {ratios[kind]:.2f} x its rate  capture server, store: {kind}   floor {FLOOR}")
    print(f"memory: {bytes_each:.0f} bytes a capture over {MANY}   at most {MOST_BYTES}")
    print(f"ready to accept after {min(starts):.2f} s   at most {MOST_START_S}")
    print(f"lost or doubled: {lost}")
    missed = ratios["sqlite"] < FLOOR or bytes_each > MOST_BYTES or min(starts) > MOST_START_S
    return int(bool(lost) or (spread <= 0.25 and missed))


if __name__ == "__main__":
    sys.exit(main())
