"""What a file adds to an outbox: it outlives its process, keeps others out, and stays small in memory and in steps."""

import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest

from postback_sender import Event, NotificationSource
from postback_sender.event import encode_event
from postback_sender.outbox import sqlite_schema as schema
from postback_sender.outbox.entry import Draft, Entry, LoggedAttempt
from postback_sender.outbox.errors import EntryLookupError, OutboxError
from postback_sender.outbox.sqlite_file import APPLICATION_ID, Synchronous, open_for_writing
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

SOURCE = NotificationSource(name="n.toml", text='url = "http://127.0.0.1/?key=${KEY}"', files={"body.json": "{}"})
AT = datetime(2026, 5, 11, tzinfo=UTC)
FOR_EVER = 2**63 - 1
ATTEMPT = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2)


def draft(key: str = "", *, due_ns: int = 0, filler: str = "") -> Draft:
    return Draft(event=Event(kind="job_completion", at=AT, values={"Id": key, "x": filler}), key=key, due_ns=due_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def add(path: Path, *drafts: Draft, source: NotificationSource = SOURCE, to: str | None = None) -> list[int]:
    async def add_all() -> list[int]:
        async with SqliteOutbox(path, source, to=to) as outbox:
            return await outbox.add(drafts)

    return asyncio.run(add_all())


def claim(path: Path, *, source: NotificationSource = SOURCE, to: str | None = None, ordered: bool = True) -> list[int]:
    async def claim_all() -> list[int]:
        async with SqliteOutbox(path, source, to=to, ordered=ordered) as outbox:
            return [entry.id for entry in await outbox.claim(until_ns=FOR_EVER, limit=100, resends=False)]

    return asyncio.run(claim_all())


def give_up(path: Path, *entry_ids: int) -> None:
    async def give_up_all() -> None:
        async with SqliteOutbox(path, SOURCE, ordered=False) as outbox:
            await outbox.claim(until_ns=FOR_EVER, limit=100, resends=False)
            for entry_id in entry_ids:
                await outbox.record(entry_id, ATTEMPT, outcome="given up", reason="no retry is left")

    asyncio.run(give_up_all())


def test_claims_end_with_the_process_that_made_them(path: Path) -> None:
    add(path, draft("a"), draft("a"), draft())
    assert claim(path) == [1, 3]
    assert claim(path) == [1, 3]


def test_entries_belong_to_their_notification_and_target_whatever_its_settings_are_now(path: Path) -> None:
    other = NotificationSource(name="other.toml", text="")
    add(path, draft("a"))
    add(path, draft("a"), source=other)
    add(path, draft("a"), to="http://127.0.0.1:1/x")
    changed = NotificationSource(name="n.toml", text='retry = "none"')
    assert claim(path, source=changed) == [1]
    assert claim(path, source=other) == [2]
    assert claim(path, to="http://127.0.0.1:1/x") == [3]
    assert claim(path, to="http://127.0.0.1:1/y") == []


def test_the_file_holds_no_secret_of_the_environment_or_of_a_target(path: Path) -> None:
    add(path, draft("a"), to="http://user:pass-w0rd@127.0.0.1:1/hook-s3cret?key=s3cret")
    (entry,) = OutboxFile(path).latest()
    assert entry.target == "http://127.0.0.1:1"
    held = path.read_bytes()
    assert b"${KEY}" in held
    assert b"s3cret" not in held
    assert b"pass-w0rd" not in held


def test_the_order_can_be_given_up_and_taken_up_again(path: Path) -> None:
    add(path, draft("a"), draft("a"), draft("b"))
    assert claim(path) == [1, 3]
    assert claim(path, ordered=False) == [1, 2, 3]
    assert claim(path) == [1, 3]


def test_one_process_at_a_time_delivers_and_others_may_look(path: Path) -> None:
    link = path.with_name("link")
    with closing(SqliteOutbox(path, SOURCE)) as outbox:
        asyncio.run(outbox.add([draft()]))
        link.symlink_to(path)
        for name in (path, link):
            with pytest.raises(OutboxError, match=f"the process {os.getpid()} works on it"):
                SqliteOutbox(name, SOURCE)
        with pytest.raises(OutboxError, match="works on it"):
            OutboxFile(path).drop(None, reason="")
        assert [entry.id for entry in OutboxFile(path).latest()] == [1]
    assert claim(path) == [1]


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


def test_a_damaged_entry_is_named_and_keeps_no_other_from_being_sent(path: Path) -> None:
    add(path, draft("a"), draft("b"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE event SET line = '{' WHERE entry = 2")

    async def claim_both() -> list[Entry]:
        async with SqliteOutbox(path, SOURCE) as outbox:
            return await outbox.claim(until_ns=FOR_EVER, limit=2, resends=False)

    whole, damaged = asyncio.run(claim_both())
    assert whole.event == draft("a").event
    with pytest.raises(OutboxError, match="entry 2 of the outbox holds something that is not an event"):
        _ = damaged.event
    assert OutboxFile(path).counts()["waiting"] == 2


def test_what_was_held_ends_with_its_process_and_holds_nobody_up(path: Path) -> None:
    """As does what was accepted after it with the same key."""

    async def hold(outbox: SqliteOutbox) -> None:
        await outbox.add([draft("a")])
        await outbox.add([draft("a"), draft("b")], held=True)
        await outbox.add([draft("b")])
        assert [entry.id for entry in OutboxFile(path).latest()] == [4, 1]
        assert OutboxFile(path).counts()["waiting"] == 2
        with pytest.raises(EntryLookupError):
            OutboxFile(path).entry(2)

    with closing(SqliteOutbox(path, SOURCE)) as outbox:
        asyncio.run(hold(outbox))
    assert claim(path) == [1, 4]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT entry FROM event").fetchall() == [(1,), (4,)]


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


def test_only_our_own_folder_is_made(tmp_path: Path) -> None:
    with closing(SqliteOutbox(tmp_path / ".postback" / "deep" / "outbox.sqlite", SOURCE)):
        assert (tmp_path / ".postback" / ".gitignore").exists()
    with pytest.raises(OutboxError, match="no such folder"):
        SqliteOutbox(tmp_path / "elsewhere" / "outbox.sqlite", SOURCE)


@pytest.mark.parametrize(("synchronous", "number"), [("normal", 1), ("full", 2)])
def test_a_power_cut_is_survived_on_demand(path: Path, synchronous: Synchronous, number: int) -> None:
    with closing(open_for_writing(path, synchronous=synchronous)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (number,)


STEPS_PER_TICK = 10


def steps(connection: sqlite3.Connection, statement: str, values: tuple[int | str | None, ...]) -> int:
    """How many steps SQLite's machine takes for a statement, to the nearest ten."""
    ticks: list[None] = []
    connection.set_progress_handler(lambda: ticks.append(None), STEPS_PER_TICK)
    connection.execute(statement, values).fetchall()
    connection.set_progress_handler(None, STEPS_PER_TICK)
    return len(ticks) * STEPS_PER_TICK


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (schema.SELECT_DUE, (1, False, FOR_EVER, 1)),
        (schema.SELECT_DUE, (1, True, FOR_EVER, 1)),
        (schema.ADVANCE, (1, '["all"]')),
        (schema.INSERT_ENTRY, (10**6, 1, 1, "all", 0, None)),
        (schema.HAS_BEHIND, (1, 10**6)),
        (schema.RECORD, ('[[1, 1, 0, 2, ""]]',)),
        (schema.SELECT_WAITING, (1, 19_990, 100)),
    ],
    ids=["claim", "claim resends", "advance", "add", "look for more", "record", "a page"],
)
def test_what_a_sender_does_among_very_many_entries_touches_few(
    path: Path, statement: str, values: tuple[int | str | None, ...]
) -> None:
    """Half of them have one key and wait for its first entry; the others have ended."""
    total = 20_000
    with closing(open_for_writing(path)) as connection:
        connection.execute("BEGIN")
        rows = ((one, "all" if one % 2 else "", 11 if one % 2 == 0 else 2 if one == 1 else 1) for one in range(total))
        connection.executemany("INSERT INTO entry VALUES (?, 1, 1, ?, 0, ?, 0, 1, '', 0)", rows)
        connection.execute("UPDATE entry SET state = 11 WHERE id = 1")
        assert steps(connection, "SELECT count(*) FROM entry WHERE due_ns = 0", ()) > total
        assert steps(connection, statement, values) < 200


RUNS_OUT = """
import asyncio, json, resource, sys
from postback_sender import Event, NotificationSource
from postback_sender.outbox.entry import Draft
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from datetime import UTC, datetime

def draft(size):
    values = {"x": "x" * size}
    event = Event(kind="job_completion", at=datetime(2026, 5, 11, tzinfo=UTC), values=values)
    return Draft(event=event, key="k", due_ns=0)

async def fill():
    async with SqliteOutbox(sys.argv[1], NotificationSource(name="n.toml", text="")) as outbox:
        accepted = list(await outbox.add([draft(10)]))
        limit = 1_000_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        refused = []
        for _ in range(3):
            works = [outbox.add([draft(40_000) for _ in range(5)]) for _ in range(4)]
            for outcome in await asyncio.gather(*works, return_exceptions=True):
                (refused.append(str(outcome)) if isinstance(outcome, OutboxError) else accepted.extend(outcome))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        accepted += await outbox.add([draft(40_000)])
    print(json.dumps([accepted, refused]))

asyncio.run(fill())
"""


def test_a_full_disk_refuses_what_it_cannot_hold_whole_and_keeps_the_rest(path: Path) -> None:
    """The limit of a file's size stands for the disk; once there is room again, more is accepted."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", RUNS_OUT, str(path)], capture_output=True, check=True, timeout=60)
    accepted, refused = json.loads(done.stdout)
    assert all("disk" in message and "space" in message for message in refused)
    assert len(refused) + (len(accepted) - 2) / 5 == 12
    assert refused
    file = OutboxFile(path)
    assert sorted(entry.id for entry in file.latest()) == accepted
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (len(accepted),)


FULL_WHILE_CLAIMING = """
import asyncio, json, resource, sys
from postback_sender import Event, NotificationSource
from postback_sender.outbox.entry import Draft, LoggedAttempt
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from datetime import UTC, datetime

EVENT = Event(kind="job_completion", at=datetime(2026, 5, 11, tzinfo=UTC), values={})
FAR = 2**63 - 1

async def main():
    async with SqliteOutbox(sys.argv[1], NotificationSource(name="n.toml", text="")) as outbox:
        await outbox.add([Draft(event=EVENT, key=key, due_ns=0) for key in ("a", "a", "b", "")])
        ours = [one.id for one in await outbox.claim(until_ns=FAR, limit=2, resends=False)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        # One group: the thread is busy with nothing else, and takes up what came together.
        big = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2, detail="x" * 100_000)
        together = await asyncio.gather(
            outbox.record(ours[0], big, outcome="delivered"),
            outbox.release([ours[1]]),
            outbox.record(ours[0], big, outcome="delivered"),
            return_exceptions=True,
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        refused = [isinstance(one, OutboxError) for one in together]
        # The claim is there as before: it can be recorded, nobody else gets it, and nothing of its key comes forward.
        others = [one.id for one in await outbox.claim(until_ns=FAR, limit=9, resends=False)]
        await outbox.record(ours[0], LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2), outcome="delivered")
        then = [one.id for one in await outbox.claim(until_ns=FAR, limit=9, resends=False)]
        log = len(await outbox.log(ours[0]))
    print(json.dumps([ours, refused, others, then, log]))

asyncio.run(main())
"""


def test_what_a_full_disk_undoes_is_undone_in_the_claims_as_well(path: Path) -> None:
    command = [sys.executable, "-c", FULL_WHILE_CLAIMING, str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    ours, refused, others, then, log = json.loads(done.stdout)
    assert (ours, refused[0], refused[2]) == ([1, 3], True, True)
    # Whether what was given back shared the fate of the others depends on who came into which group.
    assert others == ([4] if refused[1] else [3, 4])
    assert (then, log) == ([2], 1)


def test_whoever_retries_starts_a_new_round_in_the_old_order(path: Path) -> None:
    add(path, draft("a"), draft("a"), draft("b"))
    give_up(path, 1, 3)
    assert claim(path) == [2]
    assert OutboxFile(path).retry([1], due_ns=70) == 1
    assert claim(path) == [1]
    entry = OutboxFile(path).entry(1)
    assert (entry.state, entry.round, entry.attempts, entry.due_ns) == ("waiting", 2, 0, 70)
    give_up(path, 1)
    assert [(one.round, one.number) for one in OutboxFile(path).log(1)] == [(1, 1), (2, 1)]
    assert OutboxFile(path).retry(None, due_ns=70) == 2
    assert OutboxFile(path).retry(None, due_ns=70) == 0


def test_what_was_dropped_is_not_sent_and_lets_the_next_one_go(path: Path) -> None:
    add(path, draft("a"), draft("a"), draft("b"))
    assert OutboxFile(path).drop([1], reason="by hand") == 1
    assert claim(path) == [2, 3]
    assert OutboxFile(path).entry(1).reason == "by hand"
    assert OutboxFile(path).drop(None, reason="") == 2
    assert OutboxFile(path).counts() == {"waiting": 0, "delivered": 0, "given up": 0, "dropped": 3}
    assert claim(path) == []


def test_a_change_that_does_not_fit_one_entry_changes_none(path: Path) -> None:
    add(path, draft("a"), draft("b"))
    give_up(path, 1)
    file = OutboxFile(path)
    with pytest.raises(OutboxError, match="only what is waiting can be dropped, and 1 is given up"):
        file.drop([2, 1], reason="")
    with pytest.raises(EntryLookupError, match="has no entry 7, 8;"):
        file.retry([7, 1, 8], due_ns=0)
    assert [entry.state for entry in file.latest()] == ["waiting", "given up"]


def test_the_latest_entries_come_first_page_by_page(path: Path) -> None:
    add(path, *(draft() for _ in range(600)))
    give_up(path, 7)
    assert [entry.id for entry in OutboxFile(path).latest()] == list(range(600, 0, -1))
    (entry,) = OutboxFile(path).latest(state="given up")
    assert (entry.id, entry.reason, entry.notification) == (7, "no retry is left", "n.toml")
