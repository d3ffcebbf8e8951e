"""Nodes to one Python function from values to text, built as a syntax tree.

The function of `"id": "{ActionId}", "items": [{join(items, i, "{i.qty}")}]` in JSON does what a person would write:

    def render(values, items):
        (values_0,) = read(values)
        return f'"id": {json_quoted(values_0)}, "items": [{",".join([
            f"{bare_json(item_0)}" for item in items for (item_0,) in [read_item(item)]
        ])}]'

The escape of a token is that of the context it stands in, chosen once. The tree is made of nodes, never of source text,
so nothing that a template holds can become code.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, cast

from postback_sender.template.context import Context, Format, Scanner, scanner_for
from postback_sender.template.escaping import ESCAPES, json_quoted, json_string, raw
from postback_sender.template.nodes import Join, Node, Text, TokenNode, separator_of
from postback_sender.template.options import TemplateOptions
from postback_sender.template.vocabulary import Vocabulary

Values = Mapping[str, str]
Items = Sequence[Values]
Render = Callable[[Values, Items], str]
Reader = Callable[[Values], Sequence[str]]

# The only list the documentation names.
ITEMS = "items"


def compile_nodes(
    nodes: Sequence[Node],
    *,
    text_format: Format,
    options: TemplateOptions,
    vocabulary: Vocabulary,
) -> Render:
    """Return the function that renders the nodes."""

    def compiled(reader: Callable[[Sequence[str]], Reader]) -> Render:
        return _Compiler(scanner_for(text_format), options, vocabulary, reader).function(nodes)

    # As fast as what a person would write by hand, as long as nothing is absent.
    complete = compiled(_strict_reader)
    tolerant = cache(lambda: compiled(_tolerant_reader))

    def render(values: Values, items: Items) -> str:
        try:
            return complete(values, items)
        except KeyError:
            return tolerant()(values, items)

    return render


class _Row:
    """A mapping the function reads, the event's values or one item, and the local variable of each name in it."""

    def __init__(self, mapping: str, variable: str = "") -> None:
        self.mapping = mapping
        self.variable = variable
        self.locals: dict[str, str] = {}

    def local(self, key: str) -> ast.expr:
        return _load(self.locals.setdefault(key, f"{self.mapping}_{len(self.locals)}"))


class _Value(NamedTuple):
    """A value that is there, and how it is written."""

    value: ast.expr
    escape: Callable[[str], str]


_Piece = str | _Value | ast.expr


class _Compiler:
    def __init__(
        self,
        scanner: Scanner,
        options: TemplateOptions,
        vocabulary: Vocabulary,
        reader: Callable[[Sequence[str]], Reader],
    ) -> None:
        self._scanner = scanner
        self._options = options
        self._vocabulary = vocabulary
        self._reader = reader
        self._values = _Row("values")
        self._functions: dict[Callable[..., object], str] = {}

    def function(self, nodes: Sequence[Node]) -> Render:
        body: list[ast.stmt] = [ast.Return(self._text(nodes, self._values))]
        if self._values.locals:
            body.insert(0, ast.Assign([_targets(self._values)], self._read(self._values)))
        module = ast.parse("def render(values, items): ...")
        cast("ast.FunctionDef", module.body[0]).body = body
        namespace: dict[str, Any] = {name: function for function, name in self._functions.items()}
        exec(compile(ast.fix_missing_locations(module), "<template>", "exec"), namespace)  # noqa: S102
        render: Render = namespace["render"]
        return render

    def _text(self, nodes: Sequence[Node], row: _Row) -> ast.expr:
        pieces = [self._piece(node, row) for node in nodes]
        _fold_quotes(pieces)
        return ast.JoinedStr([self._part(piece) for piece in pieces])

    def _piece(self, node: Node, row: _Row) -> _Piece:
        match node:
            case Text(text):
                self._scanner.feed(text)
                return text
            case TokenNode():
                return self._token(node, row)
            case Join() if node.list_name == ITEMS:
                return self._join(node)
            case Join():
                return self._call(self._vocabulary.absent(node.list_name, node))

    def _part(self, piece: _Piece) -> ast.expr:
        match piece:
            case str():
                return ast.Constant(piece)
            case _Value(value, escape):
                return ast.FormattedValue(value if escape is raw else self._call(escape, value), conversion=-1)
            case _:
                return ast.FormattedValue(piece, conversion=-1)

    def _token(self, node: TokenNode, row: _Row) -> _Piece:
        escape = ESCAPES[Context.RAW if self._options.escaping == "raw" else self._scanner.context]
        name = self._vocabulary.spelled(node.name, row.variable)
        is_known = self._vocabulary.knows(name, row.variable)
        owner, _, field = name.rpartition(".")
        key, row = (field, row) if owner and owner == row.variable else (name, self._values)
        if is_known:
            return _Value(row.local(key), escape)
        absent = self._vocabulary.absent(node.name, node)

        def unknown(mapping: Values) -> str:
            return escape(mapping[key]) if key in mapping else absent()

        return self._call(unknown, _load(row.mapping))

    def _join(self, node: Join) -> ast.expr:
        row = _Row("item", node.variable)
        text = self._text(node.body, row)
        rounds = [ast.comprehension(ast.Name("item", ast.Store()), _load("items"), [], is_async=0)]
        if row.locals:
            # A loop over a list of one: Python compiles that to an assignment.
            values = ast.List([self._read(row)], ast.Load())
            rounds.append(ast.comprehension(_targets(row), values, [], is_async=0))
        join = ast.Attribute(ast.Constant(separator_of(node, self._options)), "join", ast.Load())
        return ast.Call(join, [ast.ListComp(text, rounds)], [])

    def _read(self, row: _Row) -> ast.expr:
        return self._call(self._reader(tuple(row.locals)), _load(row.mapping))

    def _call(self, function: Callable[..., object], *arguments: ast.expr) -> ast.expr:
        name = self._functions.setdefault(function, f"function_{len(self._functions)}")
        return ast.Call(_load(name), list(arguments), [])


def _strict_reader(names: Sequence[str]) -> Reader:
    """Return what reads these names from a mapping that has them all; `KeyError` otherwise."""
    # An itemgetter of one name returns the bare value.
    return itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)


def _tolerant_reader(names: Sequence[str]) -> Reader:
    """Return what reads these names from a mapping, an empty text for each that is not in it."""
    empty = [""] * len(names)
    return lambda row: tuple(map(row.get, names, empty))


def _fold_quotes(pieces: list[_Piece]) -> None:
    """Where a value has quotes right around it, let the call that escapes it write them, too: JSON is mostly that."""
    for index in range(1, len(pieces) - 1):
        match pieces[index - 1 : index + 2]:
            case [str(before), _Value(value, escape), str(after)] if (
                escape is json_string and before.endswith('"') and after.startswith('"')
            ):
                pieces[index - 1 : index + 2] = before[:-1], _Value(value, json_quoted), after[1:]
            case _:
                pass


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _targets(row: _Row) -> ast.expr:
    return ast.Tuple([ast.Name(name, ast.Store()) for name in row.locals.values()], ast.Store())
