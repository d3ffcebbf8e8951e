"""`tokens`: the catalogue of what a template may write, for people, for programs, and as a page of documentation."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from postback_conformance.cli.terminal import put, put_json, show
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.explaining.token_pages import (
    FIELDS_EXAMPLE,
    HOW_FIELDS,
    Row,
    Section,
    fitting,
    markdown_page,
    sections,
)
from postback_conformance.printable import printable
from postback_sender.notification_file import load_notification
from postback_sender.settings_table import did_you_mean
from postback_sender.tokens import CATALOGUE, Catalogue, Token

JSON_FORMAT = "postback-tokens/1"


class PageFormat(StrEnum):
    """How the catalogue is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("tokens")(_tokens)


def _tokens(
    *,
    event: Annotated[str | None, typer.Option("--event", metavar="KIND", help="This kind of event only.")] = None,
    notification: Annotated[
        Path | None,
        typer.Option(
            "--notification",
            metavar="NOTIFICATION.toml",
            help="The kind these settings report, with the tokens they declare.",
        ),
    ] = None,
    search: Annotated[
        str, typer.Option("--search", metavar="TEXT", help="Tokens with this text in name or meaning only.")
    ] = "",
    format: Annotated[
        PageFormat, typer.Option("--format", help="text for people, json for programs, markdown for a page.")
    ] = PageFormat.TEXT,
) -> None:
    """Print the tokens a template may write, by kind of event."""
    settings = load_notification(notification, None) if notification else None
    catalogue = settings.catalogue if settings else CATALOGUE
    kinds = _chosen(event or (settings.event if settings else None), catalogue)
    found = sections(catalogue, kinds, search=search)
    if not found:
        raise SelectionError(f"--search: no token has {search!r} in its name or meaning; `postback tokens` shows all")
    match format:
        case PageFormat.JSON:
            put_json(_as_data(catalogue, [section.kind for section in found], search))
        case PageFormat.MARKDOWN:
            put(markdown_page(found))
        case PageFormat.TEXT:
            for section in found:
                _show(section)


def _chosen(event: str | None, catalogue: Catalogue) -> tuple[str, ...]:
    if event is None:
        return tuple(catalogue.kinds)
    if event not in catalogue.kinds:
        expected = ", ".join(catalogue.kinds)
        raise ConformanceError(
            f"--event: expected one of {expected}, got {event!r}{did_you_mean(event, catalogue.kinds)}"
        )
    return (event,)


def _as_data(catalogue: Catalogue, kinds: Sequence[str], search: str) -> dict[str, object]:
    return {
        "format": JSON_FORMAT,
        "kinds": [
            {
                **msgspec.to_builtins(catalogue.kinds[kind]),
                "tokens": [_row(token) for token in fitting(catalogue.tokens(kind), search)],
                "item_fields": [_row(field) for field in fitting(catalogue.item_fields(kind), search)],
            }
            for kind in kinds
        ],
    }


def _row(token: Token) -> dict[str, object]:
    # Where it stands says of which kind it is, and whether it is a field of the items.
    row = msgspec.structs.asdict(token)
    return {key: value for key, value in row.items() if key not in {"kinds", "of_items"}}


def _show(section: Section) -> None:
    head = Text(section.kind, style="bold")
    for words in (section.meaning, section.note):
        head.append(f"\n{printable(words)}" if words else "", style="not bold")
    show(head)
    for group in section.groups:
        show(Text(f"\n{printable(group.title)}", style="italic"))
        if group.of_items:
            show(Text(f"{HOW_FIELDS} {FIELDS_EXAMPLE}"))
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("token", no_wrap=True)
        table.add_column("type", no_wrap=True)
        table.add_column("meaning", ratio=3)
        table.add_column("example", ratio=2, overflow="fold")
        table.add_column("may be empty")
        for row in group.rows:
            table.add_row(*_cells(row))
        show(table)
    show("")


def _cells(row: Row) -> tuple[Text, ...]:
    token = row.token
    name = f"{token.name} … {row.last}" if row.last else token.name
    meaning = Text(printable(token.meaning))
    if row.form:
        meaning.append(f"{' ' if token.meaning else ''}{printable(row.form)}", style="dim")
    return (
        Text(name),
        Text(token.type),
        meaning,
        Text(printable(token.example)),
        Text("yes" if token.may_be_empty else "no"),
    )
