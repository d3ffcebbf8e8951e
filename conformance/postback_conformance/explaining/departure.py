"""Where a text leaves its template, for people: the place in the text and the place in the template."""

from collections.abc import Iterable, Iterator

import msgspec

from postback_conformance.judging.wanted_url import VARIABLE, wanted_url
from postback_conformance.redaction import SHOWN, body_secret_spans, secret_spans
from postback_sender.template import Format, Template
from postback_sender.template.context import Context, scanner_for
from postback_sender.template.errors import excerpt, locate
from postback_sender.template.matching import Mismatch
from postback_sender.template.nodes import Join, Node, Text

# How much of the text is quoted, and how much of its line is looked at to draw the place.
_QUOTED_BYTES = 24
_LINE_BYTES = 400

_WHITE_SPACE = " \t\r\n"
_IN_WHITE_SPACE = "the white space differs from the template's; `match` compares bytes"


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """The first byte of a text at which it is not what its template says.

    `line` and `column` (from 1, in characters) are those of the text, `template_line` and `template_column` where the
    template says what was expected. `hint` says what may have happened, where that can be told.
    """

    position: int
    line: int
    column: int
    expected: str
    got: str
    excerpt: str
    template_line: int
    template_column: int
    hint: str = ""


def departure(
    template: Template, text: bytes, mismatch: Mismatch, *, text_format: Format, reveal: bool = False
) -> Departure:
    """Return where and how a text leaves the template; `mismatch` is what matching the two gave.

    Of the text, what is named like a secret is hidden unless `reveal` says otherwise.
    """
    is_spacing = text_format == "json" and _is_spacing(template, text, mismatch)
    place = locate(template.source, mismatch.offset)[:2]
    hidden = [] if reveal else [*body_secret_spans(text, text_format)]
    found = _departure(mismatch, _blotted(text, hidden), position=mismatch.position, beyond=len(text), place=place)
    expected = _marked(mismatch.expected, template.source, mismatch.offset)
    return msgspec.structs.replace(found, expected=expected, hint=_IN_WHITE_SPACE if is_spacing else "")


def url_departure(url: Template, target: Template, text: bytes, *, data: bytes, first: int, reveal: bool) -> Departure:
    """Return where and how a URL leaves the template of its target; `text` stands in `data` from `first` on.

    What is secret, in the data and in the settings' own URL, is hidden unless `reveal` says otherwise.
    """
    own, places = _in_its_own_text(target)
    mismatch = own.match(text, context="url")
    if not isinstance(mismatch, Mismatch):
        raise TypeError("a URL that matches leaves its template nowhere")
    at, start = max((place for place in places if place[0] <= mismatch.offset), default=(0, 0))
    place = locate(url.source, min(start + mismatch.offset - at, len(url.source)))[:2]
    position = max(0, first + mismatch.position)
    beyond = first + len(text)
    hidden = [] if reveal else [*_hidden_spans(url, text, data, first)]
    found = _departure(mismatch, _blotted(data, hidden), position=position, beyond=beyond, place=place)
    is_hidden = any(begin <= position < end for begin, end in hidden)
    expected = _marked(mismatch.expected, own.source, mismatch.offset)
    return msgspec.structs.replace(
        found,
        expected=expected if reveal else _without_secrets(own, mismatch, expected),
        got=SHOWN if is_hidden and not mismatch.is_value else found.got,
    )


def _departure(mismatch: Mismatch, data: bytes, *, position: int, beyond: int, place: tuple[int, int]) -> Departure:
    line, column, drawing = _place(data, position)
    quoted = data[position : min(beyond, position + _QUOTED_BYTES)].decode("utf-8", "replace")
    got = _marked(repr(quoted), data.decode("latin-1"), position) if quoted else "the end"
    return Departure(
        position=position,
        line=line,
        column=column,
        expected=mismatch.expected,
        got=mismatch.got if mismatch.is_value else got,
        excerpt=drawing,
        template_line=place[0],
        template_column=place[1],
    )


