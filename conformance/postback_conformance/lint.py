"""What may go wrong with a notification before anything is sent: wounds of its templates, said with their place."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

import msgspec

from postback_conformance.readings import Fault, form_fault, read_json, xml_fault
from postback_conformance.redaction import is_secret_parameter
from postback_sender.errors import RenderError
from postback_sender.event import Event, example_event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback
from postback_sender.template import Template
from postback_sender.template.context import Context, scanner_for
from postback_sender.template.errors import locate
from postback_sender.template.nodes import Join, Node, Text, TokenNode, token_nodes
from postback_sender.tokens import find, nearest


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to mend: where it is, what it leads to, and what to write instead."""

    place: str
    message: str
    advice: str


def lint(notification: Notification) -> tuple[Complaint, ...]:
    """Return everything worth mending in the templates of a notification, in reading order."""
    templates = [notification.url] + ([notification.body] if notification.body else [])
    return (
        *(complaint for template in templates for complaint in _names(notification, template)),
        *_bare_tokens(notification),
        *_missing_tokens(notification, templates),
        *_secrets(notification),
        *_form(notification),
    )


def _names(notification: Notification, template: Template) -> Iterator[Complaint]:
    for node, join in token_nodes(template.nodes):
        place = _place(template, node)
        if len(node.source) != len(node.name) + 2:
            yield Complaint(
                place=place,
                message=f"white space inside {node.source!r}",
                advice=f"write {{{node.name}}} on one line; impact.com may not find the token otherwise",
            )
        if not _exists(notification, node, join):
            yield Complaint(
                place=place,
                message=f"unknown token {{{node.name}}} for {notification.event}",
                advice=_advice(notification, node, join),
            )


def _exists(notification: Notification, node: TokenNode, join: Join | None) -> bool:
    owner, dot, field = node.name.rpartition(".")
    if not dot:
        return node.name in notification.known_tokens
    return join is not None and owner == join.variable and f"*.{field}" in notification.known_tokens


def _advice(notification: Notification, node: TokenNode, join: Join | None) -> str:
    owner, dot, field = node.name.rpartition(".")
    if dot and (join is None or owner != join.variable):
        return f'item fields stand inside a join over the items, {{join(items, {owner}, "…")}}'
    if hint := nearest(notification.event, field, of_items=bool(dot)):
        return f"did you mean {{{owner}{dot}{hint}}}?"
    return "no source names such an item field" if dot else f"declare it under [tokens.{node.name}] if it is yours"


def _bare_tokens(notification: Notification) -> Iterator[Complaint]:
    """Find tokens without quotes in JSON whose value can be empty, or is no number."""
    if notification.body is None or notification.body_format != "json":
        return
    scanner = scanner_for("json")

    def walk(nodes: tuple[Node, ...]) -> Iterator[TokenNode]:
        for node in nodes:
            if isinstance(node, Text):
                scanner.feed(node.text)
            elif isinstance(node, Join):
                yield from walk(node.body)
            elif scanner.context is Context.JSON_BARE:
                yield node

    for node in walk(notification.body.nodes):
        yield Complaint(
            place=_place(notification.body, node),
            message=f"{{{node.name}}} stands without quotes: an absent value makes the body invalid JSON",
            advice=f'write "{{{node.name}}}" and read the number from the text',
        )


def _missing_tokens(notification: Notification, templates: list[Template]) -> Iterator[Complaint]:
    used = {name for template in templates for name in template.names}
    consequences = {
        "ActionId": "nothing ties a modification or reversal to its action",
        "Status": "a reversal looks like a sale",
    }
    for name, consequence in consequences.items():
        if name not in used and find(notification.event, name) is not None:
            yield Complaint(place=notification.name, message=f"no {{{name}}}: {consequence}", advice=f"add {{{name}}}")


def _secrets(notification: Notification) -> Iterator[Complaint]:
    text = "".join(node.text if isinstance(node, Text) else "" for node in notification.url.nodes)
    for name, value in parse_qsl(text.partition("?")[2]):
        if is_secret_parameter(name) and "${" not in value:
            variable = re.sub(r"\W", "_", name, flags=re.ASCII).upper()
            yield Complaint(
                place=notification.url.name,
                message=f"the parameter {name} carries a secret in clear",
                advice=f"write {name}=${{{variable}}} and set it in the environment",
            )


def _form(notification: Notification) -> Iterator[Complaint]:
    """Render the documented example, once whole and once with every value absent, and read it back."""
    if notification.body is None:
        return
    whole = example_event(notification.event)
    empty = Event(kind=whole.kind, at=whole.at, values={}, items=())
    for event, what in ((whole, "an example event"), (empty, "an event without values")):
        try:
            body = render_postback(notification, event).body
        except RenderError:
            # A token that nobody knows, under `unknown_token = "error"`: it is named above.
            return
        if fault := _fault(notification, body):
            yield Complaint(
                place=notification.body.name,
                message=f"rendered for {what} it is not valid {notification.body_format}: {fault.reason}",
                advice="`postback render` shows the body; mend the template there",
            )
            return


def _fault(notification: Notification, body: bytes) -> Fault | None:
    match notification.body_format:
        case "json":
            return read_json(body).fault
        case "xml":
            return xml_fault(body)
        case "query":
            return form_fault(body)


def _place(template: Template, node: TokenNode) -> str:
    line, column, _ = locate(template.source, node.start)
    return f"{template.name}, line {line}, column {column}"
