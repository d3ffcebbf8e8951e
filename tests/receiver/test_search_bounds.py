"""How far a search looks, and that what is long or odd is found all the same, or said to be overlooked."""

import asyncio
import gzip
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from postback_receiver import (
    Capture,
    CaptureQuery,
    CaptureStore,
    MemoryStore,
    Retention,
    SqliteStore,
    SystemClock,
    open_store,
    search_terms,
    sqlite_search,
)
from postback_receiver.capture_query import MAX_SEARCHED_BYTES
from postback_receiver.search_terms import index_marks
from postback_receiver.sqlite_writer import SqliteWriter

CAPTURE = Capture(
    id="a",
    endpoint="/postback",
    received_at_ns=1000,
    connection="c1",
    connection_request=1,
    remote="127.0.0.1:5000",
    http_version="1.1",
    method="POST",
    target="/postback",
    headers=(("Host", "localhost"), ("X-Env", "Test"), ("x-env", "second"), ("X-Word", "caf\xe9")),
    body=b"{}",
)
# More digits than Python reads as a number.
HUGE_NUMBER = b"&#" + b"1" * 4301


@pytest.fixture(autouse=True)
def little_is_read_before_the_index_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_search, "READ_FIRST", 1)


def keep(store: CaptureStore, captures: list[Capture]) -> None:
    async def append_all() -> None:
        await asyncio.gather(*map(store.append, captures))

    asyncio.run(append_all())


def index(path: Path) -> None:
    writer = SqliteWriter(path, durability="process", retention=Retention(), busy_timeout_s=1, clock=SystemClock())
    with closing(writer):
        while writer.tidy_up() is not None:
            pass


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b"here " + b"x" * MAX_SEARCHED_BYTES},
        {"body": b"<p>here " + HUGE_NUMBER},
        {"body": gzip.compress(b"a=1&b=here"), "headers": (("Host", "localhost"), ("Content-Encoding", "gzip"))},
        {"headers": (("Host", "localhost"), ("X-Long", "x" * MAX_SEARCHED_BYTES)), "body": b"here"},
    ],
    ids=["long", "huge", "compressed", "long headers"],
)
def test_what_is_long_or_odd_is_found_and_keeps_nothing_else_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    captures = [replace(CAPTURE, id="odd", **changes), *(replace(CAPTURE, id=name, body=b"there") for name in "ab")]
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as store:
        keep(store, captures)
    index(path)
    reader = open_store(path)
    for query in (CaptureQuery(text="here"), CaptureQuery(values=("here",), headers=(("Host", None),), method="POST")):
        assert [capture.id for capture in reader.search(query).captures] == ["odd"]
    assert [capture.id for capture in reader.search(CaptureQuery(text="there")).captures] == ["b", "a"]
    assert reader.search(CaptureQuery(text="here", method="GET")).captures == ()


def test_no_mark_of_a_long_text_is_remembered() -> None:
    search_terms.cached_mark.cache_clear()
    index_marks(replace(CAPTURE, target="/" + "a" * 100_000 + "/b" * 20, method="M" * 100_000, endpoint="/short"))
    # Endpoint, status, five yes-or-no fields, name and line of four headers, three of one name, and a short prefix.
    assert search_terms.cached_mark.cache_info().currsize == 7 + 3 + 4 + 1


def test_long_paths_are_found_by_their_prefixes(tmp_path: Path) -> None:
    path = "/a/" + "b" * 5000
    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        keep(store, [replace(CAPTURE, id="a", target=f"{path}/c", method="M" * 5000), replace(CAPTURE, id="b")])
    index(tmp_path / "captures.db")
    reader = open_store(tmp_path / "captures.db")
    for query in (CaptureQuery(path_prefix=path), CaptureQuery(path_prefix="/a"), CaptureQuery(method="M" * 5000)):
        assert [capture.id for capture in reader.search(query).captures] == ["a"]
    assert reader.search(CaptureQuery(path_prefix=path[:-1])).captures == ()


@pytest.mark.parametrize(
    ("changes", "query"),
    [
        ({"body": b"x" * MAX_SEARCHED_BYTES + b" here"}, CaptureQuery(text="here")),
        ({"body": b"x " + "é".encode() * (MAX_SEARCHED_BYTES // 2) + b" here"}, CaptureQuery(values=("here",))),
        ({"target": "/" + "x" * MAX_SEARCHED_BYTES + "/here"}, CaptureQuery(text="here")),
        ({"headers": (("A", "x" * MAX_SEARCHED_BYTES), ("B", "here"))}, CaptureQuery(text="here", method="POST")),
        (
            {"headers": (("Content-Encoding", "gzip"),), "body": gzip.compress(bytes(MAX_SEARCHED_BYTES) + b" here")},
            CaptureQuery(text="here"),
        ),
    ],
    ids=["body", "letters", "target", "headers", "compressed"],
)
@pytest.mark.parametrize("is_indexed", [True, False], ids=["indexed", "not indexed yet"])
def test_what_stands_beyond_what_is_searched_is_not_found_but_told(
    tmp_path: Path, changes: dict[str, Any], query: CaptureQuery, *, is_indexed: bool
) -> None:
    memory = MemoryStore()
    captures = [replace(CAPTURE, id="a"), replace(CAPTURE, id="long", **changes), replace(CAPTURE, id="b")]
    keep(memory, captures)
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as store:
        keep(store, captures)
    if is_indexed:
        index(path)
    for reader in (memory, open_store(path)):
        assert reader.search(query) == ((), None, True)
        assert not reader.search(replace(query, method="GET")).overlooked
        assert not reader.search(query, before=2).overlooked
        assert not reader.search(CaptureQuery()).overlooked
        newest = reader.search(CaptureQuery(text="localhost"), limit=1)
        assert (newest.captures[0].id, newest.overlooked) == ("b", False)
