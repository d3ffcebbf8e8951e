"""What a search means, and that every store finds just that, whatever it has indexed."""

import asyncio
import html
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from postback_receiver import (
    Answer,
    Capture,
    CaptureQuery,
    CaptureReader,
    CaptureStore,
    MemoryStore,
    SqliteStore,
    open_store,
    sqlite_index,
    sqlite_search,
)
from postback_receiver.capture_query import content_text, header_text, unescape_markup
from postback_receiver.search_terms import index_text
from postback_receiver.sqlite_file import open_for_writing
from postback_receiver.sqlite_index import index_next
from postback_receiver.stamps import Clock

NewCapture = Callable[[str], Capture]

CAPTURE = Capture(
    id="a",
    endpoint="/postback",
    received_at_ns=1000,
    connection="c1",
    connection_request=1,
    remote="127.0.0.1:5000",
    http_version="1.1",
    method="POST",
    target="/postback/eu?name=J%C3%BCrgen+M&amount=719.10&raw=\xc3\xbcber",
    headers=(("Host", "localhost"), ("X-Env", "Test"), ("x-env", "second"), ("X-Word", "caf\xe9")),
    body=b'{"Text1": "a \\u00e9\\ud83d\\ude00\\/ \\"q\\"", "Id": "1000.4636.158133", "xml": "x &amp; y"}',
    answer=Answer(status=503),
)


def conditions(query: CaptureQuery) -> str:
    given = {name: value for name, value in asdict(query).items() if value not in (None, ())}
    return ascii(given)


@pytest.mark.parametrize(
    "query",
    [
        CaptureQuery(),
        CaptureQuery(text="amount=719"),
        CaptureQuery(text="LOCAL"),
        CaptureQuery(text="host: localhost"),
        CaptureQuery(text='"Id": "1000.46'),
        CaptureQuery(text=".158133"),
        CaptureQuery(text="jürgen m"),
        CaptureQuery(text="über"),
        CaptureQuery(text="café"),
        CaptureQuery(text="é😀/"),
        CaptureQuery(text=""),
        CaptureQuery(text="{"),
        CaptureQuery(values=("Jürgen M", "719.10", "1000.4636.158133")),
        CaptureQuery(values=("x & y",)),
        CaptureQuery(headers=(("X-ENV", "second"), ("host", None))),
        CaptureQuery(path_prefix="/postback/"),
        CaptureQuery(path_prefix="/"),
        CaptureQuery(endpoint="/postback", method="POST", status=503),
        CaptureQuery(since_ns=1000, until_ns=1001),
        CaptureQuery(fault=False, malformed=False, truncated=False, unmatched=False),
    ],
    ids=conditions,
)
def test_a_query_finds(query: CaptureQuery) -> None:
    assert query.matches(CAPTURE)


@pytest.mark.parametrize(
    "query",
    [
        CaptureQuery(text="ocal"),
        CaptureQuery(text="719.1", values=("719.1",)),
        CaptureQuery(values=("localhost",)),
        CaptureQuery(values=("Jürgen",), text="nobody"),
        CaptureQuery(headers=(("X-Env", "test"),)),
        CaptureQuery(headers=(("X-Other", None),)),
        CaptureQuery(path_prefix="/post"),
        CaptureQuery(endpoint="/"),
        CaptureQuery(method="post"),
        CaptureQuery(status=200),
        CaptureQuery(since_ns=1001),
        CaptureQuery(until_ns=1000),
        CaptureQuery(fault=True),
        CaptureQuery(malformed=True),
        CaptureQuery(truncated=True),
        CaptureQuery(unmatched=True),
        CaptureQuery(text="\ud800"),
        CaptureQuery(endpoint="\ud800", method="\ud800"),
    ],
    ids=conditions,
)
def test_a_query_does_not_find(query: CaptureQuery) -> None:
    assert not query.matches(CAPTURE)


