"""Where a text leaves its template, for people: the place in the text and the place in the template."""

import msgspec

from postback_sender.template import Template
from postback_sender.template.errors import excerpt, locate
from postback_sender.template.matching import Mismatch

# How much of the text is quoted, and how much of its line is looked at to draw the place.
_QUOTED_BYTES = 24
_LINE_BYTES = 400


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """The first byte of a text at which it is not what its template says.

    `line` and `column` (from 1, in characters) are those of the text, `template_line` and `template_column` where the
    template says what was expected.
    """

    position: int
    line: int
    column: int
    expected: str
    got: str
    excerpt: str
    template_line: int
    template_column: int


def departure(template: Template, text: bytes, mismatch: Mismatch, *, shown: bytes, first: int) -> Departure:
    """Return where and how a text leaves the template; `mismatch` is what matching the two gave.

    Places are those in `shown`, in which the text begins at the byte `first` and may have other letters: it is what is
    quoted.
    """
    position = max(0, first + mismatch.position)
    line, column, drawing = _place(shown, position)
    quoted = shown[position : position + min(_QUOTED_BYTES, len(text) - mismatch.position)].decode("utf-8", "replace")
    template_line, template_column, _ = locate(template.source, mismatch.offset)
    return Departure(
        position=position,
        line=line,
        column=column,
        expected=mismatch.expected,
        got=mismatch.got if mismatch.is_value else repr(quoted) if quoted else "the end",
        excerpt=drawing,
        template_line=template_line,
        template_column=template_column,
    )


def _place(data: bytes, position: int) -> tuple[int, int, str]:
    """Return the line and column of a byte, and its line with a caret below it."""
    line_start = data.rfind(b"\n", 0, position) + 1
    column = len(data[line_start:position].decode("utf-8", "replace")) + 1
    before = data[max(line_start, position - _LINE_BYTES) : position].decode("utf-8", "replace")
    after = data[position : position + _LINE_BYTES].partition(b"\n")[0].decode("utf-8", "replace")
    return data.count(b"\n", 0, position) + 1, column, excerpt(before + after, len(before) + 1)
