"""Explains a request: which value came from which token, in which context, and how it was written there.

The texts of a request are told in reading order, literal text and values in turn; put together they are the request.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from postback_sender import Event, Notification, Template
from postback_sender.postback import request_target
from postback_sender.template import Format
from postback_sender.template.compiler import ITEMS
from postback_sender.template.context import Context
from postback_sender.template.errors import locate
from postback_sender.template.escaping import ESCAPES
from postback_sender.template.nodes import Join, Text, TokenNode, separator_of
from postback_sender.template.places import placed_tokens

Part = Literal["url", "body"]


class WrittenValue(msgspec.Struct, frozen=True, kw_only=True):
    """What one token of a template became in a request.

    `token` is the name as the template has it; `line` and `column` (from 1) say where. `item` is the number of the line
    item (from 1), None outside a join. `value` is the event's text and `written` what stands for it in the request, at
    the bytes `span` (first, beyond last) of the URL or body. `changed` says that escaping made the two differ, `absent`
    that the event has no such value, `known` that the catalogue or the settings have such a token.
    """

    part: Part
    token: str
    context: Context
    line: int
    column: int
    item: int | None
    value: str
    written: str
    span: tuple[int, int]
    changed: bool
    absent: bool
    known: bool


def explain(notification: Notification, event: Event) -> list[WrittenValue]:
    """Return every value of the request that `render_postback` makes of an event, those of the URL first.

    For an event that cannot be rendered the answer means nothing: render it first.
    """
    parts: tuple[Part, ...] = ("url",) if notification.body is None else ("url", "body")
    return [piece for part in parts for piece in pieces(notification, event, part) if isinstance(piece, WrittenValue)]


def pieces(notification: Notification, event: Event, part: Part) -> Iterator[str | WrittenValue]:
    """Yield the literal text and the values of a part of the request, in reading order."""
    template = notification.url if part == "url" else notification.body
    if template is None:
        return
    reading = _Reading(notification, template, part)
    position = 0
    for run, scope, item in _runs(template, event):
        if isinstance(run, str):
            literal = _sent(run, part)
            position += len(literal.encode())
            yield literal
        else:
            value = reading.written(run, scope, item, position)
            position = value.span[1]
            yield value


class _Reading:
    """One template of a notification, with what is the same for every value: contexts, places and names."""

    def __init__(self, notification: Notification, template: Template, part: Part) -> None:
        self._part: Part = part
        self._keeps_unknown = template.options.unknown_token == "keep"
        text_format: Format = "url" if part == "url" else notification.body_format
        raw = template.options.escaping == "raw"
        vocabulary = template.vocabulary(notification.known_tokens)
        # By where they stand: a token can be there twice.
        self._contexts: dict[int, Context] = {}
        self._names: dict[int, str] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._known: set[int] = set()
        for placed in placed_tokens(template.nodes, text_format):
            node = placed.node
            self._contexts[node.start] = Context.RAW if raw else placed.context
            variable = placed.join.variable if placed.join else ""
            self._names[node.start] = name = vocabulary.spelled(node.name, variable)
            self._places[node.start] = locate(template.source, node.start)[:2]
            if vocabulary.knows(name, variable):
                self._known.add(node.start)

    def written(self, node: TokenNode, scope: Mapping[str, str], item: int | None, position: int) -> WrittenValue:
        context, name, known = self._contexts[node.start], self._names[node.start], node.start in self._known
        value = scope.get(name, "")
        absent = name not in scope
        left = absent and not known
        text = ESCAPES[context](value) if not left else node.source if self._keeps_unknown else ""
        written = _sent(text, self._part)
        line, column = self._places[node.start]
        return WrittenValue(
            part=self._part,
            token=node.name,
            context=context,
            line=line,
            column=column,
            item=item,
            value=value,
            written=written,
            span=(position, position + len(written.encode())),
            changed=written != value and not left,
            absent=absent,
            known=known,
        )


# Literal text or a token, the values it can have, and the number of the item.
_Run = tuple[str | TokenNode, Mapping[str, str], int | None]


def _runs(template: Template, event: Event) -> Iterator[_Run]:
    for node in template.nodes:
        match node:
            case Text(text):
                yield text, event.values, None
            case TokenNode():
                yield node, event.values, None
            case Join(list_name=list_name, source=source) if list_name != ITEMS:
                # A list that no event has is left as it is written.
                yield (source if template.options.unknown_token == "keep" else ""), event.values, None
            case Join():
                yield from _item_runs(node, separator_of(node, template.options), event)


def _item_runs(join: Join, separator: str, event: Event) -> Iterator[_Run]:
    prefix = f"{join.variable}."
    outer = {name: value for name, value in event.values.items() if not name.startswith(prefix)}
    for number, item in enumerate(event.items, start=1):
        scope = {**outer, **{prefix + field: value for field, value in item.items()}}
        if number > 1:
            yield separator, scope, number
        for node in join.body:
            match node:
                case Text(text):
                    yield text, scope, number
                case TokenNode():
                    yield node, scope, number
                case Join():
                    pass  # The grammar has none inside another.


def _sent(text: str, part: Part) -> str:
    """Return a text as the request holds it: a request line is printable ASCII, whatever the template says."""
    return request_target(text.encode()) if part == "url" else text
