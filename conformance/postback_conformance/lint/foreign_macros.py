"""Tokens as other networks write them, `%Payout%` or `[Payout]`: text to impact.com."""

import re
from collections.abc import Iterator

from postback_conformance.lint import kinds
from postback_conformance.lint.finding import Finding
from postback_conformance.lint.flat import FlatText
from postback_conformance.lint.spelling import Spelling

_NAME = r"[A-Za-z]\w*+"
# As a whole value only, and not as a key of JSON; between two tags, `<Payout>` is an element.
_MACRO = re.compile(
    rf"(?:(?<=[\"'>=])(?:(?P<percent>%%?)(?P<a>{_NAME})(?P=percent)|\[\[?(?P<b>{_NAME})\]\]?)|(?<=[\"'=])<(?P<c>{_NAME})>)"
    r"(?=[\"'<&\n]|\Z)(?![\"']\s*+:)",
    re.ASCII,
)


def macro_findings(flat: FlatText, spelling: Spelling) -> Iterator[Finding]:
    """Find values that are nothing but the name of a token in the marks of another network."""
    for found in _MACRO.finditer(flat.text):
        name = found[found.lastgroup or 0]
        if spelling.exact(name):
            flat.judged.update(range(*found.span()))
            yield flat.finding(
                kinds.FOREIGN_MACRO,
                found.start(),
                message=f"{found[0]} is no token: impact.com writes {{{name}}}",
                advice=f"write {{{name}}}, unless it is text",
            )
