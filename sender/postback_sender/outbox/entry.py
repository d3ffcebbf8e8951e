"""What an outbox holds: events that wait to be sent, what was tried with each of them, and what became of it."""

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from postback_sender.delivery.retry import Failure
from postback_sender.event import Event
from postback_sender.outbox.errors import OutboxError

State = Literal["waiting", "delivered", "given up", "dropped"]
Outcome = Literal["delivered", "given up"]

STATES: tuple[State, ...] = ("waiting", "delivered", "given up", "dropped")

# In the log, of an attempt that was cut off.
CUT_OFF_DETAIL = "its sender ended first; counts as no retry"

# What fits into 64 bits: the years 1677 to 2262.
_EARLIEST_NS, _LATEST_NS = -(2**63), 2**63 - 1


class _EventLine(msgspec.Struct):
    event: str
    at: str
    values: dict[str, str]
    items: tuple[dict[str, str], ...]


_decode_line = msgspec.json.Decoder(_EventLine).decode


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event to be accepted.

    `key` ties the events of one action together, "" ties it to none. Nothing is sent before `due_ns`, wall time in
    nanoseconds since the epoch; outside the years 1677 to 2262 it becomes the nearest instant within.
    """

    event: Event
    key: str
    due_ns: int


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event that was accepted, as the `line` that `encode_event` makes of it; ids ascend in the order of acceptance.

    A *round* is all that is tried until an entry is delivered or given up; whoever retries it by hand starts another.
    `attempts` counts those of this round, so that the policy counts anew; of them `cut_off` ended with their sender,
    and the policy does not count them. `key` and `due_ns` as for a `Draft`.
    """

    id: int
    line: bytes
    key: str
    due_ns: int
    attempts: int = 0
    cut_off: int = 0
    round: int = 1
    state: State = "waiting"

    @property
    def event(self) -> Event:
        """The event, read anew each time, or `OutboxError` for a line that is not ours.

        Many times as fast as `decode_event`, which explains to people what is wrong with a line of theirs.
        """
        try:
            read = _decode_line(self.line)
            return Event(kind=read.event, at=datetime.fromisoformat(read.at), values=read.values, items=read.items)
        except ValueError as error:
            raise OutboxError(f"entry {self.id} of the outbox holds something that is not an event: {error}") from None


class Begun(NamedTuple):
    """An attempt that has left, or is about to; `started_at_ns` is wall time."""

    entry_id: int
    round: int
    number: int
    started_at_ns: int


class LoggedAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt as the log keeps it; times are wall time in nanoseconds since the epoch.

    `number` counts from 1 within the round. `failure` is "" for a success, `status` None when no answer came, and
    `finished_at_ns` None when nobody was left to see the end.
    """

    number: int
    started_at_ns: int
    finished_at_ns: int | None
    failure: str = ""
    status: int | None = None
    detail: str = ""
    round: int = 1

    @property
    def is_cut_off(self) -> bool:
        """Whether its sender ended first: the endpoint may have it or not, and no policy counts it."""
        return self.failure == Failure.CUT_OFF


def storable_number(number: int) -> int:
    """Return the nearest number that 64 bits can hold."""
    return min(max(number, _EARLIEST_NS), _LATEST_NS)


def storable_text(text: str) -> str:
    """Return a text for people with half characters, which UTF-8 cannot carry, spelt out."""
    return text.encode(errors="backslashreplace").decode()
