"""The entries that somebody has claimed, in memory: a claim ends with the process that made it.

Changes belong to a transaction. When that is rolled back, so are they.
"""

from collections.abc import Iterator

from postback_sender.outbox.entry import Entry


class Claims:
    """Claimed entries by id."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        # What stood there before the changes of this transaction.
        self._before: dict[int, Entry | None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, entry_id: int) -> Entry | None:
        """Return an entry, or None when it is not claimed."""
        return self._entries.get(entry_id)

    def put(self, entry: Entry) -> None:
        """Claim an entry."""
        self._before.setdefault(entry.id, self._entries.get(entry.id))
        self._entries[entry.id] = entry

    def drop(self, entry_id: int) -> None:
        """End a claim, if there is one."""
        if entry_id in self._entries:
            self._before.setdefault(entry_id, self._entries[entry_id])
            del self._entries[entry_id]

    def commit(self) -> None:
        """Keep all changes."""
        self._before.clear()

    def rollback(self) -> None:
        """Undo all changes since the last of these calls."""
        for entry_id, entry in self._before.items():
            if entry is None:
                self._entries.pop(entry_id, None)
            else:
                self._entries[entry_id] = entry
        self._before.clear()
