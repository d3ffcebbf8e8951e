"""Attempts whose sender ended first: they are in the log, and no retry is used up by them."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fork_server import PATIENCE_S
from postback_sender import Event, NotificationSource, Sender, parse_notification
from postback_sender.delivery.policy import Delivered
from postback_sender.delivery.retry import Failure
from postback_sender.outbox.entry import Begun, Draft, LoggedAttempt
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.lock import OutboxLock
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.outbox import Outbox
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

AT = datetime(2026, 5, 11, tzinfo=UTC)
FOR_EVER = 2**63 - 1
LOCK = "outbox.sqlite-lock"


def source(port: int = 1) -> NotificationSource:
    return NotificationSource(name="n.toml", text=f'url = "http://127.0.0.1:{port}/{{ActionId}}"\nretry = "none"\n')


def draft(name: str = "a") -> Draft:
    return Draft(event=Event(kind="action_lifecycle", at=AT, values={"ActionId": name}), key="", due_ns=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


def leave_under_way(path: Path, *begun: Begun, port: int = 1) -> None:
    """Accept entries 1 and 2, let these attempts begin, and end as a kill does: with nothing put down."""

    async def main() -> None:
        async with SqliteOutbox(path, source(port)) as outbox:
            if not (await outbox.counts())["waiting"]:
                await outbox.add([draft("a"), draft("b")])
            await outbox.claim(until_ns=FOR_EVER, limit=9, resends=False)
            for one in begun:
                outbox.begin(one)

    run(main)


def test_what_was_under_way_when_its_sender_ended_is_in_the_log_once(path: Path) -> None:
    leave_under_way(path, Begun(entry_id=2, round=1, number=1, started_at_ns=70))
    for _ in range(2):
        SqliteOutbox(path, source()).close()
        [attempt] = OutboxFile(path).log(2)
        assert (attempt.number, attempt.started_at_ns, attempt.finished_at_ns) == (1, 70, None)
        assert (attempt.is_cut_off, attempt.status) == (True, None)
        assert "counts as no retry" in attempt.detail
    assert OutboxFile(path).log(1) == []
    entry = OutboxFile(path).entry(2)
    assert (entry.state, entry.attempts, entry.cut_off, entry.last_failure) == ("waiting", 1, 1, "cut off")


def test_right_after_a_kill_it_is_seen_by_whoever_only_looks(path: Path) -> None:
    left = Begun(entry_id=2, round=1, number=1, started_at_ns=70)
    leave_under_way(path, left)
    held = path.with_name(LOCK).read_bytes()
    assert [OutboxFile(path).unfinished(one) for one in (1, 2)] == [None, left]
    assert path.with_name(LOCK).read_bytes() == held
    # It is in the log from now on.
    SqliteOutbox(path, source()).close()
    assert OutboxFile(path).unfinished(2) is None


def test_what_is_under_way_is_seen_until_it_ends_and_counted_as_cut_off_only_then(path: Path) -> None:
    async def main() -> None:
        async with SqliteOutbox(path, source()) as outbox:
            await outbox.add([draft("a")])
            await outbox.claim(until_ns=FOR_EVER, limit=9, resends=False)
            begun = Begun(entry_id=1, round=1, number=1, started_at_ns=1)
            outbox.begin(begun)
            assert OutboxFile(path).unfinished(1) == begun
            assert await outbox.last_cut_off() == 0
            cut = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2, failure=Failure.CUT_OFF)
            await outbox.record(1, cut, due_ns=0)
            assert OutboxFile(path).unfinished(1) is None
            assert await outbox.last_cut_off() == 1
            await outbox.claim(until_ns=FOR_EVER, limit=9, resends=True)
            failed = LoggedAttempt(number=2, started_at_ns=3, finished_at_ns=4, failure=Failure.TIMEOUT)
            await outbox.record(1, failed, due_ns=0)
            # Of that one it is known that it was tried again since.
            assert await outbox.last_cut_off() == 0

    run(main)


def test_whoever_works_on_the_outbox_next_puts_it_down(path: Path) -> None:
    leave_under_way(path, Begun(entry_id=2, round=1, number=1, started_at_ns=70))
    assert OutboxFile(path).drop([2], reason="by hand") == 1
    assert [attempt.is_cut_off for attempt in OutboxFile(path).log(2)] == [True]
    # A new round counts from nothing again.
    assert OutboxFile(path).retry([2], due_ns=0) == 1

    async def main() -> None:
        async with SqliteOutbox(path, source()) as outbox:
            assert [(one.attempts, one.cut_off) for one in await outbox.waiting(after_id=1, limit=9)] == [(0, 0)]

    run(main)


def test_an_attempt_that_was_put_down_is_not_taken_for_one_that_was_cut_off(path: Path) -> None:
    async def main() -> None:
        async with SqliteOutbox(path, source()) as outbox:
            await outbox.add([draft("a"), draft("b")])
            await outbox.claim(until_ns=FOR_EVER, limit=9, resends=False)
            for one in (1, 2):
                outbox.begin(Begun(entry_id=one, round=1, number=1, started_at_ns=1))
            await outbox.record(1, LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2), outcome="delivered")

    run(main)
    # Entry 1 still has its place in the file: it was not worth a write to clear it.
    assert [path.with_name(LOCK).read_bytes()[at] for at in (32, 64, 96)] == [1, 2, 0]
    SqliteOutbox(path, source()).close()
    assert [[one.is_cut_off for one in OutboxFile(path).log(entry)] for entry in (1, 2)] == [[False], [True]]


@pytest.mark.parametrize(
    "left",
    [b"12345", b"", b"\xff" * 500, b"\x01" * 500, bytes(500), b"x" * 33],
    ids=["an older version's", "nothing", "negative noise", "noise", "zeros", "torn"],
)
def test_whatever_a_lock_file_holds_the_outbox_opens(path: Path, left: bytes) -> None:
    leave_under_way(path)
    path.with_name(LOCK).write_bytes(left)
    SqliteOutbox(path, source()).close()
    assert [OutboxFile(path).log(entry) for entry in (1, 2)] == [[], []]
    assert path.with_name(LOCK).read_bytes() == b""


def test_however_many_are_under_way_each_has_its_place(path: Path) -> None:
    async def main() -> None:
        async with SqliteOutbox(path, source()) as outbox:
            await outbox.add([draft(str(number)) for number in range(600)])
            for entry in await outbox.claim(until_ns=FOR_EVER, limit=600, resends=False):
                outbox.begin(Begun(entry_id=entry.id, round=1, number=1, started_at_ns=entry.id))
                if entry.id % 3 == 0:
                    done = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2)
                    await outbox.record(entry.id, done, outcome="delivered")

    run(main)
    SqliteOutbox(path, source()).close()
    logged = {entry.id: OutboxFile(path).log(entry.id) for entry in OutboxFile(path).latest(state="waiting")}
    assert {one: log[0].started_at_ns for one, log in logged.items()} == {n: n for n in range(1, 601) if n % 3}


def test_the_policy_does_not_count_it(path: Path) -> None:
    """These settings allow one attempt; the endpoint is asked again all the same, since nobody knows."""

    async def main() -> None:
        arrived: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        outbox = SqliteOutbox(path, source(port))
        async with server, outbox, Sender(parse_notification(source(port), {}), outbox=outbox) as sender:
            ended = [delivery async for delivery in sender.deliver()]
        assert sorted(arrived) == ["/a", "/b"]
        assert [delivery.outcome for delivery in ended] == [Delivered()] * 2
        tried = {delivery.postback.key: [each.failure for each in delivery.attempts] for delivery in ended}
        assert tried == {"a": [None], "b": [Failure.CUT_OFF, None]}
        counted = {delivery.postback.key: [each.counted for each in delivery.attempts] for delivery in ended}
        assert counted == {"a": [1], "b": [1, 1]}

    leave_under_way(path, Begun(entry_id=2, round=1, number=1, started_at_ns=70))
    run(main)
    assert [attempt.failure for attempt in OutboxFile(path).log(2)] == ["cut off", ""]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_stopping_at_once_puts_down_what_it_cuts(kind: str, path: Path) -> None:
    async def main() -> None:
        arrived, finish = asyncio.Semaphore(0), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            arrived.release()
            await finish.wait()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        settings = source(server.sockets[0].getsockname()[1])
        outbox: Outbox = MemoryOutbox() if kind == "memory" else SqliteOutbox(path, settings)
        told: list[Failure | None] = []
        async with server, outbox:
            async with Sender(
                parse_notification(settings, {}),
                outbox=outbox,
                concurrency=2,
                on_attempt=lambda _, attempt, __: told.append(attempt.failure),
            ) as sender:
                await sender.accept([draft(str(number)).event for number in range(5)])
                delivering = asyncio.ensure_future(anext(sender.deliver(), None))
                for _ in range(2):
                    await arrived.acquire()
                sender.cut()
                assert await delivering is None
                left = [delivery async for delivery in sender.undelivered()]
            finish.set()
            # Logged and told; what had not left is as it was.
            assert told == [Failure.CUT_OFF] * 2
            logged = [[each.failure for each in delivery.attempts] for delivery in left]
            assert sorted(logged) == [[], [], [], [Failure.CUT_OFF], [Failure.CUT_OFF]]
            again = await outbox.claim(until_ns=FOR_EVER, limit=9, resends=True)
            assert [(one.attempts, one.cut_off) for one in again] == [(1, 1)] * 2
            for entry in again:
                [attempt] = await outbox.log(entry.id)
                # We were there to see it end.
                assert attempt.finished_at_ns is not None
                assert attempt.finished_at_ns >= attempt.started_at_ns

    run(main)


def test_what_cannot_be_noted_does_not_leave(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        settings = source(server.sockets[0].getsockname()[1])

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        async with server, SqliteOutbox(path, settings) as outbox:
            async with Sender(parse_notification(settings, {}), outbox=outbox) as sender:
                await sender.accept([draft("a").event])
                with monkeypatch.context() as patched:
                    patched.setattr("os.pwrite", full)
                    with pytest.raises(OutboxError, match="No space left on device"):
                        _ = [delivery async for delivery in sender.deliver()]
            assert (await outbox.counts())["waiting"] == 1

    run(main)
    with closing(SqliteOutbox(path, source())):
        assert OutboxFile(path).log(1) == []


def test_a_lock_that_cannot_be_written_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk may have room again before this process ends."""

    def full(*_: object) -> int:
        return 0

    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", full)
        with pytest.raises(OutboxError, match="No space left on device"):
            SqliteOutbox(path, source())
    SqliteOutbox(path, source()).close()


