"""`Template`: the language in one object. Parse once, ask what it needs, render it for any event."""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Self

from postback_sender.errors import RenderError
from postback_sender.template.compiler import Items, Step, Values, compile_nodes
from postback_sender.template.context import Format
from postback_sender.template.matching import Match, Matcher, Mismatch
from postback_sender.template.nodes import Node, token_nodes
from postback_sender.template.options import TemplateOptions
from postback_sender.template.parser import parse_nodes

_DEFAULTS = TemplateOptions()


class Template:
    """A parsed template; `nodes` is its tree, `source` the text it was read from, `name` what errors call it."""

    def __init__(self, source: str, nodes: tuple[Node, ...], *, options: TemplateOptions, name: str) -> None:
        self.source = source
        self.nodes = nodes
        self.options = options
        self.name = name
        self._compiled = lru_cache(maxsize=8)(self._compile)
        self._matcher = lru_cache(maxsize=8)(self._make_matcher)

    @classmethod
    def parse(cls, source: str, *, options: TemplateOptions = _DEFAULTS, name: str = "template") -> Self:
        """Return the template of any text, or raise `TemplateSyntaxError` with the place in it."""
        return cls(source, parse_nodes(source, options=options, name=name), options=options, name=name)

    @cached_property
    def names(self) -> frozenset[str]:
        """The tokens it needs, as written: `Payout`, and `i.sku` inside a join over `i`."""
        return frozenset(node.name for node, _join in token_nodes(self.nodes))

    def render(self, values: Values, *, context: Format, items: Items = (), known: Iterable[str] = ()) -> bytes:
        """Return the filled-in template as UTF-8.

        `values` are wire texts by token, `items` the same for each line item by field (`sku`, without a variable).
        `known` names the tokens that exist although this event leaves them out, item fields as `*.sku`.
        Raises `RenderError` for an unknown token under `unknown_token = "error"`, and for a value UTF-8 cannot carry.
        """
        try:
            return self._compiled(context, frozenset(known))(values, items).encode()
        except UnicodeEncodeError as error:
            raise RenderError(
                f"{self.name}: a value holds the lone surrogate {error.object[error.start]!a}, which UTF-8 cannot "
                "carry; expected text that can be sent"
            ) from None

    def match(self, data: bytes, *, context: Format) -> Match | Mismatch:
        """Take a rendered text apart: the value of every token with its bytes, or where it leaves the template.

        Values are unescaped for the context they stand in. Takes time in proportion to the data.
        """
        return self._matcher(context).match(data)

    def _make_matcher(self, text_format: Format) -> Matcher:
        return Matcher(self.nodes, text_format=text_format, options=self.options)

    def _compile(self, text_format: Format, known: frozenset[str]) -> Step:
        return compile_nodes(
            self.nodes,
            text_format=text_format,
            options=self.options,
            known=known,
            source=self.source,
            name=self.name,
        )
