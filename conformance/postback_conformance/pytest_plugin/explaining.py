"""Explains why two of our records differ: which fields, and in bytes and lists where."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import msgspec

from postback_conformance.printable import printable

_LONGEST: Final = 60
_MOST_LINES: Final = 30


def explained(left: object, right: object) -> list[str] | None:
    """Return the lines that pytest shows for `assert left == right`, None where its own say as much.

    Values stand as they are in the test: the reader has them already.
    """
    name = _name(left)
    differences = list(_differences(left, right, ""))
    if not differences:
        return None
    more = len(differences) - _MOST_LINES
    rest = [f"… and {more} more"] if more > 0 else []
    return [
        f"two different {name}" if "of " not in name else f"two different {name}s",
        *differences[:_MOST_LINES],
        *rest,
    ]


def _name(value: object) -> str:
    """Return what a value is called: a record by its type, several by that of the first."""
    if isinstance(value, list | tuple):
        several = cast("Sequence[object]", value)
        return (
            f"{'lists' if isinstance(value, list) else 'tuples'} of {type(several[0]).__name__}" if several else "lists"
        )
    return f"{type(value).__name__}s"


def _differences(left: object, right: object, place: str) -> Iterator[str]:
    if left == right:
        return
    match left, right:
        case (msgspec.Struct(), msgspec.Struct()) if type(left) is type(right):
            for name in left.__struct_fields__:
                yield from _differences(getattr(left, name), getattr(right, name), f"{place}.{name}" if place else name)
        case Mapping(), Mapping():
            yield from _of_mappings(
                cast("Mapping[object, object]", left), cast("Mapping[object, object]", right), place
            )
        case ((list() | tuple()), (list() | tuple())):
            yield from _of_sequences(cast("Sequence[object]", left), cast("Sequence[object]", right), place)
        case bytes(), bytes():
            yield f"{place}: {_at(left, right)}"
        case str(), str():
            yield f"{place}: {_at(left, right)}"
        case _:
            yield f"{place}: {_shown(left)} != {_shown(right)}"


def _of_mappings(left: Mapping[object, object], right: Mapping[object, object], place: str) -> Iterator[str]:
    for key in {**left, **right}:
        where = f"{place}[{key!r}]"
        if key not in right:
            yield f"{where}: only on the left: {_shown(left[key])}"
        elif key not in left:
            yield f"{where}: only on the right: {_shown(right[key])}"
        else:
            yield from _differences(left[key], right[key], where)


def _of_sequences(left: Sequence[object], right: Sequence[object], place: str) -> Iterator[str]:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        yield from _differences(one, other, f"{place}[{index}]")
    if len(left) != len(right):
        longer, side = (left, "left") if len(left) > len(right) else (right, "right")
        first = min(len(left), len(right))
        yield f"{place}[{first}:]: {len(longer) - first} only on the {side}, the first: {_shown(longer[first])}"


def _at(left: bytes | str, right: bytes | str) -> str:
    """Return two texts from a little before the place at which they begin to differ."""
    if max(len(left), len(right)) <= _LONGEST:
        return f"{_shown(left)} != {_shown(right)}"
    same = next((index for index, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(left), len(right)) if same is None else same
    begin, unit = max(0, at - 10), "byte" if isinstance(left, bytes) else "character"
    parts = [_shown(text[begin : begin + _LONGEST - 10]) for text in (left, right)]
    return f"from {unit} {at} on: …{parts[0]} != …{parts[1]} ({len(left)} and {len(right)} long)"


def _shown(value: object) -> str:
    text = printable(repr(value))
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]}…"
