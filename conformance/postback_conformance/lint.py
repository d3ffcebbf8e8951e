"""What may go wrong with a notification before anything is sent: wounds of its templates, said with their place."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

import msgspec

from postback_conformance.readings import Fault, form_fault, read_json, xml_fault
from postback_conformance.redaction import is_secret_header, is_secret_parameter
from postback_sender.errors import RenderError
from postback_sender.event import Event, example_event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback
from postback_sender.template import Template
from postback_sender.template.compiler import ITEMS
from postback_sender.template.context import Context, scanner_for
from postback_sender.template.errors import locate
from postback_sender.template.matching import Match
from postback_sender.template.nodes import Join, Node, Text, TokenNode, token_nodes
from postback_sender.tokens import Token, find, nearest

# Literal text as it is written, letter by letter or escape by escape; the second takes whole variables of the
# environment, and a brace with the name after it.
_PIECE = re.compile(r"\\[{}\"]|.", re.DOTALL)
_WRITTEN = re.compile(r"\\[{}\"]|\$\{[\w.\s]+\}|\{\s*(?P<name>[A-Za-z_]\w*(?:\.\w+)?)|.", re.ASCII | re.DOTALL)


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
        *(complaint for template in templates for complaint in _joins(template)),
        *(complaint for template in templates for complaint in _braces(template)),
        *_bare_tokens(notification),
        *_missing_tokens(notification, templates),
        *_secrets(notification),
        *_header_secrets(notification),
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
        elif (token := find(notification.event, node.name)) and _is_hearsay(notification, token):
            yield Complaint(
                place=place,
                message=f"no official list has {{{node.name}}}; it is known from {token.source} only",
                advice=_instead_of(notification, token),
            )


def _is_hearsay(notification: Notification, token: Token) -> bool:
    return token.certainty == "third-party" and token.name not in notification.tokens


def _instead_of(notification: Notification, token: Token) -> str:
    """Return the official name when the catalogue's text about a token mentions it."""
    named = (find(notification.event, word) for word in re.findall(r"\w+", token.meaning))
    official = next((one.name for one in named if one and one.certainty == "official"), None)
    return f"write {{{official}}}" if official else f"ask impact.com, or declare it under [tokens.{token.name}]"


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


def _joins(template: Template) -> Iterator[Complaint]:
    for node in template.nodes:
        if isinstance(node, Join) and node.list_name != ITEMS:
            yield Complaint(
                place=_place(template, node),
                message=f"there is no list {node.list_name}; the only list is {ITEMS}",
                advice=f'write {{join({ITEMS}, {node.variable}, "…")}}',
            )


def _braces(template: Template) -> Iterator[Complaint]:
    """Find literal braces that were meant as something else: a token never closed, a partner that is escaped."""
    open_braces: list[tuple[int, bool]] = []
    for found in _literals(template, template.nodes):
        if name := found["name"]:
            got = template.source[found.end() : found.end() + 1]
            yield Complaint(
                place=_place_at(template, found.start()),
                message=f"{{{name} is not closed: expected '}}', got {repr(got) if got else 'the end'}",
                advice=rf"write {{{name}}}, or \{{{name} when the brace is text",
            )
        elif found[0] in {"{", r"\{"}:
            open_braces.append((found.start(), found[0] == "{"))
        elif found[0] in {"}", r"\}"} and open_braces:
            start, is_bare = open_braces.pop()
            if is_bare and found[0] == r"\}":
                line, _, _ = locate(template.source, found.start())
                yield Complaint(
                    place=_place_at(template, start),
                    message=rf"this {{ is not escaped, and the \}} in line {line} that closes it is",
                    advice=r"write \{ here, too; impact.com may take it for the beginning of a token",
                )


def _literals(template: Template, nodes: tuple[Node, ...]) -> Iterator[re.Match[str]]:
    """Yield the literal text of a template as it is written, piece by piece."""
    for node in nodes:
        if isinstance(node, Text):
            yield from _WRITTEN.finditer(template.source, node.start, node.end)
        elif isinstance(node, Join):
            yield from _literals(template, node.body)


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
            yield Complaint(
                place=notification.url.name,
                message=f"the parameter {name} carries a secret in clear",
                advice=f"write {name}=${{{_variable(name)}}} and set it in the environment",
            )


def _header_secrets(notification: Notification) -> Iterator[Complaint]:
    for name, value in notification.headers:
        if is_secret_header(name) and value and "${" not in value:
            yield Complaint(
                place=f"{notification.name}, headers.{name}",
                message=f"the header {name} carries a secret in clear",
                advice=f'write "${{{_variable(name)}}}" and set it in the environment',
            )


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII).upper()


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
                place=_origin(notification, notification.body, body, fault),
                message=f"rendered for {what} it is not valid {notification.body_format}: {fault.reason}",
                advice="`postback render` shows the body; mend the template there",
            )
            return


def _origin(notification: Notification, template: Template, body: bytes, fault: Fault) -> str:
    """Return the place in the template that a fault of the rendered body comes from; its name when that is unknown."""
    read = template.match(body, context=notification.body_format)
    if fault.span is None or not isinstance(read, Match):
        return template.name
    position, begun = fault.span[0], 0
    values = iter(read.values)
    for node in template.nodes:
        match node:
            case Text(text):
                literal = text.encode()
                if position < begun + len(literal):
                    letters = len(literal[: position - begun].decode("utf-8", "ignore"))
                    written = list(_PIECE.finditer(template.source, node.start, node.end))
                    return _place_at(template, written[letters].start())
                begun += len(literal)
            case TokenNode():
                begun = next(values).span[1]
                if position < begun:
                    return _place(template, node)
            case Join():
                # How long the items came out is not told.
                break
    return template.name


def _fault(notification: Notification, body: bytes) -> Fault | None:
    match notification.body_format:
        case "json":
            return read_json(body).fault
        case "xml":
            return xml_fault(body)
        case "query":
            return form_fault(body)


def _place(template: Template, node: TokenNode | Join) -> str:
    return _place_at(template, node.start)


def _place_at(template: Template, offset: int) -> str:
    line, column, _ = locate(template.source, offset)
    return f"{template.name}, line {line}, column {column}"
