"""What is at hand: entries that were claimed a little before they are due, and who waits for the next one."""

import asyncio
import heapq
from collections.abc import Iterable

from postback_sender.clock import Clock
from postback_sender.outbox.entry import Entry


class AtHand:
    """Entries by due time. `wall_offset_ns` is wall time minus the clock's monotonic time.

    `is_full` is for who fills it: there was no room for more when it last looked.
    """

    def __init__(self, clock: Clock, wall_offset_ns: int) -> None:
        self._clock = clock
        self._wall_offset_ns = wall_offset_ns
        self._heap: list[tuple[int, int, Entry]] = []
        self.is_full = False
        self._arrived = asyncio.Event()
        # The first in line looks at the clock; the others stand behind.
        self._line = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, entries: Iterable[Entry]) -> None:
        """Add entries."""
        for entry in entries:
            heapq.heappush(self._heap, (entry.due_ns, entry.id, entry))
        self._arrived.set()

    def take_all(self) -> list[Entry]:
        """Return what is left, due or not."""
        left = [entry for _, _, entry in self._heap]
        self._heap.clear()
        return left

    async def next_due(self) -> Entry:
        """Wait until an entry is due, never shorter, and take it."""
        async with self._line:
            while True:
                self._arrived.clear()
                due_ns = self._heap[0][0] - self._wall_offset_ns if self._heap else None
                if due_ns is not None and self._clock.monotonic_ns() >= due_ns:
                    return heapq.heappop(self._heap)[2]
                await until_set_or_due(self._arrived, self._clock, due_ns)


async def until_set_or_due(event: asyncio.Event, clock: Clock, due_ns: int | None) -> None:
    """Wait until an event is set, or until an instant of the clock, if there is one."""
    if due_ns is None:
        await event.wait()
        return
    waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep_until(due_ns))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
