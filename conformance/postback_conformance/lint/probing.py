"""Renders a body for chosen events and has it read back: what no outline has explained shows here."""

from collections.abc import Iterator, Mapping

import msgspec

from postback_conformance.judging.readings import Fault, form_fault, read_json, xml_fault
from postback_conformance.lint import kinds
from postback_conformance.lint.finding import Finding, finding_at, finding_of
from postback_conformance.lint.flat import FlatText
from postback_conformance.lint.spelling import Spelling
from postback_sender.errors import RenderError
from postback_sender.event import Event, example_event
from postback_sender.notification import BodyFormat, Notification
from postback_sender.template import Template
from postback_sender.template.errors import locate
from postback_sender.template.literal import literal_of
from postback_sender.template.matching import Match
from postback_sender.template.nodes import Join, Text, TokenNode
from postback_sender.tokens import Token

# What a person may type, and what breaks each format when nobody escapes it.
_HOSTILE: dict[BodyFormat, str] = {"json": 'Balls "Pro"', "xml": "Balls & <Bats>", "query": "50% off & more"}
# Taking a text apart takes as long as making the pattern for it: seconds, for thousands of tokens.
_MOST_NODES = 1000
_TYPED_BY_PEOPLE = frozenset({"text", "url"})


def form_findings(notification: Notification, template: Template, spelling: Spelling) -> Iterator[Finding]:
    """Render the body for events with and without values and lines; return the first that cannot be read."""
    for what, event in _events(notification, template, spelling):
        body = _rendered(notification, template, event)
        if body is None:
            # A token that nobody knows, under `unknown_token = "error"`: it has a finding of its own.
            return
        if fault := _fault(notification.body_format, body):
            # Where in the body does not count here: the place in the template does.
            yield _not_well_formed(notification, template, body, fault, what)
            return


def is_well_formed(notification: Notification, template: Template, spelling: Spelling) -> bool:
    """Tell whether every probe of a body can be read."""
    return not any(form_findings(notification, template, spelling))


def raw_findings(notification: Notification, flat: FlatText, spelling: Spelling) -> Iterator[Finding]:
    """Under raw escaping, find the tokens whose values break the body as soon as a person types the wrong letter."""
    template = flat.template
    if template.options.escaping != "raw":
        return
    _, whole = next(_events(notification, template, spelling))
    hostile = _HOSTILE[notification.body_format]
    breaking: dict[str, TokenNode] = {}
    for node, token in _typed_by_people(flat, spelling):
        body = _rendered(notification, template, _with(whole, token.name, hostile, of_items=token.of_items))
        if body is not None and _fault(notification.body_format, body):
            breaking[node.name] = node
    if breaking:
        names = ", ".join(f"{{{name}}}" for name in breaking)
        yield flat.finding_at(
            kinds.RAW_VALUES,
            next(iter(breaking.values())).start,
            message=f"values go in as they are: {hostile!r} as the value of {names} breaks the body",
            advice="ask impact.com whether values are escaped; until then, read such bodies leniently",
        )


def raw_url_findings(flat: FlatText, spelling: Spelling) -> Iterator[Finding]:
    """Under raw escaping, find the tokens of a URL that a `&` in their value cuts short."""
    tokens = dict(_typed_by_people(flat, spelling))
    if flat.template.options.escaping == "raw" and tokens:
        names = ", ".join(f"{{{name}}}" for name in dict.fromkeys(node.name for node in tokens))
        yield flat.finding_at(
            kinds.RAW_VALUES,
            next(iter(tokens)).start,
            message=f"values go in as they are: a & or # in the value of {names} begins something else",
            advice="captured calls were percent-encoded; leave escaping at its default unless yours are not",
        )


