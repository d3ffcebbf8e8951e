"""A template run backwards: from bytes to the value of every token, each with its place.

The template is cut into pieces, each a token with the literal text after it, and into joins, whose pieces come any
number of times. The shortest value is right whenever the literal cannot occur inside an escaped value, as a quote
cannot in a JSON string. Where it can, as `-` in `{A}-{B}`, nobody could tell, and the shortest is as good as any.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

import msgspec

from postback_sender.template.compiler import ITEMS
from postback_sender.template.context import Context, Format, scanner_for
from postback_sender.template.literal import Literal, literal_of
from postback_sender.template.nodes import Join, Node, Text, TokenNode, separator_of
from postback_sender.template.options import TemplateOptions
from postback_sender.template.patterns import can_be_plain, piece_pattern, plain_pattern, value_pattern
from postback_sender.template.unescaping import UNESCAPES

# How much of a literal or of the data a mismatch repeats.
_EXCERPT_BYTES = 24


class TokenValue(msgspec.Struct, frozen=True, gc=False):
    """The value of one token, and the bytes (first, beyond last) it was read from."""

    name: str
    value: str
    span: tuple[int, int]


Entry = tuple[TokenValue, ...]


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says by a template, in reading order: values outside joins, and for each join its entries."""

    values: Entry
    joins: tuple[tuple[Entry, ...], ...] = ()

    @property
    def items(self) -> tuple[Entry, ...]:
        """The values of each item, from all joins together."""
        return tuple(tuple(chain.from_iterable(entries)) for entries in zip_longest(*self.joins, fillvalue=()))

    def texts(self) -> dict[str, str]:
        """Return the values by token; of one that stands more than once, the first."""
        return {found.name: found.value for found in reversed(self.values)}

    def item_texts(self) -> tuple[dict[str, str], ...]:
        """Return the values of every item by field, as an event has them."""
        return tuple(
            {found.name.partition(".")[2]: found.value for found in reversed(item) if "." in found.name}
            for item in self.items
        )


class Row(msgspec.Struct, frozen=True, gc=False):
    """The unescaped values of tokens that stand one after the other; `found` is where they were found, in what."""

    texts: Sequence[str]
    found: re.Match[bytes] | re.Match[str]

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        """The bytes (first, beyond last) that each was read from."""
        text, spans = self.found.string, self.found.regs[1:]
        return spans if isinstance(text, bytes) or text.isascii() else _byte_spans(text, spans)


class Told(msgspec.Struct, frozen=True, gc=False):
    """A match without names: a row for each part outside joins, and of each join one for every entry.

    `is_plain` says that every value was written as it is, without anything that could have meant more in its place.
    """

    rows: list[Row]
    joins: list[list[Row]]
    is_plain: bool


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """The byte where a text leaves the template, what was expected there, and what stands there.

    `offset` is where in the template's source the expected text stands, in characters. With `is_value`, a value was
    expected there, and `got` says why its bytes are none.
    """

    position: int
    offset: int
    expected: str
    got: str
    is_value: bool = False

    def __bool__(self) -> bool:
        """False, so that `if template.match(...)` means what it says."""
        return False

    def __str__(self) -> str:
        return f"byte {self.position}: expected {self.expected}, got {self.got}"


