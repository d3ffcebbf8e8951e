r"""Template text to nodes, by recursive descent; any text gives nodes or a `TemplateSyntaxError`.

template := (text | '\{' | '\}' | '\"' | token | join)*
token    := '{' name ('.' name)? '}'
join     := '{' 'join' '(' list ',' var ',' '"' template '"' [',' '"' separator '"'] ')' '}'   (joins do not nest)
"""

import difflib
from typing import NoReturn

from postback_sender.template.errors import TemplateSyntaxError
from postback_sender.template.lexer import Kind, Lexeme, Lexer
from postback_sender.template.nodes import Join, Node, Text, TokenNode
from postback_sender.template.options import TemplateOptions


def parse_nodes(source: str, *, options: TemplateOptions, name: str) -> tuple[Node, ...]:
    """Return the nodes of a template; `name` is what errors call it, such as a file name."""
    return _Parser(source, options, name).template(quoted=False)


class _Parser:
    def __init__(self, source: str, options: TemplateOptions, name: str) -> None:
        self._lexer = Lexer(source)
        self._options = options
        self._name = name

    def template(self, *, quoted: bool) -> tuple[Node, ...]:
        """Read up to the end, or up to and over the closing quote."""
        nodes: list[Node] = []
        opened_at = self._lexer.position - 1
        while True:
            lexeme = self._lexer.next_in_text(quoted=quoted)
            match lexeme.kind:
                case Kind.QUOTE:
                    return _merge_texts(nodes)
                case Kind.END if quoted:
                    self._fail('this quote is never closed: expected a "', opened_at)
                case Kind.END:
                    return _merge_texts(nodes)
                case Kind.TOKEN:
                    nodes.append(self._token(lexeme))
                case Kind.FUNCTION:
                    nodes.append(self._function(lexeme, nested=quoted))
                case _:
                    nodes.append(self._text(lexeme))

    def _text(self, lexeme: Lexeme) -> Text:
        is_bare_brace = lexeme.text == "{" and lexeme.end - lexeme.start == 1
        if is_bare_brace and self._options.dangling_brace == "error":
            self._fail(r"expected a token after '{', such as {Payout}; write \{ for a brace that is text", lexeme.start)
        return Text(lexeme.text, lexeme.start, lexeme.end)

    def _token(self, lexeme: Lexeme) -> TokenNode:
        source = self._lexer.source[lexeme.start : lexeme.end]
        if self._options.name_white_space == "error" and len(source) != len(lexeme.text) + 2:
            self._fail(f"expected {{{lexeme.text}}} without white space inside the braces", lexeme.start)
        return TokenNode(lexeme.text, source, lexeme.start, lexeme.end)

    def _function(self, opening: Lexeme, *, nested: bool) -> Join:
        if opening.text != "join":
            hint = "did you mean join?" if difflib.get_close_matches(opening.text.lower(), ["join"]) else ""
            known = 'the only function is {join(items, i, "…")}'
            self._fail(f"unknown function {opening.text!r}; {hint or known}", opening.start)
        if nested:
            self._fail("a join inside a join: there is only one list, and its entries hold no lists", opening.start)
        list_name = self._expect("the name of a list, such as items", Kind.NAME)
        self._expect(f"',' after the list {list_name.text!r}", Kind.COMMA)
        variable = self._expect("the name of a variable, such as i", Kind.NAME)
        self._expect(f"',' after the variable {variable.text!r}", Kind.COMMA)
        self._expect("'\"' to open the text that is repeated", Kind.QUOTE)
        body = self.template(quoted=True)
        ending = self._expect("',' and a separator, or ')}'", Kind.COMMA, Kind.CLOSE)
        separator = None
        if ending.kind is Kind.COMMA:
            separator = self._separator()
            ending = self._expect("')}' after the separator", Kind.CLOSE)
        source = self._lexer.source[opening.start : ending.end]
        return Join(list_name.text, variable.text, body, separator, source, opening.start, ending.end)

    def _separator(self) -> str:
        self._expect("'\"' to open the separator", Kind.QUOTE)
        texts: list[str] = []
        for node in self.template(quoted=True):
            if not isinstance(node, Text):
                self._fail("expected plain text as the separator, got a token", node.start)
            texts.append(node.text)
        return "".join(texts)

    def _expect(self, expected: str, *kinds: Kind) -> Lexeme:
        lexeme = self._lexer.next_in_arguments()
        if lexeme.kind not in kinds:
            got = f"{lexeme.text!r}" if lexeme.text else lexeme.kind.value
            self._fail(f"expected {expected}, got {got}", lexeme.start)
        return lexeme

    def _fail(self, message: str, offset: int) -> NoReturn:
        raise TemplateSyntaxError(message, source=self._lexer.source, offset=offset, name=self._name)


def _merge_texts(nodes: list[Node]) -> tuple[Node, ...]:
    """Join neighbouring texts, so that a scanner sees an escaped brace and what follows it as one run."""
    merged: list[Node] = []
    run: list[Text] = []
    for node in [*nodes, None]:
        if isinstance(node, Text):
            run.append(node)
            continue
        if run:
            merged.append(Text("".join(text.text for text in run), run[0].start, run[-1].end))
            run = []
        if node is not None:
            merged.append(node)
    return tuple(merged)
