"""Whether a template makes well-formed text of all plain values: then what reads by it need not be parsed to know.

A plain value holds nothing that means anything in its format, so it cannot change how the text around it reads.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import cast
from xml.parsers import expat

from postback_conformance.judging.readings import PLAIN_JSON, PLAIN_XML, read_json, read_xml
from postback_sender.template import Format, Template
from postback_sender.template.compiler import ITEMS
from postback_sender.template.context import Context
from postback_sender.template.nodes import Join, Node, Text, TokenNode, separator_of
from postback_sender.template.places import placed_tokens

_CONTEXTS: dict[Format, frozenset[Context]] = {
    "json": frozenset({Context.JSON_STRING}),
    "xml": frozenset({Context.XML_TEXT, Context.XML_ATTRIBUTE, Context.XML_CDATA}),
}
# With brackets, since a > right after them would end more than a text in XML.
_MARK = "]]mark{}.{}mark]]"
MARKS = re.compile(r"\]\]mark([0-9]+)\.([0-9]+)mark\]\]")
"""A value of a sample: the number of its token in reading order, and that of the item; from 0."""
# What stands after three items stands after more of them as well.
_NUMBERS_OF_ITEMS = range(4)


def is_sound(template: Template, text_format: Format) -> bool:
    """Tell whether nothing is odd about any text it makes of plain values: no fault, no key twice, no document type.

    Samples are looked at, with values that would show if they stood anywhere but in a string, a text or an attribute.
    """
    contexts = _CONTEXTS.get(text_format, frozenset())
    if not all(placed.context in contexts for placed in placed_tokens(template.nodes, text_format)):
        return False
    return bool(contexts) and all(_stands_sound(template, text_format, items) for items in _NUMBERS_OF_ITEMS)


def _stands_sound(template: Template, text_format: Format, items: int) -> bool:
    marked = "".join(sample(template, items, mark))
    empty = "".join(sample(template, items, lambda _number, _item: ""))
    try:
        both = [text.encode() for text in (marked, empty)]
    except UnicodeEncodeError:
        # Half a character in the template itself: nothing reads by it.
        return False
    if text_format == "json":
        return all(read_json(text) is PLAIN_JSON for text in both) and _holds_all(_strings(marked), marked)
    return all(read_xml(text) is PLAIN_XML for text in both) and _holds_all(_texts(marked), marked)


def _holds_all(places: str, whole: str) -> bool:
    return set(MARKS.findall(places)) == set(MARKS.findall(whole))


def mark(number: int, item: int) -> str:
    """Return the value that stands in a sample for a token, by its number and that of the item."""
    return _MARK.format(number, item)


def sample(template: Template, items: int, value: Callable[[int, int], str]) -> Iterator[str]:
    """Yield the text a template makes for so many items, with these values."""
    first = 0
    for node in template.nodes:
        match node:
            case Text(text):
                yield text
            case TokenNode():
                yield value(first, 0)
                first += 1
            case Join(body=body):
                if node.list_name == ITEMS:
                    for item in range(items):
                        yield separator_of(node, template.options) if item else ""
                        yield from _entry(body, first, item, value)
                elif template.options.unknown_token == "keep":
                    # A list that no event has is left as it is written.
                    yield node.source
                first += sum(isinstance(inner, TokenNode) for inner in body)


def _entry(body: Iterable[Node], first: int, item: int, value: Callable[[int, int], str]) -> Iterator[str]:
    numbers = count(first)
    for inner in body:
        yield inner.text if isinstance(inner, Text) else value(next(numbers), item)


def _strings(text: str) -> str:
    """Return all strings of a JSON text that are no keys, one to a line."""
    strings: list[str] = []
    waiting: list[object] = [json.loads(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            strings.append(node)
        elif isinstance(node, list | dict):
            of_any = cast("list[object] | dict[str, object]", node)
            waiting += of_any.values() if isinstance(of_any, dict) else of_any
    return "\n".join(strings)


def _texts(text: str) -> str:
    """Return all texts and values of attributes of an XML text."""
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.CharacterDataHandler = found.append
    parser.StartElementHandler = lambda _name, attributes: found.extend(attributes.values())
    parser.Parse(text.encode(), True)
    return "".join(found)
