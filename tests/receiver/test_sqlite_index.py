"""What a store does when it has nothing else to do: evict, index, and forget the words of what it evicted."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_receiver import (
    Capture,
    CaptureLookupError,
    CaptureQuery,
    Retention,
    SqliteStore,
    open_store,
    sqlite_index,
    sqlite_search,
    sqlite_store,
    sqlite_writer,
)
from postback_receiver.sqlite_rows import capture_to_row
from postback_receiver.sqlite_writer import SqliteWriter
from stopped_clock import StoppedClock

NewCapture = Callable[[str], Capture]


NewWriter = Callable[[Retention, int], SqliteWriter]


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
                clock=StoppedClock(now_ns),
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
    monkeypatch.setattr(sqlite_index, "SEGMENT_BITS", 5)
    monkeypatch.setattr(sqlite_index, "STRETCH", 10)
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
    assert reader.search(CaptureQuery(text="no 9")).captures == ()
    assert [capture.id for capture in reader.search(CaptureQuery(text="no 10")).captures] == [
        str(number) for number in range(109, 99, -1)
    ]
    while writer.tidy_up() is not None:
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert [name for [name] in connection.execute(segments)] == ["words_3", "words_4", "words_5", "words_6"]
    assert [capture.id for capture in reader.search(CaptureQuery(text="no 15"), limit=2).captures] == ["159", "158"]
    times = CaptureQuery(since_ns=captures[120].received_at_ns, until_ns=captures[122].received_at_ns)
    assert [capture.id for capture in reader.search(times).captures] == ["121", "120"]


def test_a_store_without_full_text_search_is_searched_by_reading(
    tmp_path: Path, new_capture: NewCapture, new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_connection: sqlite3.Connection) -> bool:
        return False

    for module in (sqlite_index, sqlite_search, sqlite_writer):
        monkeypatch.setattr(module, "can_index", cannot)
    writer = new_writer(Retention(max_captures=1), 0)
    writer.commit([capture_to_row(new_capture(name)) for name in "ab"], [])
    assert writer.tidy_up() is None
    [found] = open_store(tmp_path / "captures.db").search(CaptureQuery(text="click=x")).captures
    assert found.id == "b"


class SetClock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


def bytes_of(path: Path) -> bytes:
    """The file and its log."""
    return b"".join(one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*")))


@pytest.mark.parametrize("other_writer", [False, True], ids=["one writer", "another one in between"])
def test_nothing_of_what_was_evicted_stays_readable_in_the_file(
    tmp_path: Path, new_capture: NewCapture, monkeypatch: pytest.MonkeyPatch, *, other_writer: bool
) -> None:
    """Neither its body nor its words in the index, in free pages, or in the log, once an interval has passed."""
    monkeypatch.setattr(sqlite_index, "SEGMENT_BITS", 7)
    path = tmp_path / "captures.db"
    clock = SetClock()

    def new() -> SqliteWriter:
        return SqliteWriter(
            path, durability="process", retention=Retention(max_captures=40), busy_timeout_s=1, clock=clock
        )

    def secret(number: int) -> str:
        return f"zq{number * 7919:08}{'x' * (number % 50 * 40)}"

    def append(first: int, beyond: int) -> None:
        for number in range(first, beyond):
            body = f"note=hello {secret(number)}".encode()
            writer.commit([capture_to_row(replace(new_capture(f"{number}"), body=body))], [])
            if number % 5 == 0:
                writer.tidy_up()

    def tidy() -> None:
        for turn in range(1000):
            if (new_writer if other_writer and turn % 2 else writer).tidy_up() is None and turn % 2:
                return
        raise AssertionError("there is always something to do")

    with closing(new()) as writer, closing(new()) as new_writer:
        append(0, 30)
        tidy()
        append(30, 100)
        tidy()
        clock.ns += sqlite_writer.RENEWAL_INTERVAL_NS
        append(100, 110)
        tidy()
        clock.ns += sqlite_writer.RENEWAL_INTERVAL_NS
        tidy()
        kept = bytes_of(path)
        found = [number for number in range(110) if f"zq{number * 7919:08}".encode() in kept]
        assert found == list(range(70, 110))
        # What stays is searched as before, by its words and by its id.
        reader = open_store(path)
        for number in (70, 109):
            [only] = reader.search(CaptureQuery(values=(secret(number),))).captures
            assert only.id == reader.find(f"{number}").id == f"{number}"
        assert reader.search(CaptureQuery(text="zq")).captures[-1].id == "70"


def test_a_segment_that_is_all_evicted_while_it_is_renewed_goes_whole(
    new_capture: NewCapture, new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_index, "SEGMENT_BITS", 5)
    writer = new_writer(Retention(max_captures=30), 0)
    captures = [capture_to_row(new_capture(f"{number}")) for number in range(80)]
    writer.commit(captures[:30], [])
    while writer.tidy_up() is not None:
        pass
    writer.commit(captures[30:33], [])
    assert writer.tidy_up() == writer.tidy_up() == 0
    assert "words_0_new" in tables(connection_of(writer))
    writer.commit(captures[33:], [])
    while writer.tidy_up() is not None:
        pass
    assert tables(connection_of(writer)) == ["words_1", "words_2"]


def connection_of(writer: SqliteWriter) -> sqlite3.Connection:
    return writer._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def tables(connection: sqlite3.Connection) -> list[str]:
    names = "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%' ORDER BY name"
    return [name for [name] in connection.execute(names)]


def test_an_id_is_looked_up_in_the_index_and_among_what_is_not_indexed_yet(
    tmp_path: Path, new_capture: NewCapture, new_writer: NewWriter
) -> None:
    writer = new_writer(Retention(), 0)
    ids = ["7f03-A", "7f03-a", "7f 03", "7F03", "é7f", "x" * 80 + "1", "x" * 80 + "2"]
    writer.commit([capture_to_row(new_capture(one)) for one in ids], [])
    while writer.tidy_up() is not None:
        pass
    writer.commit([capture_to_row(new_capture("7f04"))], [])
    reader = open_store(tmp_path / "captures.db")
    for one in (*ids, "7f04"):
        assert reader.find(one).id == one
    assert reader.find("7f0" + "4").id == "7f04"
    assert reader.find("7f ").id == "7f 03"
    assert reader.find("é").id == "é7f"
    assert reader.find("7F").id == "7F03"
    for prefix, fitting in (("7f0", {"7f03-A", "7f03-a", "7f04"}), ("x", set(ids[-2:])), ("x" * 80, set(ids[-2:]))):
        with pytest.raises(CaptureLookupError) as caught:
            reader.find(prefix)
        assert set(caught.value.candidates) == fitting
    with pytest.raises(CaptureLookupError):
        reader.find("7f03-b")
