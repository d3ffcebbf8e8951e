"""The values of a match beside the places of the template that they were read from."""

from collections.abc import Iterator
from functools import lru_cache

from postback_sender.template import Format, Template
from postback_sender.template.matching import Match, TokenValue
from postback_sender.template.nodes import Join
from postback_sender.template.places import PlacedToken, placed_tokens


def placed_values(template: Template, text_format: Format, match: Match) -> Iterator[tuple[TokenValue, PlacedToken]]:
    """Yield each value with its place: first those outside joins, then those of each join, entry by entry."""
    outside, inside = _places(template, text_format)
    yield from zip(match.values, outside, strict=False)
    for entries, places in zip(match.joins, inside, strict=False):
        for entry in entries:
            yield from zip(entry, places, strict=False)


@lru_cache(maxsize=64)
def _places(template: Template, text_format: Format) -> tuple[list[PlacedToken], list[list[PlacedToken]]]:
    outside: list[PlacedToken] = []
    inside: dict[int, list[PlacedToken]] = {node.start: [] for node in template.nodes if isinstance(node, Join)}
    for placed in placed_tokens(template.nodes, text_format):
        (inside[placed.join.start] if placed.join else outside).append(placed)
    return outside, [*inside.values()]
