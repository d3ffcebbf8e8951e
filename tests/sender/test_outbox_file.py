"""What a file adds to an outbox: it outlives its process, keeps others out, and stays small in memory and in steps."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from outbox_files import FOR_EVER, SOURCE, add, claim, draft, give_up
from postback_sender import NotificationSource
from postback_sender.outbox import sqlite_schema as schema
from postback_sender.outbox.entry import Entry
from postback_sender.outbox.errors import EntryLookupError, OutboxError
from postback_sender.outbox.sqlite_file import Synchronous, open_for_writing
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox


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
