"""An outbox in memory, for tests and for sends that need not outlive the program."""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from msgspec.structs import replace

from postback_sender.outbox.entry import (
    STATES,
    Begun,
    Draft,
    Entry,
    LoggedAttempt,
    Outcome,
    State,
    storable_number,
    storable_text,
)
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.refusals import check_next, check_storable, refused_record

# Logs of entries that have ended are looked at soon after, or not at all.
_REMEMBERED_LOGS: Final = 4096


class MemoryOutbox:
    """Keeps entries until they end, and logs a little longer; all is gone with the program. See `Outbox`."""

    def __init__(self, *, ordered: bool = True) -> None:
        self._ordered = ordered
        self._last_id = 0
        self._waiting: dict[int, Entry] = {}
        self._held: list[Entry] = []
        self._ended: Counter[State] = Counter()
        self._claimed: set[int] = set()
        # The entries that may be claimed, as heaps of (due_ns, id): first sends, and resends.
        self._claimable: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        # For each key the ids that wait or are held; a first one that waits is claimable or claimed.
        self._queues: defaultdict[str, deque[int]] = defaultdict(deque)
        self._logs: dict[int, list[LoggedAttempt]] = {}
        self._ended_logs: deque[int] = deque()
        self._last_used_ns: int | None = None
        self._closed = False

    @property
    def last_used_ns(self) -> int | None:
        return self._last_used_ns

    def note_use(self, at_ns: int) -> None:
        self._last_used_ns = at_ns

    async def add(self, drafts: Sequence[Draft], *, held: bool = False) -> list[int]:
        self._check_open()
        lines = check_storable(drafts)
        entries = [
            Entry(id=entry_id, line=line, key=draft.key, due_ns=storable_number(draft.due_ns))
            for entry_id, (draft, line) in enumerate(zip(drafts, lines, strict=True), self._last_id + 1)
        ]
        self._last_id += len(drafts)
        for entry in entries:
            if (queue := self._queue(entry)) is not None:
                queue.append(entry.id)
        if held:
            self._held += entries
        else:
            self._accept(entries)
        return [entry.id for entry in entries]

    async def publish(self) -> None:
        self._check_open()
        self._accept(self._held)
        self._held = []

    async def discard(self) -> None:
        self._check_open()
        for entry in self._held:
            self._advance(entry)
        self._held = []

    async def claim(self, *, until_ns: int, limit: int, resends: bool) -> list[Entry]:
        self._check_open()
        claimable = self._claimable[resends]
        claimed: list[Entry] = []
        while len(claimed) < limit and claimable and claimable[0][0] <= until_ns:
            _, entry_id = heapq.heappop(claimable)
            self._claimed.add(entry_id)
            claimed.append(self._waiting[entry_id])
        return claimed

    async def next_due_ns(self, *, resends: bool) -> int | None:
        self._check_open()
        claimable = self._claimable[resends]
        return claimable[0][0] if claimable else None

    def begin(self, begun: Begun) -> None:
        """Note nothing: there is nobody whom a kill could leave anything to."""

    async def record(
        self,
        entry_id: int,
        attempt: LoggedAttempt | None,
        *,
        due_ns: int | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> bool:
        self._check_open()
        check_next(due_ns, outcome)
        _ = reason  # for people who list an outbox, and nobody lists this one
        claimed = self._waiting[entry_id] if entry_id in self._claimed else None
        if refusal := refused_record(claimed, entry_id, attempt):
            raise refusal
        entry = self._waiting[entry_id]
        self._claimed.remove(entry_id)
        if attempt is not None:
            log = self._logs.setdefault(entry_id, [])
            log.append(replace(attempt, round=entry.round, detail=storable_text(attempt.detail)))
        if outcome is not None:
            del self._waiting[entry_id]
            self._ended[outcome] += 1
            self._forget_a_log_for(entry_id)
            return self._advance(entry)
        self._waiting[entry_id] = entry = replace(
            entry,
            attempts=attempt.number if attempt else entry.attempts,
            cut_off=entry.cut_off + (attempt is not None and attempt.is_cut_off),
            due_ns=entry.due_ns if due_ns is None else storable_number(due_ns),
        )
        self._make_claimable(entry)
        return False

    async def release(self, entry_ids: Iterable[int]) -> None:
        self._check_open()
        for entry_id in set(entry_ids) & self._claimed:
            self._claimed.remove(entry_id)
            self._make_claimable(self._waiting[entry_id])

    async def waiting(self, *, after_id: int, limit: int) -> list[Entry]:
        self._check_open()
        later = (entry for entry in self._waiting.values() if entry.id > after_id)
        return heapq.nsmallest(limit, later, key=lambda entry: entry.id)

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

    def _accept(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._waiting[entry.id] = entry
            queue = self._queue(entry)
            if queue is None or queue[0] == entry.id:
                self._make_claimable(entry)

    def _queue(self, entry: Entry) -> deque[int] | None:
        return self._queues[entry.key] if self._ordered and entry.key else None

    def _make_claimable(self, entry: Entry) -> None:
        heapq.heappush(self._claimable[entry.attempts > 0], (entry.due_ns, entry.id))

    def _advance(self, gone: Entry) -> bool:
        """Make what comes after an entry that is gone claimable, and return whether there is any."""
        queue = self._queue(gone)
        if queue is None:
            return False
        was_first = queue[0] == gone.id
        queue.remove(gone.id)
        if not queue:
            del self._queues[gone.key]
            return False
        has_advanced = was_first and queue[0] in self._waiting
        if has_advanced:
            self._make_claimable(self._waiting[queue[0]])
        return has_advanced

    def _forget_a_log_for(self, ended_id: int) -> None:
        self._ended_logs.append(ended_id)
        if len(self._ended_logs) > _REMEMBERED_LOGS:
            self._logs.pop(self._ended_logs.popleft(), None)

    def _check_open(self) -> None:
        if self._closed:
            raise OutboxError("the outbox is closed; nothing can be done with it any more")
