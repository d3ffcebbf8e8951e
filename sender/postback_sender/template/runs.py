"""What a template is cut into: runs of tokens and literals, each read by one pattern, once or again and again."""

import re
from collections.abc import Sequence

import msgspec

from postback_sender.template.context import Context
from postback_sender.template.departure import departure, no_value
from postback_sender.template.literal import Literal
from postback_sender.template.matching import Entry, Mismatch, Row, TokenValue
from postback_sender.template.nodes import TokenNode
from postback_sender.template.patterns import can_be_plain, plain_pattern, value_pattern
from postback_sender.template.unescaping import UNESCAPES


class Piece(msgspec.Struct, frozen=True):
    """A token with the literal after it; `pattern` reads both and captures the value, with `end` as a look-ahead."""

    token: TokenNode
    context: Context
    literal: Literal
    end: bytes
    pattern: bytes


class Beyond(msgspec.Struct, frozen=True):
    """What may stand after a run: a look-ahead, empty where that cannot be told, and the literals it looks for."""

    pattern: bytes
    literals: tuple[Literal, ...]


class Run:
    """A literal and the pieces after it, as one pattern; the pieces by themselves serve to find a fault.

    `plain` reads the same where every value stands for itself; with `can_be_plain` false it never does.
    """

    def __init__(self, lead: Literal, pieces: Sequence[Piece], beyond: Beyond) -> None:
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
        """Return the values that stand from a position on, or where and how the text leaves the run."""
        found = self._pattern.match(data, position)
        if found is None:
            return self._fault(data, position)
        try:
            texts = [unescape(value) for unescape, value in zip(self._unescapes, found.groups(), strict=True)]
        except ValueError:
            return self._not_a_value(found)
        return Row(texts, found)

    def named(self, row: Row) -> Entry:
        """Return the values of a row with their tokens' names and places."""
        return tuple(map(TokenValue, self._names, row.texts, row.spans))

    def _not_a_value(self, found: re.Match[bytes]) -> Mismatch:
        for number, piece in enumerate(self._pieces, start=1):
            try:
                UNESCAPES[piece.context](found[number])
            except ValueError as error:
                return no_value(piece.token, found.start(number), error)
        raise AssertionError("no value is at fault")

    def _fault(self, data: bytes, position: int) -> Mismatch:
        if not data.startswith(self._lead.data, position):
            return departure((self._lead,), data, position)
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
                return departure((piece.literal,), data, position)
            position = found.end()
        return departure(self._beyond.literals, data, position)


class Entries(msgspec.Struct, frozen=True, gc=False):
    """Entries, and how the text after them failed to be one more."""

    rows: list[Row]
    end: int
    stray: Mismatch | None = None


class RepeatedRun:
    """The part of a template that comes once for each item, with a separator between two."""

    def __init__(self, entry: Run, separator: bytes) -> None:
        self.entry = entry
        self.can_be_plain = entry.can_be_plain
        self._separator = separator
        self._separator_text = separator.decode(errors="surrogatepass")

    def read_plain(self, text: str, position: int) -> Entries | None:
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
        return Entries(rows, position)

    def read(self, data: bytes, position: int) -> Entries:
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
        return Entries(rows, position, stray)
