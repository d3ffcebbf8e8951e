"""Sends recorded requests and tells how it went; what `replay` does once its flags are read."""

import asyncio
import secrets
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from postback_conformance.captured.capture_filter import parse_filter
from postback_conformance.captured.replaying import Selection, compare, freshened, outcome_of, select_captures
from postback_conformance.captured.traffic import Traffic, notifications_of, open_traffic
from postback_conformance.certificates import advice
from postback_conformance.cli.delivery_report import delivery_progress
from postback_conformance.cli.interruption import stopped_by_signals
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import Format, put_json, put_text
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.printable import counted
from postback_conformance.redaction import redacted_target
from postback_receiver import Answer, new_event_loop, ns_to_iso
from postback_sender import Notification
from postback_sender.clock import SystemClock
from postback_sender.delivery.connections import Connections
from postback_sender.delivery.target import check_target
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.notification_file import load_notification
from postback_sender.quantities import QuantityError, format_duration, parse_duration
from postback_sender.replay.lateness import LatenessHistogram
from postback_sender.replay.replayer import MAX_CONCURRENCY, Replayed, Replayer
from postback_sender.replay.request import Destination, HeaderChange, RecordedRequest
from postback_sender.replay.schedule import Schedule, parse_speed, schedule_of

# At full speed nothing but this bounds the load on an endpoint: enough to keep it busy, and polite.
_FULL_SPEED_CONCURRENCY: Final = 16
# Differences and failures that are shown as they happen; all of them are counted.
_SHOWN: Final = 10
_LISTED: Final = 20
_SHOWN_LETTERS: Final = 100
_BAR_LETTERS: Final = 40
_MILLISECOND: Final = 1_000_000
_Value = TypeVar("_Value")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to send again, where, and how; the flags of `replay`."""

    captures: Path
    to: str
    speed: str
    max_gap: str | None
    rounds: int
    only: tuple[str, ...]
    changes: tuple[str, ...]
    fresh: bool
    seed: int | None
    notification: Path | None
    concurrency: int | None
    timeout: str
    allowed_hosts: tuple[str, ...]
    trust: ssl.SSLContext | bool
    diff: bool


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """An order with everything read and decided."""

    to: Destination
    selection: Selection
    schedule: Schedule
    changes: tuple[HeaderChange, ...]
    concurrency: int
    timeout_ns: int
    seed: int | None
    """None when ids stay as they are."""

    def request(self, place: int, round_number: int) -> RecordedRequest:
        """Return one of the recorded requests as it is sent in a round."""
        recorded = self.selection.recorded[place]
        if self.seed is None:
            return recorded.request
        return freshened(recorded, seed=self.seed, round_number=round_number)


def resend(order: Order, output: Format, *, dry_run: bool) -> int:
    """Send what was ordered, or with `dry_run` say what would be, and return the exit code."""
    plan = _plan(order)
    if dry_run:
        if output is Format.JSON:
            put_json(_plan_as_data(plan))
        else:
            put_text("\n".join((*_listed(plan), "", *_summed(plan))) + "\n")
        return 0
    _warn(plan)
    tally = _Tally(plan, output, is_compared=order.diff)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(plan, order, tally))
    return tally.tell()


def _plan(order: Order) -> _Plan:
    # What is wrong with the flags is said before anything is read.
    check_target(order.to, allowed_hosts=order.allowed_hosts)
    to = Destination.parse(order.to)
    speed = _of_flag("--speed", parse_speed, order.speed)
    max_gap_ns = None if order.max_gap is None else _of_flag("--max-gap", parse_duration, order.max_gap)
    timeout_ns = _of_flag("--timeout", parse_duration, order.timeout)
    changes = tuple(map(HeaderChange.parse, order.changes))
    only = tuple(map(parse_filter, order.only))
    with open_traffic(order.captures) as traffic:
        notifications = _notifications(order, traffic) if order.fresh else None
        selection = select_captures(traffic.read(), only=only, notifications=notifications)
    count = len(selection.recorded)
    if not count:
        reasons = "; ".join(f"{times} left out: {why}" for why, times in selection.left_out.most_common())
        raise SelectionError(f"{order.captures}: nothing to send again: {reasons or 'it holds no captures'}")
    if order.fresh and selection.without_id == count:
        raise ConformanceError(
            f"{order.captures}: --fresh found no action id in any of {count} requests. Their notification has to say "
            "where it stands ({ActionId}), and they have to look as it says: `postback check` tells"
        )
    times_ns = [each.request.recorded_ns for each in selection.recorded]
    return _Plan(
        to=to,
        selection=selection,
        schedule=schedule_of(times_ns, speed=speed, max_gap_ns=max_gap_ns, rounds=order.rounds),
        changes=changes,
        concurrency=order.concurrency or (MAX_CONCURRENCY if speed is not None else _FULL_SPEED_CONCURRENCY),
        timeout_ns=timeout_ns,
        seed=(secrets.randbelow(2**32) if order.seed is None else order.seed) if order.fresh else None,
    )


def _of_flag(flag: str, parse: Callable[[str], _Value], text: str) -> _Value:
    try:
        return parse(text)
    except QuantityError as error:
        raise ConformanceError(f"{flag}: {error}") from None


def _notifications(order: Order, traffic: Traffic) -> Mapping[str | None, Notification] | Notification:
    if order.notification is not None:
        return load_notification(order.notification, None)
    return notifications_of(traffic.settings, name=traffic.name)


def _warn(plan: _Plan) -> None:
    for reason, times in plan.selection.left_out.most_common():
        say(f"{times} left out: {reason}")
    if plan.selection.hidden:
        say(
            f"[hidden] stands in {counted(plan.selection.hidden, 'request')} where a secret was: "
            "capture or export with --reveal, or give it with --set"
        )
    if plan.seed is not None:
        say(f"seed {plan.seed}: the same new ids again with --seed {plan.seed}")
        if plan.selection.without_id:
            say(
                f"ids kept in {counted(plan.selection.without_id, 'request')}: none found where the notification has it"
            )


async def _run(plan: _Plan, order: Order, tally: "_Tally") -> None:
    """Send with a progress bar; Ctrl-C or SIGTERM lets what is in flight end, a second one cuts it."""
    clock = SystemClock()
    connections = Connections(
        Timeouts(total_ns=plan.timeout_ns),
        allowed_hosts=order.allowed_hosts,
        clock=clock,
        trust=order.trust,
    )
    replayer = Replayer(
        plan.to,
        connections.exchange,
        clock=clock,
        changes=plan.changes,
        concurrency=plan.concurrency,
    )
    with delivery_progress() as progress, stopped_by_signals(stop=replayer.stop, cut=replayer.cut):
        bar = progress.add_task("replaying", total=len(plan.schedule), failed=0)

        def take(replayed: Replayed) -> None:
            tally.take(replayed)
            progress.update(bar, advance=1, failed=tally.failed)

        async with connections:
            await replayer.replay(plan.request, plan.schedule, take)


class _Tally:
    """Counts what became of the requests, and tells of the first that went wrong."""

    def __init__(self, plan: _Plan, output: Format, *, is_compared: bool) -> None:
        self._plan = plan
        self._output = output
        self._is_compared = is_compared
        self._lateness = LatenessHistogram()
        self._statuses: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._sent = 0
        self._verdicts: Counter[str] = Counter()
        self._shown = 0

    @property
    def failed(self) -> int:
        """Requests that were refused or not answered."""
        return self._outcomes.total() - self._outcomes["answered"]

    def take(self, replayed: Replayed) -> None:
        """Count one request."""
        answer, recorded = replayed.answer, self._plan.selection.recorded[replayed.place].answer
        if replayed.lateness_ns is not None:
            self._lateness.add(replayed.lateness_ns)
        self._sent += answer.sent_ns is not None
        outcome = outcome_of(answer, recorded)
        self._outcomes[outcome] += 1
        what = str(answer.status) if answer.failure is None else str(answer.failure)
        self._statuses[what] += 1
        comparison = compare(answer, recorded) if self._is_compared else None
        if comparison:
            self._verdicts[comparison.verdict] += 1
        if self._output is Format.JSON:
            put_json(self._as_data(replayed, recorded, outcome, comparison.verdict if comparison else None))
        told: list[str] = []
        if comparison and comparison.differs:
            told.append(f"{comparison.verdict}\n{_indented(comparison.difference)}")
        elif outcome != "answered":
            reason = f" ({answer.detail})" if answer.detail else ""
            told.append(f"{outcome}: {what}{reason}{advice(answer.failure, answer.detail)}")
        for line in told:
            self._shown += 1
            if self._shown <= _SHOWN:
                name = f"{replayed.request.method} {redacted_target(replayed.request.target)[:_SHOWN_LETTERS]}"
                say(f"{replayed.request.id[:8]}  {name}  {line}")

    def tell(self) -> int:
        """Say how it all went, and return the exit code."""
        tried, wanted = self._outcomes.total(), len(self._plan.schedule)
        differing = self._verdicts["status differs"] + self._verdicts["body differs"]
        if self._shown > _SHOWN:
            say(f"… and {self._shown - _SHOWN} more that went wrong")
        statuses = ", ".join(f"{counted(times, 'time')} {what}" for what, times in self._statuses.most_common(8))
        say(f"{self._sent} of {wanted} sent again{f': {statuses}' if statuses else ''}")
        if self._is_compared:
            say("compared with the record: " + ", ".join(f"{n} {what}" for what, n in self._verdicts.most_common()))
        if len(self._lateness):
            say(_lateness_text(self._lateness))
        if self._output is Format.JSON:
            put_json(self._summary(wanted))
        if tried < wanted:
            say(f"  {wanted - tried} not sent, or without an answer, because you stopped it")
            return 130
        return int(bool(self.failed or differing))

    def _summary(self, wanted: int) -> dict[str, object]:
        lateness = self._lateness
        return {
            "format": "postback-replay-summary/1",
            "planned": wanted,
            "sent": self._sent,
            "left_out": dict(self._plan.selection.left_out),
            "seed": self._plan.seed,
            "answers": dict(self._statuses),
            "outcomes": dict(self._outcomes),
            "comparisons": dict(self._verdicts) if self._is_compared else None,
            "lateness_ns": {
                "p50": lateness.quantile_ns(0.5),
                "p99": lateness.quantile_ns(0.99),
                "max": lateness.max_ns,
                "counts": [{"up_to": up_to, "requests": times} for up_to, times in lateness.rows()],
            }
            if len(lateness)
            else None,
        }

    def _as_data(
        self, replayed: Replayed, recorded: Answer | None, outcome: str, comparison: str | None
    ) -> dict[str, object]:
        answer = replayed.answer
        took_ns = None if answer.sent_ns is None else answer.finished_ns - answer.sent_ns
        return {
            "format": "postback-replay/1",
            "capture": replayed.request.id,
            "round": replayed.round_number + 1,
            "method": replayed.request.method,
            "target": redacted_target(self._plan.to.target(replayed.request.target)),
            "lateness_ns": replayed.lateness_ns,
            "took_ns": took_ns,
            "outcome": outcome,
            "status": answer.status,
            "recorded_status": recorded.status if recorded else None,
            "failure": answer.failure,
            "detail": answer.detail,
            "comparison": comparison,
        }


def _plan_as_data(plan: _Plan) -> dict[str, object]:
    selection, schedule = plan.selection, plan.schedule
    first, last = selection.recorded[0].request, selection.recorded[-1].request
    return {
        "format": "postback-replay-plan/1",
        "to": f"{plan.to.origin.scheme}://{plan.to.authority}",
        "requests": len(schedule),
        "rounds": schedule.rounds,
        "recorded": {"first": ns_to_iso(first.recorded_ns), "last": ns_to_iso(last.recorded_ns)},
        "duration_ns": None if schedule.speed is None else schedule.duration_ns,
        "busiest_second": None if schedule.speed is None else schedule.busiest(),
        "concurrency": plan.concurrency,
        "seed": plan.seed,
        "without_id": selection.without_id if plan.seed is not None else None,
        "hidden": selection.hidden,
        "left_out": dict(selection.left_out),
    }


def _listed(plan: _Plan) -> Iterator[str]:
    """Yield a line for each of the first requests: when after the first one, and what."""
    shown = min(len(plan.schedule), _LISTED)
    for index in range(shown):
        round_number, place = divmod(index, plan.schedule.length)
        request = plan.request(place, round_number)
        when = "at once" if plan.schedule.speed is None else f"+{plan.schedule.due_ns(index) / 1_000_000_000:.3f}s"
        target = redacted_target(plan.to.target(request.target))
        cut = "…" if len(target) > _SHOWN_LETTERS else ""
        yield f"{when.rjust(12)}  {request.method.ljust(6)}  {target[:_SHOWN_LETTERS]}{cut}"
    if more := len(plan.schedule) - shown:
        yield f"… and {more} more"


def _summed(plan: _Plan) -> Iterator[str]:
    schedule, selection = plan.schedule, plan.selection
    times = [ns_to_iso(each.request.recorded_ns) for each in (selection.recorded[0], selection.recorded[-1])]
    speed = schedule.speed
    rows = {
        "sent to": f"{plan.to.origin.scheme}://{plan.to.authority}",
        "requests": f"{len(schedule)}, in {counted(schedule.rounds, 'round')}",
        "recorded": f"from {times[0]} to {times[1]}",
        "takes": "as long as the answers take"
        if speed is None
        else f"at least {format_duration(schedule.duration_ns)}",
        "in one second": "as many as are answered" if speed is None else f"at most {schedule.busiest()}",
        "at a time": f"at most {plan.concurrency}",
        "new action ids": "none; --fresh makes them"
        if plan.seed is None
        else f"yes, the same again with --seed {plan.seed}",
    }
    if plan.seed is not None and selection.without_id:
        rows["ids kept"] = f"in {counted(selection.without_id, 'request')}: none found where the notification has it"
    if selection.hidden:
        rows["[hidden]"] = f"stands in {counted(selection.hidden, 'request')} where a secret was"
    for name, value in rows.items():
        yield f"{name.ljust(14)}  {value}"
    for reason, number in selection.left_out.most_common():
        yield f"{'left out'.ljust(14)}  {counted(number, 'capture')}: {reason}"
    yield "nothing was sent: this is a dry run"


def _lateness_text(lateness: LatenessHistogram) -> str:
    figures = ", ".join(
        f"{name} {_milliseconds(ns)}"
        for name, ns in (
            ("p50", lateness.quantile_ns(0.5)),
            ("p99", lateness.quantile_ns(0.99)),
            ("max", lateness.max_ns),
        )
    )
    rows = list(lateness.rows())
    most = max(times for _, times in rows)
    lines = [f"lateness: {figures}"]
    for up_to_ns, times in rows:
        label = "later" if up_to_ns is None else f"≤ {_milliseconds(up_to_ns)}"
        lines.append(f"  {label.rjust(12)}  {'█' * -(-times * _BAR_LETTERS // most)} {times}")
    return "\n".join(lines)


def _milliseconds(ns: int) -> str:
    return f"{ns / _MILLISECOND:.3g} ms"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
