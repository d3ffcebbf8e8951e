"""The SQLite store: what it keeps, for whom, and what it says when it cannot."""

import asyncio
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from fork_server import PATIENCE_S
from postback_receiver import (
    Answer,
    Capture,
    Retention,
    SqliteStore,
    StoreError,
    Tls,
    open_store,
)
from postback_receiver.sqlite_file import Durability, is_database
from postback_receiver.sqlite_rows import SEQ_OF_ID
from stopped_clock import StoppedClock

NewCapture = Callable[[str], Capture]


def database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_captures_outlive_the_store_object(tmp_path: Path, new_capture: NewCapture) -> None:
    path = tmp_path / "a #1?.db"
    for capture_id in ["first", "second"]:
        with closing(SqliteStore(path)) as store:
            asyncio.run(store.append(new_capture(capture_id)))
    assert [capture.id for capture in open_store(path).captures()] == ["first", "second"]


def test_a_store_can_be_read_while_it_is_written(tmp_path: Path, new_capture: NewCapture) -> None:
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as store:
        reader = open_store(path)
        asyncio.run(store.append(new_capture("first")))
        assert reader.count() == 1
        captures = reader.captures()
        assert next(captures).id == "first"
        asyncio.run(store.append(new_capture("second")))
        assert [capture.id for capture in captures] == ["second"]
        reader.close()


def test_whoever_looks_into_a_store_at_work_takes_nothing_from_it(tmp_path: Path, new_capture: NewCapture) -> None:
    """The system keeps locks by process, and drops them when the process closes the file anywhere else."""
    path = tmp_path / "captures.db"
    look = "import sys; from postback_receiver import open_store; print(len(list(open_store(sys.argv[1]).captures())))"

    def looked_at_by_another_process() -> int:
        command = [sys.executable, "-c", look, str(path)]
        return int(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S).stdout)

    with closing(SqliteStore(path)) as store:
        asyncio.run(store.append(new_capture("a")))
        assert is_database(path)
        open_store(path).close()
        with closing(SqliteStore(path)):
            pass
        assert looked_at_by_another_process() == 1
        asyncio.run(store.append(new_capture("b")))
        assert looked_at_by_another_process() == 2


def test_several_may_make_a_store_at_once(tmp_path: Path) -> None:
    """SQLite itself refuses all but one of those that switch a file to write-ahead logging."""
    for number in range(40):
        path, start = tmp_path / f"{number}.db", threading.Barrier(3, timeout=PATIENCE_S)

        def make(path: Path = path, start: threading.Barrier = start) -> None:
            start.wait()
            SqliteStore(path, busy_timeout_s=PATIENCE_S).close()

        with ThreadPoolExecutor(3) as threads:
            for made in [threads.submit(make) for _ in range(3)]:
                made.result(PATIENCE_S)


@pytest.mark.parametrize("durability", ["process", "power"])
def test_several_stores_may_share_a_file(tmp_path: Path, new_capture: NewCapture, durability: Durability) -> None:
    """Whatever they append at the same time is there once, in the order in which it was acknowledged."""
    path = tmp_path / "captures.db"
    captures = {name: [new_capture(f"{name}{number:03}") for number in range(200)] for name in "abc"}
    # One that fails before it is ready must not keep the others, nor the test, waiting.
    ready = threading.Barrier(len(captures), timeout=PATIENCE_S)

    def flood(name: str) -> None:
        async def append_by_tens(store: SqliteStore) -> None:
            for start in range(0, 200, 10):
                await asyncio.gather(*map(store.append, captures[name][start : start + 10]))

        # Each may have to wait for all that the others write, and nobody sees to it that turns are fair.
        with closing(SqliteStore(path, durability=durability, busy_timeout_s=PATIENCE_S)) as store:
            ready.wait()
            asyncio.run(append_by_tens(store))

    threads = [threading.Thread(target=flood, args=name) for name in captures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE_S)
    arrived = list(open_store(path).numbered())
    assert [number for number, _ in arrived] == list(range(1, 601))
    for name, own in captures.items():
        assert [capture for _, capture in arrived if capture.id.startswith(name)] == own


def test_a_capture_of_another_store_can_be_ended_and_its_id_is_taken(tmp_path: Path, new_capture: NewCapture) -> None:
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as one, closing(SqliteStore(path)) as other:
        asyncio.run(one.append(new_capture("a")))
        other.record_peer_gone("a", 8)
        asyncio.run(other.flush())
        assert one.find("a").gone_ns == 8
        with pytest.raises(StoreError, match="UNIQUE"):
            asyncio.run(other.append(new_capture("a")))


def test_a_capture_is_found_by_its_id_without_reading_all_ids(tmp_path: Path) -> None:
    """The expression that an index is made on, and the one that asks for it, have to agree."""
    path = tmp_path / "captures.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {SEQ_OF_ID}", {"id": "a"}).fetchall()
    assert [step[-1] for step in plan] == ["SEARCH capture USING COVERING INDEX capture_id (<expr>=?)"]


