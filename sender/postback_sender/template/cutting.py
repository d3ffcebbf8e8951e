"""Cuts a template into what reads a text: at its joins, and between them at its tokens."""

import re
from collections.abc import Iterator, Sequence

from postback_sender.template.compiler import ITEMS
from postback_sender.template.context import Context, Format, scanner_for
from postback_sender.template.literal import Literal, literal_of
from postback_sender.template.nodes import Join, Node, Text, TokenNode, separator_of
from postback_sender.template.options import TemplateOptions
from postback_sender.template.patterns import piece_pattern
from postback_sender.template.runs import Beyond, Piece, RepeatedRun, Run


class Cutter:
    """Cuts a template at its joins and its tokens, following in which context each token stands."""

    def __init__(self, text_format: Format, options: TemplateOptions, source: str) -> None:
        self._scanner = scanner_for(text_format)
        self._options = options
        self._source = source

    def parts(self, nodes: Sequence[Node]) -> Iterator[Run | RepeatedRun]:
        """Yield what reads a text of these nodes, part after part."""
        begun = begin = 0
        for index, node in enumerate(nodes):
            if isinstance(node, Join) and node.list_name == ITEMS:
                following = self._following(nodes[index + 1 : index + 2])
                opening = self._opening(node.body)
                separator = separator_of(node, self._options).encode(errors="surrogatepass")
                between = Literal(data=separator, texts=(), begin=node.start, source=self._source)
                again = between if separator else opening
                yield self._run(nodes[begun:index], begin, _beyond(opening, following))
                # An entry begins where its own text begins, not at the braces around the join.
                body_begin = node.body[0].start if node.body else node.start
                yield RepeatedRun(self._run(node.body, body_begin, _beyond(following, again)), separator)
                begun, begin = index + 1, node.end
        yield self._run(nodes[begun:], begin, _beyond(self._following([])))

    def _run(self, nodes: Sequence[Node], begin: int, beyond: Beyond) -> Run:
        tokens: list[tuple[TokenNode, Context]] = []
        # The first literal has no token before it.
        literals: list[list[Text]] = [[]]
        for node in nodes:
            match node:
                case Text(text):
                    self._scanner.feed(text)
                    literals[-1].append(node)
                case TokenNode():
                    tokens.append((node, Context.RAW if self._options.escaping == "raw" else self._scanner.context))
                    literals.append([])
                case Join():
                    # A list that no event has is left as it is written.
                    kept = node.source if self._options.unknown_token == "keep" else ""
                    literals[-1].append(Text(kept, node.start, node.end))
        lead, *rest = (
            literal_of(texts, begin=at, source=self._source)
            for texts, at in zip(literals, [begin, *(token.end for token, _ in tokens)], strict=True)
        )
        pieces = [
            Piece(token, context, literal, end, piece_pattern(context, literal.data, end))
            for (token, context), literal, end in zip(
                tokens, rest, [*[b""] * (len(tokens) - 1), beyond.pattern], strict=False
            )
        ]
        return Run(lead, pieces, beyond)

    def _following(self, nodes: Sequence[Node]) -> Literal | None:
        """Return the literal that comes next: the end of everything where nothing does, None where a token does."""
        match nodes:
            case [Text() as text]:
                return literal_of([text], begin=text.start, source=self._source)
            case []:
                return literal_of([], begin=len(self._source), source=self._source)
            case _:
                return None

    def _opening(self, body: Sequence[Node]) -> Literal | None:
        return self._following(body[:1]) if body else None


def _beyond(*literals: Literal | None) -> Beyond:
    known = tuple(literal for literal in literals if literal is not None)
    patterns = [re.escape(literal.data) if literal.texts or literal.data else rb"\Z" for literal in known]
    return Beyond(b"(?=" + b"|".join(patterns) + b")" if len(known) == len(literals) else b"", known)
