"""Purging: entries that have ended long enough ago leave the file, with their events and logs; nothing else does."""

import sqlite3
from collections import Counter
from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec

from postback_sender.outbox.entry import State
from postback_sender.outbox.sqlite_file import transaction
from postback_sender.outbox.sqlite_schema import WAITING_BELOW, state_name

# So many in one transaction: SQLite's log stays small, and a sender that purges while it sends goes on at once.
_PAGE_ENTRIES: Final = 1_000

# An entry has ended by its last attempt, or by when it was due if there was none. Its parameters: the id before, the
# instant, how many.
_SELECT_ENDED: Final = """
    SELECT id, state FROM entry
    WHERE id > ? AND state > ? AND max(due_ns, coalesce(
        (SELECT max(max(started_at_ns, finished_at_ns)) FROM attempt WHERE attempt.entry = entry.id), due_ns
    )) < ? ORDER BY id LIMIT ?
"""
_DELETE: Final = (
    "DELETE FROM attempt WHERE entry IN (SELECT value FROM json_each(?))",
    "DELETE FROM event WHERE entry IN (SELECT value FROM json_each(?))",
    "DELETE FROM entry WHERE id IN (SELECT value FROM json_each(?))",
)
# No id is ever given to another entry, not even one that nobody has any more.
_KEEP_LAST_ID: Final = "UPDATE purged SET last_id = max(last_id, coalesce((SELECT max(id) FROM entry), 0))"
# Settings and targets that no entry refers to any more.
_DELETE_UNUSED: Final = (
    "DELETE FROM source WHERE id NOT IN (SELECT source FROM entry)",
    "DELETE FROM lane WHERE id NOT IN (SELECT lane FROM entry)",
)


class Page(NamedTuple):
    """Up to so many entries that have ended; `last_id` is where the next one begins, None when there is none."""

    ended: Counter[State]
    last_id: int | None


def count_ended(connection: sqlite3.Connection, before_ns: int, states: Collection[State]) -> Counter[State]:
    """Return how many a purge would take, by state."""
    counts: Counter[State] = Counter()
    last_id: int | None = 0
    while last_id is not None:
        ended, last_id = _ended(connection, last_id, before_ns, states)
        counts.update(state for _, state in ended)
    return counts


def purge_page(connection: sqlite3.Connection, after_id: int, before_ns: int, states: Collection[State]) -> Page:
    """Delete those of the next page that had ended before an instant, wall time, in these states.

    What waits is not among them, whatever `states` says. The space is for what is accepted next.
    """
    ended, last_id = _ended(connection, after_id, before_ns, states)
    if ended:
        connection.execute(_KEEP_LAST_ID)
        ids = msgspec.json.encode([entry_id for entry_id, _ in ended]).decode()
        for statement in _DELETE:
            connection.execute(statement, (ids,))
    return Page(Counter([state for _, state in ended]), last_id)


def purge(connection: sqlite3.Connection, before_ns: int, states: Collection[State]) -> Counter[State]:
    """Purge all pages, and what nothing refers to then. Return how many entries that were, by state."""
    counts: Counter[State] = Counter()
    last_id: int | None = 0
    while last_id is not None:
        with transaction(connection):
            ended, last_id = purge_page(connection, last_id, before_ns, states)
        counts.update(ended)
    with transaction(connection):
        for statement in _DELETE_UNUSED:
            connection.execute(statement)
    return counts


def _ended(
    connection: sqlite3.Connection, after_id: int, before_ns: int, states: Collection[State]
) -> tuple[list[tuple[int, State]], int | None]:
    """Return what had ended before an instant in these states, of one page, and where the next one begins."""
    rows = connection.execute(_SELECT_ENDED, (after_id, WAITING_BELOW, before_ns, _PAGE_ENTRIES)).fetchall()
    ended: list[tuple[int, State]] = [
        (entry_id, state_name(state)) for entry_id, state in rows if state_name(state) in states
    ]
    return ended, rows[-1][0] if rows else None


def give_back(connection: sqlite3.Connection) -> None:
    """Make the file as small as what is in it, if it is worth the work: a quarter of it or more is empty.

    Takes as much space again while it runs. Raises `sqlite3.Error` when there is none, and has done nothing then.
    """
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (empty,) = connection.execute("PRAGMA freelist_count").fetchone()
    if empty * 4 >= pages:
        connection.execute("VACUUM")
