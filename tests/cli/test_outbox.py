"""`postback outbox`: looking at what was accepted, trying it again, dropping it."""

import asyncio
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from command_line import Run
from postback_conformance.cli.application import run as run_here
from postback_sender import Event, NotificationSource
from postback_sender.outbox.entry import Draft, LoggedAttempt
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

SOURCE = NotificationSource(name="n.toml", text="")
SECOND = 1_000_000_000


def words(line: str) -> list[str]:
    """A line of a table without its layout."""
    return line.split()


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """The default file, with an entry that was given up after two attempts, and one that waits."""
    path = tmp_path / ".postback" / "outbox.sqlite"
    at = datetime(2026, 5, 11, tzinfo=UTC)

    async def fill() -> None:
        async with SqliteOutbox(path, SOURCE, to="http://127.0.0.1:1/s3cret") as outbox:
            event = Event(kind="action_lifecycle", at=at, values={"ActionId": "1.2.3"})
            # As a duplicate is: tied to nothing, and from where the clock is two hours ahead.
            other = replace(event, at=at.replace(tzinfo=timezone(timedelta(hours=2))))
            await outbox.add(
                [Draft(event=event, key="1.2.3", due_ns=SECOND), Draft(event=other, key="", due_ns=SECOND)]
            )
            await outbox.claim(until_ns=SECOND, limit=1, resends=False)
            first = LoggedAttempt(
                number=1, started_at_ns=2 * SECOND, finished_at_ns=3 * SECOND, failure="error answer", status=503
            )
            second = LoggedAttempt(
                number=2, started_at_ns=8 * SECOND, finished_at_ns=9 * SECOND, failure="no answer in time", detail="10s"
            )
            await outbox.record(1, first, due_ns=8 * SECOND)
            await outbox.claim(until_ns=8 * SECOND, limit=1, resends=True)
            await outbox.record(1, second, outcome="given up", reason="no retry is left")

    asyncio.run(fill())
    return path


@pytest.mark.usefixtures("outbox")
def test_list_shows_each_entry_and_what_went_wrong_last(run: Run) -> None:
    done = run("outbox", "list")
    assert done.code == 0
    first, second = done.out.splitlines()[1:]
    assert words(first) == words("1 1.2.3 2026-05-11T00:00:00Z http://127.0.0.1:1 given up 2 no answer in time")
    assert words(second) == words(
        "2 1.2.3 2026-05-10T22:00:00Z http://127.0.0.1:1 waiting 0 1970-01-01T00:00:01.000000Z"
    )
    assert "in all: 1 waiting, 1 given up" in done.err
    assert "s3cret" not in done.text


@pytest.mark.usefixtures("outbox")
def test_list_tells_programs_the_same(run: Run) -> None:
    done = run("outbox", "list", "--format", "json", "--state", "given-up")
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {
            "id": 1,
            "key": "1.2.3",
            "action": "1.2.3",
            "event": "action_lifecycle",
            "at": "2026-05-11T00:00:00+00:00",
            "state": "given up",
            "round": 1,
            "attempts": 2,
            "due_at": None,
            "last_failure": "no answer in time",
            "reason": "no retry is left",
            "notification": "n.toml",
            "target": "http://127.0.0.1:1",
        }
    ]


@pytest.mark.usefixtures("outbox")
def test_log_shows_every_attempt_with_the_gap_before_it(run: Run) -> None:
    done = run("outbox", "log", 1)
    first, second = done.out.splitlines()[1:]
    assert words(first) == words("1 1 1970-01-01T00:00:02.000000Z 1000.0 ms error answer 503")
    assert words(second) == words("1 2 1970-01-01T00:00:08.000000Z 5000.0 ms 1000.0 ms no answer in time (10s)")
    assert "attempt" in words(done.out.splitlines()[0])
    assert "by n.toml, to http://127.0.0.1:1\ngiven up: no retry is left" in done.err
    rows = [json.loads(line) for line in run("outbox", "log", 1, "--format", "json").out.splitlines()]
    assert [(row["number"], row["gap_ms"], row["status"]) for row in rows] == [(1, None, 503), (2, 5000.0, None)]


def test_retry_and_drop_turn_one_into_the_other(run: Run, outbox: Path) -> None:
    told = "1 entry is waiting again, for the next `send` with the same notification and --to"
    assert told in run("outbox", "retry", 1).err
    done = run("outbox", "drop", "--all", env={"POSTBACK_OUTBOX_DROP_OUTBOX": str(outbox)})
    assert (done.code, "2 entries are dropped" in done.err) == (0, True)
    assert run("outbox", "drop", "--all", "--outbox", outbox).code == 4
    assert len(OutboxFile(outbox).log(1)) == 2


@pytest.mark.usefixtures("outbox")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["log", "7"], 4, "has no entry 7"),
        (["log", str(10**20)], 4, f"has no entry {10**20}"),
        (["retry", "1", "7"], 4, "has no entry 7"),
        (["retry", "2"], 2, "only what is given up or dropped can be retried, and 2 is waiting"),
        (["retry"], 2, "expected either ids or --all"),
        (["drop", "2", "--all"], 2, "expected either ids or --all"),
        (["purge", "--older-than", "week"], 2, "--older-than: "),
        (["list", "--outbox", "nowhere"], 2, "there is no such file"),
    ],
    ids=["no log", "no such number", "no entry", "wrong state", "neither", "both", "no duration", "no file"],
)
def test_what_cannot_be_done_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    """Run in this process: it is about answers, and a start of Python for each of them takes its time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["postback", "outbox", *arguments])
    found_code, found_message = run_here()
    assert (found_code, message in found_message) == (code, True)


def test_purge_removes_what_has_ended_and_says_what_it_kept(run: Run, outbox: Path) -> None:
    dry = run("outbox", "purge", "--older-than", "7d", "--dry-run", "--format", "json")
    assert "1 entry would be purged: 1 given up; 1 kept: 1 waiting" in dry.err
    assert json.loads(dry.out) == {
        "format": "postback-outbox-purge/1",
        "dry_run": True,
        "purged": {"waiting": 0, "delivered": 0, "given up": 1, "dropped": 0},
        "kept": {"waiting": 1, "delivered": 0, "given up": 0, "dropped": 0},
        "freed_bytes": None,
    }
    assert "0 entries purged; 2 kept" in run("outbox", "purge", "--older-than", "0s", "--state", "delivered").err
    done = run("outbox", "purge", "--older-than", "7d")
    assert (done.code, "1 entry purged: 1 given up; 1 kept: 1 waiting\n" in done.err) == (0, True)
    assert OutboxFile(outbox).counts()["waiting"] == 1
    # Nothing to purge is nothing wrong: it is what runs every night.
    again = run("outbox", "purge", "--older-than", "0s")
    assert (again.code, "0 entries purged; 1 kept" in again.err) == (0, True)


def test_while_a_sender_delivers_others_may_look_but_not_touch(run: Run, outbox: Path) -> None:
    with closing(SqliteOutbox(outbox, SOURCE)):
        assert run("outbox", "list").code == 0
        done = run("outbox", "retry", "--all")
        assert (done.code, "works on it. Stop that one" in done.err) == (2, True)
