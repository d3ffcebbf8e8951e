"""Files: ours are made and found again, others are left alone, and what is wrong with one is told."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from postback_receiver import (
    SqliteStore,
    StoreError,
    open_store,
)
from postback_receiver.sqlite_file import APPLICATION_ID, SCHEMA_VERSION


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
        (newer_store, "it has version 4, and this Postback Kit knows versions up to 3. Update"),
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