class Matcher:
    """The reader of one template in one format; made once, used for any number of texts.

    Nearly all values stand for themselves. Patterns that know of no others are several times as fast, and are tried
    first; whatever they read, the full patterns would read the same.
    """

    def __init__(self, nodes: Sequence[Node], *, text_format: Format, options: TemplateOptions, source: str) -> None:
        self._parts = tuple(_Cutter(text_format, options, source).parts(nodes))
        self._can_be_plain = all(part.can_be_plain for part in self._parts)

    def match(self, data: bytes) -> Match | Mismatch:
        """Return the values in `data`, or where and how it leaves the template."""
        told = self.read(data)
        if isinstance(told, Mismatch):
            return told
        outside = (part for part in self._parts if isinstance(part, _Run))
        inside = (part for part in self._parts if isinstance(part, _Items))
        return Match(
            values=tuple(chain.from_iterable(part.named(row) for part, row in zip(outside, told.rows, strict=True))),
            joins=tuple(
                tuple(part.entry.named(row) for row in rows) for part, rows in zip(inside, told.joins, strict=True)
            ),
        )

    def read(self, data: bytes) -> Told | Mismatch:
        """Return the texts alone, or where and how `data` leaves the template."""
        return self.read_plain(data) or self.read_escaped(data)

    def read_plain(self, data: bytes) -> Told | None:
        """Return the texts if none of them is escaped; None otherwise, and for whatever leaves the template."""
        if not self._can_be_plain:
            return None
        rows: list[Row] = []
        joins: list[list[Row]] = []
        position = 0
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return None
        for part in self._parts:
            if isinstance(part, _Run):
                found = part.plain.match(text, position)
                if found is None:
                    return None
                rows.append(Row(found.groups(), found))
                position = found.end()
            else:
                entries = part.read_plain(text, position)
                if entries is None:
                    return None
                joins.append(entries.rows)
                position = entries.end
        return Told(rows, joins, is_plain=True)

    def read_escaped(self, data: bytes) -> Told | Mismatch:
        """Do what `read` does, whatever is escaped."""
        rows: list[Row] = []
        joins: list[list[Row]] = []
        position = 0
        stray: Mismatch | None = None
        for part in self._parts:
            read = part.read(data, position)
            if isinstance(read, Mismatch):
                # An entry that went wrong further on says more than that it was no entry.
                return stray if stray is not None and stray.position > read.position else read
            if isinstance(read, _Entries):
                joins.append(read.rows)
                stray = read.stray
                position = read.end
            else:
                rows.append(read)
                position = read.found.end()
        return Told(rows, joins, is_plain=False)


class _Entries(msgspec.Struct, frozen=True, gc=False):
    """Entries, and how the text after them failed to be one more."""

    rows: list[Row]
    end: int
    stray: Mismatch | None = None


class _Piece(msgspec.Struct, frozen=True):
    """A token with the literal after it; `pattern` reads both and captures the value, with `end` as a look-ahead."""

    token: TokenNode
    context: Context
    literal: Literal
    end: bytes
    pattern: bytes


class _Beyond(msgspec.Struct, frozen=True):
    """What may stand after a run: a look-ahead, empty where that cannot be told, and the literals it looks for."""

    pattern: bytes
    literals: tuple[Literal, ...]


