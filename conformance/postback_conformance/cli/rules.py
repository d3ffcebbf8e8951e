"""`rules`: what traffic is judged by, as a list, one by one, for programs, and as pages of documentation."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from postback_conformance.cli.terminal import put, put_json, show
from postback_conformance.errors import SelectionError
from postback_conformance.explaining.rule_pages import (
    FAMILIES,
    ToldExample,
    explanation,
    family_of,
    family_page,
    index_page,
    levels_of,
    told,
)
from postback_conformance.judging.rule import Profile, Rule
from postback_conformance.judging.selection import find_rule
from postback_conformance.rules import RULES
from postback_sender.settings_table import did_you_mean


class PageFormat(StrEnum):
    """How rules are printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class ProfileName(StrEnum):
    """How much is asked."""

    DOCUMENTED = "documented"
    STRICT = "strict"
    LENIENT = "lenient"


class SubjectName(StrEnum):
    """Who is under test."""

    SENDER = "sender"
    ENDPOINT = "endpoint"


FormatFlag = Annotated[
    PageFormat, typer.Option("--format", help="text for people, json for programs, markdown for a page.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    rules = typer.Typer(no_args_is_help=True, help="The rules traffic is judged by.")
    rules.command("list")(_list)
    rules.command("explain")(_explain)
    app.add_typer(rules, name="rules")


def _list(
    *,
    family: Annotated[
        str | None, typer.Option("--family", metavar="FAMILY", help=f"This family only: {', '.join(FAMILIES)}.")
    ] = None,
    profile: Annotated[
        ProfileName, typer.Option("--profile", help="The levels by this profile.")
    ] = ProfileName.DOCUMENTED,
    subject: Annotated[
        SubjectName | None, typer.Option("--subject", help="Rules about the sender, or about the endpoint, only.")
    ] = None,
    format: FormatFlag = PageFormat.TEXT,
) -> None:
    """List the rules."""
    if family is not None and family not in FAMILIES:
        raise SelectionError(
            f"--family: expected one of {', '.join(FAMILIES)}, got {family!r}{did_you_mean(family, FAMILIES)}"
        )
    chosen = [
        rule
        for rule in RULES
        if (family is None or family_of(rule) == family) and (subject is None or rule.subject == subject.value)
    ]
    if not chosen:
        raise SelectionError("no rule is like that; `postback rules list` without flags has all")
    match format:
        case PageFormat.JSON:
            for rule in chosen:
                put_json(_as_data(rule))
        case PageFormat.MARKDOWN:
            put(index_page(chosen) if family is None else family_page(family, chosen))
        case PageFormat.TEXT:
            show(_table(chosen, profile.value))


def _table(rules: Sequence[Rule], profile: Profile) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    table.add_column("level")
    table.add_column("requirement")
    for rule in rules:
        table.add_row(rule.id, rule.level_in(profile), rule.requirement)
    return table


def _explain(
    rule_id: Annotated[str, typer.Argument(metavar="ID", help="A rule, as `rules list` names it.", show_default=False)],
    *,
    format: FormatFlag = PageFormat.TEXT,
) -> None:
    """Print everything about a rule, with an example that passes and one that fails."""
    rule = find_rule(RULES, rule_id)
    match format:
        case PageFormat.JSON:
            put_json(
                {**_as_data(rule), "examples": [_example(told(rule, one)) for one in (rule.passing, rule.failing)]}
            )
        case PageFormat.MARKDOWN:
            put(family_page(family_of(rule), [rule]))
        case PageFormat.TEXT:
            put(explanation(rule))


def _as_data(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "aliases": rule.aliases,
        "family": family_of(rule),
        "level": rule.level,
        "levels": levels_of(rule),
        "subject": rule.subject,
        "requirement": rule.requirement,
        "needs": rule.needs,
        "fix": rule.fix,
        "sources": msgspec.to_builtins(rule.sources),
    }


def _example(story: ToldExample) -> dict[str, object]:
    verdict = story.verdict
    return {
        "outcome": verdict.outcome,
        "settings": story.settings,
        "requests": [
            {"after_seconds": one.after_s, "request": one.request, "status": one.status} for one in story.exchanges
        ],
        "left_out": story.left_out,
        "message": verdict.message,
        "expected": verdict.expected,
        "actual": verdict.actual,
    }
