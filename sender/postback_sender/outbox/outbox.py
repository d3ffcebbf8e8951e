"""What an outbox promises. `tests/sender/test_outbox_contract.py` holds each outbox to it."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from postback_sender.outbox.entry import Begun, Draft, Entry, LoggedAttempt, Outcome, State


class Outbox(Protocol):
    """The queue of what was accepted. Every method that fails raises `OutboxError`, and then nothing of it was kept.

    An entry waits, is claimed by the sender that is to deliver it, tried, and ends. Unless the outbox was opened with
    `ordered=False`, an entry is claimable only when no earlier one of the same key still waits.

    Nothing rendered is kept. The bytes are rendered again from the event, and are the same because the event is.
    """

    @property
    def last_used_ns(self) -> int | None:
        """When an earlier sender may have sent last, as wall time; None when there was none.

        That is when it noted so; or if it was killed, which it cannot have noted, the moment of opening.
        """
        ...

    def note_use(self, at_ns: int) -> None:
        """Note that a sender may have sent until then, wall time. Best effort: it never fails."""
        ...

    async def add(self, drafts: Sequence[Draft], *, held: bool = False) -> list[int]:
        """Accept these events, all or none, and return their ids in the same order, once they are safe.

        What is held is not accepted before `publish`: until then nobody sees it, and it ends with the process. It keeps
        its place in the order, though: what is added later with the same key waits for it.
        """
        ...

    async def publish(self) -> None:
        """Accept all that is held."""
        ...

    async def discard(self) -> None:
        """Forget all that is held."""
        ...

    async def claim(self, *, until_ns: int, limit: int, resends: bool) -> list[Entry]:
        """Return up to `limit` claimable entries due by `until_ns`, by due time and then id, and claim them.

        With `resends` they are those of which an attempt was made in this round, else those without. Nobody else gets a
        claimed entry. A caller that is cancelled meanwhile claims nothing.
        """
        ...

    async def next_due_ns(self, *, resends: bool) -> int | None:
        """Return the earliest due time of all claimable entries of that kind, or None when there are none."""
        ...

    def begin(self, begun: Begun) -> None:
        """Note that an attempt of a claimed entry is about to leave; `record` notes its end.

        It is noted at once, so that a kill cannot hide it: whoever opens the outbox next finds it in the log, as cut
        off. The policy does not count such attempts.
        """
        ...

    async def record(
        self,
        entry_id: int,
        attempt: LoggedAttempt | None,
        *,
        due_ns: int | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> bool:
        """Log an attempt and what is next: either another due time or the outcome. Returns once that is safe.

        Either ends the claim. The end of an entry makes the next one of its key claimable; True means that something
        may have become claimable so. `reason` is for people. The attempt's number has to be the next one of the round,
        which is the entry's, whatever `attempt.round` says; one that was cut off is counted as such. Raises
        `OutboxError` when this outbox has no claim on the entry.
        """
        ...

    async def release(self, entry_ids: Iterable[int]) -> None:
        """Give claims back: these entries are claimable again. Whatever is not claimed is left as it is."""
        ...

    async def waiting(self, *, after_id: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries that wait, claimed or not, in the order of acceptance, from the next id on."""
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
