"""Reads values by name from a request that is not laid out as its template: by parameter, JSON key or XML element.

A proxy may write JSON anew, or add a parameter. That is a finding of its own, and no reason to judge nothing else. Told
is only what cannot be anything else: a place that the template leaves wholly to one token, and that is there once.
"""

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TypeGuard
from urllib.parse import unquote_plus
from xml.parsers import expat

from postback_conformance.judging.readings import PLAIN_JSON, PLAIN_XML, read_json, read_xml
from postback_conformance.judging.soundness import MARKS, mark, sample
from postback_conformance.judging.token_values import Value
from postback_conformance.judging.verdict import Where
from postback_conformance.judging.wanted_url import VARIABLE
from postback_sender.template import Format, Template
from postback_sender.template.context import Context
from postback_sender.template.places import placed_tokens
from postback_sender.template.unescaping import UNESCAPES

MAX_BYTES = 1_000_000
"""Of more than this, nothing is read by name."""
_ITEMS = 2


class _Step(Enum):
    """What is taken of a list: the entry of one that has no other, or each in turn, for the items."""

    ONLY = "only"
    EACH = "each"


# Names lead into objects and elements. An attribute is called @name, the text of an element #.
_Path = tuple[str | _Step, ...]
_Leaf = tuple[tuple[str | tuple[int, int], ...], str]
_TEXT = "#"


_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


class _Bare(str):
    """What stands without quotes in JSON."""

    __slots__ = ()


class NamedReading:
    """What one part of a request says by names; of items None when the template has none, or they cannot be told."""

    def __init__(self, values: Mapping[str, Value], items: tuple[dict[str, Value], ...] | None) -> None:
        self._values = values
        self.items = items
        self.texts = {name: value.text for name, value in values.items()}
        self.item_texts = (
            None if items is None else tuple([{name: value.text for name, value in item.items()} for item in items])
        )

    def value(self, name: str) -> Value:
        """Return one of the texts with its place."""
        return self._values[name]


