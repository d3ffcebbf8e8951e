"""Sending from code that is not asynchronous: a test, a script, a notebook."""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TypeVar, cast

from msgspec.structs import replace

from postback_conformance.errors import SelectionError
from postback_conformance.generating.action_strategies import events as any_events
from postback_conformance.generating.action_strategies import lifecycles
from postback_conformance.generating.generation import draw_endlessly
from postback_conformance.generating.own_tokens import with_own_tokens
from postback_conformance.judging.wire_dates import instant
from postback_receiver import new_event_loop
from postback_sender import Delivery, Event, Notification, Sender
from postback_sender.notification_file import load_notification
from postback_sender.program_time import wire_date
from postback_sender.subscription import reported

T = TypeVar("T")

_STARTS_WITHIN_S = 10.0

# Generated lives happen now, not over weeks: whoever sends them wants to see the end of it.
_MAX_UPDATES = 3
_MAX_GAP = timedelta(milliseconds=250)
_MAX_ITEMS = 3
# Locking takes up to 92 days and clearing up to 60 more: a life that began before that has been cleared by now.
_LONGEST_UNTIL_CLEARED = timedelta(days=160)


def generated_events(notification: Notification, *, count: int, seed: int) -> list[Event]:
    """Return exactly `count` events which this notification reports, in the order of their times.

    Life cycles begin now, and their steps follow each other within 250 ms. Events of any other kind happen now; an
    action which clears now was tracked and locked months ago. All other dates in their values stay what they are.
    """
    chosen = islice(reported(notification, _events_without_end(notification, seed)), count)
    return sorted(chosen, key=lambda event: event.at)


def _events_without_end(notification: Notification, seed: int) -> Iterator[Event]:
    now = datetime.now(UTC)
    events: Iterator[Event]
    match notification.catalogue.kinds[notification.event].like:
        case "action_lifecycle":
            return _lives(notification, now, seed, clearing=False)
        case "action_clearing":
            lives = _lives(notification, now - _LONGEST_UNTIL_CLEARED, seed, clearing=True)
            events = (_cleared(event, now) for event in lives)
        case _:
            strategy = any_events(kind=notification.event, catalogue=notification.catalogue)
            events = draw_endlessly(strategy, seed=seed)
    return (replace(event, at=now) for event in events)


def _lives(notification: Notification, started_at: datetime, seed: int, *, clearing: bool) -> Iterator[Event]:
    lives = lifecycles(
        started_at=started_at, max_updates=_MAX_UPDATES, max_gap=_MAX_GAP, max_items=_MAX_ITEMS, clearing=clearing
    )
    if clearing:
        lives = lives.map(lambda life: [event for event in life if event.kind == "action_clearing"])
    told = with_own_tokens(lives, notification.event, notification.catalogue)
    return (event for life in draw_endlessly(told, seed=seed) for event in life)


def _cleared(event: Event, now: datetime) -> Event:
    """Return a clearing that happens now, by the clocks of its program."""
    before = instant(event.values.get("ClearedDate", ""))
    if before is None:
        return event
    return replace(event, values={**event.values, "ClearedDate": wire_date(now.astimezone(before.tzinfo))})


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
        timeout_s: float = 60.0,
    ) -> list[Delivery]:
        """Return the deliveries of all events that the notification reports, in the order in which they ended.

        `notification` is a record or the path of its TOML; `to` replaces where it points. Without `events`, `count`
        events are generated from `seed`.

        The call takes `timeout_s` at most, whatever the retry schedule says: then requests in flight are cut, nothing
        more is sent, and the deliveries that had not ended have the outcome None and the attempts made so far.

        Raises `SelectionError` when there is nothing to send, and what `Sender.send` raises.
        """
        until = time.monotonic() + timeout_s
        settings = notification if isinstance(notification, Notification) else _load(Path(notification))
        chosen = generated_events(settings, count=count, seed=seed) if events is None else list(events)
        if not any(reported(settings, chosen)):
            raise SelectionError(_nothing_to_send(settings, chosen))
        sender = Sender(settings, to=to, allowed_hosts=allowed_hosts)
        return run_on_a_thread(lambda: _deliver(sender, chosen, until))


def _load(path: Path) -> Notification:
    return load_notification(path, os.environ)


def _nothing_to_send(settings: Notification, events: list[Event]) -> str:
    kinds = ", ".join(sorted({event.kind for event in events})) or "none"
    return f"nothing to send: {settings.name} reports events of the kind {settings.event}, and the events are {kinds}"


async def _deliver(sender: Sender, events: list[Event], until: float) -> list[Delivery]:
    timer = asyncio.get_running_loop().call_later(until - time.monotonic(), sender.cut)
    try:
        async with sender:
            ended = [delivery async for delivery in sender.send(events)]
            return ended + [delivery async for delivery in sender.undelivered()]
    finally:
        timer.cancel()


def run_on_a_thread(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Run in a loop of its own, on a thread of its own: the caller may have one running. Ctrl-C here cancels it."""
    canceller: Future[Callable[[], object]] = Future()

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[T]", asyncio.current_task())
        canceller.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await work()

    def run() -> T:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(cancellable())

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="postback sender") as thread:
        result: Future[T] | None = None
        try:
            result = thread.submit(run)
            return result.result()
        except BaseException:
            # Ctrl-C, or a test that ran out of time: here, or while the thread was starting. Leaving the executor waits
            # for the thread, so it must end.
            if result is None or not result.done():
                # The loop may have been closed in this very moment, or may never have started.
                with suppress(RuntimeError, TimeoutError):
                    canceller.result(timeout=_STARTS_WITHIN_S)()
            raise
