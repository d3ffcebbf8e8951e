"""`match`: a captured body or URL taken apart, token by token."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from postback_conformance.cli.arguments import NotificationArgument
from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, put_text, say, shortened, show
from postback_conformance.departure import Departure
from postback_conformance.dissection import Dissection, ReadValue, dissect, event_of
from postback_conformance.errors import ConformanceError
from postback_conformance.explanation import Part
from postback_conformance.redaction import SHOWN, secret_spans
from postback_conformance.settings_files import load_notification
from postback_sender import encode_event

# A body of 10,000 items has a few megabytes. Anything larger is the wrong file.
_MAX_BYTES = 64 * 1024 * 1024
# So many items tell a person what there is; json has all of them.
_SHOWN_ITEMS = 20
_STDIN = Path("-")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("match")(_match)


def _match(
    notification: NotificationArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The bytes of one captured body; - reads stdin.", show_default=False)
    ],
    *,
    url: Annotated[
        bool, typer.Option("--url", help="FILE holds a URL or request target; without a body that is the default.")
    ] = False,
    as_event: Annotated[
        bool, typer.Option("--as-event", help="Print an event of these values, for --events of render and send.")
    ] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secret parameters.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Take a captured body apart: which bytes came from which token. Exit code 1 when it is not what the template says.

    A line end at the end of FILE is not counted, unless the template ends with one.
    """
    settings = load_notification(notification, None)
    part: Part = "url" if url or settings.body is None else "body"
    data = _read(file)
    found = dissect(settings, data, part, shown=data if reveal or part == "body" else _blotted(data))
    if isinstance(found, Departure):
        if format is Format.JSON:
            put_json(_departure_as_data(found, part))
        else:
            put_text(_told(found, "stdin" if file == _STDIN else str(file), f"{settings.name}, {part}"))
        raise typer.Exit(1)
    if as_event:
        made, notes = event_of(found, settings, now=datetime.now(UTC).replace(microsecond=0))
        put(encode_event(made))
        for note in notes:
            say(note)
        return
    secrets: list[tuple[int, int]] = []
    if part == "url" and not reveal:
        secrets = [*secret_spans(data.decode("latin-1")), *(value.span for value in found.values if value.is_variable)]
    if format is Format.JSON:
        put_json(_as_data(found, part, secrets))
    else:
        _show(found, part, secrets)


def _read(path: Path) -> bytes:
    try:
        if path == _STDIN:
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConformanceError(
            f"{path}: cannot be read: {error.strerror}; expected the bytes of one captured body"
        ) from None
    if len(data) > _MAX_BYTES:
        raise ConformanceError(f"{path}: more than {_MAX_BYTES >> 20} MiB; expected the bytes of one captured body")
    return data


def _blotted(data: bytes) -> bytes:
    """Return a URL with as many asterisks as its secrets have letters."""
    blotted = bytearray(data)
    for start, end in secret_spans(data.decode("latin-1")):
        blotted[start:end] = b"*" * (end - start)
    return bytes(blotted)


def _told(found: Departure, file: str, template: str) -> str:
    if (found.position, found.got) == (0, "the end"):
        return f"{file} is empty; expected {found.expected}"
    return (
        f"{file}, byte {found.position}, line {found.line}, column {found.column}: not what the template says\n"
        f"{found.excerpt}\n"
        f"  expected  {found.expected} ({template}, line {found.template_line}, column {found.template_column})\n"
        f"  got       {found.got}\n"
    )


def _departure_as_data(found: Departure, part: Part) -> dict[str, object]:
    return {
        "format": "postback-match/1",
        "matches": False,
        "part": part,
        "position": found.position,
        "line": found.line,
        "column": found.column,
        "expected": found.expected,
        "got": found.got,
        "template": {"line": found.template_line, "column": found.template_column},
    }


def _as_data(found: Dissection, part: Part, secrets: list[tuple[int, int]]) -> dict[str, object]:
    return {
        "format": "postback-match/1",
        "matches": True,
        "part": part,
        "values": [_as_row(value, secrets) for value in found.values],
        "items": [[_as_row(value, secrets) for value in item] for item in found.items],
        "conflicts": sorted(found.conflicts()),
    }


def _as_row(value: ReadValue, secrets: list[tuple[int, int]]) -> dict[str, object]:
    return {
        "token": value.token,
        "value": _shown(value, secrets),
        "span": value.span,
        "context": value.context.value,
        "certain": value.certain,
    }


def _shown(value: ReadValue, secrets: list[tuple[int, int]]) -> str:
    first, beyond = value.span
    is_secret = any(start < beyond and first < end for start, end in secrets)
    return SHOWN if is_secret else value.value


def _show(found: Dissection, part: Part, secrets: list[tuple[int, int]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("token", "value", "bytes", "context", "note"):
        table.add_column(name, overflow="fold")
    conflicts = found.conflicts()
    for number, values in enumerate([found.values, *found.items[:_SHOWN_ITEMS]]):
        if number:
            table.add_row(Text(f"item {number}", style="bold"))
        for value in values:
            first, beyond = value.span
            cells = (
                value.token,
                shortened(_shown(value, secrets)),
                f"{first}-{beyond}",
                value.context.value,
                _note(value, conflicts),
            )
            table.add_row(*map(Text, cells))
    show(table if found.values or found.items else Text(f"the {part} matches; its template has no tokens"))
    if (more := len(found.items) - _SHOWN_ITEMS) > 0:
        show(Text(f"… and {more} more items; --format json has all of them"))


def _note(value: ReadValue, conflicts: dict[str, tuple[str, ...]]) -> str:
    notes = [] if value.certain else ["uncertain: it could end elsewhere"]
    if not value.replaced:
        notes.append("not replaced: nobody knew this token")
    if others := [text for text in conflicts.get(value.token, ()) if text != value.value]:
        notes.append(f"elsewhere {shortened(others[0])!r}")
    return "; ".join(notes)
