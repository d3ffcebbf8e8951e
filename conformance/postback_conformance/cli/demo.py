"""`demo`: the main job, with a progress bar, a table of verdicts and a report."""

from pathlib import Path
from typing import Annotated

import typer

from postback_conformance.cli.terminal import Format, FormatOption


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("demo")(_demo)


def _demo(
    *,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed generates the same actions.")] = None,
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where results go.")] = Path(".postback/demo"),
    format: FormatOption = Format.TEXT,
) -> None:
    """Show the whole chain: receive, send, fail, retry, judge, report. Exit code 0 when all came out as it must."""
    # Imported when used: server, client and generators take half a second that other commands need not wait for.
    from postback_conformance.cli.demonstration import demonstrate  # noqa: PLC0415

    raise typer.Exit(demonstrate(folder, seed, format))
