"""`match`: a captured body or URL taken apart, token by token."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from postback_conformance.cli.arguments import NotificationArgument
from postback_conformance.cli.captures import find_capture
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, put_text, shortened, show
from postback_conformance.errors import ConformanceError
from postback_conformance.explaining.departure import Departure
from postback_conformance.explaining.dissection import Dissection, ReadValue, dissect, event_of, joined
from postback_conformance.explaining.explanation import Part
from postback_conformance.redaction import SHOWN, body_secret_spans, secret_spans
from postback_sender import Notification, encode_event
from postback_sender.notification_file import load_notification
from postback_sender.postback import request_target

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
        Path,
        typer.Argument(
            metavar="FILE",
            help="The bytes of one captured body, or with --capture a store; - reads stdin.",
            show_default=False,
        ),
    ],
    *,
    url: Annotated[
        bool, typer.Option("--url", help="FILE holds a URL or request target; without a body that is the default.")
    ] = False,
    capture: Annotated[
        str | None,
        typer.Option(
            "--capture",
            metavar="ID",
            help="FILE is a store: take the URL and body of this capture; the beginning of an id will do.",
        ),
    ] = None,
    as_event: Annotated[
        bool, typer.Option("--as-event", help="Print an event of these values, for --events of render and send.")
    ] = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show secret parameters, and what the environment may have given.")
    ] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Take a captured body apart: which bytes came from which token. Exit code 1 when it is not what the template says.

    A line end at the end of FILE is not counted, unless the template ends with one. Of a capture, URL and body are
    taken apart, one after the other; --as-event makes one event of both.
    """
    settings = load_notification(notification, None)
    parts = _parts(settings, file, capture, is_url=url)
    found: list[tuple[Part, bytes, Dissection | Departure]] = [
        (part, data, dissect(settings, data, part, reveal=reveal)) for part, data in parts.items()
    ]
    dissections = [read for _, _, read in found if isinstance(read, Dissection)]
    if as_event and len(dissections) == len(found):
        made, notes = event_of(joined(dissections), settings, now=datetime.now(UTC).replace(microsecond=0))
        put(encode_event(made))
        for note in notes:
            say(note)
        return
    where = "stdin" if file == _STDIN else str(file)
    for part, data, read in found:
        name = where if capture is None else f"{where}, {part} of {capture}"
        if isinstance(read, Departure):
            _put_departure(read, part, format, file=name, template=f"{settings.name}, {part}")
        elif not as_event:
            if capture is not None and format is Format.TEXT:
                show(Text(part, style="italic"))
            _put_dissection(read, part, data, format, secrets=[] if reveal else _secrets(read, part, data, settings))
    if len(dissections) < len(found):
        raise typer.Exit(1)


def _parts(settings: Notification, file: Path, capture_id: str | None, *, is_url: bool) -> dict[Part, bytes]:
    """Return what is to be taken apart, the URL first."""
    if capture_id is None:
        return {"url" if is_url or settings.body is None else "body": _read(file)}
    if not capture_id:
        raise ConformanceError("--capture: no id was given; `postback list` shows them")
    capture = find_capture(file, capture_id)
    if capture.truncated:
        say(f"capture {capture.id} is truncated: its body is not all here")
    parts: dict[Part, bytes] = {"url": capture.target.encode("latin-1")}
    return parts if is_url or settings.body is None else {**parts, "body": capture.body}


def _put_departure(found: Departure, part: Part, format: Format, *, file: str, template: str) -> None:
    if format is Format.JSON:
        put_json(_departure_as_data(found, part))
    else:
        put_text(_told(found, file, template))


def _put_dissection(
    found: Dissection, part: Part, data: bytes, format: Format, *, secrets: list[tuple[int, int]]
) -> None:
    if format is Format.JSON:
        put_json(_as_data(found, part, secrets, data))
    else:
        _show(found, part, secrets, data)


