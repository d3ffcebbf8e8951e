"""What a search means, and that every store finds just that, whatever it has indexed."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
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
    sqlite_search,
)
from postback_receiver.sqlite_file import open_for_writing
from postback_receiver.sqlite_search import index_next

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


@pytest.fixture(autouse=True)
def little_is_read_before_the_index_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_search, "READ_FIRST", 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
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
            assert index_next(connection, 1) == 1
    reader = open_store(path)
    for query in queries:
        matching = [capture for capture in reversed(captures) if query.matches(capture)]
        assert search_by_pages(memory, query, limit) == matching
        assert search_by_pages(reader, query, limit) == matching
