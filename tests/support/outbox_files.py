"""What is done to the file of an outbox by somebody who opens it for that and closes it again."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from postback_sender import Event, NotificationSource
from postback_sender.outbox.entry import Draft, LoggedAttempt
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

SOURCE = NotificationSource(name="n.toml", text='url = "http://127.0.0.1/?key=${KEY}"', files={"body.json": "{}"})
AT = datetime(2026, 5, 11, tzinfo=UTC)
FOR_EVER = 2**63 - 1
ATTEMPT = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2)


def draft(key: str = "", *, due_ns: int = 0, filler: str = "") -> Draft:
    """Return something to be accepted."""
    return Draft(event=Event(kind="job_completion", at=AT, values={"Id": key, "x": filler}), key=key, due_ns=due_ns)


def add(path: Path, *drafts: Draft, source: NotificationSource = SOURCE, to: str | None = None) -> list[int]:
    """Have drafts accepted by an outbox that is opened for it; their ids."""

    async def add_all() -> list[int]:
        async with SqliteOutbox(path, source, to=to) as outbox:
            return await outbox.add(drafts)

    return asyncio.run(add_all())


def claim(path: Path, *, source: NotificationSource = SOURCE, to: str | None = None, ordered: bool = True) -> list[int]:
    """Return what an outbox that is opened for it has to send."""

    async def claim_all() -> list[int]:
        async with SqliteOutbox(path, source, to=to, ordered=ordered) as outbox:
            return [entry.id for entry in await outbox.claim(until_ns=FOR_EVER, limit=100, resends=False)]

    return asyncio.run(claim_all())


def give_up(path: Path, *entry_ids: int) -> None:
    """Have entries fail for good."""

    async def give_up_all() -> None:
        async with SqliteOutbox(path, SOURCE, ordered=False) as outbox:
            await outbox.claim(until_ns=FOR_EVER, limit=100, resends=False)
            for entry_id in entry_ids:
                await outbox.record(entry_id, ATTEMPT, outcome="given up", reason="no retry is left")

    asyncio.run(give_up_all())
