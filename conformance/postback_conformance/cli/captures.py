"""`list` and `show`: what a store holds, and one capture in full."""

import sys
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl

import typer
from rich.table import Table
from rich.text import Text

from postback_conformance.captured.capture_filter import parse_filters
from postback_conformance.captured.export import ExportCount, ExportFormat, exported
from postback_conformance.captured.looking_up import find, latest
from postback_conformance.captured.traffic import open_traffic
from postback_conformance.cli.capture_options import (
    OVERLOOKED,
    CapturesArgument,
    OnlyOption,
    RevealOption,
    SearchOption,
    ToOption,
    destination,
    redaction,
)
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, put_text, show
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.judging.readings import decoded_body
from postback_conformance.printable import printable
from postback_conformance.redaction import redacted
from postback_receiver import Capture, ns_to_iso
from postback_sender.quantities import format_duration


class ShowFormat(StrEnum):
    """How `show` prints a capture."""

    TEXT = "text"
    JSON = "json"
    HAR = "har"
    CURL = "curl"
    PYTEST = "pytest"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("list")(_list)
    app.command("show")(_show)


def _list(
    store: CapturesArgument,
    *,
    only: OnlyOption = None,
    search: SearchOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The latest so many.")] = 50,
    format: FormatOption = Format.TEXT,
) -> None:
    """List the captures of a store, the latest last. Exit code 4 when there are some, but none as asked for."""
    filters = parse_filters(only or (), search)
    with open_traffic(store) as traffic:
        captures, are_more, overlooked = latest(traffic, filters, limit=limit)
        total = traffic.count
    if overlooked:
        say(OVERLOOKED)
    if filters and not captures and total != 0:
        raise SelectionError(f"{store}: no capture matches {' and '.join(one.source for one in filters)}")
    rows = [_as_row(redacted(capture)) for capture in captures]
    if format is Format.JSON:
        for row in rows:
            put_json(row)
        return
    if not rows:
        say(f"{store} holds no captures yet; start `postback listen --store {store}` and send it something")
        return
    show(_table(rows))
    if are_more:
        of = "" if filters or total is None else f" of {total}"
        say(f"the latest {len(captures)}{of}; --limit shows more")


