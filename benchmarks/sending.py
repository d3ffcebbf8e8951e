"""What sending costs: `python benchmarks/sending.py` compares the whole sender with a bare aiohttp loop, in one run.

Both send the same requests over 64 kept connections to a server in a process of its own. Counted is the CPU time of
this process, so that the server and the rest of the machine matter little. The rounds alternate.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiohttp

from postback_receiver import new_event_loop
from postback_sender import (
    Event,
    Notification,
    NotificationSource,
    Sender,
    example_event,
    parse_notification,
    render_postback,
)
from postback_sender.clock import SystemClock
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.outbox import Outbox
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

T = TypeVar("T")

REQUESTS = 3000
ROUNDS = 5
CONNECTIONS = 64
PENDING = 10_000
FLOOR = 0.6

SERVER = """
import asyncio
class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.rest = transport, 0
    def data_received(self, data):
        while data:
            if self.rest:
                taken = min(self.rest, len(data)); self.rest -= taken; data = data[taken:]
            else:
                head, _, data = data.partition(b"\\r\\n\\r\\n")
                lower = head.lower(); at = lower.find(b"content-length:")
                self.rest = int(lower[at + 15 :].split(b"\\r\\n")[0]) if at >= 0 else 0
                taken = min(self.rest, len(data)); self.rest -= taken; data = data[taken:]
            if not self.rest:
                self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK")
async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def settings(port: int, extra: str = "") -> NotificationSource:
    """Return settings that send the corrected sample there; the limit is there, and limits nothing."""
    body = Path(__file__).parents[1] / "conformance/postback_conformance/demo_notifications/corrected.json.txt"
    text = f'url = "http://127.0.0.1:{port}/p"\nmethod = "POST"\nbody_file = "b"\nmaximum_requests = "1000000/s"\n'
    return NotificationSource(
        name="bench.toml", text=f'{text}maximum_requests_scope = "all"\n{extra}', files={"b": body.read_text("utf-8")}
    )


def events(count: int) -> list[Event]:
    """Return events of different actions, all of now."""
    example, now = example_event("action_lifecycle"), datetime.now(UTC)
    return [
        Event(kind=example.kind, at=now, values={**example.values, "ActionId": f"1.2.{number}"}, items=example.items)
        for number in range(count)
    ]


async def bare(notification: Notification, chosen: list[Event]) -> None:
    """Send bytes that are ready, with nothing but aiohttp."""
    postbacks = [render_postback(notification, event) for event in chosen]
    todo = iter(postbacks)

    async def work(session: aiohttp.ClientSession) -> None:
        for postback in todo:
            async with session.post(postback.url, data=postback.body, headers=postback.headers) as response:
                await response.read()

    begun = time.process_time()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await asyncio.gather(*(work(session) for _ in range(CONNECTIONS)))
    print_cost("bare", time.process_time() - begun)


COSTS: dict[str, list[float]] = {}


def print_cost(name: str, seconds: float) -> None:
    """Keep what a round cost."""
    COSTS.setdefault(name, []).append(seconds / REQUESTS * 1e6)


async def whole(notification: Notification, chosen: list[Event], outbox: Outbox, name: str) -> None:
    """Send events: accept, render, wait for the turn, send, log."""
    begun = time.process_time()
    async with outbox, Sender(notification, concurrency=CONNECTIONS, outbox=outbox) as sender:
        count = 0
        async for delivery in sender.send(chosen):
            count += delivery.outcome is not None
    print_cost(name, time.process_time() - begun)
    if count != len(chosen):
        sys.exit(f"{name}: only {count} of {len(chosen)} ended")


async def lateness(port: int) -> list[float]:
    """Return how late each of many pending postbacks left, in milliseconds; negative would be early."""
    notification = parse_notification(settings(port, 'minimum_delay = "3s"'), {})
    clock = SystemClock()
    example, start = example_event("action_lifecycle"), time.time()
    chosen = [
        Event(
            kind=example.kind,
            at=datetime.fromtimestamp(start + number / 500, UTC),
            values={"ActionId": f"1.2.{number}"},
        )
        for number in range(PENDING)
    ]
    offset = clock.now_ns() - clock.monotonic_ns()
    due = {event.values["ActionId"]: event.at.timestamp() * 1e9 + 3e9 - offset for event in chosen}
    async with Sender(notification, concurrency=CONNECTIONS) as sender:
        return sorted(
            [
                (delivery.attempts[0].started_ns - due[delivery.postback.key]) / 1e6
                async for delivery in sender.send(chosen)
            ]
        )


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run in a fresh loop of the kind the kit uses."""

    async def main() -> T:
        return await work()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main())


def main() -> int:
    """Print the ratios; 1 when the floor is missed in a run that counts."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  ours
        port = int(server.stdout.readline() if server.stdout else "")
        source = settings(port)
        notification = parse_notification(source, {})
        with tempfile.TemporaryDirectory() as folder:
            for number in range(ROUNDS):
                chosen = events(REQUESTS)
                run(partial(bare, notification, chosen))
                run(partial(whole, notification, chosen, MemoryOutbox(), "memory"))
                durable = SqliteOutbox(Path(folder) / f"{number}.sqlite", source)
                run(partial(whole, notification, chosen, durable, "sqlite"))
        late = run(lambda: lateness(port))
        server.kill()
    base = statistics.median(COSTS["bare"])
    spread = (max(COSTS["bare"]) - min(COSTS["bare"])) / base
    print(f"bare aiohttp loop: {base:.0f} µs CPU a request (spread {spread:.0%}{', VOID' if spread > 0.25 else ''})")
    ratios = {name: statistics.median(b / c for b, c in zip(COSTS["bare"], COSTS[name], strict=True)) for name in COSTS}
    for name in ("memory", "sqlite"):
        print(f"  {ratios[name]:.2f} x its rate  sender with an outbox in {name}   floor {FLOOR}")
    print(
        f"{PENDING} pending, 500/s due: earliest {late[0]:+.3f} ms, median {late[len(late) // 2]:.2f} ms, "
        f"p99 {late[len(late) * 99 // 100]:.2f} ms, latest {late[-1]:.2f} ms"
    )
    return int(spread <= 0.25 and ratios["sqlite"] < FLOOR)


if __name__ == "__main__":
    sys.exit(main())
