"""Takes a captured body or URL apart by the template it was made from: every value, its place, how sure that is."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import chain, zip_longest

import msgspec

from postback_conformance.explaining.departure import Departure, departure, url_departure
from postback_conformance.explaining.explanation import Part
from postback_conformance.judging.certainty import certainties
from postback_conformance.judging.token_values import target_template
from postback_conformance.judging.wanted_url import VARIABLE
from postback_sender import Event, Notification, Template
from postback_sender.template import Format
from postback_sender.template.compiler import ITEMS
from postback_sender.template.context import Context
from postback_sender.template.matching import Match, TokenValue
from postback_sender.template.nodes import Join, Text
from postback_sender.template.places import PlacedToken, placed_tokens

_SERVER = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_LINE_END = re.compile(rb"\r?\n\Z")


class ReadValue(msgspec.Struct, frozen=True, kw_only=True):
    """The value of one token, the bytes (first, beyond last) it was read from, and the context it stands in.

    `certain` is False where the text could be read in another way as well; `replaced` is False for a token that nobody
    knew and that was left as it is written.
    """

    token: str
    value: str
    span: tuple[int, int]
    context: Context
    certain: bool
    replaced: bool

    @property
    def is_variable(self) -> bool:
        """Whether this is no token but a variable of the environment, whose value may be a secret."""
        return VARIABLE.fullmatch(self.token) is not None


class Dissection(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says by its template: the values in reading order, and a group of values for each item."""

    values: tuple[ReadValue, ...]
    items: tuple[tuple[ReadValue, ...], ...] = ()

    def conflicts(self) -> dict[str, tuple[str, ...]]:
        """Return the tokens that stand more than once with different values; a field of items, within one item."""
        inside = [value for item in self.items for value in item]
        of_event = [*self.values, *(value for value in inside if not _is_field(value))]
        conflicts: dict[str, tuple[str, ...]] = {}
        for group in (of_event, *([value for value in item if _is_field(value)] for item in self.items)):
            texts: dict[str, dict[str, None]] = {}
            for value in group:
                texts.setdefault(value.token, {})[value.value] = None
            for token, found in texts.items():
                if len(found) > 1:
                    conflicts.setdefault(token, tuple(found))
        return conflicts


def dissect(notification: Notification, data: bytes, part: Part, *, reveal: bool = False) -> Dissection | Departure:
    """Return what a captured body or URL says, or where it leaves the template; places are those in `data`.

    One line end after everything is not counted when the template ends without: files have one, requests have not. Of
    a URL, scheme and server may be missing or different ones: tunnels change them. A departure quotes no secret of a
    URL unless `reveal` says so; the values that were read are all there.
    """
    template, text_format, first, text = _subject(notification, data, part)
    found = template.match(text, context=text_format)
    if not isinstance(found, Match):
        if part == "body":
            return departure(template, text, found, text_format=text_format, reveal=reveal)
        return url_departure(notification.url, template, text, data=data, first=first, reveal=reveal)
    placed = list(zip(placed_tokens(template.nodes, text_format), certainties(template, text_format), strict=True))
    raw = template.options.escaping == "raw"

    def read(values: Sequence[TokenValue], tokens: Sequence[tuple[PlacedToken, bool]]) -> tuple[ReadValue, ...]:
        return tuple(
            ReadValue(
                token=value.name,
                value=value.value,
                span=(value.span[0] + first, value.span[1] + first),
                context=Context.RAW if raw else token.context,
                certain=is_certain,
                replaced=value.value != token.node.source,
            )
            for value, (token, is_certain) in zip(values, tokens, strict=True)
        )

    joins = [node for node in template.nodes if isinstance(node, Join) and node.list_name == ITEMS]
    in_join = [[each for each in placed if each[0].join is join] for join in joins]
    entries = [[read(values, tokens) for values in group] for group, tokens in zip(found.joins, in_join, strict=True)]
    return Dissection(
        values=read(found.values, [each for each in placed if each[0].join is None]),
        items=tuple(tuple(chain.from_iterable(parts)) for parts in zip_longest(*entries, fillvalue=())),
    )


def joined(dissections: Sequence[Dissection]) -> Dissection:
    """Return what several parts of one request say together; places are those in each part."""
    return Dissection(
        values=tuple(chain.from_iterable(each.values for each in dissections)),
        items=tuple(
            tuple(chain.from_iterable(parts))
            for parts in zip_longest(*(each.items for each in dissections), fillvalue=())
        ),
    )


def event_of(dissection: Dissection, notification: Notification, *, now: datetime) -> tuple[Event, list[str]]:
    """Return an event that says what was read, and what a person should know about it.

    Its time is the value of `EventDate`, or `now` when there is none that can be read.
    """
    notes = [
        f"{token} stands there more than once, with different values; the first is taken"
        for token in dissection.conflicts()
    ]
    inside = [value for item in dissection.items for value in item]
    values = _texts([*dissection.values, *(value for value in inside if not _is_field(value))], notification)
    at = _instant(values.get("EventDate", ""))
    if at is None:
        notes.append("no EventDate with an offset was read: the event is said to be of now")
    if unsure := list(dict.fromkeys(value.token for value in (*dissection.values, *inside) if not value.certain)):
        notes.append(f"not certain: {', '.join(unsure)}; the text could be read in another way as well")
    items = tuple(_texts([value for value in item if _is_field(value)], notification) for item in dissection.items)
    return Event(kind=notification.event, at=at or now, values=values, items=items), notes


def _subject(notification: Notification, data: bytes, part: Part) -> tuple[Template, Format, int, bytes]:
    """Return the template, its format, and the bytes it is about with their place in the data."""
    if part == "url":
        return _target(notification.url, data)
    if notification.body is None:
        raise ValueError("a notification without a body has none to take apart")
    last = notification.body.nodes[-1:]
    ends_line = bool(last) and isinstance(last[0], Text) and last[0].text.endswith("\n")
    text = data if ends_line else _LINE_END.sub(b"", data)
    return notification.body, notification.body_format, 0, text


def _target(url: Template, data: bytes) -> tuple[Template, Format, int, bytes]:
    text = data.strip()
    first = len(data) - len(data.lstrip()) if text else 0
    template = target_template(url)
    if template is None:
        return url, "url", first, text
    # What comes after a # is never sent.
    text = text.partition(b"#")[0]
    if server := _SERVER.match(text):
        first, text = first + server.end(), text[server.end() :]
        if not text.startswith(b"/"):
            first, text = first - 1, b"/" + text
    return template, "url", first, text


def _texts(values: Sequence[ReadValue], notification: Notification) -> dict[str, str]:
    """Return the values an event would have: of several the first, and none that its absence would make as well."""
    texts: dict[str, str] = {}
    vocabulary = notification.url.vocabulary(notification.known_tokens)
    for value in values:
        name = vocabulary.spelled(value.token, value.token.rpartition(".")[0])
        bare = name.partition(".")[2] or name
        is_known = (f"*.{bare}" if _is_field(value) else name) in notification.known_tokens
        if not value.is_variable and (value.value if is_known else value.replaced):
            texts.setdefault(bare, value.value)
    return texts


def _is_field(value: ReadValue) -> bool:
    return "." in value.token and not value.is_variable


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.utcoffset() is not None else None
