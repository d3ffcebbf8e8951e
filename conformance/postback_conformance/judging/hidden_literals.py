"""Templates for what was exported: where a literal secret stood, its stand-in may stand.

An export hides the values of what is named like a secret (`redaction`). Where the template has a token there, the
stand-in reads as its value. Where it has the secret itself, nobody can compare it any more, and must not.
"""

import re
from collections.abc import Iterator

from postback_conformance.redaction import body_secret_spans
from postback_receiver.secret_names import named_secret_spans
from postback_sender.template import Format, Template
from postback_sender.template.nodes import Node, Text, TokenNode

HIDDEN = "${hidden}"
"""The name of what matches a stand-in: that of a variable, whose value nobody knows here."""

# As `redaction` writes them.
_STAND_IN = re.compile(rb"\[(?:hidden|secret:[0-9a-f]{12})\]")
# What a token and a join become where only names are looked for: a value in every format.
_MARK = b"0"

_Span = tuple[int, int]


def hidden_spans(data: bytes) -> Iterator[_Span]:
    """Yield where a secret was hidden."""
    return (found.span() for found in _STAND_IN.finditer(data))


def holds_hidden(data: bytes) -> bool:
    """Tell whether a secret was hidden in it."""
    return b"[" in data and _STAND_IN.search(data) is not None


def with_hidden(template: Template, text_format: Format) -> Template | None:
    """Return the template of exported requests, None where it holds no literal secret outside its joins."""
    parts = [_written(node) for node in template.nodes]
    whole = b"".join(parts)
    if text_format == "url":
        spans = tuple(named_secret_spans(whole.decode("latin-1")))
    else:
        spans = tuple(body_secret_spans(whole, text_format))
    nodes: list[Node] = []
    first = 0
    for node, part in zip(template.nodes, parts, strict=True):
        beyond = first + len(part)
        inner = [(start - first, end - first) for start, end in spans if start < beyond and end > first]
        nodes += _hiding(node, part, inner) if isinstance(node, Text) and inner else (node,)
        first = beyond
    if len(nodes) == len(template.nodes) and all(
        one is other for one, other in zip(nodes, template.nodes, strict=True)
    ):
        return None
    return Template(template.source, tuple(nodes), options=template.options, name=template.name)


def _written(node: Node) -> bytes:
    return node.text.encode(errors="surrogatepass") if isinstance(node, Text) else _MARK


def _hiding(text: Text, written: bytes, spans: list[_Span]) -> Iterator[Node]:
    position = 0
    for start, end in sorted(spans):
        if end <= position:
            continue
        if position < start:
            yield Text(written[position:start].decode(errors="surrogatepass"), text.start, text.end)
        yield TokenNode(HIDDEN, HIDDEN, text.start, text.end)
        position = end
    if position < len(written):
        yield Text(written[position:].decode(errors="surrogatepass"), text.start, text.end)
