"""Sending from code that is not asynchronous: a test, a script, a notebook."""

import asyncio
import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from postback_conformance.generation import generate
from postback_conformance.settings_files import load_notification
from postback_conformance.strategies import lifecycles
from postback_receiver import new_event_loop
from postback_sender import Event, Notification
from postback_sender.sender import Delivery, Sender

# Generated lives happen now, not over weeks: whoever sends them wants to see the end of it.
_MAX_GAP = timedelta(seconds=1)
_MAX_ITEMS = 3


def generated_events(*, count: int, seed: int, clearing: bool = False) -> list[Event]:
    """Return `count` events of generated life cycles that begin now, in the order of their times.

    Without `clearing` all of them are `action_lifecycle`; with it, some lives end in an `action_clearing`.
    """
    strategy = lifecycles(
        started_at=datetime.now(UTC), max_updates=3, max_gap=_MAX_GAP, max_items=_MAX_ITEMS, clearing=clearing
    )
    # A life has at least one event, so this many lives are enough.
    events = (event for life in generate(strategy, count=count, seed=seed) for event in life)
    return sorted(islice(events, count), key=lambda event: event.at)


class EventSender:
    """Sends events by a notification and waits until each is delivered or given up."""

    def send(
        self,
        notification: Notification | str | Path,
        *,
        to: str | None = None,
        events: Iterable[Event] | None = None,
        count: int = 10,
        seed: int = 0,
        allowed_hosts: Collection[str] = (),
    ) -> list[Delivery]:
        """Return the deliveries in the order in which they ended.

        `notification` is a record or the path of its TOML; `to` replaces where it points. Without `events`, `count`
        events are generated from `seed`. Raises what `Sender.send` raises.
        """
        settings = notification if isinstance(notification, Notification) else _load(Path(notification))
        chosen = generated_events(count=count, seed=seed) if events is None else list(events)
        sender = Sender(settings, to=to, allowed_hosts=allowed_hosts)
        # A loop of its own, on a thread of its own: the caller may have one running.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="postback sender") as thread:
            return thread.submit(_send, sender, chosen).result()


def _load(path: Path) -> Notification:
    return load_notification(path, os.environ)


def _send(sender: Sender, events: list[Event]) -> list[Delivery]:
    async def deliver() -> list[Delivery]:
        async with sender:
            return [delivery async for delivery in sender.send(events)]

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(deliver())