def test_evictions_are_remembered_and_their_numbers_not_used_again(tmp_path: Path, new_capture: NewCapture) -> None:
    path = tmp_path / "captures.db"
    later = StoppedClock(new_capture("x").received_at_ns + 10**10)
    with closing(SqliteStore(path, retention=Retention(max_age_ns=1), clock=later)) as store:
        asyncio.run(store.append(new_capture("a")))
        assert (store.count(), store.evictions().captures) == (0, 1)
    with closing(SqliteStore(path)) as store:
        asyncio.run(store.append(new_capture("b")))
        assert [(number, capture.id) for number, capture in store.numbered()] == [(2, "b")]
        assert store.evictions().captures == 1


def test_a_locked_store_fails_the_append_and_recovers(tmp_path: Path, new_capture: NewCapture) -> None:
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path, busy_timeout_s=0)) as store:
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another program keeps it locked"):
                asyncio.run(store.append(new_capture("a")))
        asyncio.run(store.append(new_capture("b")))
        assert [capture.id for capture in store.captures()] == ["b"]


def test_a_full_disk_fails_the_append_and_the_store_recovers(tmp_path: Path, new_capture: NewCapture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            with pytest.raises(StoreError, match="disk"):
                asyncio.run(store.append(replace(new_capture("a"), body=bytes(2_000_000))))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        asyncio.run(store.append(new_capture("b")))
        assert [capture.id for capture in store.captures()] == ["b"]


def test_a_value_that_sqlite_cannot_hold_fails_its_own_append_only(tmp_path: Path, new_capture: NewCapture) -> None:
    async def append_both(store: SqliteStore) -> list[BaseException | None]:
        captures = [replace(new_capture("a"), lateness_ns=2**64), replace(new_capture("b"), fault="\ud800")]
        appends = map(store.append, [*captures, new_capture("c")])
        return await asyncio.gather(*appends, return_exceptions=True)

    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        outcomes = asyncio.run(append_both(store))
        assert [type(outcome) for outcome in outcomes] == [StoreError, StoreError, type(None)]
        assert [capture.id for capture in store.captures()] == ["c"]


def test_what_is_refused_leaves_no_stamps_behind_and_takes_none_from_others(
    tmp_path: Path, new_capture: NewCapture
) -> None:
    """The end of a capture is kept beside it: both are, or neither is."""
    kept = [
        replace(new_capture(name), gone_ns=stamp, answer=Answer(status=200, sent_at_ns=stamp, sent_ns=stamp))
        for name, stamp in (("a", 1), ("b", 2))
    ]
    refused = [replace(kept[0], gone_ns=9), replace(kept[1], id="c", gone_ns=2**63)]

    async def append_all(store: SqliteStore) -> list[BaseException | None]:
        await store.append(kept[0])
        return await asyncio.gather(*map(store.append, [*refused, kept[1]]), return_exceptions=True)

    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        outcomes = asyncio.run(append_all(store))
        assert [type(outcome) for outcome in outcomes] == [StoreError, StoreError, type(None)]
        store.record_peer_gone("a", 2**63)
        store.record_peer_gone("b", 3)
        asyncio.run(store.flush())
        assert list(store.captures()) == [kept[0], replace(kept[1], gone_ns=3)]


def test_captures_of_every_kind_share_a_commit_and_come_back_as_they_went_in(
    tmp_path: Path, new_capture: NewCapture
) -> None:
    """What most captures do not have is left out of their rows, and rows with the same columns are written together."""
    tls, headers = Tls(version="TLSv1.3", cipher="c"), (("A", "b"),)
    rare: tuple[dict[str, object], ...] = (
        {"tls": tls},
        {"malformed": ""},
        {"fault": "reset"},
        {"trailers": headers},
        {},
        {},
        {},
    )
    bodies = (b"", b"1", b"\0\xff", bytes(16_384), bytes(16_385))
    answers = (None, Answer(status=200), Answer(status=503, headers=headers, body=b"no", sent_at_ns=1, sent_ns=2))
    for size in (1, 7, 8, 9, 40):
        path = tmp_path / f"{size}.db"
        captures = [
            replace(new_capture(str(n)), body=bodies[n % 5], answer=answers[n % 3], **rare[n * n % 7])
            for n in range(size)
        ]
        with closing(SqliteStore(path)) as store:
            asyncio.run(append_together(store, captures))
            assert list(store.captures()) == captures


async def append_together(store: SqliteStore, captures: list[Capture]) -> None:
    await asyncio.gather(*map(store.append, captures))


def test_a_loop_that_closed_meanwhile_does_not_stop_the_writer(tmp_path: Path, new_capture: NewCapture) -> None:
    path = tmp_path / "captures.db"

    async def leave_without_waiting(store: SqliteStore) -> None:
        task = asyncio.create_task(store.append(new_capture("a")))
        await asyncio.sleep(0)
        assert not task.done()

    with closing(SqliteStore(path)) as store:
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            asyncio.run(leave_without_waiting(store))
        asyncio.run(store.append(new_capture("b")))
        assert [capture.id for capture in store.captures()] == ["a", "b"]


def test_a_row_that_somebody_else_wrote_is_an_error_that_names_the_store(
    tmp_path: Path, new_capture: NewCapture
) -> None:
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as store:
        asyncio.run(store.append(new_capture("a")))
    database(path, "UPDATE capture SET headers = 'nonsense'")
    with pytest.raises(StoreError, match="a row that is not a capture"):
        list(open_store(path).captures())
