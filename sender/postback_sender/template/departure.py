"""Where and how a text leaves its template, in words for people."""

from collections.abc import Sequence

from postback_sender.template.literal import Literal
from postback_sender.template.matching import Mismatch
from postback_sender.template.nodes import TokenNode

# How much of a literal or of the data a mismatch repeats.
_EXCERPT_BYTES = 24


def departure(literals: Sequence[Literal], data: bytes, position: int) -> Mismatch:
    """Return the first byte at or after `position` that differs, by the literal that goes furthest."""
    same, literal = max(((literal.same(data, position), literal) for literal in literals), key=lambda pair: pair[0])
    rest, got = literal.data[same:], data[position + same : position + same + _EXCERPT_BYTES]
    return Mismatch(
        position=position + same,
        offset=literal.offset(same),
        expected=repr(rest[:_EXCERPT_BYTES].decode("utf-8", "replace")) if rest else "the end",
        got=repr(got.decode("utf-8", "replace")) if got else "the end",
    )


def no_value(token: TokenNode, position: int, error: ValueError) -> Mismatch:
    """Say that the bytes where the value of a token was read are none, and why."""
    expected = f"a value of {token.source}"
    return Mismatch(position=position, offset=token.start, expected=expected, got=_described(error), is_value=True)


def _described(error: ValueError) -> str:
    match error:
        case UnicodeDecodeError():
            return f"the byte 0x{error.object[error.start]:02x}, which is not UTF-8"
        case UnicodeEncodeError():
            return f"half a character, the lone surrogate U+{ord(error.object[error.start]):04X}"
        case _:
            return str(error)
