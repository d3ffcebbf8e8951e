"""An XML template as its fields, and the places where no value is safe or where the text itself is no XML.

Whether tags match is left to a parser: `probing` renders the template and has it read.
"""

import html
import re
from collections import Counter

from postback_conformance.lint import kinds
from postback_conformance.lint.fields import Field, Outline
from postback_conformance.lint.finding import Edit, Finding
from postback_conformance.lint.flat import JOIN, JOIN_END, MARKS, TOKEN, FlatText

# What a tag can begin with; any other `<` was meant as text. Every alternative that is not closed takes the rest.
_PIECE = re.compile(
    rf"<!--(?P<comment>.*?)(?:-->|\Z)|<!\[CDATA\[(?P<cdata>.*?)(?:\]\]>|\Z)|<\?(?P<instruction>.*?)(?:\?>|\Z)"
    rf"|<!(?P<declaration>[^>]*+)>?|<(?P<tag>/?[^\W\d][^\s<>/]*+(?:[^<>\"']|\"[^\"]*+\"|'[^']*+')*+)>?"
    rf"|<(?P<hole>/?[{TOKEN}][^<>]*+)>?|(?P<text>[^<]++|<)",
    re.DOTALL,
)
_NAME = re.compile(rf"/?([^\s<>/=\"'{MARKS}]+)")
_ATTRIBUTE = re.compile(r"""(?<![^\s=<>"'/])([^\s=<>"'/]++)\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s<>"']++)""")
_REFERENCE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);)(?:(?P<name>[A-Za-z]\w*);)?", re.ASCII)
_MARKUP = re.compile(rf"{_REFERENCE.pattern}|<", re.ASCII)
_ENTITY = re.compile(r"<!ENTITY\s++([^\s%>]++)")
_DECLARATION = "<?xml"


def xml_outline(flat: FlatText) -> Outline:
    """Return what can be read of an XML template."""
    reader = _Reader(flat)
    reader.read()
    return Outline(tuple(reader.fields), tuple(reader.findings))


