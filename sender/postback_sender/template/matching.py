"""A template run backwards: from bytes to the value of every token, each with its place.

The template is cut into pieces: a token with the literal text after it. A piece is a pattern that takes the shortest
text which can be a value in its context and is followed by that literal, and never gives it back (an atomic group).
So reading takes time in proportion to the data, whatever the data holds.

The shortest is right whenever the literal cannot occur inside an escaped value, as a quote cannot in a JSON string.
Where it can, as `-` in `{A}-{B}`, nobody could tell, and the shortest is as good as any.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from postback_sender.template.compiler import ITEMS
from postback_sender.template.context import Context, Format, Scanner, scanner_for
from postback_sender.template.nodes import Join, Node, Text, TokenNode
from postback_sender.template.options import TemplateOptions
from postback_sender.template.unescaping import BARE_JSON, VALUE_BYTES, unescape

# How much of a literal or of the data a mismatch repeats.
_EXCERPT_BYTES = 24
_END = rb"\Z"


class TokenValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The value of one token, and the bytes (first, beyond last) it was read from."""

    name: str
    value: str
    span: tuple[int, int]


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says by a template: values in reading order; for the items, one group of values each."""

    values: tuple[TokenValue, ...]
    items: tuple[tuple[TokenValue, ...], ...] = ()

    def texts(self) -> dict[str, str]:
        """Return the values by token; of one that stands more than once, the first."""
        return {found.name: found.value for found in reversed(self.values)}

    def item_texts(self) -> tuple[dict[str, str], ...]:
        """Return the values of every item by field, as an event has them."""
        return tuple(
            {found.name.partition(".")[2]: found.value for found in item if "." in found.name} for item in self.items
        )


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """The byte where a text leaves the template: what was expected there, and what stands there."""

    position: int
    expected: str
    got: str

    def __str__(self) -> str:
        return f"byte {self.position}: expected {self.expected}, got {self.got}"


class Matcher:
    """The reader of one template in one format; made once, used for any number of texts."""

    def __init__(self, nodes: Sequence[Node], *, text_format: Format, options: TemplateOptions) -> None:
        self._parts = tuple(_parts(nodes, scanner_for(text_format), options))

    def match(self, data: bytes) -> Match | Mismatch:
        """Return the values in `data`, or where and how it leaves the template."""
        values: list[TokenValue] = []
        items: list[tuple[TokenValue, ...]] = []
        position = 0
        for part in self._parts:
            read = part.read(data, position)
            if isinstance(read, Mismatch):
                return read
            if isinstance(read, _Entries):
                items += read.entries
            else:
                values += read.values
            position = read.end
        return Match(values=tuple(values), items=tuple(items))


class _Values(msgspec.Struct, frozen=True, gc=False):
    values: list[TokenValue]
    end: int


class _Entries(msgspec.Struct, frozen=True, gc=False):
    entries: list[tuple[TokenValue, ...]]
    end: int


class _Piece(msgspec.Struct, frozen=True):
    """A token with the literal after it; `pattern` reads both and captures the value."""

    name: str
    context: Context
    literal: bytes
    pattern: bytes


class _Run:
    """A literal and the pieces after it, as one pattern; the pieces by themselves serve to find a fault."""

    def __init__(self, lead: bytes, pieces: Sequence[_Piece], end: bytes) -> None:
        self._lead = lead
        self._pieces = pieces
        tail = b"" if pieces else end
        self._pattern = re.compile(re.escape(lead) + b"".join(piece.pattern for piece in pieces) + tail, re.DOTALL)

    def read(self, data: bytes, position: int) -> _Values | Mismatch:
        found = self._pattern.match(data, position)
        if found is None:
            return self._fault(data, position)
        values: list[TokenValue] = []
        for number, piece in enumerate(self._pieces, start=1):
            span = found.span(number)
            try:
                value = unescape(found[number], piece.context)
            except ValueError as error:
                return Mismatch(position=span[0], expected=f"a value of {{{piece.name}}}", got=str(error))
            values.append(TokenValue(name=piece.name, value=value, span=span))
        return _Values(values, found.end())

    def _fault(self, data: bytes, position: int) -> Mismatch:
        if not data.startswith(self._lead, position):
            return _departure(self._lead, data, position)
        position += len(self._lead)
        for piece in self._pieces:
            found = re.compile(piece.pattern, re.DOTALL).match(data, position)
            if found is None:
                longest = re.compile(_value(piece.context, piece.literal, greedy=True), re.DOTALL).match(data, position)
                return _departure(piece.literal, data, longest.end() if longest else position)
            position = found.end()
        return _departure(b"", data, position)


class _Items:
    """The part of a template that comes once for each item, with a separator between two."""

    def __init__(self, entry: _Run, separator: bytes) -> None:
        self._entry = entry
        self._separator = separator

    def read(self, data: bytes, position: int) -> _Entries:
        """Read as many items as there are; what does not look like one is left for the text after them."""
        entries: list[tuple[TokenValue, ...]] = []
        start = position
        while start <= len(data):
            read = self._entry.read(data, start)
            if isinstance(read, Mismatch) or read.end == start:
                break
            entries.append(tuple(read.values))
            position = read.end
            if not data.startswith(self._separator, position):
                break
            start = position + len(self._separator)
        return _Entries(entries, position)


def _parts(nodes: Sequence[Node], scanner: Scanner, options: TemplateOptions) -> Iterator[_Run | _Items]:
    """Cut a template at its joins; unlike the literals between tokens, joins can be there any number of times."""
    begun = 0
    for index, node in enumerate(nodes):
        if isinstance(node, Join) and node.list_name == ITEMS:
            after = nodes[index + 1] if index + 1 < len(nodes) else None
            following = _END if after is None else re.escape(after.text.encode()) if isinstance(after, Text) else b""
            separator = (options.join_separator if node.separator is None else node.separator).encode()
            first = node.body[0] if node.body else None
            opening = re.escape(first.text.encode()) if isinstance(first, Text) else b""
            yield _run(nodes[begun:index], scanner, options, end=_lookahead(opening, following))
            yield _Items(_run(node.body, scanner, options, end=_lookahead(re.escape(separator), following)), separator)
            begun = index + 1
    yield _run(nodes[begun:], scanner, options, end=_END)


def _run(nodes: Sequence[Node], scanner: Scanner, options: TemplateOptions, *, end: bytes) -> _Run:
    # The first has no token before it.
    tokens: list[tuple[str, Context]] = []
    literals: list[str] = [""]
    for node in nodes:
        match node:
            case Text(text):
                scanner.feed(text)
                literals[-1] += text
            case TokenNode(name):
                tokens.append((name, Context.RAW if options.escaping == "raw" else scanner.context))
                literals.append("")
            case Join():
                # A list that no event has is left as it is written.
                literals[-1] += node.source if options.unknown_token == "keep" else ""
    encoded = [literal.encode() for literal in literals]
    pieces = [
        _Piece(name, context, literal, _pattern(context, literal, end if number == len(tokens) else b""))
        for number, ((name, context), literal) in enumerate(zip(tokens, encoded[1:], strict=True), start=1)
    ]
    return _Run(encoded[0], pieces, end)


def _pattern(context: Context, literal: bytes, end: bytes) -> bytes:
    escape = VALUE_BYTES[context].escape if context is Context.XML_CDATA else b""
    # What splits a CDATA section belongs to the value, although it begins like the end of the section.
    guard = b"(?!" + escape + b")" if escape else b""
    return b"(?>(" + _value(context, literal) + b")" + guard + re.escape(literal) + end + b")"


def _value(context: Context, literal: bytes, *, greedy: bool = False) -> bytes:
    """Return the pattern of a value: up to the first byte it cannot hold, or as short as the literal allows."""
    if context is Context.JSON_BARE:
        return BARE_JSON
    kind = VALUE_BYTES[context]
    never = kind.never
    if context is Context.XML_ATTRIBUTE and literal[:1] in {b'"', b"'"}:
        never += literal[:1]
    plain = b"[^" + re.escape(never) + b"]" if never else b"."
    if greedy or (literal[:1] and literal[:1] in never):
        return b"(?:" + plain + b"++" + (b"|" + kind.escape if kind.escape else b"") + b")*+"
    unit = b"(?>" + kind.escape + b"|" + plain + b")" if kind.escape else plain
    return unit + b"*?"


def _lookahead(*followers: bytes) -> bytes:
    """Return a pattern for whatever may come next; nothing when that cannot be told."""
    return b"(?=" + b"|".join(followers) + b")" if all(followers) else b""


def _departure(literal: bytes, data: bytes, position: int) -> Mismatch:
    """Return the first byte at or after `position` that differs from the literal."""
    same = 0
    while same < len(literal) and data[position + same : position + same + 1] == literal[same : same + 1]:
        same += 1
    rest, got = literal[same:], data[position + same : position + same + _EXCERPT_BYTES]
    return Mismatch(
        position=position + same,
        expected=repr(rest[:_EXCERPT_BYTES].decode("utf-8", "replace")) if rest else "the end",
        got=repr(got.decode("utf-8", "replace")) if got else "the end",
    )
