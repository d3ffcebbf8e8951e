"""What an outbox promises. `tests/sender/test_outbox_contract.py` holds each outbox to it."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from postback_sender.outbox.entry import Draft, Entry, LoggedAttempt, Outcome, State


class Outbox(Protocol):
    """The queue of what was accepted. Every method that fails raises `OutboxError`, and then nothing of it was kept.

    An entry waits, is claimed by the sender that is to deliver it, tried, and ends. Unless the outbox was opened with
    `ordered=False`, an entry is claimable only when no earlier one of the same key still waits.

    Nothing rendered is kept. The bytes are rendered again from the event, and are the same because the event is.
    """

    async def add(self, drafts: Sequence[Draft]) -> list[int]:
        """Accept these events, all or none, and return their ids in the same order, once they are safe."""
        ...

    async def claim(self, *, until_ns: int, limit: int) -> list[Entry]:
        """Return up to `limit` claimable entries due by `until_ns`, by due time and then id, and claim them.

        Nobody else gets a claimed entry. A caller that is cancelled meanwhile claims nothing.
        """
        ...

    async def next_due_ns(self) -> int | None:
        """Return the earliest due time of all claimable entries, or None when there are none."""
        ...

    async def record(
        self,
        entry_id: int,
        attempt: LoggedAttempt | None,
        *,
        due_ns: int | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> None:
        """Log an attempt and what is next: either another due time or the outcome. Returns once that is safe.

        With a due time the entry stays claimed. Its end makes the next entry of its key claimable. `reason` is for
        people. The attempt's number has to be the next one of the round, which is the entry's, whatever
        `attempt.round` says. Raises `OutboxError` when this outbox has no claim on the entry.
        """
        ...

    async def release(self, entry_ids: Iterable[int]) -> None:
        """Give claims back: these entries are claimable again. Whatever is not claimed is left as it is."""
        ...

    async def counts(self) -> Mapping[State, int]:
        """Return how many entries there are in each state; states without any are 0."""
        ...

    async def log(self, entry_id: int) -> list[LoggedAttempt]:
        """Return every attempt of an entry, of all rounds, the oldest first."""
        ...

    def close(self) -> None:
        """Let go of files and threads. What was accepted is kept, claims are not; a second call does nothing."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
