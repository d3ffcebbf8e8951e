"""A sender killed with SIGKILL at any moment has everything that its outbox acknowledged, once, with its whole log."""

import asyncio
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from postback_sender import NotificationSource
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

# Three tasks at once; each line is printed after what it tells of was acknowledged. Each event has a value of its own.
WORKER = """
import asyncio, os, sys
from datetime import UTC, datetime
from itertools import count
from postback_sender import Event, NotificationSource
from postback_sender.outbox.entry import Draft, LoggedAttempt
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

AT = datetime(2026, 5, 11, tzinfo=UTC)

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def add(outbox, numbers):
    while True:
        new = [next(numbers) for _ in range(5)]
        events = [Event(kind="k", at=AT, values={"n": f"{os.getpid()}-{n}"}) for n in new]
        drafts = [Draft(event=event, key=f"k{n % 7}", due_ns=0) for n, event in zip(new, events, strict=True)]
        for n, entry_id in zip(new, await outbox.add(drafts), strict=True):
            tell("added", entry_id, f"{os.getpid()}-{n}")

async def work(outbox):
    resends = False
    while True:
        resends = not resends
        for entry in await outbox.claim(until_ns=1, limit=3, resends=resends):
            number = entry.attempts + 1
            ends = number == 2
            attempt = LoggedAttempt(number=number, started_at_ns=1, finished_at_ns=2, failure="" if ends else "failed")
            await outbox.record(entry.id, attempt, due_ns=None if ends else 1, outcome="delivered" if ends else None)
            tell("ended" if ends else "tried", entry.id, number)

async def main():
    async with SqliteOutbox(sys.argv[1], NotificationSource(name="n.toml", text="")) as outbox:
        tell("open")
        numbers = count()
        await asyncio.gather(add(outbox, numbers), work(outbox), work(outbox))

asyncio.run(main())
"""


def run_and_kill(path: Path, after_lines: int) -> list[list[str]]:
    """Run the worker, kill it after it told so many things, and return all that it told."""
    with subprocess.Popen([sys.executable, "-c", WORKER, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            told = [process.stdout.readline() for _ in range(after_lines + 1)]
        finally:
            process.kill()
        told += process.stdout.readlines()
    return [line.decode().split() for line in told if line.endswith(b"\n")][1:]


@pytest.mark.parametrize("seed", [1])
def test_whatever_was_acknowledged_is_there_once(tmp_path: Path, seed: int) -> None:
    """One file, five senders after each other, each killed."""
    path = tmp_path / "outbox.sqlite"
    added: dict[int, str] = {}
    tried: defaultdict[int, set[int]] = defaultdict(set)
    ended: set[int] = set()
    for life in range(5):
        for what, entry_id, value in run_and_kill(path, after_lines=(seed * 7919 + life * 104729) % 211):
            if what == "added":
                assert int(entry_id) not in added
                added[int(entry_id)] = value
            else:
                assert int(value) not in tried[int(entry_id)]
                tried[int(entry_id)].add(int(value))
            if what == "ended":
                ended.add(int(entry_id))
    file = OutboxFile(path)
    held = {entry.id: entry for entry in file.latest()}
    values = [entry.event.values["n"] for entry in held.values()]
    assert len(set(values)) == len(values)
    assert added.items() <= {one: entry.event.values["n"] for one, entry in held.items()}.items()
    assert ended <= {one for one, entry in held.items() if entry.state == "delivered"}
    for one, entry in held.items():
        log = [attempt.number for attempt in file.log(one)] if one in tried or entry.attempts else []
        assert log == list(range(1, entry.attempts + 1))
        assert tried[one] <= set(log)
    check_that_all_the_rest_can_be_claimed(path, sum(entry.state == "waiting" for entry in held.values()))


def check_that_all_the_rest_can_be_claimed(path: Path, waiting: int) -> None:
    async def drain() -> int:
        drained = 0
        async with SqliteOutbox(path, NotificationSource(name="n.toml", text="")) as outbox:
            # What was tried is first in its key; what comes after it was not tried yet.
            for resends in (True, False):
                while entries := await outbox.claim(until_ns=1, limit=50, resends=resends):
                    await asyncio.gather(*(outbox.record(one.id, None, outcome="delivered") for one in entries))
                    drained += len(entries)
        return drained

    assert asyncio.run(drain()) == waiting
