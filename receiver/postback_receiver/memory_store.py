"""A store in memory: for tests, and for listening without leaving a trace. It outlives nothing."""

import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, takewhile

from msgspec.structs import replace

from postback_receiver.capture import Answer, Capture
from postback_receiver.capture_query import PAGE_SIZE, CaptureQuery
from postback_receiver.errors import MAX_LISTED, CaptureLookupError, StoreError
from postback_receiver.retention import Evictions, Kept, Retention, add, capture_size, evict
from postback_receiver.stamps import Clock, SystemClock
from postback_receiver.store import CapturePage, Numbered

_NAME = "(in memory)"
_UNLIMITED = Retention()


class MemoryStore:
    """Keeps captures for as long as it is referred to; they stay readable after `close`."""

    def __init__(self, *, retention: Retention = _UNLIMITED, clock: Clock | None = None) -> None:
        # Tests read from their own thread while the receiver's thread appends.
        self._lock = threading.Lock()
        self._retention = retention
        self._clock = clock or SystemClock()
        self._captures: dict[str, Capture] = {}
        self._size = 0
        self._evictions = Evictions()
        self._endpoints: dict[str, bytes | None] = {}
        self._closed = False

    async def append(self, capture: Capture) -> None:
        with self._lock:
            self._refuse_when_closed()
            if capture.id in self._captures:
                raise StoreError(path=_NAME, reason=f"it already holds a capture with the id {capture.id!r}.")
            self._captures[capture.id] = capture
            self._size += capture_size(capture)
            self._evict()

    def record_answer_sent(self, capture_id: str, at_ns: int, monotonic_ns: int) -> None:
        def with_answer_sent(capture: Capture) -> Capture:
            if capture.answer is None:
                return capture
            return replace(capture, answer=replace(capture.answer, sent_at_ns=at_ns, sent_ns=monotonic_ns))

        self._change(capture_id, with_answer_sent)

    async def record_answer(self, capture_id: str, answer: Answer) -> None:
        with self._lock:
            self._refuse_when_closed()
        self._change(capture_id, lambda capture: capture if capture.answer else replace(capture, answer=answer))

    def record_peer_gone(self, capture_id: str, monotonic_ns: int) -> None:
        self._change(capture_id, lambda capture: replace(capture, gone_ns=monotonic_ns))

    async def set_endpoints(self, settings: Mapping[str, bytes | None]) -> None:
        with self._lock:
            self._refuse_when_closed()
            self._endpoints.update(settings)

    async def flush(self) -> None:
        self._refuse_when_closed()

    def captures(self, *, after: int = 0) -> Iterator[Capture]:
        return (capture for _, capture in self.numbered(after=after))

    def numbered(self, *, after: int = 0) -> Iterator[Numbered]:
        return (one for one in self._present() if one.number > after)

    def find(self, id_prefix: str) -> Capture:
        with self._lock:
            exact = self._captures.get(id_prefix)
            newest = (one for one in reversed(self._captures.values()) if one.id.startswith(id_prefix))
            fitting = list(islice(newest, MAX_LISTED + 1))
        if exact is not None:
            return exact
        if len(fitting) == 1:
            return fitting[0]
        raise CaptureLookupError(id_prefix=id_prefix, candidates=sorted(capture.id for capture in fitting))

    def search(self, query: CaptureQuery, *, limit: int = PAGE_SIZE, before: int | None = None) -> CapturePage:
        older = [one for one in reversed(self._present()) if before is None or one.number < before]
        found = list(islice((one for one in older if query.matches(one.capture)), limit))
        captures = tuple(capture for _, capture in found)
        last = found[-1].number if len(found) == limit else None
        passed = takewhile(lambda one: last is None or one.number >= last, older)
        return CapturePage(captures, before=last, overlooked=any(query.overlooks(one.capture) for one in passed))

    def evictions(self) -> Evictions:
        return self._evictions

    def count(self) -> int:
        return len(self._captures)

    def endpoints(self) -> Mapping[str, bytes | None]:
        with self._lock:
            return dict(self._endpoints)

    def close(self) -> None:
        self._closed = True

    def _present(self) -> list[Numbered]:
        with self._lock:
            first = self._evictions.captures + 1
            return [Numbered(number, capture) for number, capture in enumerate(self._captures.values(), first)]

    def _change(self, capture_id: str, change: Callable[[Capture], Capture]) -> None:
        with self._lock:
            capture = self._captures.get(capture_id)
            if capture is not None and not self._closed:
                self._captures[capture_id] = change(capture)

    def _evict(self) -> None:
        if not self._retention.is_limited:
            return
        gone = evict(
            self._retention,
            (Kept(capture_size(capture), capture.received_at_ns) for capture in self._captures.values()),
            captures=len(self._captures),
            size=self._size,
            now_ns=self._clock.now_ns(),
        )
        for capture_id in list(islice(self._captures, gone.captures)):
            del self._captures[capture_id]
        self._size -= gone.bytes
        self._evictions = add(self._evictions, gone)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreError(path=_NAME, reason="it is closed; nothing can be added any more.")
