"""`send`: deliver postbacks of a notification, paced and retried as it says."""

from pathlib import Path
from typing import Annotated

import typer

from postback_conformance.cli.arguments import NotificationArgument
from postback_conformance.cli.terminal import Format, FormatOption


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("send")(_send)


def _send(
    notification: NotificationArgument,
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="Send there instead of the settings' URL.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option("--events", metavar="FILE", help="Events as NDJSON or JSON; - reads stdin.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=100_000, help="How many events to generate.")] = 10,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed generates the same events.")] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="HOST", help="Allow a target beyond this machine; may be repeated."),
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=256, help="Requests at a time.")] = 16,
    format: FormatOption = Format.TEXT,
) -> None:
    """Send events of a file, or generated life cycles, to an endpoint. Exit code 1 when one was not delivered."""
    # Imported when used: the client and the generators take 0.3 s that other commands need not wait for.
    from postback_conformance.cli.delivering import Order, deliver  # noqa: PLC0415

    order = Order(
        notification=notification,
        to=to,
        events=events,
        count=count,
        seed=seed,
        allowed_hosts=tuple(allow_host or ()),
        concurrency=concurrency,
    )
    raise typer.Exit(deliver(order, format))
