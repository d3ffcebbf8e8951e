"""The SQLite store: what it does to files, and what it says when it cannot."""

import asyncio
import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_receiver import Capture, SqliteStore, StoreError, open_store
from postback_receiver.sqlite_file import APPLICATION_ID, SCHEMA_VERSION

NewCapture = Callable[[str], Capture]


def database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_the_folder_is_made_and_kept_out_of_commits(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    SqliteStore(tmp_path / "project" / ".postback" / "captures.db").close()
    assert (tmp_path / "project" / ".postback" / ".gitignore").read_text().splitlines()[-1] == "*"
    assert not (tmp_path / "project" / ".gitignore").exists()


def test_no_other_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such folder"):
        SqliteStore(tmp_path / "porject" / "captures.db")
    assert list(tmp_path.iterdir()) == []


def test_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "captures.db").close()
    reader = open_store(tmp_path / "captures.db")
    assert reader.count() == 0
    reader.close()
    assert [path.name for path in tmp_path.iterdir()] == ["captures.db"]


def test_a_folder_that_was_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".postback").mkdir()
    SqliteStore(tmp_path / ".postback" / "captures.db").close()
    assert [path.name for path in (tmp_path / ".postback").iterdir()] == ["captures.db"]


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


def test_reading_does_not_make_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such file"):
        open_store(tmp_path / "absent.db")
    assert list(tmp_path.iterdir()) == []


def text_file(path: Path) -> None:
    path.write_text("hello\n")


def foreign_database(path: Path) -> None:
    database(path, "CREATE TABLE t (x)")


def newer_store(path: Path) -> None:
    database(path, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (text_file, "it is not a SQLite database"),
        (foreign_database, "a SQLite database of another program"),
        (newer_store, "it has version 2, and this Postback Kit knows versions up to 1. Update"),
    ],
)
@pytest.mark.parametrize("open_it", [SqliteStore, open_store], ids=["write", "read"])
def test_a_file_that_is_not_ours_is_refused_and_untouched(
    tmp_path: Path, make: Callable[[Path], None], reason: str, open_it: Callable[[Path], object]
) -> None:
    path = tmp_path / "other.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=reason) as caught:
        open_it(path)
    assert caught.value.path == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_file_becomes_a_store_but_cannot_be_read_yet(tmp_path: Path) -> None:
    """A receiver that was killed right at its start leaves one behind."""
    path = tmp_path / "captures.db"
    path.touch()
    with pytest.raises(StoreError, match="the file is empty"):
        open_store(path)
    SqliteStore(path).close()
    assert open_store(path).count() == 0


def test_a_file_that_somebody_else_is_just_making_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "captures.db"
    path.touch()
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="another program keeps it locked"):
            SqliteStore(path, busy_timeout_s=0)


@pytest.mark.parametrize("open_it", [SqliteStore, open_store], ids=["write", "read"])
def test_a_folder_is_no_store(tmp_path: Path, open_it: Callable[[Path], object]) -> None:
    with pytest.raises(StoreError, match="Is a directory"):
        open_it(tmp_path)


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        SqliteStore(tmp_path / "file" / "captures.db")


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
