"""`send`: deliver postbacks of a notification, paced and retried as it says."""

from pathlib import Path
from typing import Annotated

import typer

from postback_conformance.certificates import trusted
from postback_conformance.cli.arguments import NotificationArgument
from postback_conformance.cli.outbox import DEFAULT_OUTBOX
from postback_conformance.cli.terminal import Format, FormatOption
from postback_conformance.cli.trust import CaFileOption, InsecureOption
from postback_conformance.errors import ConformanceError
from postback_sender.quantities import QuantityError, parse_factor

# In place of a file: everything stays in memory, and is gone with the program.
_IN_MEMORY = Path("memory")
_GENERATED = 10


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
    scenario: Annotated[
        Path | None, typer.Option("--scenario", metavar="FILE", help="A script of what happens, as TOML.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Send nothing new: go on with what waits in the outbox.")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            min=1,
            max=100_000,
            help="How many events to generate; their texts are nasty on purpose. Default: 10.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed generates the same events.")] = None,
    outbox: Annotated[
        Path,
        typer.Option("--outbox", metavar="FILE", help="Keeps what is accepted until it is delivered, or `memory`."),
    ] = DEFAULT_OUTBOX,
    any_order: Annotated[
        bool, typer.Option("--any-order", help="Do not let events of one action wait for each other.")
    ] = False,
    time_scale: Annotated[
        str,
        typer.Option(
            "--time-scale",
            metavar="60x",
            help="Let time run faster for delays and retries; then the outbox is in memory.",
        ),
    ] = "1x",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="HOST", help="Allow a target beyond this machine: a name, an address, a network."
        ),
    ] = None,
    insecure: InsecureOption = False,
    ca_file: CaFileOption = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=256, help="Requests at a time.")] = 16,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what follows each kind of failure, and send nothing.")
    ] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Send events of a file, of a scenario, or generated ones, and what waits for the same settings and --to.

    Exit code 1 when one was not delivered.
    """
    try:
        scale = parse_factor(time_scale)
    except QuantityError as error:
        raise ConformanceError(f"--time-scale: {error}") from None
    if scale != 1 and outbox == DEFAULT_OUTBOX:
        # Times that run faster would be wrong in a file that another run reads.
        outbox = _IN_MEMORY
    if sum((events is not None, scenario is not None, resume)) > 1:
        raise ConformanceError("--events, --scenario and --resume each say what to send; keep one of them")
    if (events is not None or resume) and (count is not None or seed is not None):
        raise ConformanceError(
            "--events and --resume say what to send, --count and --seed generate events; keep one of them"
        )
    if scenario is not None and count is not None:
        raise ConformanceError("--count generates events, a --scenario says how many there are; keep one of them")
    # Imported when used: the client and the generators take 0.3 s that other commands need not wait for.
    from postback_conformance.cli import delivering  # noqa: PLC0415

    order = delivering.Order(
        notification=notification,
        to=to,
        events=events,
        scenario=scenario,
        resume=resume,
        count=_GENERATED if count is None else count,
        seed=seed,
        outbox=None if outbox == _IN_MEMORY else outbox,
        in_order=not any_order,
        time_scale=scale,
        allowed_hosts=tuple(allow_host or ()),
        trust=trusted(insecure=insecure, ca_file=ca_file),
        concurrency=concurrency,
    )
    if explain:
        delivering.explain(order, format)
        return
    raise typer.Exit(delivering.deliver(order, format))
