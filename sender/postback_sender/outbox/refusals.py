"""What every outbox refuses, in the same words."""

from collections.abc import Iterable

from postback_sender.event import encode_event
from postback_sender.outbox.entry import Draft, Entry, LoggedAttempt, Outcome
from postback_sender.outbox.errors import OutboxError


def check_next(due_ns: int | None, outcome: Outcome | None) -> None:
    """Refuse a record that says both or neither of when to try again and how it ended."""
    if (due_ns is None) == (outcome is None):
        raise ValueError("a record needs either another due time or an outcome")


def check_storable(drafts: Iterable[Draft]) -> list[bytes]:
    """Return the events as the lines that carry them, or raise `OutboxError` for half a character in one of them."""
    try:
        for draft in drafts:
            draft.key.encode()
        return [encode_event(draft.event) for draft in drafts]
    except UnicodeEncodeError as error:
        half = f"U+{ord(error.object[error.start]):04X}"
        raise OutboxError(
            f"the outbox cannot hold an event with half a character, the lone surrogate {half}, in it; write both "
            "halves of the pair, or the character itself. None of these events was accepted."
        ) from None


def refused_record(entry: Entry | None, entry_id: int, attempt: LoggedAttempt | None) -> OutboxError | None:
    """Return the error of a record for an entry that is not claimed (None), or of an attempt out of its order."""
    if entry is None:
        return OutboxError(f"entry {entry_id} of the outbox is not claimed, so nothing can be recorded of it")
    if attempt is not None and attempt.number != entry.attempts + 1:
        return OutboxError(
            f"entry {entry_id} of the outbox has {entry.attempts} attempts in its log: "
            f"expected number {entry.attempts + 1}, got {attempt.number}"
        )
    return None
