"""What people do with an outbox file by hand: look at its entries and logs, retry, drop, and purge."""

import sqlite3
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, cast

import msgspec

from postback_sender.outbox import sqlite_schema as schema
from postback_sender.outbox.entry import STATES, Begun, Entry, LoggedAttempt, State, storable_number
from postback_sender.outbox.errors import EntryLookupError
from postback_sender.outbox.lock import OutboxLock, under_way
from postback_sender.outbox.sqlite_file import (
    explain,
    open_for_reading,
    open_for_writing,
    outbox_error,
    outbox_errors,
    rearrange,
    transaction,
)
from postback_sender.outbox.sqlite_purge import count_ended, give_back, purge

_PAGE_ROWS: Final = 256
_MAX_NAMED: Final = 10
_NO_ID_IS_LARGER: Final = 2**63 - 1


class ListedEntry(Entry, frozen=True, kw_only=True):
    """An entry with what people want to know of it.

    `target` is scheme, host and port of where it goes, or "" for the URL of the settings. `reason` says why it ended,
    `last_failure` what went wrong last, both "" when there is nothing to say.
    """

    notification: str
    target: str
    reason: str
    last_failure: str


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """What a purge took, by state, and by how many bytes the file is smaller; `obstacle` says why it is not, or "".

    What is not given back is used for what is accepted next.
    """

    counts: Mapping[State, int]
    freed_bytes: int
    obstacle: str


