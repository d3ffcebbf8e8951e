"""Nodes to one function from values to text, with the escape of every token chosen once.

The result is a tuple of small steps: literal text, or a function of the values. Each token is bound to the context
its place has when the list around it is empty or not, which is the same for every template that is well formed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from postback_sender.errors import RenderError
from postback_sender.template.context import Context, Format, Scanner, scanner_for
from postback_sender.template.errors import excerpt, locate
from postback_sender.template.escaping import ESCAPES
from postback_sender.template.nodes import Join, Node, Text, TokenNode
from postback_sender.template.options import TemplateOptions

Values = Mapping[str, str]
Items = Sequence[Values]
Step = Callable[[Values, Items], str]

# The only list the documentation names.
ITEMS = "items"


def compile_nodes(
    nodes: Iterable[Node],
    *,
    text_format: Format,
    options: TemplateOptions,
    known: frozenset[str],
    source: str,
    name: str,
) -> Step:
    """Return the function that renders the nodes.

    `known` holds the tokens that exist: absent from the values they are empty, as impact.com sends absent values
    (captured calls of 2020 and 2026 keep the parameter and leave its value out). Fields of a join's variable are
    known as `variable.field`, and `*.field` stands for any variable.
    """
    compiler = _Compiler(scanner_for(text_format), options, known, source, name)
    return _sequence(compiler.steps(nodes, variable=None))


class _Compiler:
    def __init__(
        self, scanner: Scanner, options: TemplateOptions, known: frozenset[str], source: str, name: str
    ) -> None:
        self._scanner = scanner
        self._options = options
        self._known = known
        self._known_folded = {token.lower(): token for token in known}
        self._source = source
        self._name = name

    def steps(self, nodes: Iterable[Node], *, variable: str | None) -> list[Step]:
        return [self._step(node, variable) for node in nodes]

    def _step(self, node: Node, variable: str | None) -> Step:
        match node:
            case Text(text):
                self._scanner.feed(text)
                return lambda _values, _items: text
            case TokenNode():
                return self._token(node, variable)
            case Join():
                return self._join(node)

    def _token(self, node: TokenNode, variable: str | None) -> Step:
        raw = self._options.escaping == "raw"
        escape = ESCAPES[Context.RAW if raw else self._scanner.context]
        name = self._spelled_as_known(node.name, variable)
        if self._is_known(name, variable):
            return lambda values, _items: escape(values.get(name, ""))
        absent = self._absent(node)
        return lambda values, _items: escape(values[name]) if name in values else absent()

    def _join(self, node: Join) -> Step:
        if node.list_name != ITEMS:
            absent = self._absent(TokenNode(node.list_name, node.source, node.start, node.end))
            return lambda _values, _items: absent()
        body = _sequence(self.steps(node.body, variable=node.variable))
        separator = self._options.join_separator if node.separator is None else node.separator
        prefix = f"{node.variable}."

        def repeat(values: Values, items: Items) -> str:
            scopes = ({**values, **{prefix + field: value for field, value in item.items()}} for item in items)
            return separator.join(body(scope, ()) for scope in scopes)

        return repeat

    def _spelled_as_known(self, name: str, variable: str | None) -> str:
        if self._options.name_case == "exact" or self._is_known(name, variable):
            return name
        owner, dot, field = name.rpartition(".")
        spelled = self._known_folded.get(f"*.{field}".lower() if dot else name.lower())
        return name if spelled is None else f"{owner}.{spelled[2:]}" if dot else spelled

    def _is_known(self, name: str, variable: str | None) -> bool:
        owner, dot, field = name.rpartition(".")
        return name in self._known if not dot else owner == variable and f"*.{field}" in self._known

    def _absent(self, node: TokenNode) -> Callable[[], str]:
        if self._options.unknown_token == "error":
            line, column, source_line = locate(self._source, node.start)
            message = (
                f"{self._name}, line {line}, column {column}: unknown token {{{node.name}}}\n"
                f"{excerpt(source_line, column)}\n"
                f"Declare it under [tokens.{node.name}], or set unknown_token to keep or empty."
            )

            def refuse() -> str:
                raise RenderError(message)

            return refuse
        text = node.source if self._options.unknown_token == "keep" else ""
        return lambda: text


def _sequence(steps: list[Step]) -> Step:
    return lambda values, items: "".join([step(values, items) for step in steps])
