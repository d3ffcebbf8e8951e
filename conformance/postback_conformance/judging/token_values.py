"""Reads the value of a token back from a captured request, by running the notification's templates backwards.

A value is told only when its place is unmistakable (`certainty`). Anything else would be a guess, and a verdict would
rest on it.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote

import msgspec

from postback_conformance.judging.certainty import certainties
from postback_conformance.judging.soundness import is_sound
from postback_conformance.judging.verdict import Where
from postback_conformance.judging.wanted_url import VARIABLE
from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.template import Format, Template
from postback_sender.template.compiler import ITEMS
from postback_sender.template.matching import Mismatch, Row, Told
from postback_sender.template.nodes import Join, Node, Text, TokenNode
from postback_sender.template.places import placed_tokens

# Everything that a request line holds as it is, so that only blanks, control characters and raw UTF-8 are encoded.
_AS_WRITTEN = "".join(map(chr, range(0x21, 0x7F)))


class Value(msgspec.Struct, frozen=True, gc=False):
    """The unescaped text of a token's value, and where it stands.

    `at` is the place itself or the bytes it was read from: of the body, or of the target with `in_target`. The name of
    a value `of_item` is that of the field.
    """

    name: str
    text: str
    at: Where | tuple[int, int] | None
    in_target: bool = False
    of_item: bool = False

    @property
    def where(self) -> Where:
        """The place in the request, and the token."""
        at = self.at
        if isinstance(at, Where):
            return at
        token = f"*.{self.name}" if self.of_item else self.name
        return Where(target=at, token=token) if self.in_target else Where(span=at, token=token)


class _Columns:
    """What the texts of a row are called; one without a name is not told, and a name may come twice."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self.numbers = {name: number for number, name in reversed([*enumerate(names)]) if name}
        self._again = [(name, at) for at, name in enumerate(names) if name and self.numbers[name] != at]
        self._is_simple = "" not in names and not self._again
        self.twice = frozenset(name for name, _ in self._again)
        """The names that come twice."""

    def told(self, texts: Sequence[str]) -> dict[str, str]:
        """Return the text of each name; of one with two different texts, none."""
        told = dict(zip(self._names, texts, strict=True))
        if self._is_simple:
            return told
        told.pop("", None)
        for name, at in self._again:
            if texts[at] != texts[self.numbers[name]]:
                told.pop(name, None)
        return told

    def odd(self, texts: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return the two different texts of each name that has such."""
        pairs = [(name, (texts[self.numbers[name]], texts[at])) for name, at in reversed(self._again)]
        return {name: both for name, both in pairs if both[0] != both[1]}


class Reading:
    """What one part of a request, URL or body, says by its template.

    `texts` are those at unmistakable places; of a token that stands twice with different values, none.
    """

    __slots__ = ("_item_texts", "_reader", "_told", "texts")

    def __init__(self, reader: "ValueReader", told: Told) -> None:
        self.texts: dict[str, str] = reader.columns.told(_texts_of(told.rows))
        self._reader = reader
        self._told = told
        self._item_texts: tuple[tuple[dict[str, str], ...] | None] | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing can be odd about the text: its template is sound, and each value was written as it is."""
        return self._reader.is_sound and self.is_plain

    @property
    def is_plain(self) -> bool:
        """Whether each value was written as it is, without anything that could have meant more in its place."""
        return self._told.is_plain

    def value(self, name: str) -> Value:
        """Return one of the texts with its place."""
        at = self._reader.columns.numbers[name]
        return Value(name, self.texts[name], _spans_of(self._told.rows)[at], self._reader.in_target)

    def odd(self) -> dict[str, tuple[str, str]]:
        """Return the two different texts of each token that has such."""
        return self._reader.columns.odd(_texts_of(self._told.rows))

    @property
    def item_texts(self) -> tuple[dict[str, str], ...] | None:
        """The texts of each item by field; None where the items cannot be told or the template has none."""
        if self._item_texts is None:
            rows, told = self._reader.rows_of_items(self._told), self._reader.columns_of_items.told
            self._item_texts = (None if rows is None else tuple([told(_texts_of(row)) for row in rows]),)
        return self._item_texts[0]

    @property
    def items(self) -> tuple[dict[str, Value], ...] | None:
        """The same with their places."""
        rows, numbers = self._reader.rows_of_items(self._told), self._reader.columns_of_items.numbers
        if rows is None or self.item_texts is None:
            return None
        return tuple(
            {
                name: Value(name, text, spans[numbers[name]], self._reader.in_target, of_item=True)
                for name, text in texts.items()
            }
            for spans, texts in zip(map(_spans_of, rows), self.item_texts, strict=True)
        )


class ValueReader:
    """Reads one template's values back; made once, used for any number of captures.

    `names` are its tokens as the catalogue spells them, `fields` those of items, `certain` the names that stand where
    nothing else can be meant.
    """

    def __init__(self, template: Template, text_format: Format, known: frozenset[str]) -> None:
        self._template = template
        self._format: Format = text_format
        vocabulary = template.vocabulary(known)
        # Of each token outside joins, and of each in every join: what it is called, nothing where it cannot be told.
        outside: list[str] = []
        joins: dict[int, list[str]] = {
            node.start: [] for node in template.nodes if isinstance(node, Join) and node.list_name == ITEMS
        }
        names, fields, certain = set[str](), set[str](), set[str]()
        placed = placed_tokens(template.nodes, text_format)
        for (node, _context, join), is_certain in zip(placed, certainties(template, text_format), strict=True):
            if VARIABLE.fullmatch(node.name):
                outside.append("")
                continue
            if join is None:
                name = vocabulary.spelled(node.name, "")
                names.add(name)
                outside.append(name if is_certain else "")
                certain |= {name} if is_certain else set()
            elif join.list_name == ITEMS:
                owner, _, field = vocabulary.spelled(node.name, join.variable).rpartition(".")
                is_field = owner == join.variable
                # What stands in a join without being of the item is read where it stands outside.
                joins[join.start].append(field if is_field and is_certain else "")
                (fields if is_field else names).add(field if is_field else node.name)
        self._told_joins = [number for number, inside in enumerate(joins.values()) if any(inside)]
        self.columns = _Columns(outside)
        self.columns_of_items = _Columns([name for inside in joins.values() if any(inside) for name in inside])
        self.in_target = text_format == "url"
        self.is_sound = is_sound(template, text_format)
        self.names, self.fields, self.certain = frozenset(names), frozenset(fields), frozenset(certain)

    def read(self, data: bytes) -> Reading | Mismatch:
        """Return what the bytes say, or where they leave the template."""
        told = self._template.read(data, context=self._format)
        return Reading(self, told) if isinstance(told, Told) else told

    def rows_of_items(self, told: Told) -> list[tuple[Row, ...]] | None:
        """Return the rows of each item, one from every join that tells of it; None where they cannot be told."""
        joins = [told.joins[number] for number in self._told_joins]
        if len(joins) == 1:
            return [(row,) for row in joins[0]]
        if not joins or len({len(rows) for rows in joins}) > 1:
            return None
        return list(zip(*joins, strict=True))


@lru_cache(maxsize=64)
def value_reader(template: Template, text_format: Format, known: frozenset[str]) -> ValueReader:
    """Return the reader of a template; `known` are the notification's tokens."""
    return ValueReader(template, text_format, known)


def token_value(notification: Notification, capture: Capture, token: str) -> str | None:
    """Return the value of a token in a capture, unescaped, or None when it cannot be told.

    Of a request that differs from its template anywhere, and of a template with `escaping = "raw"`, nothing is told.
    """
    known = notification.known_tokens
    if (target := target_template(notification.url)) is not None:
        reader = value_reader(target, "url", known)
        if token in reader.names:
            found = _values(reader, wire_target(capture)).get(token)
            if found is not None:
                return found
    body = notification.body
    if body is None or capture.truncated or _is_encoded(capture):
        return None
    reader = value_reader(body, notification.body_format, known)
    return _values(reader, capture.body).get(token) if token in reader.names else None


def wire_target(capture: Capture) -> bytes:
    """Return path and query as the templates of targets read them, without the server of an absolute target."""
    path, question_mark, query = capture.path, *capture.target.partition("?")[1:]
    return f"{path}{question_mark}{query}".encode("latin-1")


@lru_cache(maxsize=64)
def target_template(url: Template) -> Template | None:
    """Return the template of a request line's target, or None when a token stands before the path.

    Variables of the environment are unknown here, and become wildcards.
    """
    match url.nodes:
        case (Text(text, start, end), *rest) if (begin := _path_start(text, is_all=not rest)) is not None:
            lead = text[begin:] if text[begin:].startswith("/") else f"/{text[begin:]}"
            nodes = tuple(_on_the_wire(_without_fragment((Text(lead, start + begin, end), *rest))))
        case _:
            return None
    return Template(url.source, nodes, options=url.options, name=url.name)


# Whoever asks for one token often asks for another one next.
@lru_cache(maxsize=4)
def _values(reader: ValueReader, data: bytes) -> dict[str, str]:
    reading = reader.read(data)
    return reading.texts if isinstance(reading, Reading) else {}


def _texts_of(rows: Sequence[Row]) -> Sequence[str]:
    """Return the texts of rows that belong together, one after the other."""
    return rows[0].texts if len(rows) == 1 else [text for row in rows for text in row.texts]


def _spans_of(rows: Sequence[Row]) -> list[tuple[int, int]]:
    return [span for row in rows for span in row.spans]


def _on_the_wire(nodes: Iterable[Node]) -> Iterator[Node]:
    """Write literal text as a request line holds it, and unknown variables as tokens."""
    for node in nodes:
        if not isinstance(node, Text):
            yield node
            continue
        position = 0
        for found in VARIABLE.finditer(node.text):
            if position < found.start():
                yield Text(
                    quote(node.text[position : found.start()], safe=_AS_WRITTEN), node.start + position, node.end
                )
            yield TokenNode(found[0], found[0], node.start + found.start(), node.start + found.end())
            position = found.end()
        if position < len(node.text):
            yield Text(quote(node.text[position:], safe=_AS_WRITTEN), node.start + position, node.end)


def _path_start(text: str, *, is_all: bool) -> int | None:
    """Return where scheme and host end; None when something unknown stands among them."""
    begin = text.find("://") + len("://")
    places = [place for place in (text.find(letter, begin) for letter in "/?#") if place >= 0]
    return min(places) if places else len(text) if is_all else None


def _without_fragment(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node, Text) and "#" in node.text:
            if lead := node.text.partition("#")[0]:
                yield Text(lead, node.start, node.end)
            return
        yield node


def _is_encoded(capture: Capture) -> bool:
    return any(coding.strip().lower() != "identity" for coding in capture.header("Content-Encoding"))
