"""An outbox in a SQLite file: what it has accepted outlives the sender, however that ends."""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from postback_sender.notification import NotificationSource
from postback_sender.outbox import sqlite_schema as schema
from postback_sender.outbox.commit_thread import CommitThread
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
from postback_sender.outbox.sqlite_file import (
    OutboxLock,
    Synchronous,
    make_folder,
    open_for_reading,
    open_for_writing,
    outbox_errors,
    transaction,
)


class SqliteOutbox:
    """Keeps entries in a file, which is made when missing; see `Outbox`.

    One file may hold entries of several notifications and targets. An outbox is opened for one notification, by the
    name of its source, and one target, `to` (None: the URL of the settings); it adds, claims and counts only entries
    of these. After a restart with changed settings the entries continue with the *current* settings of the same name;
    those they were accepted with stay in the file as evidence, and decide nothing.

    Raises `OutboxError` when the file is not an outbox, cannot be opened, or belongs to another process at the moment:
    one works on a file at a time. Claims of a process that has ended are void.

    What was acknowledged survives kill -9, and with `synchronous="full"` a power cut, too.
    """

    def __init__(
        self,
        path: str | Path,
        notification: NotificationSource,
        *,
        to: str | None = None,
        ordered: bool = True,
        synchronous: Synchronous = "normal",
    ) -> None:
        self._path = Path(path)
        self._lane_key = (notification.name, schema.target_digest(to))
        self._ordered = ordered
        make_folder(self._path.parent)
        self._lock = OutboxLock(self._path)
        try:
            connection = open_for_writing(self._path, synchronous=synchronous)
            try:
                with outbox_errors(self._path), transaction(connection):
                    connection.execute(schema.VOID_CLAIMS)
                    self._source = _source_id(connection, notification)
                    self._lane = _lane_id(connection, notification.name, to, ordered=ordered)
            except BaseException:
                connection.close()
                raise
            self._commits = CommitThread(connection, self._path)
        except BaseException:
            self._lock.release()
            raise

    async def add(self, drafts: Sequence[Draft]) -> list[int]:
        lines = check_storable(drafts)

        def insert(connection: sqlite3.Connection) -> list[int]:
            (last_id,) = connection.execute(schema.LAST_ID).fetchone()
            ids = list(range(last_id + 1, last_id + 1 + len(drafts)))
            connection.executemany(
                schema.INSERT_ENTRY,
                (
                    (
                        entry_id,
                        self._lane,
                        self._source,
                        draft.key,
                        storable_number(draft.due_ns),
                        self._ordered and draft.key != "",
                    )
                    for entry_id, draft in zip(ids, drafts, strict=True)
                ),
            )
            connection.executemany(schema.INSERT_EVENT, zip(ids, lines, strict=True))
            return ids

        return await self._commits.submit(insert)

    async def claim(self, *, until_ns: int, limit: int) -> list[Entry]:
        def claim(connection: sqlite3.Connection) -> list[Entry]:
            found = connection.execute(schema.SELECT_CLAIMABLE, (self._lane, storable_number(until_ns), limit))
            # Read before anything is written: a row that cannot be read is refused, and nothing is claimed.
            entries = [schema.stored_entry(row) for row in found.fetchall()]
            connection.executemany(schema.CLAIM, ((entry.id,) for entry in entries))
            return entries

        claimed = self._commits.submit(claim)
        try:
            return await asyncio.shield(claimed)
        except asyncio.CancelledError:
            claimed.add_done_callback(self._give_back)
            raise

    async def next_due_ns(self) -> int | None:
        def read(connection: sqlite3.Connection) -> int | None:
            row = connection.execute(schema.NEXT_DUE, (self._lane,)).fetchone()
            return None if row is None else int(row[0])

        return await self._commits.submit(read)

    async def record(
        self,
        entry_id: int,
        attempt: LoggedAttempt | None,
        *,
        due_ns: int | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> None:
        check_next(due_ns, outcome)
        values = {
            "id": entry_id,
            "lane": self._lane,
            "number": attempt.number if attempt else None,
            "due_ns": None if due_ns is None else storable_number(due_ns),
            "state": schema.CLAIMED if outcome is None else schema.ENDED[outcome],
            "reason": storable_text(reason),
        }

        def write(connection: sqlite3.Connection) -> None:
            if not connection.execute(schema.RECORD, values).rowcount:
                row = connection.execute(schema.SELECT_CLAIMED_ATTEMPTS, (entry_id, self._lane)).fetchone()
                if row is None or attempt is None:
                    raise not_claimed(entry_id)
                raise not_next(entry_id, attempts=row[0], number=attempt.number)
            if attempt is not None:
                connection.execute(
                    schema.INSERT_ATTEMPT,
                    (
                        entry_id,
                        attempt.number,
                        attempt.started_at_ns,
                        attempt.finished_at_ns,
                        attempt.failure,
                        attempt.status,
                        storable_text(attempt.detail),
                    ),
                )
            if outcome is not None and self._ordered:
                connection.execute(schema.ADVANCE, (self._lane, entry_id))

        await self._commits.submit(write)

    async def release(self, entry_ids: Iterable[int]) -> None:
        await self._submit_release(entry_ids)

    async def counts(self) -> Mapping[State, int]:
        self._commits.check_open()
        # Beside the commits: it reads every entry, and nothing that is to be kept should wait for that.
        return await asyncio.to_thread(self._count)

    async def log(self, entry_id: int) -> list[LoggedAttempt]:
        def read(connection: sqlite3.Connection) -> list[LoggedAttempt]:
            return [schema.stored_attempt(row) for row in connection.execute(schema.SELECT_LOG, (entry_id,))]

        return await self._commits.submit(read)

    def close(self) -> None:
        self._commits.close()
        self._lock.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit_release(self, entry_ids: Iterable[int]) -> asyncio.Future[None]:
        rows = [(entry_id, self._lane) for entry_id in entry_ids]

        def release(connection: sqlite3.Connection) -> None:
            connection.executemany(schema.RELEASE, rows)

        return self._commits.submit(release)

    def _give_back(self, claimed: asyncio.Future[list[Entry]]) -> None:
        """Release what was claimed for a caller who was cancelled meanwhile."""
        if not claimed.cancelled() and claimed.exception() is None and claimed.result():
            # Claims are void once the outbox is closed.
            with suppress(OutboxError):
                self._submit_release(entry.id for entry in claimed.result())

    def _count(self) -> Mapping[State, int]:
        counts = dict.fromkeys(STATES, 0)
        with outbox_errors(self._path), closing(open_for_reading(self._path)) as connection:
            for state, number in connection.execute(schema.COUNT_STATES, self._lane_key):
                counts[schema.state_name(state)] += number
        return counts


def _source_id(connection: sqlite3.Connection, source: NotificationSource) -> int:
    """Return the id of these settings in the file, which keeps every version of them once."""
    values = (source.name, source.text, msgspec.json.encode(source.files, order="deterministic").decode())
    row = connection.execute(schema.FIND_SOURCE, values).fetchone()
    return int(row[0]) if row else int(connection.execute(schema.INSERT_SOURCE, values).lastrowid or 0)


def _lane_id(connection: sqlite3.Connection, notification: str, to: str | None, *, ordered: bool) -> int:
    digest = schema.target_digest(to)
    row = connection.execute(schema.FIND_LANE, (notification, digest)).fetchone()
    if row is None:
        values = (notification, schema.shown_target(to), digest, ordered)
        return int(connection.execute(schema.INSERT_LANE, values).lastrowid or 0)
    lane, was_ordered = row
    if bool(was_ordered) != ordered:
        connection.execute("UPDATE lane SET ordered = ? WHERE id = ?", (ordered, lane))
        connection.execute(schema.REARRANGE, {"lane": lane, "ordered": ordered})
    return int(lane)
