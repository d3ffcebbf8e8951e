"""What a store of captures promises. `tests/receiver/test_store_contract.py` holds each store to it."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from postback_receiver.capture import Capture


class CaptureReader(Protocol):
    """The reading half: plain calls, usable from any thread, also while captures are being added."""

    def captures(self) -> Iterator[Capture]:
        """All captures in the order of arrival. Memory stays flat; ones that arrive meanwhile may be included."""
        ...

    def find(self, id_prefix: str) -> Capture:
        """The capture whose id is this or is the only one that starts with it; CaptureLookupError otherwise."""
        ...

    def count(self) -> int:
        """How many captures there are."""
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

    def record_answer_sent(self, capture_id: str, at_ns: int) -> None:
        """Note when the answer to a capture left. Best effort: it never fails and need not survive a crash.

        A capture that is unknown, or was kept without an answer, is left as it is.
        """
        ...

    async def set_endpoints(self, settings: Mapping[str, bytes | None]) -> None:
        """Keep each endpoint's settings. Prefixes not named stay: captures of an earlier run still refer to them."""
        ...

    async def flush(self) -> None:
        """Return once everything handed over before is kept, answer times included."""
        ...
