"""`replay`: send captured requests again, as they were and when they were."""

from pathlib import Path
from typing import Annotated

import typer

from postback_conformance.certificates import trusted
from postback_conformance.cli.terminal import Format, FormatOption
from postback_conformance.cli.trust import CaFileOption, InsecureOption


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("replay")(_replay)


def _replay(
    captures: Annotated[
        Path, typer.Argument(metavar="CAPTURES", help="A capture store, NDJSON or HAR.", show_default=False)
    ],
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="URL", help="Where to: its scheme and host, and its path and query if it has them."
        ),
    ],
    speed: Annotated[str, typer.Option("--speed", help="2x, 0.5x, or max for as fast as it goes.")] = "1x",
    max_gap: Annotated[
        str | None,
        typer.Option("--max-gap", metavar="DURATION", help="Shorten longer recorded gaps to this, before the speed."),
    ] = None,
    loop: Annotated[int, typer.Option("--loop", min=1, max=1_000_000, help="So many rounds.")] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="EXPR", help="Only such captures: status=503, path~^/hook. May be repeated."),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="'Header: v'", help="Send another value, none without v. May be repeated."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Give every action a new id.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed makes the same new ids.")] = None,
    notification: Annotated[
        Path | None,
        typer.Option("--notification", metavar="N.toml", help="Where ids stand. Default: what the store kept."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, max=256, help="Requests at a time. Default: as recorded, 16 with --speed max."
        ),
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="For one request.")] = "30s",
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="HOST", help="Allow a target beyond this machine; may be repeated."),
    ] = None,
    insecure: InsecureOption = False,
    ca_file: CaFileOption = None,
    diff: Annotated[bool, typer.Option("--diff", help="Compare answers with the recorded ones.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Send captured requests again: same bytes, same gaps.

    Exit code 1 when one is not answered, is refused, or (with --diff) is answered differently; 4 when there is nothing
    to send.
    """
    # Imported when used: other commands need not wait for it.
    from postback_conformance.cli.resending import Order, resend  # noqa: PLC0415

    order = Order(
        captures=captures,
        to=to,
        speed=speed,
        max_gap=max_gap,
        rounds=loop,
        only=tuple(only or ()),
        changes=tuple(set or ()),
        fresh=fresh,
        seed=seed,
        notification=notification,
        concurrency=concurrency,
        timeout=timeout,
        allowed_hosts=tuple(allow_host or ()),
        trust=trusted(insecure=insecure, ca_file=ca_file),
        diff=diff,
    )
    raise typer.Exit(resend(order, format, dry_run=dry_run))
