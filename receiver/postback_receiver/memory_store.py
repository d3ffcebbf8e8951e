"""A store in memory: for tests, and for listening without leaving a trace. It outlives nothing."""

import threading
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from postback_receiver.capture import Capture
from postback_receiver.errors import CaptureLookupError, StoreError

_NAME = "(in memory)"


class MemoryStore:
    """Keeps captures for as long as it is referred to; they stay readable after `close`."""

    def __init__(self) -> None:
        # Tests read from their own thread while the receiver's thread appends.
        self._lock = threading.Lock()
        self._captures: dict[str, Capture] = {}
        self._endpoints: dict[str, bytes | None] = {}
        self._closed = False

    async def append(self, capture: Capture) -> None:
        with self._lock:
            self._refuse_when_closed()
            if capture.id in self._captures:
                raise StoreError(path=_NAME, reason=f"it already holds a capture with the id {capture.id!r}.")
            self._captures[capture.id] = capture

    def record_answer_sent(self, capture_id: str, at_ns: int) -> None:
        with self._lock:
            capture = self._captures.get(capture_id)
            if capture is not None and capture.answer is not None:
                answer = replace(capture.answer, sent_at_ns=at_ns)
                self._captures[capture_id] = replace(capture, answer=answer)

    async def set_endpoints(self, settings: Mapping[str, bytes | None]) -> None:
        with self._lock:
            self._refuse_when_closed()
            self._endpoints.update(settings)

    async def flush(self) -> None:
        self._refuse_when_closed()

    def captures(self) -> Iterator[Capture]:
        with self._lock:
            present = list(self._captures.values())
        return iter(present)

    def find(self, id_prefix: str) -> Capture:
        with self._lock:
            exact = self._captures.get(id_prefix)
            fitting = [capture for capture in self._captures.values() if capture.id.startswith(id_prefix)]
        if exact is not None:
            return exact
        if len(fitting) == 1:
            return fitting[0]
        raise CaptureLookupError(id_prefix=id_prefix, candidates=sorted(capture.id for capture in fitting))

    def count(self) -> int:
        return len(self._captures)

    def endpoints(self) -> Mapping[str, bytes | None]:
        with self._lock:
            return dict(self._endpoints)

    def close(self) -> None:
        self._closed = True

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreError(path=_NAME, reason="it is closed; nothing can be added any more.")