class _Run:
    """A literal and the pieces after it, as one pattern; the pieces by themselves serve to find a fault.

    `plain` reads the same where every value stands for itself; with `can_be_plain` false it never does.
    """

    def __init__(self, lead: Literal, pieces: Sequence[_Piece], beyond: _Beyond) -> None:
        self._lead = lead
        self._pieces = pieces
        self._beyond = beyond
        self._names = [piece.token.name for piece in pieces]
        self._unescapes = [UNESCAPES[piece.context] for piece in pieces]
        tail = b"" if pieces else beyond.pattern
        self._pattern = re.compile(re.escape(lead.data) + b"".join(piece.pattern for piece in pieces) + tail, re.DOTALL)
        self.can_be_plain = all(can_be_plain(piece.context) for piece in pieces)
        plain = [plain_pattern(piece.context, piece.literal.data, piece.end) for piece in pieces if self.can_be_plain]
        # A literal that is no UTF-8 is in no text.
        self.plain = re.compile(
            (re.escape(lead.data) + b"".join(plain) + tail).decode(errors="surrogatepass"), re.ASCII
        )
        self.lead_text = lead.data.decode(errors="surrogatepass")

    def read(self, data: bytes, position: int) -> Row | Mismatch:
        found = self._pattern.match(data, position)
        if found is None:
            return self._fault(data, position)
        try:
            texts = [unescape(value) for unescape, value in zip(self._unescapes, found.groups(), strict=True)]
        except ValueError:
            return self._not_a_value(found)
        return Row(texts, found)

    def named(self, row: Row) -> Entry:
        return tuple(map(TokenValue, self._names, row.texts, row.spans))

    def _not_a_value(self, found: re.Match[bytes]) -> Mismatch:
        for number, piece in enumerate(self._pieces, start=1):
            try:
                UNESCAPES[piece.context](found[number])
            except ValueError as error:
                expected = f"a value of {piece.token.source}"
                return Mismatch(
                    position=found.start(number),
                    offset=piece.token.start,
                    expected=expected,
                    got=_described(error),
                    is_value=True,
                )
        raise AssertionError("no value is at fault")

    def _fault(self, data: bytes, position: int) -> Mismatch:
        if not data.startswith(self._lead.data, position):
            return _departure((self._lead,), data, position)
        position += len(self._lead.data)
        for piece in self._pieces:
            found = re.compile(piece.pattern, re.DOTALL).match(data, position)
            if found is None:
                longest = value_pattern(piece.context, piece.literal.data, greedy=True)
                end = re.compile(longest, re.DOTALL).match(data, position)
                position = end.end() if end else position
                if self._beyond.literals and data.startswith(piece.literal.data, position):
                    # The last piece is there, but not what must come after it.
                    position += len(piece.literal.data)
                    break
                return _departure((piece.literal,), data, position)
            position = found.end()
        return _departure(self._beyond.literals, data, position)


class _Items:
    """The part of a template that comes once for each item, with a separator between two."""

    def __init__(self, entry: _Run, separator: bytes) -> None:
        self.entry = entry
        self.can_be_plain = entry.can_be_plain
        self._separator = separator
        self._separator_text = separator.decode(errors="surrogatepass")

    def read_plain(self, text: str, position: int) -> _Entries | None:
        """Do what `read` does, where every value stands for itself; None where some may not."""
        rows: list[Row] = []
        match, separator = self.entry.plain.match, self._separator_text
        start = position
        while (found := match(text, start)) is not None:
            end = found.end()
            goes_on = separator != "" and text.startswith(separator, end)
            if end == start and not goes_on and not (rows and separator):
                break
            rows.append(Row(found.groups(), found))
            position = end
            if not goes_on and (separator or not end > start):
                break
            start = position + len(separator)
        else:
            if text.startswith(self.entry.lead_text, start):
                # It begins as an entry does, and might be one with an escaped value.
                return None
        return _Entries(rows, position)

    def read(self, data: bytes, position: int) -> _Entries:
        """Read as many items as there are; what does not look like one is left for the text after them."""
        rows: list[Row] = []
        start = position
        stray: Mismatch | None = None
        while start <= len(data):
            read = self.entry.read(data, start)
            if isinstance(read, Mismatch):
                stray = read
                break
            end = read.found.end()
            goes_on = bool(self._separator) and data.startswith(self._separator, end)
            if end == start and not goes_on and not (rows and self._separator):
                # An empty item by itself looks like no item at all.
                break
            rows.append(read)
            position = end
            if not goes_on and (self._separator or not end > start):
                break
            start = position + len(self._separator)
        return _Entries(rows, position, stray)


