"""A template run backwards: from bytes to the value of every token, each with its place.

The template is cut into runs and joins, which read one after the other. The shortest value is right whenever the
literal after it cannot occur inside an escaped value, as a quote cannot in a JSON string. Where it can, as `-` in
`{A}-{B}`, nobody could tell, and the shortest is as good as any.
"""

from collections.abc import Sequence
from itertools import chain

from postback_sender.template.context import Format
from postback_sender.template.cutting import Cutter
from postback_sender.template.matching import Match, Mismatch, Row, Told
from postback_sender.template.nodes import Node
from postback_sender.template.options import TemplateOptions
from postback_sender.template.runs import Entries, RepeatedRun, Run


class Matcher:
    """The reader of one template in one format; made once, used for any number of texts.

    Nearly all values stand for themselves. Patterns that know of no others are several times as fast, and are tried
    first; whatever they read, the full patterns would read the same.
    """

    def __init__(self, nodes: Sequence[Node], *, text_format: Format, options: TemplateOptions, source: str) -> None:
        self._parts = tuple(Cutter(text_format, options, source).parts(nodes))
        self._can_be_plain = all(part.can_be_plain for part in self._parts)

    def match(self, data: bytes) -> Match | Mismatch:
        """Return the values in `data`, or where and how it leaves the template."""
        told = self.read(data)
        if isinstance(told, Mismatch):
            return told
        outside = (part for part in self._parts if isinstance(part, Run))
        inside = (part for part in self._parts if isinstance(part, RepeatedRun))
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
            if isinstance(part, Run):
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
            if isinstance(read, Entries):
                joins.append(read.rows)
                stray = read.stray
                position = read.end
            else:
                rows.append(read)
                position = read.found.end()
        return Told(rows, joins, is_plain=False)
