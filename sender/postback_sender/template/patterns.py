"""Patterns that read a value together with the literal after it, in time proportional to the data.

A value is the shortest text that can be one in its context and is followed by the literal. An atomic group never gives
back what it took, so a pattern of many values tries no combinations, whatever the data holds.
"""

import re

from postback_sender.template.context import Context
from postback_sender.template.unescaping import BARE_JSON, PLAIN_BARE_JSON, PLAIN_WITHOUT, VALUE_BYTES, ends_value


def piece_pattern(context: Context, literal: bytes, end: bytes = b"") -> bytes:
    """Return the pattern of a value, captured, and the literal after it; `end` is a look-ahead beyond both."""
    return b"(?>(" + value_pattern(context, literal) + b")" + _guard(context, literal) + re.escape(literal) + end + b")"


def _guard(context: Context, literal: bytes) -> bytes:
    # What splits a CDATA section belongs to the value, although it begins like the end of the section.
    splits = context is Context.XML_CDATA and ends_value(literal, context)
    return b"(?!" + VALUE_BYTES[context].escape + b")" if splits else b""


def value_pattern(context: Context, literal: bytes, *, greedy: bool = False) -> bytes:
    """Return the pattern of a value: up to the first byte it cannot hold, or as short as the literal allows."""
    if context is Context.JSON_BARE:
        return BARE_JSON
    kind = VALUE_BYTES[context]
    never = kind.never
    if context is Context.XML_ATTRIBUTE and literal[:1] in {b'"', b"'"}:
        never += literal[:1]
    plain = b"[^" + re.escape(never) + b"]" if never else b"."
    if greedy or (literal[:1] and never and ends_value(literal, context)):
        return b"(?:" + plain + b"++" + (b"|" + kind.escape if kind.escape else b"") + b")*+"
    unit = b"(?>" + kind.escape + b"|" + plain + b")" if kind.escape else plain
    return unit + b"*?"


def can_be_plain(context: Context) -> bool:
    """Tell whether a value in a context can be known to stand for itself."""
    return context is Context.JSON_BARE or context in PLAIN_WITHOUT


def plain_pattern(context: Context, literal: bytes, end: bytes = b"") -> bytes:
    """Return the pattern of a value that stands for itself, captured, and the literal after it.

    What it fits, `piece_pattern` reads as the same value.
    """
    if context is Context.JSON_BARE:
        return b"(" + PLAIN_BARE_JSON + b")" + re.escape(literal) + end
    plain = b"[^" + re.escape(PLAIN_WITHOUT[context]) + rb"\x00-\x1f]"
    following = _guard(context, literal) + re.escape(literal) + end
    if ends_value(literal, context) and (literal or end == rb"(?=\Z)"):
        return b"(" + plain + b"*+)" + following
    return b"(?>(" + plain + b"*?)" + following + b")"
