"""`listen`: a receiver in the foreground that shows what arrives and what is wrong with it."""

from pathlib import Path
from typing import Annotated

import typer

from postback_conformance.cli.terminal import Format, FormatOption
from postback_sender.quantities import QuantityError, parse_size

DEFAULT_STORE = Path(".postback/captures.sqlite")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("listen")(_listen)


def _listen(
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Where to listen; only this machine by default.")] = "127.0.0.1",
    port_file: Annotated[
        Path | None, typer.Option("--port-file", metavar="FILE", help="Write the port there once it is open.")
    ] = None,
    store: Annotated[Path, typer.Option("--store", metavar="FILE", help="Where captures are kept.")] = DEFAULT_STORE,
    notification: Annotated[
        Path | None,
        typer.Option("--notification", metavar="N.toml", help="What should arrive; findings are shown as they come."),
    ] = None,
    status: Annotated[int, typer.Option("--status", min=200, max=599, help="What to answer.")] = 200,
    max_body: Annotated[str, typer.Option("--max-body", metavar="SIZE", help="Longer bodies are cut.")] = "1MiB",
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secret headers and parameters.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Receive postbacks, keep every byte, and answer. Ctrl-C ends it; captures stay in the store."""
    # Imported when used: the server takes 0.2 s that other commands need not wait for.
    from postback_conformance.cli.serving import Stand, serve  # noqa: PLC0415

    serve(
        Stand(
            host=host,
            port=port,
            port_file=port_file,
            store=store,
            notification=notification,
            status=status,
            max_body_bytes=_size(max_body),
        ),
        format,
        reveal=reveal,
    )


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except QuantityError as error:
        raise QuantityError(f"--max-body: {error}") from None
