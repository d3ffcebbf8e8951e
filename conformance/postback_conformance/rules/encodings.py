"""How often a value was encoded for its place: what shows for sure that it was twice, or not at all."""

import json
import re
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

from postback_conformance.judging.evidence import Evidence, Value
from postback_receiver.capture_query import unescape_markup
from postback_sender.tokens import TokenType

STRICT: Final[frozenset[TokenType]] = frozenset({"money", "number", "currency", "datetime"})
"""Types of which no value holds an escape or a word, so that one in it is no part of it."""

ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}|\\(?:[\"/\\]|u[0-9A-Fa-f]{4})|&(?:amp|lt|gt|quot|apos|#[0-9]{1,7});")
"""What should have been taken off with the first reading: of a URL, of a string, of XML."""

# A scheme ends with a colon, and that with slashes, in every URL.
_ENCODED_URL = re.compile(r"https?(?:%3[Aa]|:%2[Ff]|:\\/)")
_BLANK_IN_OFFSET = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}) ([0-9]{2}:?[0-9]{2})")
_LONGEST_DATE = 64


def encoded_twice(text: str, token_type: TokenType) -> str:
    """Return what a value holds that it cannot if it was encoded once; empty when nothing is sure."""
    found: re.Match[str] | None = None
    if token_type == "url":
        # A URL has escapes of its own, but none in its scheme.
        found = _ENCODED_URL.match(text)
    elif token_type in STRICT:
        found = ESCAPE.search(text)
    return found[0] if found else ""


def read_again(text: str) -> str:
    """Return what a value that was encoded twice says."""
    if "\\" in text:
        # A quote or a lone backslash among the escapes is none.
        with suppress(ValueError):
            text = str(json.loads(f'"{text}"', strict=False))
    return unescape_markup(unquote(text))


def lacks_its_plus(text: str) -> bool:
    """Tell whether a text is a date with a blank for the + of its offset."""
    return len(text) <= _LONGEST_DATE and _BLANK_IN_OFFSET.fullmatch(text) is not None


def came_with_plus(evidence: Evidence, value: Value) -> bool:
    """Tell whether a value stands with a + on the wire where that is a blank; one that was sent as %20 is a blank."""
    if value.of_item or not (value.in_target or evidence.notification.body_format == "query"):
        return False
    where, capture = value.where, evidence.capture
    if where.target is not None:
        return "+" in capture.target[slice(*where.target)]
    # No bytes of a body that was compressed hold the value.
    held = evidence.content if where.span is None else capture.body[slice(*where.span)]
    return isinstance(held, bytes) and b"+" in held


def with_its_plus(text: str) -> str:
    """Return a date with a + where its offset begins with a blank."""
    return _BLANK_IN_OFFSET.sub(r"\1+\2", text)
