"""What `send` tells: failures as they happen, each delivery as a line of JSON, and how it went in the end."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from postback_conformance.certificates import advice
from postback_conformance.cli.consoles import people
from postback_conformance.cli.saying import is_quiet, say
from postback_conformance.cli.terminal import Format, put_json, show
from postback_conformance.printable import counted
from postback_conformance.redaction import redacted_target
from postback_sender import Delivery, Notification, Postback
from postback_sender.delivery.policy import Attempt, Delivered, DeliveryPolicy, GiveUp, Step, Wait
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.retry_plan import RetryPlan, retry_plans
from postback_sender.quantities import format_duration

_SHOWN_REASONS = 5


class DeliveryReport:
    """Keeps count of what became of postbacks; `output` says whether each is printed as data, without the secrets."""

    def __init__(self, settings: Notification, output: Format, *, secrets: Collection[str]) -> None:
        self._settings = settings
        self._secrets = secrets
        self._output = output
        self._told: set[tuple[Failure, int | None]] = set()
        self._reasons: Counter[str] = Counter()
        self._attempts = 0
        self.delivered = 0

    @property
    def given_up(self) -> int:
        return self._reasons.total()

    def attempted(self, postback: Postback, attempt: Attempt, step: Step) -> None:
        """Tell of the first failure of each kind at once: retries may take hours, and the reason is known now."""
        self._attempts += 1
        # Whoever cut one off has been told what that means.
        if attempt.failure is None or attempt.failure is Failure.CUT_OFF:
            return
        if (attempt.failure, attempt.status) in self._told:
            return
        self._told.add((attempt.failure, attempt.status))
        what = f"{attempt.failure} {attempt.status or ''}".strip()
        reason = f" ({attempt.detail})" if attempt.detail else ""
        advised = advice(attempt.failure, attempt.detail)
        say(
            f"{redacted_target(postback.url, self._secrets)[:100]}: {what}{reason}{advised}; "
            f"{self._next(attempt, step)}; further ones like it are not shown"
        )

    def ended(self, delivery: Delivery) -> None:
        """Count a delivery, and print it where data is wanted."""
        match delivery.outcome:
            case Delivered():
                self.delivered += 1
            case GiveUp(reason):
                self._reasons[reason] += 1
            case None:
                pass
        if self._output is Format.JSON:
            put_json(_as_data(delivery, redacted_target(delivery.postback.url, self._secrets)))

    def sum_up(self, *, waiting: int, outlives: bool) -> int:
        """Tell how it went and return the exit code; `waiting` postbacks are still in an outbox that may outlive us."""
        ended = self.delivered + self.given_up
        attempts = counted(self._attempts, "attempt")
        say(f"{self.delivered} of {ended + waiting} delivered by {self._settings.name} in {attempts}")
        for reason, times in self._reasons.most_common(_SHOWN_REASONS):
            say(f"  {times} given up: {reason}")
        if waiting:
            go_on = "waiting in the outbox, where `send --resume` with the same --to goes on"
            where = go_on if outlives else "not sent"
            say(f"  {waiting} {where}, because you stopped it")
            return 130
        return 1 if self.given_up else 0

    def _next(self, attempt: Attempt, step: Step) -> str:
        match step:
            case GiveUp():
                return "it is not tried again (retry in the settings)"
            case Wait(until_ns):
                wait = format_duration(until_ns - attempt.finished_ns)
            case _:
                wait = "no time"
        left = len(self._settings.retry.delays_ns) - attempt.counted + 1
        return f"next attempt in {wait}, up to {left} more (retry in the settings)"


class _Rate(ProgressColumn):
    """How many end in a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


def delivery_progress() -> Progress:
    """Return the progress bar of everything that sends; tasks carry a field `failed`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("[red]{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=people,
        disable=not people.is_terminal or is_quiet(),
    )


def show_retry_plan(policy: DeliveryPolicy, output: Format) -> None:
    """Show what the retry policy does after each kind of failure, by running it."""
    plans = retry_plans(policy)
    if output is Format.JSON:
        for plan in plans:
            put_json(plan)
        return
    table = Table("failure", "retries", "after", "then", box=None, pad_edge=False, header_style="bold")
    alike: dict[tuple[tuple[int, ...], str], list[RetryPlan]] = {}
    for plan in plans:
        alike.setdefault((plan.delays_ns, _end(policy, plan)), []).append(plan)
    for (delays_ns, end), failures in alike.items():
        cells = (_named(failures), str(len(delays_ns)), " ".join(map(format_duration, delays_ns)), end)
        table.add_row(*map(Text, cells))
    show(table)
    title, source = policy.retry.title, policy.retry.source
    show(Text(title if source == title else f"{title}: {source}"))
    if policy.retry.honours_retry_after:
        show(Text("an answer's Retry-After lengthens a wait, to at most twice the planned one"))


def _end(policy: DeliveryPolicy, plan: RetryPlan) -> str:
    if not policy.retry.retries(plan.failure, plan.status):
        return "given up at once"
    return f"given up after {counted(len(plan.delays_ns) + 1, 'attempt')}"


def _named(plans: Iterable[RetryPlan]) -> str:
    """Return failures as a list, the statuses of error answers together."""
    statuses: dict[Failure, list[str]] = {}
    for plan in plans:
        statuses.setdefault(plan.failure, []).extend([] if plan.status is None else [str(plan.status)])
    return ", ".join(" ".join((failure, *codes)) for failure, codes in statuses.items())


def _as_data(delivery: Delivery, url: str) -> Mapping[str, object]:
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
        "url": url,
        "outcome": outcome,
        "reason": reason,
        "attempts": delivery.attempts,
    }
