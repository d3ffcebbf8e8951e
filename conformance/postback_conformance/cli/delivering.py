"""Sends with a progress bar and tells how it went; what `send` does once its flags are read."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from postback_conformance.cli.events_input import read_events_file
from postback_conformance.cli.generating import generate_and_tell
from postback_conformance.cli.terminal import Format, people, put_json, say
from postback_conformance.errors import SelectionError
from postback_conformance.redaction import redacted_target
from postback_conformance.settings_files import load_notification
from postback_receiver import new_event_loop
from postback_sender import Delivery, Event, Notification, Postback, Sender, example_event, render_postback
from postback_sender.delivery.policy import Attempt, Delivered, GiveUp
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.target import check_target
from postback_sender.quantities import format_duration
from postback_sender.subscription import reported


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, where, and how; the flags of `send`."""

    notification: Path
    to: str | None
    events: Path | None
    count: int
    seed: int | None
    allowed_hosts: tuple[str, ...]
    concurrency: int


def deliver(order: Order, output: Format) -> int:
    """Send what was ordered, tell about it, and return the exit code."""
    settings = load_notification(order.notification, os.environ)
    chosen = _chosen_events(order, settings)
    wanted = list(reported(settings, chosen))
    if left_out := len(chosen) - len(wanted):
        say(f"{left_out} events left out: {settings.name} reports {settings.event} at {settings.level} level")
    if not wanted:
        raise SelectionError(f"nothing to send: no event is one that {settings.name} reports")
    sender = Sender(
        settings,
        to=order.to,
        allowed_hosts=order.allowed_hosts,
        concurrency=order.concurrency,
        on_attempt=_FirstFailures(settings).tell,
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        deliveries = runner.run(_deliver(sender, wanted))
    if output is Format.JSON:
        for delivery in deliveries:
            put_json(_as_data(delivery))
    return _tell(settings, deliveries, len(wanted))


def _chosen_events(order: Order, settings: Notification) -> list[Event]:
    if order.events is not None:
        return list(read_events_file(order.events, kinds=settings.catalogue.kinds))
    # What is wrong with the settings or the target is said before the work is done.
    check_target(
        render_postback(settings, example_event(settings.event, settings.catalogue), to=order.to).url,
        allowed_hosts=order.allowed_hosts,
    )
    return generate_and_tell(settings, count=order.count, seed=order.seed)


class _FirstFailures:
    """Tells of the first failure of each kind at once: retries may take hours, and the reason is known now."""

    def __init__(self, settings: Notification) -> None:
        self._retry = settings.retry
        self._told: set[tuple[Failure, int | None]] = set()

    def tell(self, postback: Postback, attempt: Attempt) -> None:
        if attempt.failure is None or (attempt.failure, attempt.status) in self._told:
            return
        self._told.add((attempt.failure, attempt.status))
        what = f"{attempt.failure} {attempt.status or ''}".strip()
        reason = f" ({attempt.detail})" if attempt.detail else ""
        say(f"{redacted_target(postback.url)[:100]}: {what}{reason}; {self._next(attempt)}")

    def _next(self, attempt: Attempt) -> str:
        delays = self._retry.delays_ns
        if attempt.failure is None or not self._retry.retries(attempt.failure, attempt.status):
            return f"the retry profile {self._retry.name} does not try that again"
        if attempt.number > len(delays):
            return "no retry is left"
        wait = format_duration(delays[attempt.number - 1])
        return f"next attempt in {wait}, up to {len(delays)} retries (retry in the settings)"


async def _deliver(sender: Sender, events: Iterable[Event]) -> list[Delivery]:
    """Send with a progress bar; Ctrl-C finishes what is in flight and leaves the rest unsent, a second one cuts it."""
    events = list(events)
    deliveries: list[Delivery] = []
    failed = 0
    loop = asyncio.get_running_loop()
    with delivery_progress() as progress:
        task = progress.add_task("sending", total=len(events), failed=0)

        def cut_short() -> None:
            say("cutting the requests in flight: their endpoint may have taken them or not")
            sender.cut()

        def stop() -> None:
            say("stopping: requests in flight are finished, the rest is not sent; Ctrl-C again cuts them")
            loop.add_signal_handler(signal.SIGINT, cut_short)
            sender.stop()

        loop.add_signal_handler(signal.SIGINT, stop)
        try:
            async with sender:
                async for delivery in sender.send(events):
                    deliveries.append(delivery)
                    failed += isinstance(delivery.outcome, GiveUp)
                    progress.update(task, advance=1, failed=failed)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
    return deliveries


def delivery_progress() -> Progress:
    """Return the progress bar of everything that sends; tasks carry a field `failed`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=people,
        disable=not people.is_terminal or people.quiet,
    )


def _tell(settings: Notification, deliveries: list[Delivery], wanted: int) -> int:
    delivered = sum(isinstance(delivery.outcome, Delivered) for delivery in deliveries)
    attempts = sum(len(delivery.attempts) for delivery in deliveries)
    unsent = sum(delivery.outcome is None for delivery in deliveries)
    reasons = Counter(delivery.outcome.reason for delivery in deliveries if isinstance(delivery.outcome, GiveUp))
    say(f"{delivered} of {wanted} delivered by {settings.name} in {attempts} attempts")
    for reason, times in reasons.most_common(5):
        say(f"  {times} given up: {reason}")
    if unsent:
        say(f"  {unsent} not sent, or without an answer, because you stopped it")
        return 130
    return 0 if delivered == wanted else 1


def _as_data(delivery: Delivery) -> dict[str, object]:
    match delivery.outcome:
        case Delivered():
            outcome, reason = "delivered", ""
        case GiveUp(reason):
            outcome = "given up"
        case None:
            outcome, reason = "stopped", "stopped by the user"
    return {
        "key": delivery.postback.key,
        "method": delivery.postback.method,
        "url": redacted_target(delivery.postback.url),
        "outcome": outcome,
        "reason": reason,
        "attempts": delivery.attempts,
    }