def _typed_by_people(flat: FlatText, spelling: Spelling) -> Iterator[tuple[TokenNode, Token]]:
    """Yield the tokens of texts, each where it stands first."""
    first: dict[str, int] = {}
    for place, node in flat.tokens.items():
        first.setdefault(node.name, place)
    for name, place in first.items():
        token = spelling.token(name, flat.join_around(place))
        if token and token.type in _TYPED_BY_PEOPLE:
            yield flat.tokens[place], token


def _events(notification: Notification, template: Template, spelling: Spelling) -> Iterator[tuple[str, Event]]:
    whole = example_event(notification.event, notification.catalogue)
    if template.options.escaping == "raw":
        whole = _harmless(whole, notification)
    always_there = {
        name: value
        for name, value in whole.values.items()
        if (token := spelling.exact(name)) and not token.may_be_empty
    }
    yield "an example event", whole
    yield "an event without values", _replaced(whole, values=always_there, items=())
    if any(isinstance(node, Join) for node in template.nodes):
        for count in range(1, 4):
            empty: dict[str, str] = {}
            yield f"an order of {count} {'lines' if count > 1 else 'line'}", _replaced(whole, items=whole.items[:count])
            yield f"{count} {'lines' if count > 1 else 'line'} without values", _replaced(whole, items=(empty,) * count)


def _harmless(event: Event, notification: Notification) -> Event:
    """Return an event whose texts break nothing, so that a body that breaks does so by itself."""
    find = notification.catalogue.find

    def tame(values: Mapping[str, str], *, of_items: bool) -> dict[str, str]:
        tokens = {name: find(event.kind, name, of_items=of_items) for name in values}
        return {
            name: "1" if (token := tokens[name]) and token.type in _TYPED_BY_PEOPLE else value
            for name, value in values.items()
        }

    items = tuple(tame(item, of_items=True) for item in event.items)
    return _replaced(event, values=tame(event.values, of_items=False), items=items)


def _replaced(event: Event, **changes: object) -> Event:
    return msgspec.structs.replace(event, **changes)


def _with(event: Event, name: str, value: str, *, of_items: bool) -> Event:
    if of_items:
        return _replaced(event, items=tuple({**item, name: value} for item in event.items))
    return _replaced(event, values={**event.values, name: value})


def _rendered(notification: Notification, template: Template, event: Event) -> bytes | None:
    known = notification.known_tokens
    try:
        return template.render(event.values, context=notification.body_format, items=event.items, known=known)
    except RenderError:
        return None


def _not_well_formed(notification: Notification, template: Template, body: bytes, fault: Fault, what: str) -> Finding:
    offset = origin(notification, template, body, fault)
    message = f"rendered for {what} it is not valid {notification.body_format}: {fault.reason}"
    advice = "`postback render` shows the body; mend the template there"
    if offset is None:
        return finding_of(kinds.NOT_WELL_FORMED, template.name, message=message, advice=advice)
    line, column, _ = locate(template.source, offset)
    return finding_at(kinds.NOT_WELL_FORMED, template.name, (line, column), message=message, advice=advice)


def origin(notification: Notification, template: Template, body: bytes, fault: Fault) -> int | None:
    """Return the offset in the template that a fault of a body made by it comes from, or None when it is unknown."""
    if fault.span is None or len(template.nodes) > _MOST_NODES:
        return None
    read = template.match(body, context=notification.body_format)
    if not isinstance(read, Match):
        return None
    position, begun = fault.span[0], 0
    values = iter(read.values)
    for node in template.nodes:
        match node:
            case Text():
                literal = literal_of([node], begin=node.start, source=template.source)
                if position < begun + len(literal.data):
                    return literal.offset(position - begun)
                begun += len(literal.data)
            case TokenNode():
                begun = next(values).span[1]
                if position < begun:
                    return node.start
            case Join():
                # How long the items came out is not told.
                break
    return None


def _fault(body_format: BodyFormat, body: bytes) -> Fault | None:
    match body_format:
        case "json":
            return read_json(body).fault
        case "xml":
            return xml_fault(body)
        case "query":
            return form_fault(body)
