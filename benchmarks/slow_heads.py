"""What others notice of slowloris: `python benchmarks/slow_heads.py` sends good requests beside 500 that never end.

Each slow peer keeps a connection open with a head that grows by one field a second. The server runs on one core, all
its peers on another, so that what is measured includes how late these are themselves: the good requests alone come
first, for comparison. Exit code 1 when a good answer takes more than 50 ms longer beside the slow ones.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from capturing import running
from load import REQUEST
from postback_receiver import new_event_loop

SLOW = 500
GOOD = 1000
EVERY_S = 1.0
MOST_DELAY_MS = 50


async def good_ms(port: int) -> list[float]:
    """Send good requests one after the other; return how long each answer took, the shortest first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took: list[float] = []
    for _ in range(GOOD):
        begun = time.perf_counter()
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        took.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(0.005)
    writer.close()
    return sorted(took)


async def never_end(port: int, number: int) -> None:
    """Send a head that never ends, until cancelled."""
    await asyncio.sleep(EVERY_S * number / SLOW)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"POST /slow HTTP/1.1\r\nHost: a\r\n")
        while True:
            await asyncio.sleep(EVERY_S)
            writer.write(b"X-Slow: 1\r\n")
    finally:
        writer.close()


async def measure(port: int) -> tuple[list[float], list[float]]:
    """Return how long good answers took, alone and beside slow peers."""
    await good_ms(port)
    alone = await good_ms(port)
    slow = [asyncio.create_task(never_end(port, number)) for number in range(SLOW)]
    await asyncio.sleep(2 * EVERY_S)
    beside = await good_ms(port)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    return alone, beside


def main() -> int:
    """Print how long good answers took; 1 when the slow ones held one up for too long."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running("sqlite", str(Path(folder) / "captures.sqlite")) as server,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        alone, beside = runner.run(measure(server.port))
    for name, took in (("alone", alone), (f"beside {SLOW} slow heads", beside)):
        print(f"{name}: median {took[GOOD // 2]:.2f} ms, p99 {took[GOOD * 99 // 100]:.2f}, worst {took[-1]:.2f}")
    delay = beside[-1] - alone[-1]
    print(f"held up for {delay:.1f} ms at worst   at most {MOST_DELAY_MS}")
    return int(delay > MOST_DELAY_MS)


if __name__ == "__main__":
    sys.exit(main())