# Few words and many ways of sending them, so that queries find some captures and not others.
_WORDS = [
    "a",
    "B",
    "ab",
    "1.5",
    "J\xfcrgen",
    "\u00df",
    "\u212a",
    "%20",
    "+",
    "&amp;",
    "\\u00fc",
    "\\ud83d",
    "\0",
    "\xff",
    " ",
]
_TEXT = st.lists(st.sampled_from([*_WORDS, "/", "=", '"', ":"]), max_size=5).map("".join)
_WIRE = _TEXT.map(lambda text: text.encode().decode("latin-1")) | _TEXT.map(
    lambda text: text.encode("latin-1", "replace").decode("latin-1")
)
_HEADERS = st.lists(st.tuples(st.sampled_from(["A", "X-Env", "x-env"]) | _WIRE, _WIRE), max_size=2).map(tuple)
_ENDPOINTS = st.sampled_from([None, "/", "/a", "/a/b"])
_METHODS = st.sampled_from(["GET", "POST", ""])
_TIMES = st.integers(0, 5) | st.sampled_from([-(2**63), 2**63 - 1])
_PATHS = st.sampled_from(["", "/", "/a", "/a/b", "/ab", "/" + "s/" * 30, "*"])


def capture_of(path: str, query: str, fields: dict[str, Any]) -> Capture:
    return replace(CAPTURE, target=path + query, **fields)


def narrowed(query: CaptureQuery, names: set[str]) -> CaptureQuery:
    return CaptureQuery(**{name: getattr(query, name) for name in names})


_CAPTURES = st.builds(
    capture_of,
    path=_PATHS,
    query=_WIRE.map("?{}".format) | st.just(""),
    fields=st.fixed_dictionaries(
        {
            "endpoint": _ENDPOINTS,
            "received_at_ns": _TIMES,
            "method": _METHODS,
            "headers": _HEADERS,
            "trailers": _HEADERS,
            "body": _TEXT.map(str.encode) | st.binary(max_size=3),
            "truncated": st.booleans(),
            "malformed": st.sampled_from([None, "why"]),
            "fault": st.sampled_from([None, "reset"]),
            "answer": st.sampled_from([None, Answer(status=200), Answer(status=503)]),
        }
    ),
)
_ANY_TIMES = _TIMES | st.sampled_from([None, 10**30, -(10**30)])
_MAYBE = st.sampled_from([None, None, True, False])
_QUERIES = st.builds(
    CaptureQuery,
    text=st.none() | _TEXT,
    values=st.lists(_TEXT, max_size=1).map(tuple),
    headers=st.lists(st.tuples(st.sampled_from(["a", "X-ENV", "\xfc"]), st.none() | _TEXT), max_size=1).map(tuple),
    path_prefix=st.none() | _PATHS,
    endpoint=_ENDPOINTS | st.just("\ud800"),
    method=st.none() | _METHODS,
    since_ns=_ANY_TIMES,
    until_ns=_ANY_TIMES,
    status=st.sampled_from([None, 200, 404, 10**30]),
    fault=_MAYBE,
    malformed=_MAYBE,
    truncated=_MAYBE,
    unmatched=_MAYBE,
)
# Of most conditions a query has none, or it would find nothing.
_FEW = st.builds(narrowed, _QUERIES, st.sets(st.sampled_from(CaptureQuery.__struct_fields__), min_size=1, max_size=2))


def keep(store: CaptureStore, captures: list[Capture]) -> None:
    async def append_all() -> None:
        await asyncio.gather(*map(store.append, captures))

    asyncio.run(append_all())


def search_by_pages(store: CaptureReader, query: CaptureQuery, limit: int) -> list[Capture]:
    found: list[Capture] = []
    before = None
    while True:
        page = store.search(query, limit=limit, before=before)
        assert len(page.captures) <= limit
        found += page.captures
        if page.before is None:
            return found
        before = page.before


# More digits than Python reads as a number.
HUGE_NUMBER = b"&#" + b"1" * 4301


@given(st.binary() | _TEXT.map(str.encode))
@example(b"<p>" + HUGE_NUMBER + b";</p>")
@example(b"&#x" + b"f" * 5000 + b";")
@settings(max_examples=30)
def test_any_bytes_can_be_read_by_a_search(data: bytes) -> None:
    capture = replace(CAPTURE, target=data.decode("latin-1"), headers=(("A", data.decode("latin-1")),), body=data)
    for text in (content_text(capture), header_text(capture), index_text(capture)):
        text.encode()


@given(number=st.integers(0, 2**70), zeros=st.integers(0, 12), end=st.sampled_from([";", "", "x"]))
@settings(max_examples=30)
def test_character_references_are_resolved_whatever_number_they_name(number: int, zeros: int, end: str) -> None:
    text = f"<&#{'0' * zeros}{number}{end}&amp;"
    assert unescape_markup(text) == html.unescape(text)


