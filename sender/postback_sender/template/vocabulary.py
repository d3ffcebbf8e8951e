"""Which tokens exist for a template, and what becomes of one that does not."""

from collections.abc import Callable

from postback_sender.errors import RenderError
from postback_sender.template.errors import excerpt, locate
from postback_sender.template.nodes import Join, TokenNode
from postback_sender.template.options import TemplateOptions


class Vocabulary:
    """The tokens that exist, as one template may write them; `source` and `name` are the template's, for errors.

    A known token that an event leaves out is empty, as impact.com sends absent values (captured calls of 2020 and 2026
    keep the parameter and leave its value out). Fields of a join's variable are known as `*.field`, since a template
    may give the variable any name.
    """

    def __init__(self, known: frozenset[str], *, options: TemplateOptions, source: str, name: str) -> None:
        self._known = known
        self._known_folded = {token.lower(): token for token in sorted(known, reverse=True)}
        self._options = options
        self._source = source
        self._name = name

    def knows(self, name: str, variable: str) -> bool:
        """Tell whether a token exists; `variable` is that of the join around it, or empty."""
        owner, dot, field = name.rpartition(".")
        return name in self._known if not dot else owner == variable and f"*.{field}" in self._known

    def spelled(self, name: str, variable: str) -> str:
        """Return the name as the catalogue spells it, which matters with `name_case = "ignore"`."""
        if self._options.name_case == "exact" or self.knows(name, variable):
            return name
        owner, dot, field = name.rpartition(".")
        spelled = self._known_folded.get(f"*.{field}".lower() if dot else name.lower())
        return name if spelled is None else f"{owner}.{spelled[2:]}" if dot else spelled

    def absent(self, name: str, node: TokenNode | Join) -> Callable[[], str]:
        """Return what writes an unknown token that the event does not have either, or raises `RenderError`."""
        if self._options.unknown_token == "error":
            line, column, source_line = locate(self._source, node.start)
            message = (
                f"{self._name}, line {line}, column {column}: unknown token {{{name}}}\n"
                f"{excerpt(source_line, column)}\n"
                f"Declare it under [tokens.{name}], or set unknown_token to keep or empty."
            )

            def refuse() -> str:
                raise RenderError(message)

            return refuse
        text = node.source if self._options.unknown_token == "keep" else ""
        return lambda: text
