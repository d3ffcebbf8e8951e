"""`export`: captures in a format that others read."""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from postback_conformance.captured.capture_filter import CaptureFilter, all_match, parse_filters, query_of
from postback_conformance.captured.export import ExportCount, ExportFormat, exported
from postback_conformance.captured.traffic import Traffic, open_traffic
from postback_conformance.cli.capture_options import (
    KEY_VARIABLE,
    OVERLOOKED,
    CapturesArgument,
    OnlyOption,
    RevealOption,
    SearchOption,
    ToOption,
    destination,
    redaction,
)
from postback_conformance.cli.counting import counting
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import put, put_text
from postback_conformance.cli.whole_file import written_whole
from postback_conformance.errors import ConformanceError, SelectionError
from postback_receiver import Capture, capture_schema


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("export")(_export)


def _print_schema(wanted: bool) -> None:  # noqa: FBT001  typer hands it over like that
    if wanted:
        put(msgspec.json.format(msgspec.json.encode(capture_schema())))
        raise typer.Exit


def _export(
    store: CapturesArgument,
    *,
    format: Annotated[ExportFormat, typer.Option("--format", help="What to write.")] = ExportFormat.NDJSON,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to, whole or not at all.")
    ] = None,
    only: OnlyOption = None,
    search: SearchOption = None,
    to: ToOption = None,
    reveal: RevealOption = False,
    schema: Annotated[
        bool,
        typer.Option("--schema", callback=_print_schema, is_eager=True, help="Print the JSON Schema of NDJSON lines."),
    ] = False,
) -> None:
    """Write captures as NDJSON, HAR, curl commands or a test for pytest. Exit code 4 when there is none to write.

    What is named like a secret is hidden by a hash that is the same for the same secret: within one export, and in all
    those with the same POSTBACK_REDACTION_KEY in the environment.
    """
    _ = schema
    filters = parse_filters(only or (), search)
    goal = destination(to, format)
    if output is not None and output.exists() and output.samefile(store):
        raise ConformanceError(f"--output {output}: that is what is to be exported; expected another file")
    count = ExportCount()
    with open_traffic(store) as traffic:
        chosen = _chosen(traffic, filters)
        # Nothing to export is told before anything is written.
        first = next(chosen)
        pieces = exported(
            chain([first], chosen),
            format,
            hide=None if reveal else redaction(),
            to=goal,
            name=output.name if output else "test_recorded.py",
            count=count,
        )
        if output is None:
            _put(pieces)
        else:
            _write(output, pieces, count)
    _tell(count, where=output)


def _chosen(traffic: Traffic, filters: tuple[CaptureFilter, ...]) -> Iterator[Capture]:
    """Yield the captures to export, with a progress bar; raises `SelectionError` when there is none."""
    is_empty, overlooked = True, False
    query = query_of(filters)
    with counting("exporting", traffic.count) as count_one:
        for capture in traffic.read():
            count_one()
            if all_match(filters, capture):
                is_empty = False
                yield capture
            overlooked = overlooked or query.overlooks(capture)
    if overlooked:
        say(OVERLOOKED)
    if is_empty:
        these = f" that all of these take: {', '.join(one.source for one in filters)}" if filters else "s"
        raise SelectionError(f"{traffic.name} holds no capture{these}")


def _put(pieces: Iterable[bytes]) -> None:
    """Write to stdout; as text to a terminal, which must not be steered by what somebody sent."""
    if sys.stdout.isatty():
        for piece in pieces:
            put_text(piece.decode("utf-8", "backslashreplace"))
        return
    _write_to(sys.stdout.buffer, pieces)
    sys.stdout.buffer.flush()


def _write(path: Path, pieces: Iterable[bytes], count: ExportCount) -> None:
    try:
        with written_whole(path) as file:
            _write_to(file, pieces)
            if not count.written:
                raise _nothing(count)
    except OSError as error:
        raise ConformanceError(f"--output {path}: cannot be written: {error.strerror}") from None


def _write_to(file: BinaryIO, pieces: Iterable[bytes]) -> None:
    file.writelines(pieces)


def _nothing(count: ExportCount) -> SelectionError:
    reasons = "; ".join(f"{times} left out: {why}" for why, times in count.left_out.most_common())
    return SelectionError(f"nothing was exported: {reasons}")


def _tell(count: ExportCount, *, where: Path | None) -> None:
    if not count.written:
        raise _nothing(count)
    say(f"{count.written} exported{f' to {where}' if where else ''}")
    for why, times in count.left_out.most_common():
        say(f"{times} left out: {why}")
    if count.without_body:
        say(f"{count.without_body} without a body that cannot be looked through for secrets; --reveal shows it")
    if count.hidden:
        say(f"{count.hidden} hold [secret:…] where a secret was; --reveal shows it, {KEY_VARIABLE} keeps its hash")