class NamedReader:
    """Knows which name of a template holds which token; made once, used for any number of requests.

    `is_free` tells of a token whether its value can be any text.
    """

    def __init__(
        self, template: Template, text_format: Format, known: frozenset[str], is_free: Callable[[str], bool]
    ) -> None:
        vocabulary = template.vocabulary(known)
        placed = list(placed_tokens(template.nodes, text_format))
        self._format: Format = text_format
        self._is_free = is_free
        self._names = [vocabulary.spelled(one.node.name, one.join.variable if one.join else "") for one in placed]
        self._variables = [one.join.variable if one.join else "" for one in placed]
        self._is_bare = [one.context is Context.JSON_BARE for one in placed]
        self._is_read = [VARIABLE.fullmatch(one.node.name) is None for one in placed]
        self._parameters: dict[str, int] = {}
        self._parameter_names: frozenset[str] = frozenset()
        self._paths: dict[int, _Path] = {}
        self._sample: object = None
        if text_format in {"json", "xml"}:
            self._paths = self._found_paths("".join(sample(template, _ITEMS, self._written)).encode(errors="replace"))
        else:
            self._find_parameters(*("".join(sample(template, items, mark)) for items in (0, _ITEMS)))

    def read(self, data: bytes) -> NamedReading | None:
        """Return what can be told, None when nothing can; of JSON and XML only what is well formed may be asked."""
        if len(data) > MAX_BYTES:
            return None
        if self._format not in {"json", "xml"}:
            return NamedReading(self._by_parameter(data), None)
        if not self._paths:
            return None
        tree = _tree(data, self._format)
        return NamedReading(self._by_path(tree), self._items(tree))

    def _written(self, number: int, item: int) -> str:
        return f'"{mark(number, item)}"' if self._is_bare[number] else mark(number, item)

    def _find_parameters(self, without_items: str, with_items: str) -> None:
        pairs, all_pairs = (
            [(unquote_plus(name), value) for name, _, value in map(_halves, _query(written, self._format))]
            for written in (without_items, with_items)
        )
        # What comes once for each item may be there once as well.
        names = Counter(name for name, _ in all_pairs)
        self._parameter_names = frozenset(names)
        for name, value in set(pairs) & set(all_pairs):
            found = MARKS.fullmatch(value)
            if found is not None and names[name] == 1 and self._is_read[int(found[1])]:
                self._parameters[name] = int(found[1])

    def _by_parameter(self, data: bytes) -> dict[str, Value]:
        pairs: list[tuple[str, str]] = []
        for name, _, value in map(_halves, _query(data.decode("latin-1"), self._format)):
            pairs.append((unquote_plus(name, "latin-1").encode("latin-1").decode(errors="replace"), value))
        counts = Counter(name for name, _ in pairs)
        values: dict[int, Value] = {}
        names_after: list[str | None] = [*(name for name, _ in pairs[1:]), None]
        for (name, value), following in zip(pairs, names_after, strict=False):
            number = self._parameters.get(name)
            if number is None or counts[name] > 1 or _STRAY_PERCENT.search(value):
                continue
            token = self._names[number]
            # What the template does not have, or comes again, may be the rest of a value with an & in it.
            may_go_on = following is not None and (following not in self._parameter_names or counts[following] > 1)
            if may_go_on and self._is_free(token):
                continue
            try:
                text = UNESCAPES[Context.FORM_VALUE](value.encode("latin-1"))
            except ValueError:
                continue
            values[number] = Value(token, text, Where(parameter=name, token=token), self._format == "url")
        return _agreeing((self._names[number], value) for number, value in values.items())

    def _found_paths(self, written: bytes) -> dict[int, _Path]:
        if (read_json(written) is not PLAIN_JSON) if self._format == "json" else (read_xml(written) is not PLAIN_XML):
            return {}
        tree = self._sample = _tree(written, self._format)
        leaves: dict[int, list[_Leaf]] = {}
        for path, text in _leaves(tree):
            if (found := MARKS.fullmatch(text)) is not None and self._is_read[int(found[1])]:
                leaves.setdefault(int(found[1]), []).append((path, text))
        paths = {number: self._path(number, found) for number, found in leaves.items()}
        return {number: path for number, path in paths.items() if path is not None}

    def _path(self, number: int, leaves: Sequence[_Leaf]) -> _Path | None:
        """Return the way to a value, None when there may be other ways."""
        of_items = bool(self._variables[number])
        if len(leaves) != (_ITEMS if of_items else 1):
            return None
        steps: list[str | _Step] = []
        for step, other in zip(leaves[0][0], leaves[-1][0], strict=False):
            if isinstance(step, str):
                steps.append(step)
            elif (step, other) == ((0, _ITEMS), (1, _ITEMS)):
                steps.append(_Step.EACH)
            elif step == other == (0, 1) and self._format == "xml":
                steps.append(_Step.ONLY)
            else:
                return None
        return tuple(steps) if steps.count(_Step.EACH) == of_items else None

    def _by_path(self, tree: object) -> dict[str, Value]:
        found: list[tuple[str, Value]] = []
        for number, path in self._paths.items():
            text = None if _Step.EACH in path else self._text(number, _at(tree, path))
            if text is not None:
                name = self._names[number]
                pointer = _pointer(path) if self._format == "json" else None
                found.append((name, Value(name, text, Where(pointer=pointer, token=name))))
        return _agreeing(found)

    def _items(self, tree: object) -> tuple[dict[str, Value], ...] | None:
        heads: dict[_Path, list[tuple[int, _Path]]] = {}
        for number, path in self._paths.items():
            if _Step.EACH in path:
                at = path.index(_Step.EACH)
                heads.setdefault(path[:at], []).append((number, path[at + 1 :]))
        if len(heads) != 1:
            return None
        ((head, fields),) = heads.items()
        entries = _at(tree, head)
        if entries is None and self._format == "xml" and _is_object(around := _at(tree, head[:-1])):
            # Elements that the template does not have may be items under another name.
            known = _at(self._sample, head[:-1])
            is_known = _is_object(known) and all(name in known for name in around if name[0] not in "@#")
            return () if is_known else None
        if not _is_list(entries):
            return None
        return tuple([self._item(fields, entry) for entry in entries])

    def _item(self, fields: Sequence[tuple[int, _Path]], entry: object) -> dict[str, Value]:
        found: list[tuple[str, Value]] = []
        for number, path in fields:
            owner, _, field = self._names[number].rpartition(".")
            text = self._text(number, _at(entry, path))
            if owner == self._variables[number] and text is not None:
                found.append((field, Value(field, text, Where(token=f"*.{field}"), of_item=True)))
        return _agreeing(found)

    def _text(self, number: int, there: object) -> str | None:
        if isinstance(there, _Bare):
            return str(there) if self._is_bare[number] else None
        if not isinstance(there, str) or _HALF_CHARACTER.search(there):
            return None
        # Who lays out XML anew may put white space around a text.
        return None if self._format == "xml" and there != there.strip() else there


