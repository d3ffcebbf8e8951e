"""`Template`: the language in one object. Parse once, ask what it needs, render it for any event."""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Self

from postback_sender.errors import RenderError
from postback_sender.template.compiler import Items, Render, Values, compile_nodes
from postback_sender.template.context import Format
from postback_sender.template.escaping import ESCAPES, UnwritableError
from postback_sender.template.matcher import Matcher
from postback_sender.template.matching import Match, Mismatch, Told
from postback_sender.template.nodes import Node, token_nodes
from postback_sender.template.options import TemplateOptions
from postback_sender.template.parser import parse_nodes
from postback_sender.template.places import placed_tokens
from postback_sender.template.printer import print_nodes
from postback_sender.template.vocabulary import Vocabulary

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

    def __str__(self) -> str:
        """Return the template as text that parses to the same nodes, every brace and quote of its own escaped."""
        return print_nodes(self.nodes)

    @cached_property
    def names(self) -> frozenset[str]:
        """The tokens it needs, as written: `Payout`, and `i.sku` inside a join over `i`."""
        return frozenset(node.name for node, _join in token_nodes(self.nodes))

    def render(
        self, values: Values, *, context: Format, items: Items = (), known: Iterable[str] | None = None
    ) -> bytes:
        """Return the filled-in template as UTF-8.

        `values` are wire texts by token, `items` the same for each line item by field (`sku`, without a variable); what
        they leave out is empty. `known` names the tokens that exist, item fields as `*.sku`, such as a notification's
        `known_tokens`: any other is treated as `unknown_token` says. Without it, all tokens of the template exist.
        Raises `RenderError` for an unknown token under `unknown_token = "error"`, and for a character that UTF-8, or
        XML, cannot carry.
        """
        try:
            return self._compiled(context, self._names_and_fields if known is None else frozenset(known))(
                values, items
            ).encode()
        except (UnicodeEncodeError, UnwritableError) as error:
            raise RenderError(f"{self.name}: {self._culprit(values, items, context, error)}") from None

    @cached_property
    def _names_and_fields(self) -> frozenset[str]:
        return self.names | {f"*.{name.partition('.')[2]}" for name in self.names if "." in name}

    def match(self, data: bytes, *, context: Format) -> Match | Mismatch:
        """Take a rendered text apart: the value of every token with its bytes, or where it leaves the template.

        Values are unescaped for the context they stand in. Takes time in proportion to the data.
        """
        return self._matcher(context).match(data)

    def read(self, data: bytes, *, context: Format) -> Told | Mismatch:
        """Do the same for whoever reads many texts: the values without their names, in reading order."""
        return self._matcher(context).read(data)

    def _make_matcher(self, text_format: Format) -> Matcher:
        return Matcher(self.nodes, text_format=text_format, options=self.options, source=self.source)

    def vocabulary(self, known: Iterable[str]) -> Vocabulary:
        """Return what this template makes of names; `known` as for `render`."""
        return Vocabulary(frozenset(known), options=self.options, source=self.source, name=self.name)

    def _compile(self, text_format: Format, known: frozenset[str]) -> Render:
        vocabulary = self.vocabulary(known)
        return compile_nodes(self.nodes, text_format=text_format, options=self.options, vocabulary=vocabulary)

    def _culprit(self, values: Values, items: Items, text_format: Format, error: ValueError) -> str:
        """Say which value a text that cannot be written came from."""
        for node, context, join in placed_tokens(self.nodes, text_format):
            of_item = join is not None and node.name.startswith(f"{join.variable}.")
            for number, row in enumerate(items if of_item else [values], start=1):
                name = node.name.removeprefix(f"{join.variable}.") if of_item and join else node.name
                try:
                    ESCAPES[context](row.get(name, "")).encode()
                except (UnicodeEncodeError, UnwritableError) as fault:
                    place = f" of item {number}" if of_item else ""
                    return f"the value of {{{node.name}}}{place} holds {_described(fault)}"
        return f"its text holds {_described(error)}"


def _described(error: ValueError) -> str:
    if isinstance(error, UnicodeEncodeError):
        character = ord(error.object[error.start])
        return f"the lone surrogate U+{character:04X}, which UTF-8 cannot carry; expected text that can be sent"
    return f'{error}; expected text that can be sent, or [template] escaping = "raw" to send it all the same'
