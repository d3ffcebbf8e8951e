"""What is put into an outbox and taken out of it, for tests of what every outbox promises."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from postback_sender import Event, NotificationSource
from postback_sender.outbox.entry import Draft, LoggedAttempt
from postback_sender.outbox.outbox import Outbox

T = TypeVar("T")
OpenNew = Callable[..., Outbox]

SOURCE = NotificationSource(name="notification.toml", text="")
AT = datetime(2026, 5, 11, tzinfo=UTC)
FOR_EVER = 2**63 - 1


def draft(name: str = "a", *, key: str = "", due_ns: int = 0) -> Draft:
    """Return something to be accepted."""
    return Draft(event=Event(kind="action_lifecycle", at=AT, values={"ActionId": name}), key=key, due_ns=due_ns)


def attempt(number: int, failure: str = "") -> LoggedAttempt:
    """Return an attempt; without a failure it is a success."""
    return LoggedAttempt(number=number, started_at_ns=number * 10, finished_at_ns=number * 10 + 5, failure=failure)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop of its own."""
    return asyncio.run(work)


async def claim(outbox: Outbox, *, until_ns: int = FOR_EVER, limit: int = 100, resends: bool = False) -> list[int]:
    """Claim, and return the ids."""
    return [entry.id for entry in await outbox.claim(until_ns=until_ns, limit=limit, resends=resends)]


async def waiting(outbox: Outbox) -> list[int]:
    """Return the ids of what waits."""
    return [entry.id for entry in await outbox.waiting(after_id=0, limit=100)]
