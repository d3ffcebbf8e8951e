"""An outbox in memory, for tests and for sends that need not outlive the program."""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from postback_sender.outbox.entry import (
    STATES,
    Draft,
    Entry,
    LoggedAttempt,
    Outcome,
    State,
    storable_number,
    storable_text,
)
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.refusals import check_next, check_storable, not_claimed, not_next


class MemoryOutbox:
    """Keeps entries until they end or the program does, and their logs as long as itself; see `Outbox`."""

    def __init__(self, *, ordered: bool = True) -> None:
        self._ordered = ordered
        self._last_id = 0
        self._waiting: dict[int, Entry] = {}
        self._ended: Counter[State] = Counter()
        self._claimed: set[int] = set()
        # The entries that may be claimed, as a heap of (due_ns, id).
        self._claimable: list[tuple[int, int]] = []
        # For each key the ids that wait, the first one being claimable or claimed.
        self._queues: defaultdict[str, deque[int]] = defaultdict(deque)
        self._logs: defaultdict[int, list[LoggedAttempt]] = defaultdict(list)
        self._closed = False

    async def add(self, drafts: Sequence[Draft]) -> list[int]:
        self._check_open()
        check_storable(drafts)
        ids = list(range(self._last_id + 1, self._last_id + 1 + len(drafts)))
        self._last_id += len(drafts)
        for entry_id, draft in zip(ids, drafts, strict=True):
            entry = Entry(event=draft.event, key=draft.key, due_ns=storable_number(draft.due_ns), id=entry_id)
            self._waiting[entry_id] = entry
            queue = self._queue(entry)
            if queue is not None:
                queue.append(entry_id)
            if queue is None or queue[0] == entry_id:
                self._make_claimable(entry)
        return ids

    async def claim(self, *, until_ns: int, limit: int) -> list[Entry]:
        self._check_open()
        claimed: list[Entry] = []
        while len(claimed) < limit and self._claimable and self._claimable[0][0] <= until_ns:
            _, entry_id = heapq.heappop(self._claimable)
            self._claimed.add(entry_id)
            claimed.append(self._waiting[entry_id])
        return claimed

    async def next_due_ns(self) -> int | None:
        self._check_open()
        return self._claimable[0][0] if self._claimable else None

    async def record(
        self,
        entry_id: int,
        attempt: LoggedAttempt | None,
        *,
        due_ns: int | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> None:
        self._check_open()
        check_next(due_ns, outcome)
        _ = reason  # for people who list an outbox, and nobody lists this one
        if entry_id not in self._claimed:
            raise not_claimed(entry_id)
        entry = self._waiting[entry_id]
        if attempt is not None:
            if attempt.number != entry.attempts + 1:
                raise not_next(entry_id, attempts=entry.attempts, number=attempt.number)
            self._logs[entry_id].append(replace(attempt, round=entry.round, detail=storable_text(attempt.detail)))
            entry = replace(entry, attempts=attempt.number)
        if due_ns is not None:
            entry = replace(entry, due_ns=storable_number(due_ns))
        self._waiting[entry_id] = entry
        if outcome is not None:
            del self._waiting[entry_id]
            self._claimed.remove(entry_id)
            self._ended[outcome] += 1
            self._advance(entry)

    async def release(self, entry_ids: Iterable[int]) -> None:
        self._check_open()
        for entry_id in set(entry_ids) & self._claimed:
            self._claimed.remove(entry_id)
            self._make_claimable(self._waiting[entry_id])

    async def counts(self) -> Mapping[State, int]:
        self._check_open()
        return {state: len(self._waiting) if state == "waiting" else self._ended[state] for state in STATES}

    async def log(self, entry_id: int) -> list[LoggedAttempt]:
        self._check_open()
        return list(self._logs.get(entry_id, ()))

    def close(self) -> None:
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _queue(self, entry: Entry) -> deque[int] | None:
        return self._queues[entry.key] if self._ordered and entry.key else None

    def _make_claimable(self, entry: Entry) -> None:
        heapq.heappush(self._claimable, (entry.due_ns, entry.id))

    def _advance(self, ended: Entry) -> None:
        """Make what comes after an entry that has ended claimable."""
        queue = self._queue(ended)
        if queue is None:
            return
        queue.popleft()
        if queue:
            self._make_claimable(self._waiting[queue[0]])
        else:
            del self._queues[ended.key]

    def _check_open(self) -> None:
        if self._closed:
            raise OutboxError("the outbox is closed; nothing can be done with it any more")
