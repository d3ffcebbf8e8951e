"""`render`: the requests impact.com would make, shown and explained, and never sent."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from postback_conformance.cli.arguments import NotificationArgument
from postback_conformance.cli.events_input import read_events_file
from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, put_text, shortened, show
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.event_changes import read_changes
from postback_conformance.explanation import WrittenValue, explain
from postback_conformance.redaction import SHOWN, redacted_headers, redacted_target, secret_spans
from postback_conformance.settings_files import load_notification
from postback_sender import Event, Notification, Postback, example_event, render_postback

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
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secret headers and parameters.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Print the request impact.com would make, for an example event, for events of your own, or for generated ones."""
    if body_only and explain:
        raise ConformanceError("--body-only prints nothing but the body; leave it out to have it explained")
    settings = load_notification(notification, os.environ)
    changes = read_changes(set or (), unset or (), settings)
    is_any = False
    for event in map(changes.applied, _chosen_events(settings, events, count, seed)):
        is_any = True
        postback = render_postback(settings, event)
        if body_only:
            put(postback.body)
            continue
        explanation = _explanation(settings, event, postback, reveal=reveal) if explain else None
        if format is Format.JSON:
            data = _as_data(postback, reveal=reveal)
            put_json(data if explanation is None else {**data, "explanation": [_as_row(each) for each in explanation]})
        else:
            put_text(_as_request(postback, reveal=reveal))
            if explanation is not None:
                _show_explanation(settings, explanation)
    if not is_any:
        raise SelectionError(f"nothing to render: {'stdin' if str(events) == '-' else events} holds no events")


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


def _explanation(settings: Notification, event: Event, postback: Postback, *, reveal: bool) -> list[WrittenValue]:
    values = explain(settings, event)
    if reveal:
        return values
    secrets = list(secret_spans(postback.url))
    return [_hidden(value) if _is_secret(value, secrets) else value for value in values]


def _is_secret(value: WrittenValue, secrets: list[tuple[int, int]]) -> bool:
    first, beyond = value.span
    return value.part == "url" and any(start < beyond and first < end for start, end in secrets)


def _hidden(value: WrittenValue) -> WrittenValue:
    return msgspec.structs.replace(value, value=SHOWN, written=SHOWN)


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


def _as_request(postback: Postback, *, reveal: bool) -> str:
    headers = postback.headers if reveal else redacted_headers(postback.headers)
    url = postback.url if reveal else redacted_target(postback.url)
    head = "\n".join([f"{postback.method} {url}", *(f"{name}: {value}" for name, value in headers)])
    body = postback.body.decode("utf-8", "backslashreplace")
    return f"{head}\n\n{body}\n" if body else f"{head}\n"


def _as_data(postback: Postback, *, reveal: bool) -> dict[str, object]:
    return {
        "method": postback.method,
        "url": postback.url if reveal else redacted_target(postback.url),
        "headers": list(postback.headers if reveal else redacted_headers(postback.headers)),
        "body": postback.body.decode("utf-8", "backslashreplace"),
    }
