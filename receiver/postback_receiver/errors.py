"""Everything that can go wrong here, as one tree.

    ReceiverError
    ├── ListenError          the capture port could not be opened
    ├── TlsError             certificates and keys could not be used
    ├── StoreError           captures could not be kept or read
    ├── CaptureLookupError   an id names no capture, or more than one
    ├── CaptureFormatError   a line is not a capture
    ├── HarFormatError       an HTTP archive cannot be read
    ├── ReceiverStateError   a receiver was used before or after its time
    ├── WaitTimeout          what a test waited for did not arrive; also an AssertionError
    ├── SilenceBroken        what a test ruled out did arrive; also an AssertionError
    └── OutOfOrder           what a test wanted in an order came in another; also an AssertionError

A message is for people: what happened, where, and what to do. The attributes are for programs.
"""

from collections.abc import Sequence

from postback_receiver.capture import Capture
from postback_receiver.matching import NearestMiss
from postback_receiver.summary import one_line

MAX_LISTED = 20
"""Captures or ids listed in one message: more is a wall nobody reads, and the store still has them all."""


class ReceiverError(Exception):
    """The base of every error this package raises."""


class ListenError(ReceiverError):
    """The capture port could not be opened."""

    def __init__(self, *, host: str, port: int, reason: str, advice: str) -> None:
        super().__init__(f"Cannot listen on {host} port {port}: {reason}. {advice}")
        self.host = host
        self.port = port
        self.reason = reason


class TlsError(ReceiverError):
    """A certificate, key or authority cannot be used; `path` says which file."""

    def __init__(self, *, path: str, reason: str, advice: str) -> None:
        super().__init__(f"Cannot use TLS: {reason}. {advice}")
        self.path = path
        self.reason = reason


class StoreError(ReceiverError):
    """Captures could not be kept or read; `path` says in which store."""

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(f"Capture store {path}: {reason}")
        self.path = path
        self.reason = reason


class CaptureLookupError(ReceiverError, LookupError):
    """The start of an id names no capture, or more than one (then `candidates` holds the first few)."""

    def __init__(self, *, id_prefix: str, candidates: Sequence[str]) -> None:
        if candidates:
            listed = ", ".join(candidates[:MAX_LISTED]) + (", …" if len(candidates) > MAX_LISTED else "")
            text = f"The id {id_prefix!r} fits several captures: {listed}. Give more of its characters."
        else:
            text = f"No capture has an id that starts with {id_prefix!r}. List the store to see the ids it holds."
        super().__init__(text)
        self.id_prefix = id_prefix
        self.candidates = tuple(candidates[:MAX_LISTED])


class CaptureFormatError(ReceiverError):
    """A line is not a capture; `line` counts from 1."""

    def __init__(self, *, line: int, expected: str, got: str) -> None:
        super().__init__(f"Line {line} is not a capture: expected {expected}, got {got}")
        self.line = line
        self.expected = expected
        self.got = got


class HarFormatError(ReceiverError):
    """An HTTP archive cannot be read; `pointer` says where, as a JSON pointer, empty for the whole of it.

    `byte` is the place in a file that is no JSON, and `entry` the number of the entry, from 1, where it is in one.
    """

    def __init__(self, *, pointer: str, expected: str, got: str, byte: int | None = None) -> None:
        place = pointer.removeprefix("/log/entries/").partition("/")[0]
        self.entry = int(place) + 1 if place.isdecimal() else None
        named = f" (entry {self.entry})" if self.entry else ""
        at = f" at {pointer}{named}" if pointer else "" if byte is None else f" at byte {byte}"
        super().__init__(f"Not an HTTP archive{at}: expected {expected}, got {got}")
        self.byte = byte
        self.pointer = pointer
        self.expected = expected
        self.got = got


class ReceiverStateError(ReceiverError):
    """A receiver was used before its `with` block, after it, or for a second one."""


class WaitTimeout(ReceiverError, AssertionError):  # noqa: N818 -- reads as the outcome of a wait, like TimeoutExpired
    """What a test waited for did not arrive in time; the message lists what did, and what came nearest.

    Also an AssertionError, so that a test that waits in vain counts as failed and not as broken. `arrived` are the
    lines to list, `count` is how many requests there were, and `matching` how many of these were wanted ones.
    """

    def __init__(
        self,
        *,
        wanted: str,
        timeout_s: float,
        arrived: Sequence[str],
        count: int | None = None,
        matching: int | None = None,
        nearest: NearestMiss | None = None,
    ) -> None:
        count = len(arrived) if count is None else count
        shown = arrived[-MAX_LISTED:]
        such = "" if matching is None or not count else f", {matching or 'none'} of them such"
        lines = [f"Waited {timeout_s:g} s for {wanted}; {count} arrived{such}{':' if shown else '.'}"]
        if count > len(shown):
            lines.append(f"  … {count - len(shown)} earlier ones")
        lines += [f"  {line}" for line in shown]
        if nearest is not None:
            lines.append(f"Nearest miss: {nearest}")
        super().__init__("\n".join(lines))
        self.timeout_s = timeout_s
        self.nearest = nearest


class SilenceBroken(ReceiverError, AssertionError):  # noqa: N818 -- reads as the outcome of a wait
    """A request arrived that a test had ruled out: `capture`."""

    def __init__(self, *, unwanted: str, silence_s: float, capture: Capture) -> None:
        super().__init__(f"Expected {unwanted} for {silence_s:g} s; this arrived:\n  {one_line(capture)}")
        self.capture = capture


class OutOfOrder(ReceiverError, AssertionError):  # noqa: N818 -- names what the requests are
    """Requests did not arrive in the order a test wanted; the message shows the order they had."""