def test_a_file_system_that_maps_no_files_notes_what_is_under_way_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unmapped(*_: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr("mmap.mmap", unmapped)
    left = [Begun(entry_id=one, round=1, number=1, started_at_ns=70) for one in (1, 2)]
    leave_under_way(path, *left)
    assert [OutboxFile(path).unfinished(one.entry_id) for one in left] == left
    SqliteOutbox(path, source()).close()
    assert [[one.is_cut_off for one in OutboxFile(path).log(entry)] for entry in (1, 2)] == [[True], [True]]


FORKING = """
import os, sys
from pathlib import Path
from postback_sender.outbox.entry import Begun
from postback_sender.outbox.lock import OutboxLock

lock = OutboxLock(Path(sys.argv[1]))
lock.begin(Begun(1, 1, 1, 1))
lock.end(1)
hearing, telling = os.pipe()
if not os.fork():
    lock.release()
    os.write(telling, b"released")
    sys.stdin.read()
    os._exit(0)
os.read(hearing, 8)
lock.begin(Begun(2, 1, 1, 1))
os.kill(os.getpid(), 9)
"""


def test_a_forked_child_takes_nothing_from_its_parent_and_keeps_nothing(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", FORKING, str(path)], stdin=subprocess.PIPE) as process:
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
        # The child is still there, since it hears from us yet.
        lock = OutboxLock(path)
        assert lock.left_behind == (Begun(2, 1, 1, 1),)
        lock.release()