def _table(rows: list[dict[str, object]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    # The beginning of an id is enough to tell captures apart, and for `show`.
    for name, width in (("id", 8), ("received (UTC)", 23), ("method", None), ("target", 60), ("bytes", None)):
        table.add_column(
            name, overflow="ellipsis", no_wrap=True, max_width=width, min_width=8 if name == "target" else None
        )
    table.add_column("answer", no_wrap=True)
    table.add_column("note", overflow="ellipsis")
    for row in rows:
        received = str(row["received_at"])[:23].replace("T", " ")
        cells = [
            str(row["id"])[:8],
            received,
            row["method"],
            row["target"],
            row["bytes"],
            row["status"] or "",
            row["note"],
        ]
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    return table


def _show(
    store: CapturesArgument,
    capture_id: Annotated[str, typer.Argument(metavar="ID", help="An id, or the beginning of one.")],
    *,
    reveal: RevealOption = False,
    decoded: Annotated[bool, typer.Option("--decoded", help="Show query and body taken apart.")] = False,
    body_only: Annotated[
        bool, typer.Option("--body-only", help="Print the body and nothing else, byte for byte.")
    ] = False,
    target_only: Annotated[
        bool, typer.Option("--target-only", help="Print the request target and nothing else.")
    ] = False,
    to: ToOption = None,
    format: Annotated[
        ShowFormat, typer.Option("--format", help="text for people, else as `export` writes it.")
    ] = ShowFormat.TEXT,
) -> None:
    """Show one capture in full, byte for byte, except for what is named like a secret."""
    if not capture_id:
        raise ConformanceError("no id was given; `postback list` shows them")
    if body_only + target_only + decoded + (format is not ShowFormat.TEXT) > 1:
        raise ConformanceError(
            f"--body-only, --target-only, --decoded, --format {format}: each prints something else; keep one"
        )
    capture = find_capture(store, capture_id)
    if format is not ShowFormat.TEXT:
        put_text_or_bytes(_exported(capture, format, reveal=reveal, to=to))
        return
    if not reveal:
        capture = redacted(capture)
    if body_only or target_only:
        _put_part(capture.body if body_only else capture.target.encode("latin-1"))
        return
    _tell_about(capture)
    if decoded:
        put_text(_decoded(capture))
    elif capture.malformed is not None:
        put_text_or_bytes(capture.body)
    else:
        head = [f"{capture.method} {capture.target} HTTP/{capture.http_version}"]
        head += [f"{name}: {value}" for name, value in capture.headers]
        trailers = [f"{name}: {value}" for name, value in capture.trailers]
        after = "\n".join(("", "", *trailers)).encode("latin-1") if trailers else b""
        put_text_or_bytes("\n".join(head).encode("latin-1") + b"\n\n" + capture.body + after)


def _exported(capture: Capture, shown: ShowFormat, *, reveal: bool, to: str | None) -> bytes:
    format_ = ExportFormat.NDJSON if shown is ShowFormat.JSON else ExportFormat(shown)
    count = ExportCount()
    hide = None if reveal else redaction()
    written = b"".join(exported([capture], format_, hide=hide, to=destination(to, format_), count=count))
    if count.left_out:
        raise ConformanceError(f"capture {capture.id} cannot be shown as {shown}: {next(iter(count.left_out))}")
    return written


def find_capture(store: Path, capture_id: str) -> Capture:
    """Return one capture of a store or file by its id or the beginning of it."""
    with open_traffic(store) as traffic:
        return find(traffic, capture_id)


def put_text_or_bytes(data: bytes) -> None:
    """Write the exact bytes, except to a terminal, which must not be steered by what somebody sent."""
    if sys.stdout.isatty():
        put_text(data.decode("utf-8", "backslashreplace"))
    else:
        put(data)


def _put_part(data: bytes) -> None:
    """Write exactly these bytes, except to a terminal; a line end that nobody sent would be one of the body."""
    if sys.stdout.isatty():
        put_text(data.decode("utf-8", "backslashreplace"))
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _tell_about(capture: Capture) -> None:
    run = f" of run {capture.run}" if capture.run else ""
    say(f"capture {capture.id}  received {ns_to_iso(capture.received_at_ns)}  from {capture.remote}")
    say(
        f"connection {capture.connection}{run}, request {capture.connection_request}  "
        f"endpoint {'none took it' if capture.endpoint is None else capture.endpoint}"
    )
    if tls := capture.tls:
        asked = f", asked for {tls.server_name}" if tls.server_name is not None else ""
        client = f", client {tls.client}" if tls.client is not None else ""
        say(f"{tls.version} with {tls.cipher}{asked}{client}")
    if times := _times(capture):
        say(f"times from the head on: {times}")
    if capture.malformed is not None:
        say(f"malformed: {capture.malformed}; below are the bytes that came")
    if capture.truncated:
        say("truncated: the body is not all here")
    if capture.trailers:
        say("trailers: they came after the body, and stand there")
    if capture.fault:
        say(f"fault: {capture.fault}")
    if answer := capture.answer:
        left = ns_to_iso(answer.sent_at_ns) if answer.sent_at_ns else "never, or nobody noted when"
        say(f"answered {answer.status}, which left {left}")
    else:
        say("not answered")


def _times(capture: Capture) -> str:
    """Return when what happened, reckoned from when the head was there; nothing when that is not known."""
    head_ns = capture.monotonic_ns
    if head_ns is None:
        return ""
    stamps = (
        ("connected", capture.connected_ns),
        ("body done", capture.body_done_ns),
        ("answered", capture.answer.sent_ns if capture.answer else None),
        ("peer gone", capture.gone_ns),
    )
    known = sorted((at_ns - head_ns, name) for name, at_ns in stamps if at_ns is not None)
    late = f" (each off by up to {format_duration(capture.lateness_ns)})" if capture.lateness_ns else ""
    offsets = ", ".join(f"{name} {'-' if ns < 0 else '+'}{format_duration(abs(ns))}" for ns, name in known)
    return f"{offsets}{late}" if known else ""


def _decoded(capture: Capture) -> str:
    pairs = parse_qsl(capture.query, keep_blank_values=True)
    lines = [f"{name} = {value}" for name, value in pairs]
    body = decoded_body(capture.body, capture.header("Content-Type"))
    return "\n".join([*lines, *([body] if body else [])]) or "neither query nor body"


def _as_row(capture: Capture) -> dict[str, object]:
    notes = chain(
        [f"malformed: {capture.malformed}"] if capture.malformed is not None else [],
        ["truncated"] if capture.truncated else [],
        ["unmatched"] if capture.is_unmatched else [],
        [capture.fault] if capture.fault else [],
    )
    return {
        "id": capture.id,
        "received_at": ns_to_iso(capture.received_at_ns)[:26] + "Z",
        "endpoint": capture.endpoint,
        "method": capture.method,
        "target": capture.target,
        "bytes": len(capture.body),
        "status": capture.answer.status if capture.answer else None,
        "malformed": capture.malformed,
        "truncated": capture.truncated,
        "fault": capture.fault,
        "note": ", ".join(notes),
    }
