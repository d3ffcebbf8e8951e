"""`outbox list | log | retry | drop | purge`: what `send` has accepted, what was tried, and what became of it."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import Format, FormatOption, put_json, shortened, show
from postback_conformance.errors import ConformanceError, SelectionError
from postback_receiver import ns_to_iso
from postback_sender import Event
from postback_sender.outbox.entry import LoggedAttempt, State
from postback_sender.outbox.errors import EntryLookupError
from postback_sender.outbox.sqlite_listing import ListedEntry, OutboxFile
from postback_sender.postback import event_key
from postback_sender.quantities import QuantityError, parse_duration

DEFAULT_OUTBOX = Path(".postback/outbox.sqlite")

_NANOSECONDS_PER_MILLISECOND = 1_000_000
_MEBIBYTE = 1024**2
# The outcome of an attempt that has none yet, or that nobody saw.
_UNFINISHED = "unfinished"


class _StateOption(StrEnum):
    """A state as a flag can say it, without a space."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"
    DROPPED = "dropped"


_STATES: dict[_StateOption, State] = {
    _StateOption.WAITING: "waiting",
    _StateOption.DELIVERED: "delivered",
    _StateOption.GIVEN_UP: "given up",
    _StateOption.DROPPED: "dropped",
}


class _EndedOption(StrEnum):
    """A state that something can have ended in."""

    DELIVERED = "delivered"
    GIVEN_UP = "given-up"
    DROPPED = "dropped"


