"""Reads the value of a token back from a captured request, by running the notification's templates backwards.

A value is told only when its place is unmistakable (`certainty`). Anything else would be a guess, and a verdict would
rest on it.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote

from postback_conformance.certainty import certainties
from postback_conformance.wanted_url import VARIABLE
from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.template import Format, Template
from postback_sender.template.matching import Match
from postback_sender.template.nodes import Node, Text, TokenNode
from postback_sender.template.places import placed_tokens

# Everything that a request line holds as it is, so that only blanks, control characters and raw UTF-8 are encoded.
_AS_WRITTEN = "".join(map(chr, range(0x21, 0x7F)))


def token_value(notification: Notification, capture: Capture, token: str) -> str | None:
    """Return the value of a token in a capture, unescaped, or None when it cannot be told.

    Of a request that differs from its template anywhere, and of a template with `escaping = "raw"`, nothing is told.
    """
    if notification.template.escaping == "raw":
        return None
    if (target := target_template(notification.url)) is not None and token in target.names:
        path, question_mark, query = capture.path, *capture.target.partition("?")[1:]
        found = _values(target, "url", f"{path}{question_mark}{query}".encode("latin-1")).get(token)
        if found is not None:
            return found
    body = notification.body
    if body is None or token not in body.names or capture.truncated or _is_encoded(capture):
        return None
    return _values(body, notification.body_format, capture.body).get(token)


@lru_cache(maxsize=64)
def target_template(url: Template) -> Template | None:
    """Return the template of a request line's target, or None when a token stands before the path.

    Variables of the environment are unknown here, and become wildcards.
    """
    match url.nodes:
        case (Text(text, start, end), *rest) if (begin := _path_start(text, is_all=not rest)) is not None:
            lead = text[begin:] if text[begin:].startswith("/") else f"/{text[begin:]}"
            nodes = tuple(_on_the_wire(_without_fragment((Text(lead, start + begin, end), *rest))))
        case _:
            return None
    return Template(url.source, nodes, options=url.options, name=url.name)


# Several rules ask about the same capture, one after the other.
@lru_cache(maxsize=4)
def _values(template: Template, text_format: Format, data: bytes) -> dict[str, str]:
    """Return the values that stand at unmistakable places; of a token with two different values, none."""
    match = template.match(data, context=text_format)
    if not isinstance(match, Match):
        return {}
    found: dict[str, set[str]] = {}
    for value, is_certain in zip(match.values, _certain(template, text_format), strict=True):
        if is_certain:
            found.setdefault(value.name, set()).add(value.value)
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


@lru_cache(maxsize=64)
def _certain(template: Template, text_format: Format) -> tuple[bool, ...]:
    """Tell of each token outside joins whether both ends of its value are unmistakable."""
    placed = placed_tokens(template.nodes, text_format)
    certain = certainties(template, text_format)
    return tuple(is_certain for token, is_certain in zip(placed, certain, strict=True) if token.join is None)


def _on_the_wire(nodes: Iterable[Node]) -> Iterator[Node]:
    """Write literal text as a request line holds it, and unknown variables as tokens."""
    for node in nodes:
        if not isinstance(node, Text):
            yield node
            continue
        position = 0
        for found in VARIABLE.finditer(node.text):
            if position < found.start():
                yield Text(
                    quote(node.text[position : found.start()], safe=_AS_WRITTEN), node.start + position, node.end
                )
            yield TokenNode(found[0], found[0], node.start + found.start(), node.start + found.end())
            position = found.end()
        if position < len(node.text):
            yield Text(quote(node.text[position:], safe=_AS_WRITTEN), node.start + position, node.end)


def _path_start(text: str, *, is_all: bool) -> int | None:
    """Return where scheme and host end; None when something unknown stands among them."""
    begin = text.find("://") + len("://")
    places = [place for place in (text.find(letter, begin) for letter in "/?#") if place >= 0]
    return min(places) if places else len(text) if is_all else None


def _without_fragment(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node, Text) and "#" in node.text:
            if lead := node.text.partition("#")[0]:
                yield Text(lead, node.start, node.end)
            return
        yield node


def _is_encoded(capture: Capture) -> bool:
    return any(coding.strip().lower() != "identity" for coding in capture.header("Content-Encoding"))
