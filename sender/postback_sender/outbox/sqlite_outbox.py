"""An outbox in a SQLite file: what it has accepted outlives the sender, however that ends."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from postback_sender.delivery.retry import Failure
from postback_sender.notification import NotificationSource
from postback_sender.outbox import sqlite_schema as schema
from postback_sender.outbox.claims import Claims
from postback_sender.outbox.commit_thread import CommitThread
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
from postback_sender.outbox.lock import OutboxLock
from postback_sender.outbox.refusals import check_next, check_storable, refused_record
from postback_sender.outbox.sqlite_file import (
    Synchronous,
    forget_held,
    make_folder,
    open_for_reading,
    open_for_writing,
    outbox_errors,
    transaction,
)
from postback_sender.outbox.sqlite_purge import Page, purge_page


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
            connection = open_for_writing(self._path, synchronous=synchronous, left_behind=self._lock.left_behind)
            try:
                self._lock.clear()
                with outbox_errors(self._path), transaction(connection):
                    self._source = _source_id(connection, notification)
                    self._lane = _lane_id(connection, notification.name, to, ordered=ordered)
                    (self._may_have_behind,) = connection.execute(schema.HAS_BEHIND, (self._lane, 0)).fetchone()
            except BaseException:
                connection.close()
                raise
            # Both are touched by the thread alone.
            self._claims = Claims()
            self._first_held: int | None = None
            self._commits = CommitThread(connection, self._path, claims=self._claims)
        except BaseException:
            self._lock.release()
            raise

    @property
    def last_used_ns(self) -> int | None:
        return self._lock.last_used_ns

    def note_use(self, at_ns: int) -> None:
        self._lock.note_use(at_ns)

    async def add(self, drafts: Sequence[Draft], *, held: bool = False) -> list[int]:
        return await self._commits.submit(self._add, _Batch(drafts, check_storable(drafts), held))

    async def publish(self) -> None:
        await self._commits.submit(self._publish, None)

    async def discard(self) -> None:
        await self._commits.submit(self._discard, None)

    async def claim(self, *, until_ns: int, limit: int, resends: bool) -> list[Entry]:
        claimed = self._commits.submit(self._claim, (resends, storable_number(until_ns), limit))
        try:
            return await asyncio.shield(claimed)
        except asyncio.CancelledError:
            claimed.add_done_callback(self._give_back)
            raise

    async def next_due_ns(self, *, resends: bool) -> int | None:
        return await self._commits.submit(self._next_due_ns, resends)

    async def record(
        self,
        entry_id: int,
        attempt: LoggedAttempt | None,
        *,
        due_ns: int | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> bool:
        check_next(due_ns, outcome)
        has_advanced = await self._commits.submit(self._record, _Record(entry_id, attempt, due_ns, outcome, reason))
        self._lock.end(entry_id)
        return has_advanced

    def begin(self, begun: Begun) -> None:
        self._lock.begin(begun)

    async def release(self, entry_ids: Iterable[int]) -> None:
        await self._commits.submit(self._release, list(entry_ids))

    async def waiting(self, *, after_id: int, limit: int) -> list[Entry]:
        return await self._commits.submit(self._waiting, (after_id, limit))

    async def counts(self) -> Mapping[State, int]:
        self._commits.check_open()
        # Beside the commits: it reads every entry, and nothing that is to be kept should wait for that.
        return await asyncio.to_thread(self._count)

    async def last_cut_off(self) -> int:
        """Return how many wait whose last attempt was cut off: their endpoint may have them already."""
        self._commits.check_open()
        return await asyncio.to_thread(self._count_last_cut_off)

    async def log(self, entry_id: int) -> list[LoggedAttempt]:
        return await self._commits.submit(self._log, entry_id)

    async def purge(self, before_ns: int, *, states: Collection[State] = STATES) -> Mapping[State, int]:
        """Remove what had ended before an instant, wall time, in these states, with its log, in the whole file.

        Returns how many, by state. What waits stays. Others are served between its pages. The file gets no smaller, but
        what is removed makes room; see `OutboxFile.purge` for both.
        """
        counts: Counter[State] = Counter()
        last_id: int | None = 0
        while last_id is not None:
            page = await self._commits.submit(self._purge, (last_id, storable_number(before_ns), states))
            counts.update(page.ended)
            last_id = page.last_id
        return counts

    def close(self) -> None:
        self._commits.close()
        self._lock.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, connection: sqlite3.Connection, batches: Sequence["_Batch"]) -> list[list[int]]:
        return [self._add_batch(connection, batch) for batch in batches]

    def _add_batch(self, connection: sqlite3.Connection, batch: "_Batch") -> list[int]:
        (last_id,) = connection.execute(schema.LAST_ID).fetchone()
        ids = list(range(last_id + 1, last_id + 1 + len(batch.drafts)))
        rows = (
            (entry_id, self._lane, self._source, draft.key, storable_number(draft.due_ns), self._state(draft, batch))
            for entry_id, draft in zip(ids, batch.drafts, strict=True)
        )
        connection.executemany(schema.INSERT_ENTRY, rows)
        connection.executemany(schema.INSERT_EVENT, zip(ids, batch.lines, strict=True))
        if batch.held:
            self._first_held = self._first_held or last_id + 1
        else:
            self._look_for_behind(connection, last_id + 1)
        return ids

    def _state(self, draft: Draft, batch: "_Batch") -> int | None:
        if batch.held:
            return schema.HELD
        return None if self._ordered and draft.key else schema.FIRST

    def _publish(self, connection: sqlite3.Connection, askers: Sequence[None]) -> Sequence[None]:
        if self._first_held is not None:
            values = {"ordered": self._ordered, "lane": self._lane, "first": self._first_held}
            connection.execute(schema.PUBLISH, values)
            self._look_for_behind(connection, self._first_held)
            self._first_held = None
        return askers

    def _discard(self, connection: sqlite3.Connection, askers: Sequence[None]) -> Sequence[None]:
        forget_held(connection)
        self._first_held = None
        return askers

    def _look_for_behind(self, connection: sqlite3.Connection, first_id: int) -> None:
        if not self._may_have_behind:
            (self._may_have_behind,) = connection.execute(schema.HAS_BEHIND, (self._lane, first_id)).fetchone()

    def _claim(self, connection: sqlite3.Connection, wishes: Sequence[tuple[bool, int, int]]) -> list[list[Entry]]:
        return [self._claim_some(connection, wish) for wish in wishes]

    def _claim_some(self, connection: sqlite3.Connection, wish: tuple[bool, int, int]) -> list[Entry]:
        resends, until_ns, limit = wish
        due = connection.execute(schema.SELECT_DUE, (self._lane, resends, until_ns, limit + len(self._claims)))
        free = [entry_id for _, entry_id in due if entry_id not in self._claims][:limit]
        entries = [schema.stored_entry(row) for row in connection.execute(schema.SELECT_ENTRIES, (_as_json(free),))]
        for entry in entries:
            self._claims.put(entry)
        return entries

    def _next_due_ns(self, connection: sqlite3.Connection, kinds: Sequence[bool]) -> list[int | None]:
        found: list[int | None] = []
        for resends in kinds:
            values = (self._lane, resends, storable_number(2**63), 1 + len(self._claims))
            due = connection.execute(schema.SELECT_DUE, values)
            found.append(next((due_ns for due_ns, entry_id in due if entry_id not in self._claims), None))
        return found

    def _record(self, connection: sqlite3.Connection, records: Sequence["_Record"]) -> list[bool | OutboxError]:
        changed: list[tuple[object, ...]] = []
        attempts: list[tuple[object, ...]] = []
        cut_off: list[int] = []
        ended_keys: list[str] = []
        refused: list[OutboxError | None] = []
        for record in records:
            entry = self._claims.get(record.entry_id)
            refusal = refused_record(entry, record.entry_id, record.attempt)
            refused.append(refusal)
            if entry is None or refusal is not None:
                continue
            self._claims.drop(entry.id)
            number = entry.attempts
            if (attempt := record.attempt) is not None:
                number = attempt.number
                attempts.append(_attempt_row(entry, attempt))
                if attempt.is_cut_off:
                    cut_off.append(entry.id)
            due_ns = entry.due_ns if record.due_ns is None else storable_number(record.due_ns)
            state = schema.FIRST if record.outcome is None else schema.ENDED[record.outcome]
            changed.append((entry.id, number, due_ns, state, storable_text(record.reason)))
            if record.outcome is not None and entry.key:
                ended_keys.append(entry.key)
        if changed:
            connection.execute(schema.RECORD, (_as_json(changed),))
        if attempts:
            connection.execute(schema.INSERT_ATTEMPTS, (_as_json(attempts),))
        if cut_off:
            connection.execute(schema.ADD_CUT_OFF, (_as_json(cut_off),))
        # Whom it was that came after does not matter to whoever asks.
        has_advanced = bool(ended_keys) and self._advance(connection, ended_keys)
        return [refusal or has_advanced for refusal in refused]

    def _advance(self, connection: sqlite3.Connection, keys: list[str]) -> bool:
        if not (self._ordered and self._may_have_behind):
            return False
        return connection.execute(schema.ADVANCE, (self._lane, _as_json(keys))).rowcount > 0

    def _release(self, _: sqlite3.Connection, groups: Sequence[list[int]]) -> list[None]:
        for entry_ids in groups:
            for entry_id in entry_ids:
                self._claims.drop(entry_id)
        return [None] * len(groups)

    def _waiting(self, connection: sqlite3.Connection, pages: Sequence[tuple[int, int]]) -> list[list[Entry]]:
        return [
            [schema.stored_entry(row) for row in connection.execute(schema.SELECT_WAITING, (self._lane, *page))]
            for page in pages
        ]

    def _log(self, connection: sqlite3.Connection, entry_ids: Sequence[int]) -> list[list[LoggedAttempt]]:
        return [
            [schema.stored_attempt(row) for row in connection.execute(schema.SELECT_LOG, (entry_id,))]
            for entry_id in entry_ids
        ]

    def _purge(
        self, connection: sqlite3.Connection, wishes: Sequence[tuple[int, int, Collection[State]]]
    ) -> list[Page]:
        return [purge_page(connection, *wish) for wish in wishes]

    def _give_back(self, claimed: asyncio.Future[list[Entry]]) -> None:
        """Release what was claimed for a caller who was cancelled meanwhile."""
        if not claimed.cancelled() and claimed.exception() is None and claimed.result():
            # Claims are void once the outbox is closed.
            with suppress(OutboxError):
                self._commits.submit(self._release, [entry.id for entry in claimed.result()])

    def _count(self) -> Mapping[State, int]:
        counts = dict.fromkeys(STATES, 0)
        with outbox_errors(self._path), closing(open_for_reading(self._path)) as connection:
            for state, number in connection.execute(schema.COUNT_STATES, self._lane_key):
                counts[schema.state_name(state)] += number
        return counts

    def _count_last_cut_off(self) -> int:
        with outbox_errors(self._path), closing(open_for_reading(self._path)) as connection:
            (count,) = connection.execute(schema.COUNT_LAST_CUT_OFF, (*self._lane_key, Failure.CUT_OFF)).fetchone()
        return int(count)


class _Batch(NamedTuple):
    drafts: Sequence[Draft]
    lines: Sequence[bytes]
    held: bool


class _Record(NamedTuple):
    entry_id: int
    attempt: LoggedAttempt | None
    due_ns: int | None
    outcome: Outcome | None
    reason: str


def _attempt_row(entry: Entry, attempt: LoggedAttempt) -> tuple[object, ...]:
    return (
        entry.id,
        entry.round,
        attempt.number,
        attempt.started_at_ns,
        schema.NOBODY_SAW_IT if attempt.finished_at_ns is None else attempt.finished_at_ns,
        attempt.failure,
        attempt.status,
        storable_text(attempt.detail),
    )


def _as_json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()


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
