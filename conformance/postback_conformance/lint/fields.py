"""`Outline`: the keys, parameters, elements or attributes of a template, with the tokens their values are made of."""

import re

import msgspec

from postback_conformance.lint.finding import Finding
from postback_sender.template.nodes import TokenNode


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A name and the tokens under it; `parent` is the name around it, and `place` where in the flat text it begins."""

    name: str
    parent: str = ""
    place: int
    tokens: tuple[TokenNode, ...]


class Outline(msgspec.Struct, frozen=True):
    """The fields of a template in reading order, and what is wrong with its form."""

    fields: tuple[Field, ...]
    findings: tuple[Finding, ...]


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def words(name: str) -> frozenset[str]:
    """Return the words of a name, in lower case: `deltaPayout_usd` has delta, payout and usd."""
    return frozenset(word.lower() for word in _WORD.findall(name))
