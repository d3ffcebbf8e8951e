"""`render` and `lint`: look at a notification without sending anything."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from postback_conformance.cli.events_input import read_events_file
from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, say
from postback_conformance.errors import ConformanceError
from postback_conformance.lint import lint
from postback_conformance.redaction import redacted_headers, redacted_target
from postback_conformance.settings_files import load_notification
from postback_sender import Event, Notification, Postback, example_event, render_postback
from postback_sender.tokens import nearest

NotificationArgument = Annotated[
    Path, typer.Argument(metavar="NOTIFICATION.toml", help="The settings.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("render")(_render)
    app.command("lint")(_lint)


def _render(
    notification: NotificationArgument,
    *,
    events: Annotated[
        Path | None,
        typer.Option("--events", metavar="FILE", help="Events as NDJSON; - reads stdin. Default: an example."),
    ] = None,
    set: Annotated[
        list[str] | None, typer.Option("--set", metavar="TOKEN=VALUE", help="Replace a value; may be repeated.")
    ] = None,
    body_only: Annotated[bool, typer.Option("--body-only", help="Print the body and nothing else.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secret headers and parameters.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Print the request impact.com would make, for an example event or for events of your own."""
    settings = load_notification(notification, os.environ)
    changes = dict(_assignment(value, settings) for value in set or [])
    source = read_events_file(events) if events else iter([example_event(settings.event)])
    for event in _changed(source, changes):
        postback = render_postback(settings, event)
        if body_only:
            put(postback.body)
        elif format is Format.JSON:
            put_json(_as_data(postback, reveal=reveal))
        else:
            put(_as_request(postback, reveal=reveal))


def _lint(notification: NotificationArgument, *, format: FormatOption = Format.TEXT) -> None:
    """Check a notification: settings, templates, and what they will do to you. Exit code 1 when there is a finding."""
    settings = load_notification(notification, None)
    complaints = lint(settings)
    for complaint in complaints:
        if format is Format.JSON:
            put_json(msgspec.to_builtins(complaint))
        else:
            put(f"{complaint.place}: {complaint.message}\n    → {complaint.advice}")
    if complaints:
        say(f"{len(complaints)} finding{'s' if len(complaints) > 1 else ''} in {notification}")
        raise typer.Exit(1)
    say(f"{notification}: fine")


def _assignment(text: str, settings: Notification) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConformanceError(f"--set: expected TOKEN=VALUE such as Payout=12.50, got {text!r}")
    body = settings.body.names if settings.body else frozenset[str]()
    if name not in settings.known_tokens | settings.url.names | body:
        hint = nearest(settings.event, name)
        raise ConformanceError(
            f"--set: {{{name}}} is no token of {settings.event}, and the template has none of that name"
            + (f"; did you mean {hint}?" if hint else "")
        )
    return name, value


def _changed(events: Iterator[Event], changes: dict[str, str]) -> Iterator[Event]:
    for event in events:
        yield msgspec.structs.replace(event, values={**event.values, **changes}) if changes else event


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
