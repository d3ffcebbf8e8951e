"""What an older version wrote can be read as it is, and is brought up to date when it is written to."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_receiver import (
    Answer,
    Capture,
    CaptureLookupError,
    CaptureQuery,
    Evictions,
    Retention,
    SqliteStore,
    StoreError,
    open_store,
)
from postback_receiver.sqlite_file import APPLICATION_ID, SCHEMA_VERSION

NewCapture = Callable[[str], Capture]


def database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# What version 1 of this file looked like.
VERSION_1 = (
    """CREATE TABLE capture (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, endpoint TEXT,
    received_at_ns INTEGER NOT NULL, monotonic_ns INTEGER, body_done_ns INTEGER, lateness_ns INTEGER NOT NULL,
    connection TEXT NOT NULL, connection_request INTEGER NOT NULL, remote TEXT NOT NULL, http_version TEXT NOT NULL,
    method TEXT NOT NULL, target TEXT NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL, truncated INTEGER NOT NULL,
    answer_status INTEGER, answer_headers TEXT, answer_body BLOB, answer_sent_at_ns INTEGER, fault TEXT)""",
    "CREATE TABLE endpoint (prefix TEXT PRIMARY KEY, settings BLOB)",
    """INSERT INTO capture VALUES (3, 'first', '/', 11, 12, 13, 14, 'c1', 1, '127.0.0.1:5000', '1.1', 'POST', '/p?q',
    '[["Host","é"]]', X'00ff', 0, 503, '[["A","b"]]', X'6e6f', 15, 'reset')""",
    """INSERT INTO capture VALUES (7, 'second', NULL, 21, NULL, NULL, 0, 'c1', 2, '127.0.0.1:5000', '1.1', 'GET', '/',
    '[]', X'', 1, NULL, NULL, NULL, NULL, NULL)""",
    "INSERT INTO endpoint VALUES ('/', X'01')",
    f"PRAGMA application_id = {APPLICATION_ID}",
    "PRAGMA user_version = 1",
)


FROM_VERSION_1 = [
    Capture(
        id="first",
        endpoint="/",
        received_at_ns=11,
        monotonic_ns=12,
        body_done_ns=13,
        lateness_ns=14,
        connection="c1",
        connection_request=1,
        remote="127.0.0.1:5000",
        http_version="1.1",
        method="POST",
        target="/p?q",
        headers=(("Host", "é"),),
        body=b"\0\xff",
        answer=Answer(status=503, headers=(("A", "b"),), body=b"no", sent_at_ns=15),
        fault="reset",
    ),
    Capture(
        id="second",
        endpoint=None,
        received_at_ns=21,
        connection="c1",
        connection_request=2,
        remote="127.0.0.1:5000",
        http_version="1.1",
        method="GET",
        target="/",
        headers=(),
        body=b"",
        truncated=True,
    ),
]


def test_a_store_of_version_1_can_be_read_without_being_changed(tmp_path: Path) -> None:
    path = tmp_path / "captures.db"
    database(path, *VERSION_1)
    path.chmod(0o444)
    before = path.read_bytes()
    reader = open_store(path)
    assert list(reader.captures()) == FROM_VERSION_1
    assert [number for number, _ in reader.numbered(after=3)] == [7]
    assert reader.find("f") == FROM_VERSION_1[0]
    assert reader.search(CaptureQuery(fault=True)).captures == (FROM_VERSION_1[0],)
    assert reader.evictions() == Evictions()
    assert (reader.count(), dict(reader.endpoints())) == (2, {"/": b"\1"})
    assert path.read_bytes() == before


def test_a_store_of_version_1_is_brought_up_to_date_when_it_is_written_to(
    tmp_path: Path, new_capture: NewCapture
) -> None:
    path = tmp_path / "captures.db"
    database(path, *VERSION_1)
    reader = open_store(path)
    retention = Retention(max_bytes=30)
    with closing(SqliteStore(path, retention=retention)) as store:
        assert list(store.captures()) == list(reader.captures()) == FROM_VERSION_1
        assert [number for number, _ in store.numbered()] == [1, 2]
        asyncio.run(store.append(replace(new_capture("third"), gone_ns=5)))
        # What the older captures count for is known, too: 11 and 1 bytes, and the new one has 31.
        assert [capture.id for capture in store.captures()] == ["third"]
        assert store.evictions() == Evictions(captures=2, bytes=12, oldest_at_ns=11, newest_at_ns=21)
    with pytest.raises(CaptureLookupError):
        open_store(path).find("first")
    assert path.read_bytes()[60:64] == SCHEMA_VERSION.to_bytes(4)


def test_a_store_of_version_1_that_cannot_be_read_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "captures.db"
    database(path, *VERSION_1, "UPDATE capture SET headers = 'nonsense' WHERE seq = 7")
    with pytest.raises(StoreError, match="a row that is not a capture"):
        SqliteStore(path)
    assert open_store(path).find("first") == FROM_VERSION_1[0]


def test_the_index_of_version_2_is_made_anew(tmp_path: Path, new_capture: NewCapture) -> None:
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as store:
        asyncio.run(store.append(new_capture("first")))
    database(
        path,
        "DROP TABLE segment",
        "CREATE VIRTUAL TABLE words_7 USING fts5(text, content='', columnsize=0, tokenize='ascii')",
        "INSERT INTO words_7 (rowid, text) VALUES (1, 'old')",
        "INSERT OR REPLACE INTO indexed VALUES (1, 1, 0, 0)",
        "PRAGMA user_version = 2",
    )
    query = CaptureQuery(text="click=x")
    before = path.read_bytes()
    reader = open_store(path)
    assert [capture.id for capture in reader.search(query).captures] == [reader.find("fir").id] == ["first"]
    assert path.read_bytes() == before
    with closing(SqliteStore(path)) as store:
        asyncio.run(store.append(new_capture("second")))
    assert [capture.id for capture in reader.search(query).captures] == ["second", "first"]
    with closing(sqlite3.connect(path)) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'words_7'").fetchall()