class TickingClock:
    """Moves on by this much each time it is asked."""

    def __init__(self, step_ns: int) -> None:
        self._step_ns = step_ns
        self._ns = 0

    def now_ns(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        self._ns += self._step_ns
        return self._ns


STANDING = TickingClock(0)


def index_afresh(path: Path, clock: Clock = STANDING, limit: int | None = None) -> None:
    """Index all there is, or only what one transaction of so many captures takes."""
    with closing(open_for_writing(path, busy_timeout_s=1)) as connection:
        connection.execute("DROP TABLE IF EXISTS words_0")
        connection.execute("DELETE FROM indexed")
        connection.execute("DELETE FROM segment")
        if limit is not None:
            index_next(connection, clock, limit)
            return
        while index_next(connection, clock):
            pass


def test_a_capture_whose_text_cannot_be_told_is_left_out_of_the_index_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_for_one(capture: Capture) -> str:
        if capture.id == "odd":
            raise ValueError("a bug")
        return index_text(capture)

    monkeypatch.setattr(sqlite_index, "index_text", fails_for_one)
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as store:
        keep(store, [replace(CAPTURE, id=name) for name in ("a", "odd", "c", "d")])
    with closing(open_for_writing(path, busy_timeout_s=1)) as connection:
        connection.execute("UPDATE capture SET headers = 'nonsense' WHERE id = 'a'")
    index_afresh(path)
    reader = open_store(path)
    assert [capture.id for capture in reader.search(CaptureQuery(text="host")).captures] == ["d", "c"]
    assert [capture.id for capture in reader.search(CaptureQuery(method="POST")).captures] == ["d", "c", "odd"]


def test_an_error_of_a_query_is_not_taken_for_a_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_query: CaptureQuery, _capture: Capture) -> bool:
        raise ValueError("a bug")

    monkeypatch.setattr(CaptureQuery, "matches", fails)
    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        keep(store, [CAPTURE])
        with pytest.raises(ValueError, match=r"\Aa bug\Z"):
            store.search(CaptureQuery())


@pytest.mark.parametrize(
    ("bound", "value", "step_ns"),
    [("BATCH_BYTES", 2000, 0), ("LONGEST_LOCK_NS", 2, 1), ("INDEX_BATCH", 2, 0)],
)
def test_a_transaction_that_indexes_is_bounded_by_captures_bytes_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, step_ns: int
) -> None:
    monkeypatch.setattr(sqlite_index, bound, value)
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as store:
        keep(store, [replace(CAPTURE, id=f"{number}", target="/", headers=(), body=b"x" * 500) for number in range(5)])
    index_afresh(path, TickingClock(step_ns), sqlite_index.INDEX_BATCH)
    with closing(open_for_writing(path, busy_timeout_s=1)) as connection:
        assert connection.execute("SELECT last_seq FROM indexed").fetchall() == [(2,)]


def test_an_answer_that_came_after_its_capture_was_indexed_is_found(tmp_path: Path) -> None:
    path = tmp_path / "captures.db"
    with closing(SqliteStore(path)) as store:
        keep(store, [replace(CAPTURE, id="a", answer=None), replace(CAPTURE, id="b"), replace(CAPTURE, id="c")])
    index_afresh(path)
    with closing(SqliteStore(path)) as store:
        asyncio.run(store.record_answer("a", Answer(status=418)))
        assert [capture.id for capture in store.search(CaptureQuery(status=418)).captures] == ["a"]


@pytest.fixture(autouse=True)
def little_is_read_before_the_index_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_search, "READ_FIRST", 1)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=15, deadline=None
)
@given(
    captures=st.lists(_CAPTURES, max_size=8),
    queries=st.lists(_FEW, min_size=8, max_size=8),
    indexed=st.integers(0, 8),
    limit=st.integers(1, 4),
)
def test_every_store_finds_what_the_query_matches_newest_first(
    tmp_path: Path,
    captures: list[Capture],
    queries: list[CaptureQuery],
    indexed: int,
    limit: int,
) -> None:
    captures = [replace(capture, id=str(number)) for number, capture in enumerate(captures)]
    memory = MemoryStore()
    keep(memory, captures)
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
    with closing(SqliteStore(path)) as store:
        keep(store, captures)
    with closing(open_for_writing(path, busy_timeout_s=1)) as connection:
        for _ in range(min(indexed, len(captures))):
            assert index_next(connection, STANDING, 1) == 1
    reader = open_store(path)
    for query in queries:
        matching = [capture for capture in reversed(captures) if query.matches(capture)]
        assert search_by_pages(memory, query, limit) == matching
        assert search_by_pages(reader, query, limit) == matching
