"""Hypothesis strategies for templates: any that is well formed in its format, with tokens wherever they may stand."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from urllib.parse import quote
from xml.sax.saxutils import escape

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from postback_sender.template import Format, Template
from postback_sender.template.nodes import Join, Node, Text, TokenNode
from postback_sender.template.printer import print_nodes
from postback_sender.tokens import CATALOGUE

_Nodes = tuple[Node, ...]
_Strategy = SearchStrategy[_Nodes]
# Some nodes for a join's variable, or for the empty text outside joins.
_Written = Callable[[str], _Strategy]

_DEPTH = 2
_VARIABLES = ("i", "_x")
_NAMES = st.sampled_from(("a", "b", "c", "payout", "sub_id"))
# What a template may hold as text: among it whatever looks like the language itself, or means something to a format. No
# backslash ends one: right before a token nobody can write it, it would escape the brace.
_LITERALS = st.sampled_from(
    (
        "x",
        " ",
        "-",
        "{",
        "}",
        "{Payout",
        "{join(items, i, ",
        ")}",
        '"',
        "'",
        "\\n",
        "\n",
        "&",
        "<",
        ">",
        "]]>",
        "%",
        "+",
        "é",
        "😀",
    )
)


def templates(*, text_format: Format = "json", kind: str = "action_lifecycle") -> SearchStrategy[Template]:
    """Templates that render to well-formed text for every event of a kind, with escaping by context.

    They hold tokens of the catalogue in every context the format has, tokens more than once and side by side, joins
    with and without a separator, and literal text with braces, quotes and markup.
    """
    return _templates(text_format, kind)


# Made once for each, since a strategy takes longer to make than a value.
@cache
def _templates(text_format: Format, kind: str) -> SearchStrategy[Template]:
    return _FORMATS[text_format](_tokens(kind)).map(lambda nodes: Template.parse(print_nodes(nodes)))


def _tokens(kind: str) -> _Written:
    names = [token.name for token in CATALOGUE.tokens(kind) if token.type != "list"]
    fields = [field.name for field in CATALOGUE.item_fields(kind)]

    def written(variable: str) -> _Strategy:
        inside = [f"{variable}.{field}" for field in fields] if variable else []
        # No public source names a token of some kinds: then a template of theirs is literal text.
        return (st.sampled_from(inside + names) if inside + names else st.nothing()).map(
            lambda name: (TokenNode(name, f"{{{name}}}", 0, 0),)
        )

    return written


def _json(tokens: _Written) -> _Strategy:
    def text(variable: str) -> _Strategy:
        literals = _LITERALS.map(lambda literal: json.dumps(literal, ensure_ascii=False)[1:-1])
        return _around('"', _mixed(tokens(variable), literals), '"')

    def value(variable: str, depth: int = _DEPTH) -> _Strategy:
        numbers = st.sampled_from(("0", "-1.5", "2e3", "true", "null")).map(_text)
        leaves = [text(variable), tokens(variable), numbers]
        if not depth:
            return st.one_of(leaves)
        inner = value(variable, depth - 1)
        members = st.dictionaries(_NAMES, inner, max_size=3).map(
            lambda pairs: _listed([(*_text(f'"{name}": '), *nodes) for name, nodes in pairs.items()], ", ")
        )
        branches = [
            _around("{", members, "}"),
            _around("[", st.lists(inner, max_size=3).map(lambda parts: _listed(parts, ",")), "]"),
        ]
        if not variable:
            branches.append(_around("[", _join(lambda name: value(name, depth - 1), (None, ",", ",\n")), "]"))
        return st.one_of(*leaves, *branches)

    return value("")


def _xml(tokens: _Written) -> _Strategy:
    def content(variable: str, depth: int) -> _Strategy:
        pieces = [
            _mixed(tokens(variable), _LITERALS.map(escape)),
            _around("<![CDATA[", _mixed(tokens(variable), _LITERALS.map(lambda text: text.replace(">", ""))), "]]>"),
        ]
        if depth:
            pieces.append(element(variable, depth - 1))
            if not variable:
                pieces.append(_join(lambda name: element(name, depth - 1), (None, "", "\n")))
        return st.lists(st.one_of(pieces), max_size=2).map(lambda parts: _listed(parts, ""))

    def element(variable: str, depth: int = _DEPTH) -> _Strategy:
        values = _mixed(tokens(variable), _LITERALS.map(lambda text: escape(text, {'"': "&quot;"})))
        attributes = st.dictionaries(_NAMES, values, max_size=1).map(
            lambda pairs: _listed([(*_text(f' {name}="'), *nodes, *_text('"')) for name, nodes in pairs.items()], "")
        )
        return st.tuples(_NAMES, attributes, content(variable, depth)).map(
            lambda parts: (*_text(f"<{parts[0]}"), *parts[1], *_text(">"), *parts[2], *_text(f"</{parts[0]}>"))
        )

    return element("")


def _query(tokens: _Written) -> _Strategy:
    def pair(variable: str) -> _Strategy:
        values = _mixed(tokens(variable), _LITERALS.map(lambda text: quote(text, safe="")))
        return st.tuples(_NAMES, values).map(lambda parts: (*_text(f"{parts[0]}="), *parts[1]))

    pairs = st.lists(st.one_of(pair(""), _join(pair, ("&",))), min_size=1, max_size=4)
    return pairs.map(lambda parts: _listed(parts, "&"))


def _url(tokens: _Written) -> _Strategy:
    segments = st.lists(_mixed(tokens(""), _LITERALS.map(lambda text: quote(text, safe=""))), max_size=3)
    paths = segments.map(lambda parts: _listed([_text("http://127.0.0.1"), *parts], "/"))
    return st.tuples(paths, _query(tokens)).map(lambda parts: (*parts[0], *_text("?"), *parts[1]))


_FORMATS: Mapping[Format, Callable[[_Written], _Strategy]] = {"json": _json, "xml": _xml, "query": _query, "url": _url}


def _text(text: str) -> _Nodes:
    return (Text(text, 0, 0),) if text else ()


def _around(begin: str, middle: _Strategy, end: str) -> _Strategy:
    return middle.map(lambda nodes: (*_text(begin), *nodes, *_text(end)))


def _listed(parts: Sequence[_Nodes], separator: str) -> _Nodes:
    return tuple(node for index, part in enumerate(parts) for node in (*(_text(separator) if index else ()), *part))


def _mixed(tokens: _Strategy, literals: SearchStrategy[str]) -> _Strategy:
    """Return a token alone, or texts and tokens in any order."""
    pieces = st.lists(st.one_of(tokens, literals.map(_text)), max_size=2)
    return st.one_of(tokens, pieces.map(lambda parts: _listed(parts, "")))


def _join(body: _Written, separators: Sequence[str | None]) -> _Strategy:
    def of(variable: str) -> _Strategy:
        with_tokens = body(variable).filter(lambda nodes: any(isinstance(node, TokenNode) for node in nodes))
        return st.tuples(with_tokens, st.sampled_from(separators)).map(
            lambda parts: (Join("items", variable, *parts, "", 0, 0),)
        )

    return st.one_of([of(variable) for variable in _VARIABLES])
