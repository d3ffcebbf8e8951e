"""Faults: what goes wrong with an answer on purpose. Each changes the plan of an answer, and is named on the capture.

Reply(body=b"OK", faults=(slow_headers(2), dribble(1, every=0.1)))      # slow, and whole in the end
Reply(body=b"OK", faults=(accepted_then_lost(),))                       # taken, and the sender never hears of it

Several are applied in the order they are written in. What makes no sense together is refused: each fault says which
features of an answer it works on, and which of them it leaves to no other.
"""

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import partial
from itertools import combinations
from typing import Final, Literal, TypeAlias, get_args

from msgspec.structs import replace

from postback_receiver.answer_plan import (
    NO_BODY,
    Close,
    GoDown,
    Part,
    Pause,
    Plan,
    Reset,
    Send,
    Silence,
    Step,
    cut_body,
)
from postback_receiver.chance import draw

Place: TypeAlias = Literal["start", "after-headers", "mid-body"]
"""Where a connection is cut: before anything was sent, between headers and body, or in the middle of the body."""

MAX_SECONDS: Final = 86_400.0
"""A day. Longer is a slip of the pen: every sender has given up by then."""

MAX_GARBAGE_BYTES: Final = 1024 * 1024

_USUAL_GARBAGE_BYTES: Final = 64
_HEADER_PIECES: Final = 20
_NS: Final = 1_000_000_000
_CONTENT_LENGTH: Final = re.compile(rb"\r\nContent-Length: (\d+)(?=\r\n)")


class Feature(Flag):
    """What of an answer a fault works on."""

    HEADER_PACE = auto()
    BODY = auto()
    BODY_PACE = auto()
    LENGTH = auto()
    END = auto()
    EVERYTHING = HEADER_PACE | BODY | BODY_PACE | LENGTH | END

    @property
    def words(self) -> str:
        """The features, for a person."""
        return ", ".join(str(one.name).lower().replace("_", " ") for one in self)