def _agreeing(found: Sequence[tuple[str, Value]] | Iterator[tuple[str, Value]]) -> dict[str, Value]:
    """Return the values by name; of one with two different texts, none."""
    values: dict[str, Value] = {}
    odd = set[str]()
    for name, value in found:
        if values.setdefault(name, value).text != value.text:
            odd.add(name)
    return {name: value for name, value in values.items() if name not in odd}


def _query(text: str, text_format: Format) -> list[str]:
    query = text.partition("?")[2] if text_format == "url" else text
    return query.split("&") if query else []


def _halves(parameter: str) -> tuple[str, str, str]:
    return parameter.partition("=")


def _tree(data: bytes, text_format: Format) -> object:
    """Return a text as nested objects and lists of strings."""
    return json.loads(data, parse_int=_Bare, parse_float=_Bare) if text_format == "json" else _element(data)


def _element(data: bytes) -> object:
    root: dict[str, object] = {}
    around: list[dict[str, object]] = [root]
    texts: list[list[str]] = [[]]

    def start(name: str, attributes: dict[str, str]) -> None:
        element: dict[str, object] = {f"@{attribute}": value for attribute, value in attributes.items()}
        siblings = around[-1].setdefault(name, [])
        if _is_list(siblings):
            siblings.append(element)
        around.append(element)
        texts.append([])

    def end(_name: str) -> None:
        element, text = around.pop(), "".join(texts.pop())
        # Blanks between elements are nobody's value.
        if all(name.startswith("@") for name in element):
            element[_TEXT] = text

    def characters(text: str) -> None:
        texts[-1].append(text)

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.Parse(data, True)
    return root


def _leaves(tree: object) -> Iterator[_Leaf]:
    waiting = deque[tuple[tuple[str | tuple[int, int], ...], object]]([((), tree)])
    while waiting:
        path, node = waiting.popleft()
        if isinstance(node, str):
            yield path, node
        elif _is_object(node):
            waiting += [((*path, name), member) for name, member in node.items()]
        elif _is_list(node):
            waiting += [((*path, (number, len(node))), entry) for number, entry in enumerate(node)]


def _at(node: object, path: _Path) -> object:
    """Return what stands at the end of a path, None when nothing does."""
    for step in path:
        if isinstance(step, str):
            node = node.get(step) if _is_object(node) else None
        else:
            node = node[0] if _is_list(node) and len(node) == 1 else None
    return _BARE_WORDS.get(node, node) if isinstance(node, bool) or node is None else node


def _is_object(node: object) -> TypeGuard[dict[str, object]]:
    return isinstance(node, dict)


def _is_list(node: object) -> TypeGuard[list[object]]:
    return isinstance(node, list)


def _pointer(path: _Path) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


_BARE_WORDS: dict[object, object] = {True: _Bare("true"), False: _Bare("false")}
