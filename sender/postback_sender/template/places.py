"""Which context each token of a template stands in: the one walk that rendering, matching and lint share."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from postback_sender.template.context import Context, Format, Scanner, scanner_for
from postback_sender.template.nodes import Join, Node, Text, TokenNode


class PlacedToken(NamedTuple):
    """A token, the context it stands in, and the join around it if there is one."""

    node: TokenNode
    context: Context
    join: Join | None


def placed_tokens(nodes: Sequence[Node], text_format: Format) -> Iterator[PlacedToken]:
    """Yield every token in reading order.

    The context is that of the first round of a join, which is the same in every round and without any, in every
    template that is well formed.
    """
    yield from _placed(nodes, scanner_for(text_format), None)


def _placed(nodes: Sequence[Node], scanner: Scanner, join: Join | None) -> Iterator[PlacedToken]:
    for node in nodes:
        match node:
            case Text(text):
                scanner.feed(text)
            case TokenNode():
                yield PlacedToken(node, scanner.context, join)
            case Join(body=body):
                yield from _placed(body, scanner, node)