class OutboxFile:
    """An existing outbox, all its notifications and targets together. Reading works while a sender delivers from it.

    `retry`, `drop` and `purge` raise `OutboxError` while another process works on the file: it would not notice.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        open_for_reading(self._path).close()

    def latest(self, *, state: State | None = None) -> Iterator[ListedEntry]:
        """Yield the entries in one state, or all of them, the latest first. Memory stays flat."""
        before = _NO_ID_IS_LARGER
        while page := self._page(before=before, state=state, limit=_PAGE_ROWS):
            yield from page
            before = page[-1].id

    def entry(self, entry_id: int) -> ListedEntry:
        """Return one entry, or raise `EntryLookupError`."""
        found = self._page(entry_id=storable_number(entry_id), limit=1)
        if not found:
            raise _no_entries(self._path, [entry_id])
        return found[0]

    def log(self, entry_id: int) -> list[LoggedAttempt]:
        """Return every attempt of an entry, of all rounds, the oldest first."""
        with outbox_errors(self._path), closing(open_for_reading(self._path)) as connection:
            return [schema.stored_attempt(row) for row in connection.execute(schema.SELECT_LOG, (entry_id,))]

    def unfinished(self, entry_id: int) -> Begun | None:
        """Return the attempt of an entry that has left and is not in its log: under way, or cut off by a kill."""
        # Before the entry is read: what ends in between does not seem to be under way.
        begun = under_way(self._path)
        entry = self.entry(entry_id)
        if entry.state != "waiting":
            return None
        wanted = (entry.id, entry.round, entry.attempts + 1)
        return next((one for one in begun if (one.entry_id, one.round, one.number) == wanted), None)

    def counts(self) -> Mapping[State, int]:
        """Return how many entries there are in each state; states without any are 0."""
        counts = dict.fromkeys(STATES, 0)
        with outbox_errors(self._path), closing(open_for_reading(self._path)) as connection:
            for state, number in connection.execute(schema.COUNT_ALL_STATES):
                counts[schema.state_name(state)] += number
        return counts

    def waiting_for(self) -> list[tuple[str, str, int]]:
        """Return for which notification and target how many entries wait, the most first; targets as in an entry."""
        with outbox_errors(self._path), closing(open_for_reading(self._path)) as connection:
            return connection.execute(schema.COUNT_WAITING_BY_LANE).fetchall()

    def retry(self, entry_ids: Sequence[int] | None, *, due_ns: int) -> int:
        """Let entries that were given up or dropped wait again, due at once, and return how many; None takes them all.

        Their log stays; the attempts of the new round count from 1. Raises `EntryLookupError` for entries that are not
        there and `OutboxError` for those in another state, and then changes nothing.
        """
        return self._change(
            schema.RETRY, {"due_ns": storable_number(due_ns)}, entry_ids, wanted=("given up", "dropped"), verb="retried"
        )

    def drop(self, entry_ids: Sequence[int] | None, *, reason: str) -> int:
        """Drop entries that wait, so that they are not sent, and return how many; None takes them all.

        Raises as `retry` does.
        """
        return self._change(schema.DROP, {"reason": reason}, entry_ids, wanted=("waiting",), verb="dropped")

    def ended_before(self, before_ns: int, *, states: Collection[State] = STATES) -> Mapping[State, int]:
        """Return how many entries `purge` would take, by state; works while a sender delivers."""
        with outbox_errors(self._path), closing(open_for_reading(self._path)) as connection:
            return count_ended(connection, storable_number(before_ns), states)

    def purge(self, before_ns: int, *, states: Collection[State] = STATES) -> Purged:
        """Remove entries in these states, their events and their logs, that had ended before an instant, wall time.

        An entry ends with its last attempt, or was due then if there was none. What waits stays, whatever `states`
        says, and no id is ever given to another entry.
        """
        before_bytes = self._path.stat().st_size
        obstacle = ""
        with self._locked() as connection:
            counts = purge(connection, storable_number(before_ns), states)
            if counts:
                try:
                    give_back(connection)
                except sqlite3.Error as error:
                    obstacle = explain(error)
        freed_bytes = max(0, before_bytes - self._path.stat().st_size)
        return Purged(counts=counts, freed_bytes=freed_bytes, obstacle=obstacle)

    def _page(
        self, *, limit: int, before: int = _NO_ID_IS_LARGER, entry_id: int | None = None, state: State | None = None
    ) -> list[ListedEntry]:
        from_state, to_state = schema.state_range(state)
        values = {"before": before, "id": entry_id, "from_state": from_state, "to_state": to_state, "limit": limit}
        with outbox_errors(self._path), closing(open_for_reading(self._path)) as connection:
            return [_listed(row) for row in connection.execute(schema.SELECT_LISTED, values)]

    def _change(
        self,
        statement: str,
        values: Mapping[str, int | str],
        entry_ids: Sequence[int] | None,
        *,
        wanted: tuple[State, ...],
        verb: str,
    ) -> int:
        with self._locked() as connection, transaction(connection):
            if entry_ids is None:
                changed = connection.execute(statement, {**values, "id": None}).rowcount
            else:
                ids = sorted(set(entry_ids))
                self._check(connection, ids, wanted, verb)
                changed = sum(connection.execute(statement, {**values, "id": one}).rowcount for one in ids)
            # An entry that waits again may have to wait before others of its key, and one that is dropped lets them go
            # first.
            rearrange(connection)
            return changed

    @contextmanager
    def _locked(self) -> Generator[sqlite3.Connection]:
        """Open the file for changes while nobody else works on it."""
        lock = OutboxLock(self._path)
        try:
            left_behind = lock.left_behind
            with (
                outbox_errors(self._path),
                closing(open_for_writing(self._path, left_behind=left_behind)) as connection,
            ):
                lock.clear()
                yield connection
        finally:
            lock.release()

    def _check(self, connection: sqlite3.Connection, ids: list[int], wanted: tuple[State, ...], verb: str) -> None:
        states: dict[int, State] = {}
        for one in ids:
            for (state,) in connection.execute("SELECT state FROM entry WHERE id = ?", (storable_number(one),)):
                states[one] = schema.state_name(state)
        if missing := [one for one in ids if one not in states]:
            raise _no_entries(self._path, missing)
        if others := [f"{one} is {states[one]}" for one in ids if states[one] not in wanted]:
            raise outbox_error(
                self._path,
                f"only what is {' or '.join(wanted)} can be {verb}, and {_named(others)}. Nothing was changed.",
            )


def _listed(row: tuple[*schema.EntryRow, int, str, str, str, str | None]) -> ListedEntry:
    *first, state, reason, notification, target, last_failure = row
    entry = schema.stored_entry(cast("schema.EntryRow", tuple(first)))
    return ListedEntry(
        line=entry.line,
        key=entry.key,
        due_ns=entry.due_ns,
        id=entry.id,
        attempts=entry.attempts,
        cut_off=entry.cut_off,
        round=entry.round,
        state=schema.state_name(state),
        notification=notification,
        target=target,
        reason=reason,
        last_failure=last_failure or "",
    )


def _no_entries(path: Path, ids: list[int]) -> EntryLookupError:
    return EntryLookupError(
        f"the outbox {path} has no entry {_named(map(str, ids))}; `postback outbox list` shows them"
    )


def _named(names: Iterable[str]) -> str:
    first = list(islice(names, _MAX_NAMED + 1))
    return ", ".join(first[:_MAX_NAMED]) + (" and more" if len(first) > _MAX_NAMED else "")