OutboxOption = Annotated[Path, typer.Option("--outbox", metavar="FILE", help="The file `send` keeps its events in.")]
_IdsArgument = Annotated[
    list[int] | None, typer.Argument(metavar="ID...", help="The entries, as `list` names them.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    outbox = typer.Typer(no_args_is_help=True, help="Look at what `send` has accepted, try it again, drop or purge it.")
    outbox.command("list")(_list)
    outbox.command("log")(_log)
    outbox.command("retry")(_retry)
    outbox.command("drop")(_drop)
    outbox.command("purge")(_purge)
    app.add_typer(outbox, name="outbox")


def _list(
    *,
    outbox: OutboxOption = DEFAULT_OUTBOX,
    state: Annotated[_StateOption | None, typer.Option("--state", help="Only what is in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="The latest so many.")] = 50,
    format: FormatOption = Format.TEXT,
) -> None:
    """List the entries of an outbox, the latest last; also while a sender delivers from it."""
    file = OutboxFile(outbox)
    entries = list(islice(file.latest(state=None if state is None else _STATES[state]), limit))[::-1]
    if format is Format.JSON:
        for entry in entries:
            put_json(_as_row(entry))
        return
    counts = {name: count for name, count in file.counts().items() if count}
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    if entries:
        show(_table(entries))
    elif counts:
        say(f"no entry of {outbox} is {state}")
    say(f"in all: {summary}" if summary else f"{outbox} holds no entries yet")
    if len(entries) == limit:
        say(f"the latest {limit}; --limit shows more")


def _log(
    entry_id: Annotated[int, typer.Argument(metavar="ID", help="The entry, as `list` names it.")],
    *,
    outbox: OutboxOption = DEFAULT_OUTBOX,
    format: FormatOption = Format.TEXT,
) -> None:
    """Show every attempt of one entry: when, how long after the one before, and its outcome.

    One that was cut off (Ctrl-C twice, or a kill) counts as no retry. One without an end is under way, or a kill cut it
    off; then the next command that works on the outbox puts it into the log.
    """
    file = OutboxFile(outbox)
    with _nothing_there():
        unfinished = file.unfinished(entry_id)
        entry = file.entry(entry_id)
    attempts = file.log(entry_id)
    # It may have ended by now.
    if unfinished is not None and (unfinished.round, unfinished.number) not in {(a.round, a.number) for a in attempts}:
        attempts.append(
            LoggedAttempt(
                round=unfinished.round,
                number=unfinished.number,
                started_at_ns=unfinished.started_at_ns,
                finished_at_ns=None,
                failure=_UNFINISHED,
                detail="under way, or cut off by a kill",
            )
        )
    rows = _log_rows(attempts)
    if format is Format.JSON:
        for row in rows:
            put_json(row)
        return
    event, key = entry.event, f", key {entry.key}" if entry.key else ""
    say(f"entry {entry.id}{key}: {event.kind} of {_utc(event)}, by {entry.notification}, to {_to(entry)}")
    if rows:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("round", "attempt", "started (UTC)", "gap", "took", "outcome"):
            table.add_column(name, no_wrap=name != "outcome")
        for row in rows:
            gap, took = ("" if row[name] is None else f"{row[name]} ms" for name in ("gap_ms", "took_ms"))
            outcome = " ".join(str(row[name]) for name in ("outcome", "status") if row[name] is not None)
            detail = f" ({row['detail']})" if row["detail"] else ""
            _add(table, row["round"], row["number"], row["started_at"], gap, took, outcome + detail)
        show(table)
    reason = f": {entry.reason}" if entry.reason else ""
    due = f", due {ns_to_iso(entry.due_ns)}" if entry.state == "waiting" else ""
    say(f"{entry.state}{due}{reason}")


def _retry(
    ids: _IdsArgument = None,
    *,
    all: Annotated[bool, typer.Option("--all", help="Everything that was given up or dropped.")] = False,
    outbox: OutboxOption = DEFAULT_OUTBOX,
) -> None:
    """Let what was given up or dropped wait again, due now, with all its retries.

    The next `send` with the same notification and --to delivers it; `list` shows where it goes.
    """
    chosen = _chosen(ids, all=all)
    with _nothing_there():
        count = OutboxFile(outbox).retry(chosen, due_ns=time.time_ns())
    _tell(
        count,
        "waiting again, for the next `send` with the same notification and --to",
        f"nothing to retry: {outbox} holds nothing that was given up or dropped",
    )


def _drop(
    ids: _IdsArgument = None,
    *,
    all: Annotated[bool, typer.Option("--all", help="Everything that waits.")] = False,
    outbox: OutboxOption = DEFAULT_OUTBOX,
) -> None:
    """Drop what waits, so that it is not sent; its log stays, and `retry` brings it back."""
    chosen = _chosen(ids, all=all)
    with _nothing_there():
        count = OutboxFile(outbox).drop(chosen, reason=f"dropped by hand at {ns_to_iso(time.time_ns())}")
    _tell(count, "dropped", f"nothing to drop: nothing waits in {outbox}")


def _purge(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DURATION", help="Only what ended so long ago: 7d, 12h, 0s for all.")
    ],
    state: Annotated[
        list[_EndedOption] | None,
        typer.Option("--state", help="Only what ended like this. May be repeated. Default: all that has ended."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    outbox: OutboxOption = DEFAULT_OUTBOX,
    format: FormatOption = Format.TEXT,
) -> None:
    """Remove what has ended from an outbox for good, with its log; what waits is never touched.

    An entry has ended with its last attempt. The file gets smaller when a quarter of it or more is empty by then.
    """
    try:
        before_ns = time.time_ns() - parse_duration(older_than)
    except QuantityError as error:
        raise ConformanceError(f"--older-than: {error}") from None
    states: list[State] = [_STATES[_StateOption(one)] for one in state or _EndedOption]
    file = OutboxFile(outbox)
    had = file.counts()
    done = None if dry_run else file.purge(before_ns, states=states)
    counts = file.ended_before(before_ns, states=states) if done is None else done.counts
    kept: dict[State, int] = {name: number - counts.get(name, 0) for name, number in had.items()}
    if format is Format.JSON:
        put_json(
            {
                "format": "postback-outbox-purge/1",
                "dry_run": dry_run,
                "purged": {name: counts.get(name, 0) for name in had},
                "kept": kept,
                "freed_bytes": done.freed_bytes if done else None,
            }
        )
    verb = "would be purged" if dry_run else "purged"
    number = sum(counts.values())
    what = "1 entry" if number == 1 else f"{number} entries"
    say(f"{what} {verb}{_by_state(counts)}; {sum(kept.values())} kept{_by_state(kept)}")
    if done and done.freed_bytes:
        say(f"the file is {done.freed_bytes / _MEBIBYTE:.1f} MiB smaller")
    if done and done.obstacle:
        say(f"the file keeps its size, for what is accepted next: {done.obstacle}")


def _by_state(counts: Mapping[State, int]) -> str:
    told = [f"{count} {name}" for name, count in counts.items() if count]
    return f": {', '.join(told)}" if told else ""


def _chosen(ids: Sequence[int] | None, *, all: bool) -> Sequence[int] | None:
    """Return the ids that were named, or None for all of them."""
    if bool(ids) == all:
        raise ConformanceError("expected either ids or --all; `postback outbox list` shows the ids")
    return ids or None


def _tell(count: int, what: str, nothing: str) -> None:
    if not count:
        raise SelectionError(nothing)
    say(f"{count} {'entry is' if count == 1 else 'entries are'} {what}")


@contextmanager
def _nothing_there() -> Generator[None]:
    """Let an entry that is not there end as any selection of nothing does."""
    try:
        yield
    except EntryLookupError as error:
        raise SelectionError(str(error)) from None


def _table(entries: Sequence[ListedEntry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "action", "event (UTC)", "to", "state", "attempts", "next due (UTC)", "last failure"):
        table.add_column(name, no_wrap=name != "last failure")
    for entry in entries:
        row = _as_row(entry) | {"at": _utc(entry.event), "target": _to(entry)}
        names = ("id", "action", "at", "target", "state", "attempts", "due_at", "last_failure")
        _add(table, *(row[name] for name in names))
    return table


def _utc(event: Event) -> str:
    try:
        return f"{event.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        # At the edges of the calendar UTC has another year, which there is none for.
        return event.at.isoformat()


def _to(entry: ListedEntry) -> str:
    return entry.target or "the settings' URL"


def _add(table: Table, *cells: object) -> None:
    table.add_row(*(Text("" if cell is None else shortened(str(cell))) for cell in cells))


def _as_row(entry: ListedEntry) -> dict[str, object]:
    event = entry.event
    return {
        "id": entry.id,
        "key": entry.key,
        "action": event_key(event),
        "event": event.kind,
        "at": event.at.isoformat(),
        "state": entry.state,
        "round": entry.round,
        "attempts": entry.attempts,
        "due_at": ns_to_iso(entry.due_ns) if entry.state == "waiting" else None,
        "last_failure": entry.last_failure,
        "reason": entry.reason,
        "notification": entry.notification,
        "target": entry.target,
    }


def _log_rows(attempts: Sequence[LoggedAttempt]) -> list[dict[str, object]]:
    """Return the attempts with what lies between them; a clock that was set back shows as a negative gap.

    Of an attempt whose end nobody saw there is neither an end nor a gap after it.
    """
    ended_at_ns: int | None = None
    rows: list[dict[str, object]] = []
    for attempt in attempts:
        started_at_ns, finished_at_ns = attempt.started_at_ns, attempt.finished_at_ns
        rows.append(
            {
                "round": attempt.round,
                "number": attempt.number,
                "started_at": ns_to_iso(started_at_ns),
                "finished_at": None if finished_at_ns is None else ns_to_iso(finished_at_ns),
                "gap_ms": _milliseconds_between(ended_at_ns, started_at_ns),
                "took_ms": _milliseconds_between(started_at_ns, finished_at_ns),
                "outcome": attempt.failure or "delivered",
                "status": attempt.status,
                "detail": attempt.detail,
            }
        )
        ended_at_ns = finished_at_ns
    return rows


def _milliseconds_between(first_ns: int | None, second_ns: int | None) -> float | None:
    if first_ns is None or second_ns is None:
        return None
    return round((second_ns - first_ns) / _NANOSECONDS_PER_MILLISECOND, 3)