class _Reader:
    def __init__(self, flat: FlatText) -> None:
        self._flat = flat
        self._open: list[str] = []
        self._open_by_name: Counter[str] = Counter()
        self._declared = frozenset(_ENTITY.findall(flat.text))
        self._has_document_type = "<!DOCTYPE" in flat.text
        self.fields: list[Field] = []
        self.findings: list[Finding] = []

    def read(self) -> None:
        for piece in _PIECE.finditer(self._flat.text):
            match piece.lastgroup:
                case "comment" | "declaration":
                    self._in_comment(piece)
                case "cdata":
                    self._field(self._name(), piece.start(), piece.end())
                case "instruction":
                    self._in_comment(piece)
                    self._instruction(piece)
                case "tag":
                    self._tag(piece)
                case "hole":
                    self._in_tag(piece.start(), piece.start("hole"), piece.end())
                case _:
                    self._markup(piece.start(), piece.end())
                    self._field(self._name(), piece.start(), piece.end())

    def _name(self, above: int = 1) -> str:
        return self._open[-above] if len(self._open) >= above else ""

    def _field(self, name: str, first: int, beyond: int, *, is_attribute: bool = False) -> None:
        if tokens := tuple(self._flat.tokens_in(first, beyond)):
            parent = self._name(1 if is_attribute else 2)
            self.fields.append(Field(name=name, parent=parent, place=first, tokens=tokens))

    def _in_comment(self, piece: re.Match[str]) -> None:
        place = self._flat.text.find(TOKEN, piece.start(), piece.end())
        if place >= 0:
            self.findings.append(
                self._flat.finding(
                    kinds.TOKEN_IN_COMMENT,
                    place,
                    message=f"{{{self._flat.tokens[place].name}}} stands in a comment or declaration",
                    advice="put the token into an element of its own",
                )
            )

    def _instruction(self, piece: re.Match[str]) -> None:
        flat = self._flat
        start = piece.start()
        if start == 0 or not re.match(r"<\?xml[\s?]", piece[0]):
            return
        before = flat.text[:start]
        is_blank = not before.strip("\ufeff \t\r\n")
        self.findings.append(
            flat.finding(
                kinds.DECLARATION,
                start,
                message=f"{'white space' if is_blank else 'something'} stands before the XML declaration",
                advice=f"begin the body with {_DECLARATION}",
                edits=[flat.edit(0, start, "")] if is_blank else (),
            )
        )

    def _tag(self, piece: re.Match[str]) -> None:
        flat, first, beyond = self._flat, piece.start("tag"), piece.end("tag")
        named = _NAME.match(flat.text, first, beyond)
        name = named[1] if named else ""
        is_end = flat.text[first] == "/"
        if not is_end:
            self._open.append(name)
            self._open_by_name[name] += 1
        seen: set[str] = set()
        position = named.end() if named else first
        for attribute in _ATTRIBUTE.finditer(flat.text, position, beyond):
            self._in_tag(piece.start(), position, attribute.start(2) - 1)
            self._attribute(piece.start(), attribute, seen)
            position = attribute.end()
        self._in_tag(piece.start(), position, beyond)
        if is_end and self._open_by_name[name]:
            while self._close() != name:
                pass
        elif not is_end and flat.text[beyond - 1] == "/":
            self._close()

    def _close(self) -> str:
        name = self._open.pop()
        self._open_by_name[name] -= 1
        return name

    def _attribute(self, tag: int, attribute: re.Match[str], seen: set[str]) -> None:
        flat, name, value = self._flat, attribute[1].strip(JOIN + JOIN_END), attribute[2]
        first, beyond = attribute.span(2)
        if value[0] in "\"'":
            self._markup(first + 1, beyond - 1)
            self._field(name, first, beyond, is_attribute=True)
        elif TOKEN in value:
            end = beyond - 1 if value.endswith("/") else beyond
            quotes = [flat.edit(first, first, flat.quote(first)), flat.insertion_after(end - 1, flat.quote(end - 1))]
            self._in_tag(tag, first, end, edits=quotes)
        if name in seen:
            self.findings.append(
                flat.finding(
                    kinds.DUPLICATE_ATTRIBUTE,
                    attribute.start(),
                    message=f"the attribute {name} is there a second time",
                    advice="give each attribute once; rename or remove one of the two",
                )
            )
        seen.add(name)

    def _in_tag(self, tag: int, first: int, beyond: int, *, edits: list[Edit] | None = None) -> None:
        """Find a token in a tag that no quotes are around; attributes with quotes have been left out."""
        flat = self._flat
        place = flat.text.find(TOKEN, first, beyond)
        if place < 0:
            return
        name = flat.tokens[place].name
        advice = f'write "{{{name}}}" with quotes' if edits else "put it into an attribute's quotes or between two tags"
        self.findings.append(
            flat.finding(
                kinds.TOKEN_IN_TAG,
                place,
                message=f"{{{name}}} stands in the tag that begins in line {self._flat.line(tag)}, without quotes",
                advice=advice,
                edits=edits or (),
            )
        )

    def _markup(self, first: int, beyond: int) -> None:
        flat = self._flat
        for found in _MARKUP.finditer(flat.text, first, beyond):
            if found["name"] in self._declared:
                continue
            # An entity may be declared in a file that the document type names.
            is_certain = not (found["name"] and self._has_document_type)
            place, replacement, end = found.start(), *_escaped(found)
            shown = flat.shown(place, found.end())
            self.findings.append(
                flat.finding(
                    kinds.MARKUP,
                    place,
                    message=f"{shown} is not XML here",
                    advice=f"write {replacement}" if shown == found[0] else "escape it",
                    edits=[flat.edit(place, end, replacement)] if is_certain else (),
                )
            )


def _escaped(found: re.Match[str]) -> tuple[str, int]:
    """Return what to write for a letter of markup, and where what it replaces ends."""
    if found[0] == "<":
        return "&lt;", found.end()
    character = html.unescape(found[0]) if found["name"] else found[0]
    if len(character) == 1 and character != "&":
        return f"&#{ord(character)};", found.end()
    return "&amp;", found.start() + 1
