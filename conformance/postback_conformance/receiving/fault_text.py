"""Faults as settings name them: `reset mid-body`, `slow-headers 2s`, `dribble 1 byte per 100ms`.

A capture names a fault in the same words, so what it says can be written into a `receiver.toml` again.
"""

import re
from collections.abc import Callable
from typing import cast

from postback_receiver import (
    Fault,
    accepted_then_lost,
    bad_chunk,
    close,
    down,
    dribble,
    garbage,
    never_answer,
    reset,
    slow_headers,
    wrong_content_length,
)
from postback_receiver.faults import Place
from postback_sender.quantities import NANOSECONDS_PER_SECOND, parse_duration
from postback_sender.settings_table import did_you_mean

_SPAN = r"(\d\S*)"
_PLACE = r"(?: (after-headers|mid-body))?"

# Each name with the form of the whole, the pattern of what follows the name, and what is made of that.
_FORMS: dict[str, tuple[str, str, Callable[[re.Match[str]], Fault]]] = {
    "never-answer": ("never-answer", "", lambda _: never_answer()),
    "slow-headers": ("slow-headers 2s", f" {_SPAN}", lambda found: slow_headers(_seconds(found[1]))),
    "dribble": (
        "dribble 1 byte per 100ms",
        rf" (\d{{1,9}}) bytes? per {_SPAN}",
        lambda found: dribble(int(found[1]), every=_seconds(found[2])),
    ),
    "close": ("close, close after-headers or close mid-body", _PLACE, lambda found: close(_place(found[1]))),
    "reset": ("reset, reset after-headers or reset mid-body", _PLACE, lambda found: reset(_place(found[1]))),
    "accepted-then-lost": ("accepted-then-lost", "", lambda _: accepted_then_lost()),
    "content-length": (
        "content-length +10 or content-length -3",
        r" ([+-]\d{1,12})",
        lambda found: wrong_content_length(int(found[1])),
    ),
    "bad-chunk": ("bad-chunk", "", lambda _: bad_chunk()),
    "garbage": (
        "garbage or garbage 100 bytes",
        r"(?: (\d{1,9}) bytes?)?",
        lambda found: garbage(int(found[1])) if found[1] else garbage(),
    ),
    "down": ("down 5s", f" {_SPAN}", lambda found: down(_seconds(found[1]))),
}


def parse_fault(text: str) -> Fault:
    """Return the fault of a text, or raise ValueError or QuantityError with what was expected."""
    words = text.split()
    name = words[0] if words else ""
    if name not in _FORMS:
        hint = did_you_mean(name, _FORMS)
        raise ValueError(f"expected a fault such as {', '.join(_FORMS)}, got {text!r}{hint}")
    form, pattern, build = _FORMS[name]
    found = re.fullmatch(re.escape(name) + pattern, " ".join(words), re.ASCII)
    if found is None:
        raise ValueError(f"expected {form}, got {text!r}")
    return build(found)


def _seconds(text: str) -> float:
    return parse_duration(text) / NANOSECONDS_PER_SECOND


def _place(text: str | None) -> Place:
    return "start" if text is None else cast(Place, text)