class _Cutter:
    """Cuts a template at its joins and its tokens, following in which context each token stands."""

    def __init__(self, text_format: Format, options: TemplateOptions, source: str) -> None:
        self._scanner = scanner_for(text_format)
        self._options = options
        self._source = source

    def parts(self, nodes: Sequence[Node]) -> Iterator[_Run | _Items]:
        begun = begin = 0
        for index, node in enumerate(nodes):
            if isinstance(node, Join) and node.list_name == ITEMS:
                following = self._following(nodes[index + 1 : index + 2])
                opening = self._opening(node.body)
                separator = separator_of(node, self._options).encode(errors="surrogatepass")
                between = Literal(data=separator, texts=(), begin=node.start, source=self._source)
                again = between if separator else opening
                yield self._run(nodes[begun:index], begin, _beyond(opening, following))
                # An entry begins where its own text begins, not at the braces around the join.
                body_begin = node.body[0].start if node.body else node.start
                yield _Items(self._run(node.body, body_begin, _beyond(following, again)), separator)
                begun, begin = index + 1, node.end
        yield self._run(nodes[begun:], begin, _beyond(self._following([])))

    def _run(self, nodes: Sequence[Node], begin: int, beyond: _Beyond) -> _Run:
        tokens: list[tuple[TokenNode, Context]] = []
        # The first literal has no token before it.
        literals: list[list[Text]] = [[]]
        for node in nodes:
            match node:
                case Text(text):
                    self._scanner.feed(text)
                    literals[-1].append(node)
                case TokenNode():
                    tokens.append((node, Context.RAW if self._options.escaping == "raw" else self._scanner.context))
                    literals.append([])
                case Join():
                    # A list that no event has is left as it is written.
                    kept = node.source if self._options.unknown_token == "keep" else ""
                    literals[-1].append(Text(kept, node.start, node.end))
        lead, *rest = (
            literal_of(texts, begin=at, source=self._source)
            for texts, at in zip(literals, [begin, *(token.end for token, _ in tokens)], strict=True)
        )
        pieces = [
            _Piece(token, context, literal, end, piece_pattern(context, literal.data, end))
            for (token, context), literal, end in zip(
                tokens, rest, [*[b""] * (len(tokens) - 1), beyond.pattern], strict=False
            )
        ]
        return _Run(lead, pieces, beyond)

    def _following(self, nodes: Sequence[Node]) -> Literal | None:
        """Return the literal that comes next: the end of everything where nothing does, None where a token does."""
        match nodes:
            case [Text() as text]:
                return literal_of([text], begin=text.start, source=self._source)
            case []:
                return literal_of([], begin=len(self._source), source=self._source)
            case _:
                return None

    def _opening(self, body: Sequence[Node]) -> Literal | None:
        return self._following(body[:1]) if body else None


def _byte_spans(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans of letters, in reading order, as spans of bytes."""
    found: list[tuple[int, int]] = []
    letters = size = 0
    for first, beyond in spans:
        start = size + len(text[letters:first].encode())
        letters, size = beyond, start + len(text[first:beyond].encode())
        found.append((start, size))
    return found


def _beyond(*literals: Literal | None) -> _Beyond:
    known = tuple(literal for literal in literals if literal is not None)
    patterns = [re.escape(literal.data) if literal.texts or literal.data else rb"\Z" for literal in known]
    return _Beyond(b"(?=" + b"|".join(patterns) + b")" if len(known) == len(literals) else b"", known)


def _described(error: ValueError) -> str:
    match error:
        case UnicodeDecodeError():
            return f"the byte 0x{error.object[error.start]:02x}, which is not UTF-8"
        case UnicodeEncodeError():
            return f"half a character, the lone surrogate U+{ord(error.object[error.start]):04X}"
        case _:
            return str(error)


def _departure(literals: Sequence[Literal], data: bytes, position: int) -> Mismatch:
    """Return the first byte at or after `position` that differs, by the literal that goes furthest."""
    same, literal = max(((literal.same(data, position), literal) for literal in literals), key=lambda pair: pair[0])
    rest, got = literal.data[same:], data[position + same : position + same + _EXCERPT_BYTES]
    return Mismatch(
        position=position + same,
        offset=literal.offset(same),
        expected=repr(rest[:_EXCERPT_BYTES].decode("utf-8", "replace")) if rest else "the end",
        got=repr(got.decode("utf-8", "replace")) if got else "the end",
    )