def _marked(quoted: str, whole: str, offset: int) -> str:
    """Return a quotation that says when it begins in the middle of a word."""
    is_inside = offset > 0 and whole[offset - 1 : offset + 1].isalnum() and offset < len(whole)
    return f"…{quoted}" if is_inside and quoted[:1] in {"'", '"'} else quoted


def _place(data: bytes, position: int) -> tuple[int, int, str]:
    """Return the line and column of a byte, and its line with a caret below it."""
    line_start = data.rfind(b"\n", 0, position) + 1
    column = len(data[line_start:position].decode("utf-8", "replace")) + 1
    before = data[max(line_start, position - _LINE_BYTES) : position].decode("utf-8", "replace")
    after = data[position : position + _LINE_BYTES].partition(b"\n")[0].decode("utf-8", "replace")
    return data.count(b"\n", 0, position) + 1, column, excerpt(before + after, len(before) + 1)


def _is_spacing(template: Template, text: bytes, mismatch: Mismatch) -> bool:
    """Tell whether nothing but the white space between two pieces of JSON differs at that place."""
    wanted = template.source[mismatch.offset :]
    there = text[mismatch.position :].decode("utf-8", "replace")
    if mismatch.is_value or not (wanted[:1] in _WHITE_SPACE or there[:1] in _WHITE_SPACE):
        return False
    scanner = scanner_for("json")
    scanner.feed(text[: mismatch.position].decode("utf-8", "replace"))
    following = wanted.lstrip(_WHITE_SPACE).removeprefix("\\")[:1]
    # What stands for a token may begin with anything.
    is_same = following in {"{", there.lstrip(_WHITE_SPACE)[:1]}
    return is_same and scanner.context is Context.JSON_BARE


def _in_its_own_text(template: Template) -> tuple[Template, list[tuple[int, int]]]:
    """Return the template with its text, as it travels, for a source, and where each node stands there and stood."""
    nodes: list[Node] = []
    places: list[tuple[int, int]] = []
    source = ""
    for node in template.nodes:
        places.append((len(source), node.start))
        nodes.append(_moved(node, len(source) - node.start))
        source += node.text if isinstance(node, Text) else node.source
    return Template(source, tuple(nodes), options=template.options, name=template.name), places


def _moved(node: Node, by: int) -> Node:
    start = node.start + by
    match node:
        case Text(text):
            return Text(text, start, start + len(text))
        case Join(body=body):
            inner = tuple(msgspec.structs.replace(each, start=each.start + by, end=each.end + by) for each in body)
            return msgspec.structs.replace(node, body=inner, start=start, end=node.end + by)
        case _:
            return msgspec.structs.replace(node, start=start, end=node.end + by)


def _without_secrets(own: Template, mismatch: Mismatch, expected: str) -> str:
    """Return what was expected up to the first secret that is written into the settings."""
    if mismatch.is_value or expected[:1] not in {"'", '"', "…"}:
        return expected
    texts = (node for node in own.nodes if isinstance(node, Text) and node.start <= mismatch.offset < node.end)
    end = min((node.end for node in texts), default=len(own.source))
    for begin, beyond in secret_spans(own.source):
        if begin <= mismatch.offset < beyond:
            return SHOWN
        if mismatch.offset < begin < min(end, mismatch.offset + _QUOTED_BYTES):
            return _marked(repr(own.source[mismatch.offset : begin] + SHOWN), own.source, mismatch.offset)
    return expected


def _hidden_spans(url: Template, text: bytes, data: bytes, first: int) -> Iterator[tuple[int, int]]:
    """Yield where in a URL a secret stands, or what came from the environment may stand."""
    yield from secret_spans(data.decode("latin-1"))
    wanted = wanted_url(url)
    yield from ((first + begin, first + end) for begin, end in wanted.hidden_spans(text.decode("latin-1")))
    if wanted.hides_path and not wanted.path_lead:
        # The server itself may have come from there.
        yield 0, first
    if VARIABLE.search(url.source):
        yield first + len(text), len(data)


def _blotted(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Return bytes with as many asterisks as its secrets have letters."""
    blotted = bytearray(data)
    for start, end in spans:
        blotted[start:end] = b"*" * (end - start)
    return bytes(blotted)
