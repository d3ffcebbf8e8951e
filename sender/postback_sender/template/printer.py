"""Nodes back to template text: parsing what is printed gives the same nodes."""

import re
from collections.abc import Iterable

from postback_sender.template.nodes import Join, Node, Text, TokenNode

# Outside quotes a quote is itself, except after a backslash, which would take it for its own.
_SPECIAL = re.compile(r'[{}]|(?<=\\)"')
_SPECIAL_IN_QUOTES = re.compile(r'[{}"]')


def print_nodes(nodes: Iterable[Node]) -> str:
    r"""Return the text of the nodes, with `\{ \} \"` wherever a brace or a quote is text.

    For nodes that came from text: a backslash right before a token cannot be written at all.
    """
    return _print(nodes, _SPECIAL)


def _print(nodes: Iterable[Node], special: re.Pattern[str]) -> str:
    return "".join(_print_node(node, special) for node in nodes)


def _print_node(node: Node, special: re.Pattern[str]) -> str:
    match node:
        case Text(text):
            return _escaped(text, special)
        case TokenNode(name):
            return f"{{{name}}}"
        case Join(list_name, variable, body, separator):
            arguments = [list_name, variable, f'"{_print(body, _SPECIAL_IN_QUOTES)}"']
            if separator is not None:
                arguments.append(f'"{_escaped(separator, _SPECIAL_IN_QUOTES)}"')
            return f"{{join({', '.join(arguments)})}}"


def _escaped(text: str, special: re.Pattern[str]) -> str:
    return special.sub(r"\\\g<0>", text)
