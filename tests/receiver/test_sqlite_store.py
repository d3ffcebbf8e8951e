"""The SQLite store: what it does to files, and what it says when it cannot."""

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
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
    sqlite_search,
    sqlite_store,
    sqlite_writer,
)
from postback_receiver.sqlite_file import APPLICATION_ID, SCHEMA_VERSION, Durability
from postback_receiver.sqlite_rows import SEQ_OF_ID, capture_to_row
from postback_receiver.sqlite_writer import SqliteWriter

NewCapture = Callable[[str], Capture]
NewWriter = Callable[[Retention, int], SqliteWriter]


class FixedClock:
    """Stands still."""

    def __init__(self, at_ns: int) -> None:
        self._at_ns = at_ns

    def now_ns(self) -> int:
        return self._at_ns

    def monotonic_ns(self) -> int:
        return 0


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


@pytest.mark.parametrize("durability", ["process", "power"])
def test_several_stores_may_share_a_file(tmp_path: Path, new_capture: NewCapture, durability: Durability) -> None:
    """Whatever they append at the same time is there once, in the order in which it was acknowledged."""
    path = tmp_path / "captures.db"
    captures = {name: [new_capture(f"{name}{number:03}") for number in range(200)] for name in "abc"}
    ready = threading.Barrier(len(captures))

    def flood(name: str) -> None:
        async def append_by_tens(store: SqliteStore) -> None:
            for start in range(0, 200, 10):
                await asyncio.gather(*map(store.append, captures[name][start : start + 10]))

        with closing(SqliteStore(path, durability=durability)) as store:
            ready.wait()
            asyncio.run(append_by_tens(store))

    threads = [threading.Thread(target=flood, args=name) for name in captures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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
    later = FixedClock(new_capture("x").received_at_ns + 10**10)
    with closing(SqliteStore(path, retention=Retention(max_age_ns=1), clock=later)) as store:
        asyncio.run(store.append(new_capture("a")))
        assert (store.count(), store.evictions().captures) == (0, 1)
    with closing(SqliteStore(path)) as store:
        asyncio.run(store.append(new_capture("b")))
        assert [(number, capture.id) for number, capture in store.numbered()] == [(2, "b")]
        assert store.evictions().captures == 1


@pytest.fixture
def new_writer(tmp_path: Path) -> Iterator[NewWriter]:
    """Opens the writing half of a store, which does what can wait only when told to."""
    with ExitStack() as stack:

        def open_writer(retention: Retention, now_ns: int) -> SqliteWriter:
            writer = SqliteWriter(
                tmp_path / "captures.db",
                durability="process",
                retention=retention,
                busy_timeout_s=1,
                clock=FixedClock(now_ns),
            )
            stack.callback(writer.close)
            return writer

        yield open_writer


def test_what_becomes_too_old_goes_while_nothing_arrives(
    tmp_path: Path, new_capture: NewCapture, new_writer: NewWriter
) -> None:
    captures = [new_capture(f"{number}") for number in range(300)]
    retention = Retention(max_age_ns=1)
    early, late = (new_writer(retention, captures[place].received_at_ns + 1) for place in (0, -1))
    early.commit([capture_to_row(capture) for capture in captures], [])
    reader = open_store(tmp_path / "captures.db")
    assert reader.count() == 300
    assert late.tidy_up() == 0
    assert reader.count() == 300 - 256
    while late.tidy_up() is not None:
        pass
    assert [capture.id for capture in reader.captures()] == ["299"]


@pytest.mark.parametrize("retention", [Retention(max_captures=1), Retention(max_bytes=1)], ids=["number", "bytes"])
def test_every_limit_holds_for_what_was_there_before_while_nothing_arrives(
    tmp_path: Path, new_capture: NewCapture, new_writer: NewWriter, retention: Retention
) -> None:
    new_writer(Retention(), 0).commit([capture_to_row(new_capture(name)) for name in "abc"], [])
    writer = new_writer(retention, 0)
    while writer.tidy_up() is not None:
        pass
    assert [capture.id for capture in open_store(tmp_path / "captures.db").captures()] == ["c"]


def test_the_index_grows_in_steady_traffic_too(
    tmp_path: Path, new_capture: NewCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_WORTH_INDEXING", 4)
    monkeypatch.setattr(sqlite_store, "_COMMITS_BETWEEN", 2)
    monkeypatch.setattr(sqlite_store, "IDLE_S", 60.0)

    async def append_one_by_one() -> None:
        with closing(SqliteStore(tmp_path / "captures.db")) as store:
            for capture in map(new_capture, "abcdef"):
                await store.append(capture)

    asyncio.run(append_one_by_one())
    with closing(sqlite3.connect(tmp_path / "captures.db")) as connection:
        assert connection.execute("SELECT last_seq FROM indexed").fetchone()[0] >= 4


def test_the_index_grows_while_nothing_arrives_and_shrinks_with_the_store(
    tmp_path: Path, new_capture: NewCapture, new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_search, "SEGMENT_BITS", 5)
    monkeypatch.setattr(sqlite_search, "STRETCH", 10)
    monkeypatch.setattr(sqlite_search, "READ_FIRST", 1)
    path = tmp_path / "captures.db"
    writer = new_writer(Retention(max_captures=100), 0)
    captures = [replace(new_capture(f"{number}"), body=f"no {number}".encode()) for number in range(200)]

    def append(some: Sequence[Capture]) -> None:
        writer.commit([capture_to_row(capture) for capture in some], [])

    append(captures[:100])
    while writer.tidy_up() is not None:
        pass
    reader = open_store(path)
    with closing(sqlite3.connect(path)) as connection:
        segments = "SELECT name FROM sqlite_schema WHERE name GLOB 'words_?' OR name GLOB 'words_??' ORDER BY name"
        assert [name for [name] in connection.execute(segments)] == ["words_0", "words_1", "words_2", "words_3"]
        append(captures[100:])
        assert [name for [name] in connection.execute(segments)] == ["words_3"]
    assert reader.search(CaptureQuery(text="no 9")).captures == ()
    assert [capture.id for capture in reader.search(CaptureQuery(text="no 10")).captures] == [
        str(number) for number in range(109, 99, -1)
    ]
    while writer.tidy_up() is not None:
        pass
    assert [capture.id for capture in reader.search(CaptureQuery(text="no 15"), limit=2).captures] == ["159", "158"]
    times = CaptureQuery(since_ns=captures[120].received_at_ns, until_ns=captures[122].received_at_ns)
    assert [capture.id for capture in reader.search(times).captures] == ["121", "120"]


def test_a_store_without_full_text_search_is_searched_by_reading(
    tmp_path: Path, new_capture: NewCapture, new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_connection: sqlite3.Connection) -> bool:
        return False

    for module in (sqlite_search, sqlite_writer):
        monkeypatch.setattr(module, "can_index", cannot)
    writer = new_writer(Retention(max_captures=1), 0)
    writer.commit([capture_to_row(new_capture(name)) for name in "ab"], [])
    assert writer.tidy_up() is None
    [found] = open_store(tmp_path / "captures.db").search(CaptureQuery(text="click=x")).captures
    assert found.id == "b"


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
        (newer_store, "it has version 3, and this Postback Kit knows versions up to 2. Update"),
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
