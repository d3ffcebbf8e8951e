"""What an endpoint answers: status, headers, body, and what goes wrong on the way, late or by a fault."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias, cast, runtime_checkable

from postback_receiver.answer_plan import Pause, Plan
from postback_receiver.capture import Answer, Capture, Headers
from postback_receiver.chance import draw
from postback_receiver.faults import Fault, check_faults, check_seconds, duration_ns, span

_FORBIDDEN_IN_HEADER: Final = frozenset("\r\n\0")
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RandomDelay:
    """From `least` to `most` seconds, evenly spread; the same seed, event and turn give the same delay on every run."""

    least: float
    most: float
    seed: int = 0

    def __post_init__(self) -> None:
        duration_ns("a random delay's most", self.most)
        check_seconds("a random delay's least", self.least)
        if not 0 <= self.least <= self.most:
            raise ValueError(f"a random delay is from less to more, and 0 at least, not {self.least} to {self.most}")

    def drawn(self, key: str, turn: int) -> float:
        """The seconds on an event's turn."""
        seconds = self.least + (self.most - self.least) * draw(self.seed, "delay", key, turn)
        # Whole microseconds, since a capture tells them.
        return min(max(round(seconds, 6), self.least), self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, `delay` seconds late, with `faults` in the order they are applied.

    Header text is ASCII; `Content-Length`, `Date` and `Content-Type` are added. ValueError for what cannot be sent, and
    for faults that make no sense together; TypeError for what is of another type.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    delay: float | RandomDelay = 0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        _check_types(status=self.status, headers=self.headers, body=self.body, delay=self.delay, faults=self.faults)
        if not 200 <= self.status <= 599:
            raise ValueError(f"a reply's status is 200 to 599, not {self.status}")
        for name, value in self.headers:
            text = name + value
            if not name or not text.isascii() or _FORBIDDEN_IN_HEADER.intersection(text):
                raise ValueError(f"a reply's header is ASCII text without line breaks, not {name!r}: {value!r}")
            if name.lower() in _FRAMING:
                raise ValueError(f"a reply's {name} is counted, not given; the fault wrong_content_length makes it lie")
        if not isinstance(self.delay, RandomDelay) and self.delay:
            duration_ns("a reply's delay", self.delay)
        check_faults(self.faults, status=self.status, body=self.body)

    @property
    def is_plain(self) -> bool:
        """Whether it is answered at once and as it is."""
        return not (self.faults or self.delay)

    @property
    def is_settled(self) -> bool:
        """Whether nothing about it is left to chance."""
        return not isinstance(self.delay, RandomDelay) and all(fault.probability >= 1 for fault in self.faults)

    def settled(self, key: str, turn: int) -> "Reply":
        """Return it with all chance taken out: what the event `key` gets on its turn (from 0)."""
        if self.is_settled:
            return self
        faults: list[Fault] = []
        for index, fault in enumerate(self.faults):
            if fault.happens(key, turn, index) and not any(fault.conflict(earlier) for earlier in faults):
                faults.append(replace(fault, probability=1.0))
        delay = self.delay.drawn(key, turn) if isinstance(self.delay, RandomDelay) else self.delay
        return replace(self, delay=delay, faults=tuple(faults))

    def to_head(self) -> "Reply":
        """Return it as the answer to a HEAD, which has no body: without the faults that would not show."""
        shown = tuple(fault for fault in self.faults if not fault.needs_body)
        return self if len(shown) == len(self.faults) else replace(self, faults=shown)

    @property
    def fault(self) -> str | None:
        """What a capture says was done to this answer on purpose; None when nothing is."""
        labels = [fault.label for fault in self.faults]
        if self.delay and not isinstance(self.delay, RandomDelay):
            labels.insert(0, f"delay {span(round(self.delay * _NS))}")
        return " + ".join(labels) or None

    @property
    def answer(self) -> Answer | None:
        """What a capture says was to be answered; None when a fault means that nothing was."""
        if any(fault.hides_answer for fault in self.faults):
            return None
        return Answer(status=self.status, headers=self.headers, body=self.body)

    def planned(self, plan: Plan) -> Plan:
        """Return the plan of the good answer with this reply's delay and faults in it; the reply must be settled."""
        if isinstance(self.delay, RandomDelay):
            raise TypeError("a reply with a random delay is settled before it is planned")
        if self.delay:
            plan = (Pause(round(self.delay * _NS)), *plan)
        for fault in self.faults:
            plan = fault(plan)
        return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedReply(Reply):
    """Another server's answer: any final status, header text in latin-1, and no `Content-Type` is added.

    To a HEAD, and with 304, its own `Content-Length` is what it says of a body that does not come; else it is counted.
    """

    def __post_init__(self) -> None:
        _check_types(status=self.status, headers=self.headers, body=self.body, delay=self.delay, faults=self.faults)
        if not 200 <= self.status <= 999:
            raise ValueError(f"a relayed reply's status is 200 to 999, not {self.status}")
        for name, value in self.headers:
            text = name + value
            # Nobody knows what is in it, so it is not repeated.
            if not name or max(text) > "\xff" or _FORBIDDEN_IN_HEADER.intersection(text):
                raise ValueError("a relayed reply's header is latin-1 text without line breaks")
            if name.lower() in _FRAMING and (self.body or name.lower() != "content-length"):
                raise ValueError(f"a relayed reply with a body has its {name} counted, not given")


def _check_types(*, status: object, headers: object, body: object, delay: object, faults: object) -> None:
    """Raise TypeError for what would only fail once it has to be sent, when nobody is left to be told."""
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"a reply's status: expected a number such as 200, got {status!r:.100}")
    if not isinstance(body, bytes):
        raise TypeError(f"a reply's body: expected bytes such as b'OK', got {body!r:.100}")
    if not isinstance(headers, tuple) or not all(map(_is_pair, cast("tuple[object, ...]", headers))):
        raise TypeError(f"a reply's headers: expected a tuple such as (('Retry-After', '5'),), got {headers!r:.100}")
    if not isinstance(delay, RandomDelay):
        check_seconds("a reply's delay", delay)
    if not isinstance(faults, tuple) or not all(
        isinstance(fault, Fault) for fault in cast("tuple[object, ...]", faults)
    ):
        raise TypeError(f"a reply's faults: expected a tuple of them such as (reset(),), got {faults!r:.100}")


