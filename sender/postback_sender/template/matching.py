"""What comes of matching a text with a template: the values, each with its place, or where the text leaves it."""

import re
from collections.abc import Sequence
from itertools import chain, zip_longest

import msgspec


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


def _byte_spans(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans of letters, in reading order, as spans of bytes."""
    found: list[tuple[int, int]] = []
    letters = size = 0
    for first, beyond in spans:
        start = size + len(text[letters:first].encode())
        letters, size = beyond, start + len(text[first:beyond].encode())
        found.append((start, size))
    return found
