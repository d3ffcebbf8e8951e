"""`render`: the requests impact.com would make, shown and explained, and never sent."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from postback_conformance.cli.arguments import NotificationArgument
from postback_conformance.cli.events_input import read_events_file
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import Format, put, put_json, put_text, shortened, show
from postback_conformance.cli.unknown_names import UnknownNames
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.explaining.event_changes import read_changes
from postback_conformance.explaining.explanation import WrittenValue, explain
from postback_conformance.redaction import (
    SHOWN,
    SecretEnvironment,
    redacted_headers,
    redacted_target,
    secret_spans,
)
from postback_sender import Event, Notification, Postback, example_event, render_postback
from postback_sender.notification_file import load_notification
from postback_sender.subscription import reported

# So many items tell a person what happens; json has all of them.
_SHOWN_ITEMS = 5


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("render")(_render)


def _render(
    notification: NotificationArgument,
    *,
    events: Annotated[
        Path | None,
        typer.Option("--events", metavar="FILE", help="Events as NDJSON or JSON; - reads stdin. Default: an example."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, max=100_000, help="Generate so many events instead.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed generates the same events.")] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="TOKEN=VALUE", help="Replace a value; items.sku=VALUE in every item. May be repeated."
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset", metavar="TOKEN", help="Leave a value out; items.sku in every item, items all of them. Repeats."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show where each value came from, and how it was written.")
    ] = False,
    body_only: Annotated[bool, typer.Option("--body-only", help="Print the body and nothing else.")] = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show secret headers and parameters, and what the environment gave.")
    ] = False,
    format: Annotated[
        Format, typer.Option("--format", help="text for people; json for programs, one object a line for each request.")
    ] = Format.TEXT,
) -> None:
    """Print the request impact.com would make, for an example event, for events of your own, or for generated ones."""
    if body_only and explain:
        raise ConformanceError("--body-only prints nothing but the body; leave it out to have it explained")
    if body_only and format is Format.JSON:
        raise ConformanceError("--body-only prints the bytes of the body, --format json data; keep one of them")
    environment = SecretEnvironment(os.environ)
    settings = load_notification(notification, environment)
    if body_only and settings.body is None:
        raise SelectionError(f"{settings.name} sends no body; leave --body-only out to see the {settings.method}")
    secrets = () if reveal else tuple(environment.secrets)
    changes = read_changes(set or (), unset or (), settings)
    told = _Told(settings)
    for event in map(changes.applied, told.reported(_chosen_events(settings, events, count, seed))):
        postback = render_postback(settings, event)
        if body_only:
            put(postback.body)
            continue
        shown = postback if reveal else _redacted(postback, secrets)
        explanation = _explanation(settings, event, postback, secrets, reveal=reveal) if explain else None
        if format is Format.JSON:
            data = _as_data(shown)
            put_json(data if explanation is None else {**data, "explanation": [_as_row(each) for each in explanation]})
        else:
            put_text(_as_request(shown, told.rendered))
            if explanation is not None:
                _show_explanation(settings, explanation)
    told.tell(are_own=events is not None)
    if not told.rendered:
        source = "stdin" if str(events) == "-" else events
        reason = f"no event is one that {settings.name} reports" if told.left_out else f"{source} holds no events"
        raise SelectionError(f"nothing to render: {reason}")


class _Told:
    """What there is to say about events beside their requests."""

    def __init__(self, settings: Notification) -> None:
        self.rendered = 0
        self.left_out = 0
        self._settings = settings
        self._names = UnknownNames(settings)

    def reported(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the events that lead to a request."""
        for event in reported(self._settings, self._read(events)):
            # Each was counted as left out when it was read.
            self.left_out -= 1
            self.rendered += 1
            self._names.note(event)
            yield event

    def tell(self, *, are_own: bool) -> None:
        """Say what was left out, and, of events that a person wrote, which values show nowhere."""
        if self.left_out:
            reports = f"{self._settings.name} reports {self._settings.event} at {self._settings.level} level"
            say(f"{self.left_out} of {self.rendered + self.left_out} events left out: {reports}")
        if are_own:
            self._names.tell_values()

    def _read(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self.left_out += 1
            yield event


def _chosen_events(settings: Notification, events: Path | None, count: int | None, seed: int | None) -> Iterator[Event]:
    if events is not None and (count is not None or seed is not None):
        raise ConformanceError("--events takes events from a file, --count and --seed generate some; keep one of them")
    if events is not None:
        return read_events_file(events, kinds=settings.catalogue.kinds)
    if count is None and seed is None:
        return iter([example_event(settings.event, settings.catalogue)])
    # Imported when used: the generators take 0.3 s that other commands need not wait for.
    from postback_conformance.cli.generating import generate_and_tell  # noqa: PLC0415

    return iter(generate_and_tell(settings, count=count or 1, seed=seed))


def _redacted(postback: Postback, secrets: tuple[str, ...]) -> Postback:
    return msgspec.structs.replace(
        postback,
        url=redacted_target(postback.url, secrets),
        headers=tuple(redacted_headers(postback.headers, secrets)),
    )


def _explanation(
    settings: Notification, event: Event, postback: Postback, secrets: tuple[str, ...], *, reveal: bool
) -> list[WrittenValue]:
    values = explain(settings, event)
    if reveal:
        return values
    hidden = list(secret_spans(postback.url, secrets))
    return [_as_shown(value, hidden) if value.part == "url" else value for value in values]


def _as_shown(value: WrittenValue, hidden: list[tuple[int, int]]) -> WrittenValue:
    """Return a value of the URL as it stands in the URL that is shown; a part of a secret is all of it."""
    first, beyond = value.span
    moved = 0
    for start, end in hidden:
        if end <= first:
            moved += len(SHOWN) - (end - start)
        elif start < beyond or start == first:
            span = (start + moved, start + moved + len(SHOWN))
            return msgspec.structs.replace(value, value=SHOWN, written=SHOWN, span=span)
    return msgspec.structs.replace(value, span=(first + moved, beyond + moved))


def _show_explanation(settings: Notification, values: list[WrittenValue]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("place", "token", "context", "value", "written", "note"):
        table.add_column(name, overflow="fold")
    for value in values:
        if (value.item or 0) <= _SHOWN_ITEMS:
            table.add_row(*(Text(cell) for cell in _cells(value)))
    show(table if values else Text("no token stands in the templates"))
    if (items := max((value.item or 0 for value in values), default=0)) > _SHOWN_ITEMS:
        show(Text(f"… and the same for {items - _SHOWN_ITEMS} more items; --format json has all of them"))
    if settings.template.escaping == "raw":
        show(Text('nothing is escaped: [template] escaping = "raw"'))
    put("")


def _cells(value: WrittenValue) -> tuple[str, ...]:
    item = "" if value.item is None else f" item {value.item}"
    return (
        f"{value.part} {value.line}:{value.column}{item}",
        value.token,
        value.context.value,
        shortened(value.value),
        shortened(value.written),
        _note(value),
    )


def _note(value: WrittenValue) -> str:
    if value.absent and not value.known:
        return "unknown, kept as text" if value.written else "unknown, left empty"
    notes = {"absent": value.absent, "not in the catalogue": not value.known, "escaped": value.changed}
    return ", ".join(note for note, holds in notes.items() if holds)


def _as_row(value: WrittenValue) -> dict[str, object]:
    return {**msgspec.structs.asdict(value), "context": value.context.value}


def _as_request(postback: Postback, number: int) -> str:
    head = "\n".join([f"{postback.method} {postback.url}", *(f"{name}: {value}" for name, value in postback.headers)])
    body = postback.body.decode("utf-8", "backslashreplace")
    lead = f"\n### {number}\n" if number > 1 else ""
    return f"{lead}{head}\n\n{body}\n" if body else f"{lead}{head}\n"


def _as_data(postback: Postback) -> dict[str, object]:
    return {
        "method": postback.method,
        "url": postback.url,
        "headers": list(postback.headers),
        "body": postback.body.decode("utf-8", "backslashreplace"),
    }
