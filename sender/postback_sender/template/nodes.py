"""What a template is made of: text, tokens and joins, each with its place in the source."""

from collections.abc import Iterable, Iterator

import msgspec


class Text(msgspec.Struct, frozen=True):
    """Literal text, escapes already resolved; `start` and `end` are character offsets in the source."""

    text: str
    start: int
    end: int


class TokenNode(msgspec.Struct, frozen=True):
    """`{Name}`, or `{variable.name}` inside a join.

    `source` is the text as written, braces and stray white space included: it is what an unknown token leaves behind.
    """

    name: str
    source: str
    start: int
    end: int


class Join(msgspec.Struct, frozen=True):
    """`{join(items, i, "…", "…")}`: the body once for each entry of the list, with the separator between two."""

    list_name: str
    variable: str
    body: tuple["Node", ...]
    separator: str | None
    source: str
    start: int
    end: int


Node = Text | TokenNode | Join


def token_nodes(nodes: Iterable[Node]) -> Iterator[tuple[TokenNode, Join | None]]:
    """Yield every token in reading order with the innermost join around it."""
    pending: list[tuple[Iterator[Node], Join | None]] = [(iter(nodes), None)]
    while pending:
        level, join = pending[-1]
        node = next(level, None)
        if node is None:
            pending.pop()
        elif isinstance(node, Join):
            pending.append((iter(node.body), node))
        elif isinstance(node, TokenNode):
            yield node, join
