"""Whether captures arrived in the order that was wanted.

Each of the wanted requests has to arrive, in the order given. One may arrive again as long as the next one has not:
that is a resend. Once the next one has arrived, one that comes back is out of order. What is like none of them may
arrive at any time.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, TypeAlias

from postback_receiver.capture import Capture
from postback_receiver.errors import OutOfOrder
from postback_receiver.matching import Field, Match, Matcher, to_matcher
from postback_receiver.summary import excerpt, one_line

Key: TypeAlias = Field | Callable[[Capture], object]
"""What tells events apart: a field of the request, such as `query("id")`, or a function of a capture."""

_SHOWN_BEFORE: Final = 10


def check_order(captures: Iterable[Capture], matches: Sequence[Match], *, key: Key | None = None) -> None:
    """Return when the captures are in the order of the matches, with a key for each event by itself; else OutOfOrder.

    With a key, captures that are like none of the wanted ones are left out, and there has to be an event at all.
    """
    __tracebackhide__ = True
    wanted = [to_matcher(match) for match in matches]
    if key is not None:
        _check_key(key)
    if not wanted:
        raise ValueError("expected at least one matcher to tell an order by")
    events: dict[str, list[Capture]] = {}
    for capture in captures:
        if any(match.matches(capture) for match in wanted):
            events.setdefault("" if key is None else _key_text(key, capture), []).append(capture)
    if not events:
        raise OutOfOrder(f"Expected first a request with {wanted[0]}; none arrived.")
    for name, about in events.items():
        fault = _fault(about, wanted)
        if fault is not None:
            raise OutOfOrder(f"Of the event {excerpt(name)}: {fault}" if name else fault)


def key_function(key: Key) -> Callable[[Capture], str]:
    """A key as reply scripts take it: a text for each event."""
    _check_key(key)
    return lambda capture: _key_text(key, capture)


def _check_key(key: object) -> None:
    if not isinstance(key, Field) and not callable(key):
        raise TypeError(f'expected key as a field such as query("id"), or a function of a capture, got {key!r:.100}')


def _key_text(key: Key, capture: Capture) -> str:
    value = key.values(capture) if isinstance(key, Field) else key(capture)
    return value if isinstance(value, str) else repr(value)


def _fault(captures: Sequence[Capture], wanted: Sequence[Matcher]) -> str | None:
    """What is wrong with the order; None when nothing is."""
    # A request can be like several of the wanted ones, so all places it could stand at are followed at once.
    places = {-1}
    for number, capture in enumerate(captures):
        fitting = {place for place, match in enumerate(wanted) if match.matches(capture)}
        reached = fitting & {step for place in places for step in (place, place + 1)}
        if not reached:
            return _told(captures, number, wanted, places)
        places = reached
    last = max(places)
    if last < len(wanted) - 1:
        number = len(captures)
        return f"Expected next a request with {wanted[last + 1]}; none arrived after\n" + _listed(captures, number)
    return None


def _told(captures: Sequence[Capture], number: int, wanted: Sequence[Matcher], places: set[int]) -> str:
    following = max(places) + 1
    expected = f" with {wanted[following]}" if following < len(wanted) else " like the last one, or none"
    before = f" after\n{_listed(captures, number)}" if number else ""
    return f"Expected next a request{expected}{before}\nbut there came\n  {one_line(captures[number])}"


def _listed(captures: Sequence[Capture], end: int) -> str:
    first = max(0, end - _SHOWN_BEFORE)
    lines = [f"  {one_line(capture)}" for capture in islice(captures, first, end)]
    return "\n".join([f"  … {first} earlier ones", *lines] if first else lines)
