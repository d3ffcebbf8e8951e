"""All findings of a notification: each template read in its format, then what only the whole tells."""

import re
from collections.abc import Iterator

import msgspec

from postback_conformance.lint import kinds
from postback_conformance.lint.fields import Field, Outline
from postback_conformance.lint.finding import Finding
from postback_conformance.lint.flat import JOIN, MARKS, TOKEN, FlatText
from postback_conformance.lint.foreign_macros import macro_findings
from postback_conformance.lint.json_outline import json_outline
from postback_conformance.lint.meaning import adjacent_findings, missing_findings, money_findings
from postback_conformance.lint.probing import form_findings, raw_findings, raw_url_findings
from postback_conformance.lint.query_outline import form_outline, url_outline
from postback_conformance.lint.secret_values import header_secrets, url_secrets
from postback_conformance.lint.settings_places import SettingsPlaces
from postback_conformance.lint.spelling import Spelling, brace_findings, name_findings
from postback_conformance.lint.syntax import syntax_finding
from postback_conformance.lint.xml_outline import xml_outline
from postback_sender.notification import BodyFormat, Notification, NotificationSource, parse_notification
from postback_sender.template import Template, TemplateSyntaxError

# How a body begins tells its format, unless it begins with a token.
_LOOKS: tuple[tuple[BodyFormat, re.Pattern[str]], ...] = (
    ("json", re.compile(rf"\s*(?:\{{\s*[\"“'}}{JOIN}]|\[\s*[\"\[{{\]{JOIN}{TOKEN}])")),
    ("xml", re.compile(r"\s*<[?!A-Za-z]")),
    ("query", re.compile(rf"[\w.\[\]-]+=[^\s<>\"{{]*(?:[&]|[{MARKS}])")),
)
_NAMES = {"json": "JSON", "xml": "XML", "query": "a query string"}


def lint(notification: Notification) -> tuple[Finding, ...]:
    """Return everything worth mending in a notification: URL, then body, each in reading order, then the whole.

    Read the notification without an environment, so that no secret of yours is taken for one written out.
    """
    spelling = Spelling(notification)
    url, body = flat_url(notification, spelling), flat_body(notification, spelling)
    flats = [url] if body is None else [url, body]
    in_url = _in_order(_url_findings(url, spelling))
    if notification.query_fields:
        # The URL was put together, and stands nowhere as it is.
        in_url = [msgspec.structs.replace(finding, edits=()) for finding in in_url]
    return (
        *in_url,
        *(_in_order(_body_findings(notification, body, spelling)) if body else ()),
        *missing_findings(notification, flats, spelling),
        *header_secrets(notification),
    )


def lint_source(source: NotificationSource) -> tuple[Finding, ...]:
    """Return the findings of settings as written; places in templates that they hold are places in their file.

    A template that cannot be read is a finding; settings that cannot be are a `NotificationError`.
    """
    try:
        notification = parse_notification(source, None)
    except TemplateSyntaxError as error:
        return (syntax_finding(error, source),)
    places = SettingsPlaces(source)
    return tuple(places.placed(finding, notification) for finding in lint(notification))


def flat_url(notification: Notification, spelling: Spelling) -> FlatText:
    """Return the flat text of the URL as it is written."""
    # Read again: what came out of the environment is not what is written.
    source = notification.url
    flat = FlatText(Template.parse(source.source, options=source.options, name=source.name), "url", spelling.spelled)
    flat.hide_secrets(is_query=True)
    return flat


def flat_body(notification: Notification, spelling: Spelling) -> FlatText | None:
    """Return the flat text of the body, or None where there is none."""
    if notification.body is None:
        return None
    flat = FlatText(notification.body, "body", spelling.spelled)
    flat.hide_secrets(is_query=(_looks(flat) or notification.body_format) == "query")
    return flat


def _url_findings(flat: FlatText, spelling: Spelling) -> Iterator[Finding]:
    yield from macro_findings(flat, spelling)
    outline = url_outline(flat)
    yield from _of_any_format(flat, spelling, outline.fields)
    yield from outline.findings
    yield from url_secrets(flat, outline.pairs)
    yield from raw_url_findings(flat, spelling)


def _body_findings(notification: Notification, flat: FlatText, spelling: Spelling) -> Iterator[Finding]:
    looks = _looks(flat) or notification.body_format
    about_text = [*_byte_order_mark(flat), *macro_findings(flat, spelling)]
    yield from about_text
    outline = _outline(flat, looks, spelling)
    yield from _of_any_format(flat, spelling, outline.fields)
    if looks != notification.body_format:
        # Everything else about its form would be said about the wrong format.
        yield flat.finding(
            kinds.FORMAT_MISMATCH,
            0,
            message=f"the body looks like {_NAMES[looks]}, and body_format says {_NAMES[notification.body_format]}",
            advice=f'write body_format = "{looks}"',
        )
        return
    yield from outline.findings
    if not any(finding.level == "MUST" for finding in (*about_text, *outline.findings)):
        yield from form_findings(notification, flat.template, spelling)
        yield from raw_findings(notification, flat, spelling)


def _byte_order_mark(flat: FlatText) -> Iterator[Finding]:
    if flat.has_byte_order_mark:
        yield flat.finding_at(
            kinds.BYTE_ORDER_MARK,
            0,
            message="the body begins with a byte order mark, U+FEFF, which no editor shows",
            advice="remove it: save the file as UTF-8 without a byte order mark",
            edits=[flat.source_edit(0, 1, "")],
        )


def _looks(flat: FlatText) -> BodyFormat | None:
    for name, pattern in _LOOKS:
        if pattern.match(flat.text):
            return name
    return None


def _of_any_format(flat: FlatText, spelling: Spelling, fields: tuple[Field, ...]) -> Iterator[Finding]:
    yield from name_findings(flat, spelling)
    yield from brace_findings(flat)
    yield from adjacent_findings(flat)
    yield from money_findings(flat, fields)


def _outline(flat: FlatText, text_format: BodyFormat, spelling: Spelling) -> Outline:
    match text_format:
        case "json":
            return json_outline(flat, spelling.is_number)
        case "xml":
            return xml_outline(flat)
        case "query":
            return form_outline(flat)


def _in_order(findings: Iterator[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (finding.line or 0, finding.column or 0))
