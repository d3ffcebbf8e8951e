"""Which values of a template can be read back for certain.

A value's place is unmistakable when what follows it, and what follows the value before it, is something that no escaped
value can hold. Everywhere else the reading is a guess, and the text may mean something else.
"""

from collections.abc import Iterator, Sequence

from postback_sender.template import Format, Template
from postback_sender.template.compiler import ITEMS
from postback_sender.template.context import Context
from postback_sender.template.nodes import Join, Node, Text, TokenNode, separator_of
from postback_sender.template.places import placed_tokens
from postback_sender.template.unescaping import ends_value

# What can come right after a value: a literal, empty at the end of the text; None for anything else.
_Followers = Sequence[bytes | None]


def certainties(template: Template, text_format: Format) -> tuple[bool, ...]:
    """Tell of each token, in reading order and those in joins too, whether both ends of its value are unmistakable.

    With `escaping = "raw"` a value can imitate anything, and none is certain.
    """
    contexts = [placed.context for placed in placed_tokens(template.nodes, text_format)]
    if template.options.escaping == "raw":
        return (False,) * len(contexts)
    return tuple(_certainties(template, iter(contexts)))


def _certainties(template: Template, contexts: Iterator[Context]) -> Iterator[bool]:
    begins_clear, is_lost = True, False
    for node, followers in _with_followers(template.nodes, [b""]):
        if isinstance(node, TokenNode):
            ends_clear = _is_end(followers, next(contexts)) and not is_lost
            yield begins_clear and ends_clear
            begins_clear = ends_clear
        elif isinstance(node, Join):
            # Once it is open how many items there are, it is open where everything after them stands.
            is_lost = is_lost or not _is_counted(node, template, followers)
            ends = [_is_end(after, next(contexts)) for after in _followers_in(node, template, followers)]
            # An item follows what was before all of them, or the item before it.
            begins_clear = begins_clear and all(ends[-1:]) and not is_lost
            begins = [begins_clear, *ends]
            yield from (begins_clear and begin and end for begin, end in zip(begins, ends, strict=False))


def _is_counted(join: Join, template: Template, after: _Followers) -> bool:
    """Tell whether the text after a join cannot be taken for one more item."""
    if join.list_name != ITEMS or not join.body or not isinstance(join.body[0], Text):
        return False
    lead = _bytes(join.body[0].text)
    items = (lead, _bytes(separator_of(join, template.options)) + lead)
    return all(text is not None and (not text or not any(_may_be(text, item) for item in items)) for text in after)


def _may_be(text: bytes, other: bytes) -> bool:
    return text.startswith(other) or other.startswith(text)


def _followers_in(join: Join, template: Template, after: _Followers) -> list[_Followers]:
    """Return what can follow each token of a join's body."""
    separator = separator_of(join, template.options)
    first = join.body[0] if join.body else None
    between = separator or (first.text if isinstance(first, Text) else "")
    last = [_bytes(between) or None, *after]
    return [followers for node, followers in _with_followers(join.body, last) if isinstance(node, TokenNode)]


def _with_followers(nodes: Sequence[Node], last: _Followers) -> Iterator[tuple[Node, _Followers]]:
    for node, after in zip(nodes, [*nodes[1:], None], strict=True):
        yield node, last if after is None else [_bytes(after.text) if isinstance(after, Text) else None]


def _is_end(followers: _Followers, context: Context) -> bool:
    return all(literal is not None and ends_value(literal, context) for literal in followers)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
