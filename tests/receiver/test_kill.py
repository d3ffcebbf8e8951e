"""A receiver killed with SIGKILL under load has every request that it acknowledged."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from fork_server import PATIENCE_S
from postback_receiver import open_store

CONNECTIONS = 32

RECEIVER = """
import asyncio, sys
from postback_receiver import CaptureServer, Endpoint, SqliteStore, new_event_loop

async def listen():
    async with CaptureServer(SqliteStore(sys.argv[1]), [Endpoint()]) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(listen())
"""


@pytest.mark.parametrize("kill_after", [1, 100, 2000])
def test_no_acknowledged_request_is_lost(tmp_path: Path, kill_after: int) -> None:
    path = tmp_path / "captures.db"
    with subprocess.Popen([sys.executable, "-c", RECEIVER, str(path)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            acknowledged = asyncio.run(asyncio.wait_for(_load_until_killed(process, port, kill_after), PATIENCE_S))
        finally:
            process.kill()
    stored = Counter(capture.target for capture in open_store(path).captures())
    assert len(acknowledged) >= kill_after
    assert acknowledged <= stored.keys()
    assert set(stored.values()) == {1}


async def _load_until_killed(process: subprocess.Popen[bytes], port: int, kill_after: int) -> set[str]:
    """Send requests over many connections, kill the receiver in the middle; the targets it answered with 200."""
    acknowledged: set[str] = set()
    numbers = count()

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for target in _targets(numbers):
                writer.write(f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                acknowledged.add(target)
                if len(acknowledged) == kill_after:
                    process.kill()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    return acknowledged


def _targets(numbers: "count[int]") -> Iterator[str]:
    for number in numbers:
        yield f"/?id={number}"
