"""What a store of captures promises. `tests/receiver/test_store_contract.py` holds each store to it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from postback_receiver.capture import Answer, Capture
from postback_receiver.capture_query import PAGE_SIZE, CaptureQuery
from postback_receiver.retention import Evictions


class Numbered(NamedTuple):
    """A capture and its number in the order of arrival. Numbers begin at 1, and none is ever used again."""

    number: int
    capture: Capture


class CapturePage(NamedTuple):
    """A part of what a search found, newest first; `before` asks for the next part, None when this is the last.

    `overlooked`: a capture in this part of the store may hold what was looked for beyond where searches for texts look.
    """

    captures: tuple[Capture, ...]
    before: int | None
    overlooked: bool = False


class CaptureReader(Protocol):
    """The reading half: plain calls, usable from any thread, also while captures are being added."""

    def captures(self, *, after: int = 0) -> Iterator[Capture]:
        """All captures in the order of arrival, or those after the number given.

        Memory stays flat; ones that arrive meanwhile may be included.
        """
        ...

    def numbered(self, *, after: int = 0) -> Iterator[Numbered]:
        """The same with their numbers, for whoever wants to read on from where it stopped.

        Once a number has been seen, no smaller one appears any more.
        """
        ...

    def find(self, id_prefix: str) -> Capture:
        """The capture whose id is this or is the only one that starts with it; CaptureLookupError otherwise."""
        ...

    def count(self) -> int:
        """How many captures there are."""
        ...

    def search(self, query: CaptureQuery, *, limit: int = PAGE_SIZE, before: int | None = None) -> CapturePage:
        """The captures a query matches, newest first, at most `limit` (1 or more) of them, older than `before`."""
        ...

    def evictions(self) -> Evictions:
        """What retention has taken out of this store since it was made."""
        ...

    def endpoints(self) -> Mapping[str, bytes | None]:
        """Each endpoint's prefix and the settings last attached to it."""
        ...

    def close(self) -> None:
        """Let go of files and threads. What was accepted is kept; a second call does nothing."""
        ...


class CaptureStore(CaptureReader, Protocol):
    """A store that also takes captures in. Every method that fails raises `StoreError`; none waits for ever."""

    async def append(self, capture: Capture) -> None:
        """Keep a capture; returns only once it is safe, so that it may be answered.

        Safe means: it outlives what the store says it outlives. A second capture with the same id is refused. A caller
        that is cancelled meanwhile may find the capture kept or not.
        """
        ...

    def record_answer_sent(self, capture_id: str, at_ns: int, monotonic_ns: int) -> None:
        """Note when the answer to a capture left. Best effort: it never fails and need not survive a crash.

        A capture that is unknown, or was kept without an answer, is left as it is.
        """
        ...

    async def record_answer(self, capture_id: str, answer: Answer) -> None:
        """Keep the answer to a capture that was kept without one; returns only once it is as safe as the capture.

        A capture that is unknown, or has an answer, is left as it is.
        """
        ...

    def record_peer_gone(self, capture_id: str, monotonic_ns: int) -> None:
        """Note when the peer closed the connection of a capture. Best effort, too."""
        ...

    async def set_endpoints(self, settings: Mapping[str, bytes | None]) -> None:
        """Keep each endpoint's settings. Prefixes not named stay: captures of an earlier run still refer to them."""
        ...

    async def flush(self) -> None:
        """Return once everything handed over before is kept, answer times included."""
        ...
