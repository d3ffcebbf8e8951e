"""`list` and `show`: what a store holds, and one capture in full."""

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl

import typer
from rich.table import Table
from rich.text import Text

from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, put_text, say, show
from postback_conformance.errors import ConformanceError
from postback_conformance.printable import printable
from postback_conformance.readings import decoded_body
from postback_conformance.redaction import redacted, redacted_target
from postback_receiver import Capture, capture_to_line, ns_to_iso, open_store

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="The file `listen` writes.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("list")(_list)
    app.command("show")(_show)


def _list(
    store: StoreArgument,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The latest so many.")] = 50,
    format: FormatOption = Format.TEXT,
) -> None:
    """List the captures of a store, the latest last."""
    reader = open_store(store)
    try:
        total = reader.count()
        captures = list(islice(reader.captures(), max(0, total - limit), None))
    finally:
        reader.close()
    if format is Format.JSON:
        for capture in captures:
            put_json(_as_row(capture))
        return
    if not captures:
        say(f"{store} holds no captures yet; start `postback listen --store {store}` and send it something")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    # The beginning of an id is enough to tell captures apart, and for `show`.
    for name, width in (("id", 8), ("received (UTC)", 23), ("method", None), ("target", 60), ("bytes", None)):
        table.add_column(
            name, overflow="ellipsis", no_wrap=True, max_width=width, min_width=8 if name == "target" else None
        )
    table.add_column("answer", no_wrap=True)
    table.add_column("note", overflow="ellipsis")
    for row in map(_as_row, captures):
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
    show(table)
    if len(captures) < total:
        say(f"the latest {len(captures)} of {total}; --limit shows more")


def _show(
    store: StoreArgument,
    capture_id: Annotated[str, typer.Argument(metavar="ID", help="An id, or the beginning of one.")],
    *,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secret headers, parameters and form fields.")] = False,
    decoded: Annotated[bool, typer.Option("--decoded", help="Show query and body taken apart.")] = False,
    body_only: Annotated[
        bool, typer.Option("--body-only", help="Print the body and nothing else, byte for byte.")
    ] = False,
    target_only: Annotated[
        bool, typer.Option("--target-only", help="Print the request target and nothing else.")
    ] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Show one capture in full, byte for byte except for secrets.

    Hidden are headers, parameters and form fields that are named like secrets; JSON and XML bodies stay as they are.
    """
    if not capture_id:
        raise ConformanceError("no id was given; `postback list` shows them")
    if body_only + target_only + decoded + (format is Format.JSON) > 1:
        raise ConformanceError(
            "--body-only, --target-only, --decoded, --format json: each prints something else; keep one"
        )
    capture = find_capture(store, capture_id)
    if not reveal:
        capture = redacted(capture)
    if body_only or target_only:
        _put_part(capture.body if body_only else capture.target.encode("latin-1"))
        return
    if format is Format.JSON:
        put(capture_to_line(capture))
        return
    _tell_about(capture)
    if decoded:
        put_text(_decoded(capture))
    else:
        head = [f"{capture.method} {capture.target} HTTP/{capture.http_version}"]
        head += [f"{name}: {value}" for name, value in capture.headers]
        _put_request("\n".join(head).encode("latin-1") + b"\n\n" + capture.body)


def find_capture(store: Path, capture_id: str) -> Capture:
    """Return one capture of a store by its id or the beginning of it."""
    reader = open_store(store)
    try:
        return reader.find(capture_id)
    finally:
        reader.close()


def _put_part(data: bytes) -> None:
    """Write exactly these bytes, except to a terminal; a line end that nobody sent would be one of the body."""
    if sys.stdout.isatty():
        put_text(data.decode("utf-8", "backslashreplace"))
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _put_request(request: bytes) -> None:
    """Write the exact bytes, except to a terminal, which must not be steered by what somebody sent."""
    if sys.stdout.isatty():
        put_text(request.decode("utf-8", "backslashreplace"))
    else:
        put(request)


def _tell_about(capture: Capture) -> None:
    answer = capture.answer
    say(f"capture {capture.id}  received {ns_to_iso(capture.received_at_ns)}  from {capture.remote}")
    say(f"connection {capture.connection}, request {capture.connection_request}  endpoint {capture.endpoint or 'none'}")
    if capture.truncated:
        say("truncated: the body is not all here")
    if capture.fault:
        say(f"fault: {capture.fault}")
    if answer is None:
        say("not answered")
    else:
        left = ns_to_iso(answer.sent_at_ns) if answer.sent_at_ns else "never"
        say(f"answered {answer.status}, which left {left}")


def _decoded(capture: Capture) -> str:
    pairs = parse_qsl(capture.query, keep_blank_values=True)
    lines = [f"{name} = {value}" for name, value in pairs]
    body = decoded_body(capture.body, capture.header("Content-Type"))
    return "\n".join([*lines, *([body] if body else [])]) or "neither query nor body"


def _as_row(capture: Capture) -> dict[str, object]:
    notes = ["truncated"] if capture.truncated else []
    notes += ["unmatched"] if capture.endpoint is None else []
    notes += [capture.fault] if capture.fault else []
    return {
        "id": capture.id,
        "received_at": ns_to_iso(capture.received_at_ns)[:26] + "Z",
        "endpoint": capture.endpoint,
        "method": capture.method,
        "target": redacted_target(capture.target),
        "bytes": len(capture.body),
        "status": capture.answer.status if capture.answer else None,
        "note": ", ".join(notes),
    }
