"""Arguments and flags of the commands that read captures."""

import os
import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

from postback_conformance.captured.export import ExportFormat
from postback_conformance.errors import ConformanceError
from postback_conformance.redaction import Hide, keyed_hashes
from postback_receiver.capture_query import MAX_SEARCHED_BYTES
from postback_sender.replay.request import Destination

KEY_VARIABLE: Final = "POSTBACK_REDACTION_KEY"
OVERLOOKED: Final = (
    f"some captures are longer than the first {MAX_SEARCHED_BYTES >> 10} KiB that are searched; "
    "--only body~REGEX reads them whole"
)

CapturesArgument = Annotated[
    Path, typer.Argument(metavar="STORE", help="What `listen` writes; NDJSON or HAR, too.", show_default=False)
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="EXPR", help="Only such captures: status>=500, path~^/hook. May be repeated."),
]
SearchOption = Annotated[
    str | None, typer.Option("--search", metavar="TEXT", help="Only captures that hold this where a word starts.")
]
RevealOption = Annotated[bool, typer.Option("--reveal", help="Show what is named like a secret.")]
ToOption = Annotated[
    str | None,
    typer.Option("--to", metavar="URL", help="With curl and pytest: where requests go. Default: this machine."),
]


def redaction() -> Hide:
    """Return what stands for a secret in data: hashes by the key in the environment, or by one nobody knows."""
    return keyed_hashes(os.environb.get(KEY_VARIABLE.encode()) or secrets.token_bytes(32))


def destination(to: str | None, format: ExportFormat) -> Destination | None:
    """Return where exported requests go; only a format that sends them can say that."""
    if to is None:
        return None
    if format not in {ExportFormat.CURL, ExportFormat.PYTEST}:
        raise ConformanceError(f"--to: nothing in {format} is sent anywhere; it goes with --format curl or pytest")
    return Destination.parse(to)