def _secrets(found: Dissection, part: Part, data: bytes, settings: Notification) -> list[tuple[int, int]]:
    """Return where secrets stand: values that are named like one, and in a URL what came out of the environment."""
    if part == "body":
        return [*body_secret_spans(data, settings.body_format)]
    return [*secret_spans(data.decode("latin-1")), *(value.span for value in found.values if value.is_variable)]


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


def _told(found: Departure, file: str, template: str) -> str:
    if (found.position, found.got) == (0, "the end"):
        return f"{file} is empty; expected {found.expected}"
    got = f"{SHOWN} (a secret may stand there; --reveal shows it)" if found.got == SHOWN else found.got
    hint = f"  note      {found.hint}\n" if found.hint else ""
    return (
        f"{file}, byte {found.position}, line {found.line}, column {found.column}: not what the template says\n"
        f"{found.excerpt}\n"
        f"  expected  {found.expected} ({template}, line {found.template_line}, column {found.template_column})\n"
        f"  got       {got}\n{hint}"
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
        "hint": found.hint,
        "template": {"line": found.template_line, "column": found.template_column},
    }


def _as_data(found: Dissection, part: Part, secrets: list[tuple[int, int]], data: bytes) -> dict[str, object]:
    return {
        "format": "postback-match/1",
        "matches": True,
        "part": part,
        "values": [_as_row(value, secrets, data) for value in found.values],
        "items": [[_as_row(value, secrets, data) for value in item] for item in found.items],
        "conflicts": sorted(found.conflicts()),
    }


def _as_row(value: ReadValue, secrets: list[tuple[int, int]], data: bytes) -> dict[str, object]:
    row: dict[str, object] = {
        "token": value.token,
        "value": _shown(value, secrets),
        "span": value.span,
        "context": value.context.value,
        "certain": value.certain,
    }
    return {**row, "as_in_environment": _is_as_in_environment(value, data)} if value.is_variable else row


def _is_as_in_environment(value: ReadValue, data: bytes) -> bool | None:
    """Tell whether a variable has the value that was sent; None where that cannot be told."""
    known = os.environ.get(value.token[len("${") : -len("}")])
    if known is None or not value.certain:
        return None
    return request_target(known.encode(errors="surrogateescape")).encode() == data[slice(*value.span)]


def _shown(value: ReadValue, secrets: list[tuple[int, int]]) -> str:
    return SHOWN if _is_secret(value, secrets) else value.value


def _is_secret(value: ReadValue, secrets: list[tuple[int, int]]) -> bool:
    first, beyond = value.span
    return any(start < beyond and first < end for start, end in secrets)


def _show(found: Dissection, part: Part, secrets: list[tuple[int, int]], data: bytes) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("token", "value", "bytes", "context", "note"):
        table.add_column(name, overflow="fold")
    conflicts = _shown_conflicts(found, secrets)
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
                _note(value, conflicts, data),
            )
            table.add_row(*map(Text, cells))
    show(table if found.values or found.items else Text(f"the {part} matches; its template has no tokens"))
    if (more := len(found.items) - _SHOWN_ITEMS) > 0:
        show(Text(f"… and {more} more items; --format json has all of them"))


def _shown_conflicts(found: Dissection, secrets: list[tuple[int, int]]) -> dict[str, tuple[str, ...]]:
    """Return the values of tokens that have several; none of them where one is a secret."""
    hidden = {value.token for item in (found.values, *found.items) for value in item if _is_secret(value, secrets)}
    return {token: (SHOWN,) if token in hidden else texts for token, texts in found.conflicts().items()}


def _note(value: ReadValue, conflicts: dict[str, tuple[str, ...]], data: bytes) -> str:
    notes = [] if value.certain else ["uncertain: it could end elsewhere"]
    if not value.replaced:
        notes.append("not replaced: nobody knew this token")
    if others := [text for text in conflicts.get(value.token, ()) if text != value.value]:
        notes.append("elsewhere another value" if others[0] == SHOWN else f"elsewhere {shortened(others[0])!r}")
    if value.is_variable and _is_as_in_environment(value, data) is False:
        notes.append(f"differs from {value.token} in the environment")
    return "; ".join(notes)
