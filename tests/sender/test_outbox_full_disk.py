"""An outbox on a disk that runs full: what it cannot hold is refused whole, and nothing else is lost."""

import json
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from command_line import PATIENCE_S
from postback_sender.outbox.sqlite_listing import OutboxFile

RUNS_OUT = """
import asyncio, json, resource, sys
from postback_sender import Event, NotificationSource
from postback_sender.outbox.entry import Draft
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from datetime import UTC, datetime

def draft(size):
    values = {"x": "x" * size}
    event = Event(kind="job_completion", at=datetime(2026, 5, 11, tzinfo=UTC), values=values)
    return Draft(event=event, key="k", due_ns=0)

async def fill():
    async with SqliteOutbox(sys.argv[1], NotificationSource(name="n.toml", text="")) as outbox:
        accepted = list(await outbox.add([draft(10)]))
        limit = 1_000_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        refused = []
        for _ in range(3):
            works = [outbox.add([draft(40_000) for _ in range(5)]) for _ in range(4)]
            for outcome in await asyncio.gather(*works, return_exceptions=True):
                (refused.append(str(outcome)) if isinstance(outcome, OutboxError) else accepted.extend(outcome))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        accepted += await outbox.add([draft(40_000)])
    print(json.dumps([accepted, refused]))

asyncio.run(fill())
"""


def test_a_full_disk_refuses_what_it_cannot_hold_whole_and_keeps_the_rest(path: Path) -> None:
    """The limit of a file's size stands for the disk; once there is room again, more is accepted."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", RUNS_OUT, str(path)], capture_output=True, check=True, timeout=PATIENCE_S
    )
    accepted, refused = json.loads(done.stdout)
    assert all("disk" in message and "space" in message for message in refused)
    assert len(refused) + (len(accepted) - 2) / 5 == 12
    assert refused
    file = OutboxFile(path)
    assert sorted(entry.id for entry in file.latest()) == accepted
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (len(accepted),)


FULL_WHILE_CLAIMING = """
import asyncio, json, resource, sys
from postback_sender import Event, NotificationSource
from postback_sender.outbox.entry import Draft, LoggedAttempt
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from datetime import UTC, datetime

EVENT = Event(kind="job_completion", at=datetime(2026, 5, 11, tzinfo=UTC), values={})
FAR = 2**63 - 1

async def main():
    async with SqliteOutbox(sys.argv[1], NotificationSource(name="n.toml", text="")) as outbox:
        await outbox.add([Draft(event=EVENT, key=key, due_ns=0) for key in ("a", "a", "b", "")])
        ours = [one.id for one in await outbox.claim(until_ns=FAR, limit=2, resends=False)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        # One group: the thread is busy with nothing else, and takes up what came together.
        big = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2, detail="x" * 100_000)
        together = await asyncio.gather(
            outbox.record(ours[0], big, outcome="delivered"),
            outbox.release([ours[1]]),
            outbox.record(ours[0], big, outcome="delivered"),
            return_exceptions=True,
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        refused = [isinstance(one, OutboxError) for one in together]
        # The claim is there as before: it can be recorded, nobody else gets it, and nothing of its key comes forward.
        others = [one.id for one in await outbox.claim(until_ns=FAR, limit=9, resends=False)]
        await outbox.record(ours[0], LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2), outcome="delivered")
        then = [one.id for one in await outbox.claim(until_ns=FAR, limit=9, resends=False)]
        log = len(await outbox.log(ours[0]))
    print(json.dumps([ours, refused, others, then, log]))

asyncio.run(main())
"""


def test_what_a_full_disk_undoes_is_undone_in_the_claims_as_well(path: Path) -> None:
    command = [sys.executable, "-c", FULL_WHILE_CLAIMING, str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S)
    ours, refused, others, then, log = json.loads(done.stdout)
    assert (ours, refused[0], refused[2]) == ([1, 3], True, True)
    # Whether what was given back shared the fate of the others depends on who came into which group.
    assert others == ([4] if refused[1] else [3, 4])
    assert (then, log) == ([2], 1)
