"""Takes events into an outbox and delivers them, with a progress bar; what `send` does once its flags are read."""

import asyncio
import os
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import msgspec

from postback_conformance.cli.delivery_report import DeliveryReport, delivery_progress, show_retry_plan
from postback_conformance.cli.events_input import read_events_file
from postback_conformance.cli.generating import generate_and_tell, keep_hypothesis_out_of_here
from postback_conformance.cli.interruption import stopped_by_signals
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import Format
from postback_conformance.cli.unknown_names import UnknownNames
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.printable import counted
from postback_conformance.redaction import SecretEnvironment
from postback_conformance.scenario import drafts, plan, read_scenario
from postback_receiver import new_event_loop
from postback_sender import Event, Notification, Sender, example_event, render_postback
from postback_sender.clock import Clock, ScaledClock, SystemClock
from postback_sender.delivery.policy import DeliveryPolicy
from postback_sender.delivery.target import check_target
from postback_sender.notification import parse_notification
from postback_sender.notification_file import read_source
from postback_sender.outbox.entry import Draft
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.outbox import Outbox
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from postback_sender.quantities import NANOSECONDS_PER_SECOND

_TOLD_TARGETS = 5


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, where, and how; the flags of `send`. An `outbox` of None keeps everything in memory."""

    notification: Path
    to: str | None
    events: Path | None
    scenario: Path | None
    resume: bool
    count: int
    seed: int | None
    outbox: Path | None
    in_order: bool
    time_scale: Fraction
    allowed_hosts: tuple[str, ...]
    trust: ssl.SSLContext | bool
    concurrency: int


def explain(order: Order, output: Format) -> None:
    """Show what follows each kind of failure, and send nothing."""
    settings = parse_notification(read_source(order.notification), os.environ)
    show_retry_plan(
        DeliveryPolicy(
            retry=settings.retry,
            success_response=settings.success_response,
            error_response=settings.error_response,
        ),
        output,
    )


def deliver(order: Order, output: Format) -> int:
    """Send what was ordered, tell about it, and return the exit code."""
    source = read_source(order.notification)
    environment = SecretEnvironment(os.environ)
    settings = parse_notification(source, environment)
    # What is wrong with the settings or the target is said before the work is done.
    check_target(
        render_postback(settings, example_event(settings.event, settings.catalogue), to=order.to).url,
        allowed_hosts=order.allowed_hosts,
    )
    if settings.template.values_at == "send" and order.outbox is not None:
        raise ConformanceError(
            f'{settings.name}: with values_at = "send" an outbox in a file would not know the newest values after a '
            "restart; add --outbox memory"
        )
    clock: Clock = SystemClock()
    if order.time_scale != 1:
        clock = ScaledClock(clock, order.time_scale)
        say(f"time runs {float(order.time_scale):g} times as fast here; the receiver's verdicts about it mean nothing")
    outbox: Outbox = (
        MemoryOutbox(ordered=order.in_order)
        if order.outbox is None
        else SqliteOutbox(order.outbox, source, to=order.to, ordered=order.in_order)
    )
    report = DeliveryReport(settings, output, secrets=environment.secrets)
    # Before there is an event loop, which would keep Ctrl-C from ending it: generating takes a while.
    accept = _accepting(order, settings, clock)

    async def run() -> int:
        async with outbox, _sender(order, settings, outbox, clock, report) as sender:
            earlier = (await outbox.counts())["waiting"]
            if earlier:
                say(f"waiting in {order.outbox} from an earlier run, and sent, too: {counted(earlier, 'postback')}")
                await _tell_cut_off(outbox)
            accepted = await accept(sender)
            if not earlier + accepted:
                raise SelectionError(_nothing_to_send(order, settings))
            await _deliver(sender, report, total=earlier + accepted)
            if output is Format.JSON:
                async for delivery in sender.undelivered():
                    report.ended(delivery)
            return report.sum_up(waiting=(await outbox.counts())["waiting"], outlives=order.outbox is not None)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(run())


async def _tell_cut_off(outbox: Outbox) -> None:
    """Say what may arrive twice, since nobody saw whether it had arrived."""
    if isinstance(outbox, SqliteOutbox) and (cut_off := await outbox.last_cut_off()):
        say(f"cut off when their sender ended, so the endpoint may have them already: {counted(cut_off, 'postback')}")


def _sender(order: Order, settings: Notification, outbox: Outbox, clock: Clock, report: DeliveryReport) -> Sender:
    return Sender(
        settings,
        to=order.to,
        allowed_hosts=order.allowed_hosts,
        concurrency=order.concurrency,
        outbox=outbox,
        clock=clock,
        trust=order.trust,
        on_attempt=report.attempted,
    )


def _accepting(order: Order, settings: Notification, clock: Clock) -> Callable[[Sender], Awaitable[int]]:
    """Return what takes the ordered events into the outbox and tells how many postbacks they make."""
    names = UnknownNames(settings)
    if order.scenario is not None:
        planned = _scenario_drafts(order, order.scenario, settings, clock)
        for draft in planned:
            names.note(draft.event)
        names.tell_tokens()
        return lambda sender: sender.accept_drafts(planned)
    events: Iterable[Event] = ()
    if order.events is not None:
        events = read_events_file(order.events, kinds=settings.catalogue.kinds)
    elif not order.resume:
        events = generate_and_tell(settings, count=order.count, seed=order.seed)

    async def accept(sender: Sender) -> int:
        noted = _Noted(events, names, settings)
        accepted = await sender.accept(noted)
        if order.events is not None and not noted.count:
            say(f"{'stdin' if str(order.events) == '-' else order.events} holds no events")
            return 0
        if left_out := noted.count - accepted:
            reports = f"{settings.name} reports {settings.event} at {settings.level} level"
            say(f"{counted(left_out, 'event')} left out: {reports}")
        if not order.resume:
            names.tell_tokens()
        if order.events is not None:
            names.tell_values()
        return accepted

    return accept


class _Noted(Iterator[Event]):
    """An iterator over events that knows how many it has given, and takes note of names in those of the settings."""

    def __init__(self, events: Iterable[Event], names: UnknownNames, settings: Notification) -> None:
        self._events = iter(events)
        self._names = names
        self._kind = settings.event
        self.count = 0

    def __next__(self) -> Event:
        event = next(self._events)
        self.count += 1
        if event.kind == self._kind:
            self._names.note(event)
        return event


def _scenario_drafts(order: Order, path: Path, settings: Notification, clock: Clock) -> list[Draft]:
    keep_hypothesis_out_of_here()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConformanceError(f"{path}: cannot be read: {error.strerror}; expected a scenario") from None
    except UnicodeDecodeError as error:
        raise ConformanceError(f"{path}: not UTF-8 at byte {error.start}") from None
    scenario = read_scenario(text, name=path.name, catalogue=settings.catalogue)
    started_at = datetime.fromtimestamp(clock.now_ns() // NANOSECONDS_PER_SECOND, UTC)
    seed = next(seed for seed in (order.seed, scenario.seed, secrets.randbelow(2**32)) if seed is not None)
    say(f"seed {seed}: what the scenario leaves open, the same again with --seed {seed}")
    # All of it is played before anything is sent: a step that is not legal is said now.
    return list(drafts(plan(scenario, started_at=started_at, seed=seed), settings, started_at=started_at))


def _nothing_to_send(order: Order, settings: Notification) -> str:
    if order.resume and order.outbox is not None:
        return f"nothing to send: no postback of {settings.name} to that target waits in {order.outbox}" + _elsewhere(
            OutboxFile(order.outbox).waiting_for()
        )
    return f"nothing to send: no event that {settings.name} reports"


def _elsewhere(waiting: Sequence[tuple[str, str, int]]) -> str:
    if not waiting:
        return ""
    told = [f"{number} of {name} to {target or 'the URL in it'}" for name, target, number in waiting[:_TOLD_TARGETS]]
    more = " and more" if len(waiting) > _TOLD_TARGETS else ""
    return (
        f". What waits there: {', '.join(told)}{more}. "
        "It takes the same notification and the same --to, with its path and query, to go on with that"
    )


async def _deliver(sender: Sender, report: DeliveryReport, *, total: int) -> None:
    """Deliver with a progress bar; Ctrl-C or SIGTERM lets what is in flight end, a second one cuts it."""
    with delivery_progress() as progress, stopped_by_signals(stop=sender.stop, cut=sender.cut):
        task = progress.add_task("sending", total=total, failed=0)
        async for delivery in sender.deliver():
            report.ended(delivery)
            progress.update(task, advance=1, failed=report.given_up)