def _is_pair(header: object) -> bool:
    return isinstance(header, tuple) and [type(part) for part in cast("tuple[object, ...]", header)] == [str, str]


Replies: TypeAlias = Callable[[Capture], Reply]
"""Chooses the reply to a capture. It runs on the event loop, before the capture is stored, and so must be quick."""


GiveBack: TypeAlias = Callable[[], None]
"""Undoes what choosing a reply used up, since the request could not be recorded and got another answer."""


@runtime_checkable
class CountedReplies(Protocol):
    """Replies that use something up: a turn of a script, or room within a limit."""

    def __call__(self, capture: Capture) -> Reply:
        """Choose the reply to a capture."""
        ...

    def take(self, capture: Capture) -> tuple[Reply, GiveBack | None]:
        """The same; also what gives back what that used up, None when it used up nothing."""
        ...


def take_from(replies: Replies | CountedReplies) -> Callable[[Capture], tuple[Reply, GiveBack | None]]:
    """Return what chooses from any replies; of a function of somebody's own nothing can be given back."""
    if isinstance(replies, CountedReplies):
        return replies.take
    return lambda capture: (replies(capture), None)


def text_reply(status: int, text: str) -> Reply:
    """A reply that says in plain words what happened; `text` ends up as one line of UTF-8."""
    return Reply(status=status, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=text.encode() + b"\n")


def same_request(capture: Capture) -> str:
    """An event key that needs no settings: the same method, target and body are about one event, as resends are."""
    return f"{capture.method} {capture.target} {hashlib.sha256(capture.body).hexdigest()}"
