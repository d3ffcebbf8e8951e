"""What a template is made of: text, tokens and joins, each with its place in the source."""

from collections.abc import Iterable, Iterator

import msgspec

from postback_sender.template.options import TemplateOptions


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


def separator_of(join: Join, options: TemplateOptions) -> str:
    """Return what stands between two entries of a join: its own separator, or that of the options."""
    return options.join_separator if join.separator is None else join.separator


def token_nodes(nodes: Iterable[Node]) -> Iterator[tuple[TokenNode, Join | None]]:
    """Yield every token in reading order, with the join around it if there is one."""
    for node in nodes:
        if isinstance(node, Join):
            yield from ((inner, node) for inner in node.body if isinstance(inner, TokenNode))
        elif isinstance(node, TokenNode):
            yield node, None