_NOTHING: Final = Feature(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misbehaviour: a function from plan to plan, under the name it has on a capture.

    It `needs` some features of an answer, and those it `takes` it leaves to no other fault. `least_body` is how many
    bytes of body it needs to show. `hides_answer` says that no answer was meant to be given at all. With a
    `probability` below 1 it happens by chance, which `seed`, the event and its turn decide.
    """

    label: str
    change: Callable[[Plan], Plan] = field(compare=False, repr=False)
    takes: Feature
    needs: Feature = _NOTHING
    least_body: int = 0
    hides_answer: bool = False
    probability: float = 1.0
    seed: int = 0

    def __call__(self, plan: Plan) -> Plan:
        """Return the plan with this fault in it."""
        return self.change(plan)

    @property
    def needs_body(self) -> bool:
        """Whether it shows in a body only, and so not on an answer that has none, as to a HEAD."""
        is_framing = Feature.LENGTH in self.takes and self.takes is not Feature.EVERYTHING
        return self.least_body > 0 or is_framing

    def conflict(self, other: "Fault") -> Feature:
        """The features that both would need for themselves; empty, and so false, when the two go together."""
        return (self.takes & (other.needs | other.takes)) | (other.takes & self.needs)

    def happens(self, key: str, turn: int, index: int) -> bool:
        """Whether it does on an event's turn; `index` is its place among the faults of the reply."""
        return self.probability >= 1 or draw(self.seed, f"fault {index}", key, turn) < self.probability


def never_answer() -> Fault:
    """The request is taken and nothing comes back; the connection stays open until the sender leaves."""
    return _instead("never-answer", Silence(), hides_answer=True)


def slow_headers(seconds: float) -> Fault:
    """The head of the answer takes this long to arrive."""
    ns = duration_ns("slow_headers", seconds)
    return Fault(label=f"slow-headers {span(ns)}", change=partial(_slow_headers, ns), takes=Feature.HEADER_PACE)


def dribble(size: int = 1, *, every: float) -> Fault:
    """The body arrives in pieces of `size` bytes, one every so many seconds."""
    ns = duration_ns("dribble", every)
    if size < 1:
        raise ValueError(f"dribble: a piece has 1 byte or more, not {size}")
    return Fault(
        label=f"dribble {_bytes(size)} per {span(ns)}",
        change=partial(_dribble, size, ns),
        takes=Feature.BODY_PACE,
        needs=Feature.BODY,
        least_body=size + 1,
    )


def close(place: Place = "start") -> Fault:
    """The connection is closed in good order (FIN), but too early."""
    return _cut("close", place, Close())


def reset(place: Place = "start") -> Fault:
    """The connection is torn down: the sender gets a real TCP RST ("connection reset by peer")."""
    return _cut("reset", place, Reset())


def accepted_then_lost() -> Fault:
    """The request is recorded with the answer it was to get, and the connection is torn down before that leaves.

    The sender has to take it for lost and sends it again, the receiver has it already: this is what makes duplicates.
    """
    return _instead("accepted-then-lost", Reset(), hides_answer=False)


def wrong_content_length(by: int) -> Fault:
    """The head promises `by` bytes more than come, or fewer when negative; the connection goes on as if that was so."""
    if not by or abs(by) > 1 << 40:
        raise ValueError(f"wrong_content_length: expected a number of bytes other than 0, got {by}")
    return Fault(
        label=f"content-length {by:+d}",
        change=partial(_wrong_content_length, by),
        takes=Feature.LENGTH,
        least_body=max(0, -by),
    )


def bad_chunk() -> Fault:
    """A chunked body: its first half is a good chunk, the size of the next one cannot be read, and then it ends."""
    return Fault(label="bad-chunk", change=_bad_chunk, takes=Feature.LENGTH | Feature.END)


def garbage(size: int = _USUAL_GARBAGE_BYTES) -> Fault:
    """Bytes that are no HTTP, the same ones each time, and then the end."""
    if not 1 <= size <= MAX_GARBAGE_BYTES:
        raise ValueError(f"garbage: expected 1 to {MAX_GARBAGE_BYTES} bytes, got {size}")
    data = hashlib.shake_256(b"garbage").digest(size)
    label = "garbage" if size == _USUAL_GARBAGE_BYTES else f"garbage {size} bytes"
    return _instead(label, Send(data), Close(), hides_answer=True)


def down(seconds: float) -> Fault:
    """Every connection is torn down, and for this long the port refuses new ones, as while a server starts again."""
    ns = duration_ns("down", seconds)
    return _instead(f"down {span(ns)}", GoDown(ns), hides_answer=True)


def sometimes(fault: Fault, probability: float, *, seed: int = 0) -> Fault:
    """The fault, but only by chance: the same seed and the same events meet the same luck on every run."""
    if not 0 <= probability <= 1:
        raise ValueError(f"sometimes: expected a probability from 0 to 1, got {probability}")
    return dataclasses.replace(fault, probability=probability, seed=seed)


def check_faults(faults: Sequence[Fault], *, status: int, body: bytes) -> None:
    """Raise ValueError for faults that make no sense together, or not with this answer."""
    for one, other in combinations(faults, 2):
        # Of two that go by chance, or when only the second does not, the first that happens wins.
        if one.probability >= 1 and (both := one.conflict(other)):
            advice = "; write what happens by chance first" if other.probability < 1 else ""
            raise ValueError(
                f'the faults "{one.label}" and "{other.label}" exclude each other: only one of them can have the '
                f"{both.words} of the answer{advice}"
            )
    length = 0 if status in NO_BODY else len(body)
    for fault in faults:
        if length < fault.least_body:
            raise ValueError(
                f'the fault "{fault.label}" shows with a body of at least {_bytes(fault.least_body)}; this reply '
                + (f"has {length}" if status not in NO_BODY else f"has none, being a {status}")
            )
        if status in NO_BODY and fault.needs_body:
            raise ValueError(f'the fault "{fault.label}" is about a body, and a reply with status {status} has none')


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def check_seconds(name: str, seconds: object) -> None:
    """Raise TypeError, which says what they are for, unless seconds are a number."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise TypeError(f"{name}: expected seconds as a number, got {seconds!r:.100}")


def duration_ns(name: str, seconds: float) -> int:
    """Return a number of seconds in nanoseconds; ValueError or TypeError, which says what it is for, for no such."""
    check_seconds(name, seconds)
    if not math.isfinite(seconds) or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"{name}: expected seconds, more than 0 and at most {MAX_SECONDS:g}, got {seconds:g}")
    return max(1, round(seconds * _NS))


def span(ns: int) -> str:
    """Return a duration as labels have it: `2s`, `100ms`."""
    return f"{ns / _NS:.14g}s" if ns >= _NS else f"{ns / 1_000_000:.9g}ms"


def _instead(label: str, *steps: Step, hides_answer: bool) -> Fault:
    change = partial(_replaced, steps)
    return Fault(label=label, change=change, takes=Feature.EVERYTHING, hides_answer=hides_answer)


def _cut(name: str, place: Place, ending: Close | Reset) -> Fault:
    if place not in get_args(Place):
        raise ValueError(f"{name}: expected one of {', '.join(get_args(Place))}, got {place!r}")
    if place == "start":
        return _instead(name, ending, hides_answer=True)
    label = f"{name} {place}"
    if place == "after-headers":
        taken = Feature.BODY | Feature.BODY_PACE | Feature.END
        # After a whole answer without a body, a FIN is nothing out of the ordinary; an RST is.
        least = int(isinstance(ending, Close))
        return Fault(label=label, change=partial(_cut_after_headers, ending), takes=taken, least_body=least)
    change = partial(_cut_mid_body, ending)
    return Fault(label=label, change=change, takes=Feature.END, needs=Feature.BODY, least_body=2)


def _replaced(steps: Plan, plan: Plan) -> Plan:
    return (*_pauses(plan), *steps)


def _cut_after_headers(ending: Step, plan: Plan) -> Plan:
    return (*cut_body(plan, 0), ending)


def _cut_mid_body(ending: Step, plan: Plan) -> Plan:
    return (*cut_body(plan, len(_sent(plan, "body").data) // 2), ending)


def _slow_headers(ns: int, plan: Plan) -> Plan:
    head = _sent(plan, "head")
    size = -(-len(head.data) // _HEADER_PIECES) or 1
    # One pause fewer than pieces.
    gaps = max(1, -(-len(head.data) // size) - 1)
    return _with(plan, replace(head, size=size, every_ns=ns // gaps))


def _dribble(size: int, every_ns: int, plan: Plan) -> Plan:
    return _with(plan, replace(_sent(plan, "body"), size=size, every_ns=every_ns))


def _wrong_content_length(by: int, plan: Plan) -> Plan:
    head = _sent(plan, "head")
    data = _CONTENT_LENGTH.sub(lambda right: b"\r\nContent-Length: %d" % max(0, int(right[1]) + by), head.data)
    return _with(plan, replace(head, data=data))


def _bad_chunk(plan: Plan) -> Plan:
    head, body = _sent(plan, "head"), _sent(plan, "body")
    good = body.data[: (len(body.data) + 1) // 2]
    chunk = b"%x\r\n%b\r\n" % (len(good), good) if good else b""
    chunked = replace(head, data=_CONTENT_LENGTH.sub(b"\r\nTransfer-Encoding: chunked", head.data))
    spoilt = replace(body, data=chunk + b"no size\r\n" + body.data[len(good) :])
    return (*_pauses(plan), chunked, spoilt, Close())


def _pauses(plan: Plan) -> Plan:
    return tuple(step for step in plan if isinstance(step, Pause))


def _sent(plan: Plan, part: Part) -> Send:
    """Return the step that sends a part; one without bytes when there is none, as after a HEAD."""
    return next((step for step in plan if isinstance(step, Send) and step.part == part), Send(b"", part))


def _with(plan: Plan, send: Send) -> Plan:
    return tuple(send if isinstance(step, Send) and step.part == send.part else step for step in plan)
