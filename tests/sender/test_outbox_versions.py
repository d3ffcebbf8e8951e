"""Which files are outboxes: older ones go on, and newer ones and those of others are left alone."""

import asyncio
import sqlite3
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from outbox_files import ATTEMPT, FOR_EVER, SOURCE, add, draft
from postback_sender.event import encode_event
from postback_sender.outbox import sqlite_schema as schema
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_file import APPLICATION_ID
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox


def test_a_file_of_somebody_else_is_left_alone(path: Path) -> None:
    path.write_bytes(b"something else")
    with pytest.raises(OutboxError, match="not a SQLite database"):
        SqliteOutbox(path, SOURCE)
    assert path.read_bytes() == b"something else"
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(OutboxError, match="but no outbox"):
        SqliteOutbox(path, SOURCE)


def test_a_newer_file_is_left_alone_and_says_what_to_do(path: Path) -> None:
    add(path, draft())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA user_version = 4")
    with pytest.raises(OutboxError, match="version 4, and this Postback Kit knows versions up to 3"):
        SqliteOutbox(path, SOURCE)
    with pytest.raises(OutboxError, match="version 4"):
        OutboxFile(path)


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_a_version_before_is_opened_and_goes_on(path: Path, version: int) -> None:
    """What was claimed there waits again; the log, the order and what has ended are as they were."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(VERSION_1)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("PRAGMA journal_mode = WAL")
        states = {1: 11, 2: 3, 3: 1, 4: 2, 5: 3}
        for one, state in states.items():
            key, tried = "k" if one <= 3 else "", int(one == 5)
            connection.execute("INSERT INTO entry VALUES (?, 1, 1, ?, 7, ?, ?, 1, '')", (one, key, state, tried))
            connection.execute("INSERT INTO event VALUES (?, ?)", (one, encode_event(draft(str(one)).event)))
        connection.execute("INSERT INTO attempt VALUES (5, 1, 1, 2, 3, 'no connection', NULL, 'x')")
        connection.execute("INSERT INTO source VALUES (1, 'n.toml', 'as it was', '{}')")
        connection.execute("INSERT INTO lane VALUES (1, 'n.toml', '', '', 1)")
        for statement in chain.from_iterable(schema.MIGRATIONS[: version - 1]):
            connection.execute(statement)
    assert len(list(OutboxFile(path).latest())) == 5
    assert OutboxFile(path).counts() == {"waiting": 4, "delivered": 1, "given up": 0, "dropped": 0}

    async def go_on() -> None:
        async with SqliteOutbox(path, SOURCE) as outbox:
            assert [one.id for one in await outbox.claim(until_ns=FOR_EVER, limit=9, resends=False)] == [2, 4]
            (tried,) = await outbox.claim(until_ns=FOR_EVER, limit=9, resends=True)
            assert (tried.id, tried.attempts, tried.event) == (5, 1, draft("5").event)
            assert [one.detail for one in await outbox.log(5)] == ["x"]
            assert await outbox.record(2, ATTEMPT, outcome="delivered")
            assert [one.id for one in await outbox.claim(until_ns=FOR_EVER, limit=9, resends=False)] == [3]
            assert await outbox.add([draft("k")]) == [6]

    asyncio.run(go_on())
    assert OutboxFile(path).counts() == {"waiting": 4, "delivered": 2, "given up": 0, "dropped": 0}
    assert shape_of(path) == shape_of_a_new_one(path.with_name("new.sqlite"))


# As the first release made them.
VERSION_1 = """
    CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, files TEXT NOT NULL);
    CREATE TABLE lane (
        id INTEGER PRIMARY KEY, notification TEXT NOT NULL, target TEXT NOT NULL, target_digest TEXT NOT NULL,
        ordered INTEGER NOT NULL, UNIQUE (notification, target_digest)
    );
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, source INTEGER NOT NULL, key TEXT NOT NULL,
        due_ns INTEGER NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL, round INTEGER NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE TABLE event (entry INTEGER PRIMARY KEY, line BLOB NOT NULL);
    CREATE TABLE attempt (
        entry INTEGER NOT NULL, round INTEGER NOT NULL, number INTEGER NOT NULL, started_at_ns INTEGER NOT NULL,
        finished_at_ns INTEGER NOT NULL, failure TEXT NOT NULL, status INTEGER, detail TEXT NOT NULL,
        PRIMARY KEY (entry, round, number)
    ) WITHOUT ROWID;
    CREATE INDEX entry_due ON entry (lane, due_ns, id) WHERE state = 2;
    CREATE INDEX entry_queue ON entry (lane, key, id) WHERE state < 10 AND key <> '';
"""


def shape_of(path: Path) -> list[object]:
    """Every table with its columns, and every index as it was made."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", (one,)) for one in tables]
        indexes = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name")
        version = connection.execute("PRAGMA user_version")
        return [tables, *(rows.fetchall() for rows in (*columns, indexes, version))]


def shape_of_a_new_one(path: Path) -> list[object]:
    SqliteOutbox(path, SOURCE).close()
    return shape_of(path)
