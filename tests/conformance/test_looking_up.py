"""A search finds what reading everything finds: in a store on disk, indexed or not, in memory, and in a file."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.captured.capture_filter import all_match, parse_filter
from postback_conformance.captured.looking_up import Found, latest
from postback_conformance.captured.traffic import Traffic
from postback_conformance.rules.examples import capture
from postback_receiver import (
    Answer,
    Capture,
    CaptureReader,
    CaptureStore,
    MemoryStore,
    Retention,
    SqliteStore,
    SystemClock,
    open_store,
    sqlite_search,
)
from postback_receiver.capture_query import MAX_SEARCHED_BYTES
from postback_receiver.sqlite_writer import SqliteWriter

# What is sent may be UTF-8 or not; the same few words, so that filters take some captures and not others.
_WORDS = st.sampled_from(["a", "é", "Z\xfcrich", "ß", "\ud800", "%C3%A9", "1.5", " ", "", "\\u00e9", "503"])
_BYTES = _WORDS.map(lambda word: word.encode("utf-8", "surrogatepass")) | _WORDS.map(
    lambda word: word.encode("latin-1", "replace")
)
_WIRE = _BYTES.map(lambda word: word.decode("latin-1"))
_PATHS = st.lists(_WIRE, max_size=3).map(lambda parts: "/" + "/".join(parts))
_OWN = st.sampled_from([None, "/", "/é", "/a", "reset", "?"])


def _capture(path: str, query: str, fields: dict[str, Any]) -> Capture:
    return replace(capture(b""), target=f"{path}?a={query}", **fields)


_CAPTURES = st.builds(
    _capture,
    path=_PATHS,
    query=_WIRE,
    fields=st.fixed_dictionaries(
        {
            "endpoint": _OWN,
            "method": st.sampled_from(["GET", "POST"]) | _WIRE,
            "headers": st.lists(st.tuples(st.sampled_from(["A", "X-Env", "x-env"]), _WIRE), max_size=2).map(tuple),
            "body": st.lists(_BYTES, max_size=3).map(b"&a=".join),
            "received_at_ns": st.integers(0, 3).map(lambda day: (20_583 + day) * 86_400 * 10**9),
            "answer": st.sampled_from([None, Answer(status=200), Answer(status=503)]),
            "fault": _OWN,
            "malformed": st.sampled_from([None, "why"]),
            "truncated": st.booleans(),
        }
    ),
)
_VALUES = _WORDS | st.sampled_from(["/", "/a", "/é", "/é/a", "GET", "200", "0503", "9" * 5000, "reset"])
_FILTERS = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(
            [
                "method",
                "path",
                "target",
                "endpoint",
                "status",
                "fault",
                "body",
                "id",
                "header:x-env",
                "query:a",
                "form:a",
            ]
        ),
        st.sampled_from(["=", "=", "!=", "~", "!~"]),
        _VALUES.filter(lambda value: "\\" not in value),
    ),
    st.builds("{}{}{}".format, st.sampled_from(["text", "value"]), st.sampled_from(["=", "!="]), _VALUES),
    st.builds("received{}2026-05-{}".format, st.sampled_from(["<", "<=", ">", ">=", "=", "!="]), st.integers(10, 13)),
    st.builds(
        "is{}{}".format, st.sampled_from(["=", "!="]), st.sampled_from(["fault", "malformed", "unmatched", "tls"])
    ),
    st.builds("{}{}{}".format, st.sampled_from(["status", "bytes"]), st.sampled_from(["<", ">="]), st.integers(0, 600)),
)


def keep(store: CaptureStore, captures: list[Capture]) -> None:
    async def append_all() -> None:
        await asyncio.gather(*map(store.append, captures))
        await store.flush()

    asyncio.run(append_all())


def traffic(captures: list[Capture], store: CaptureReader | None = None) -> Traffic:
    return Traffic(name="n", count=len(captures), read=lambda: captures, settings={}, store=store)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    captures=st.lists(_CAPTURES, max_size=6),
    chosen=st.lists(st.lists(_FILTERS, min_size=1, max_size=2), min_size=6, max_size=6),
    limit=st.integers(1, 4),
    indexed=st.booleans(),
)
@example(
    captures=[_capture("/Z\xc3\xbcrich", "", {}), _capture("/Z\xfcrich", "", {})],
    chosen=[["path=/Zürich"], ["path!=/Zürich"], ["text=zürich"], ["status=" + "9" * 5000]],
    limit=2,
    indexed=True,
)
def test_a_search_finds_what_reading_everything_finds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    captures: list[Capture],
    chosen: list[list[str]],
    limit: int,
    *,
    indexed: bool,
) -> None:
    monkeypatch.setattr(sqlite_search, "READ_FIRST", 0)
    captures = [replace(one, id=str(number)) for number, one in enumerate(captures)]
    memory = MemoryStore()
    keep(memory, captures)
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
    with closing(SqliteStore(path)) as store:
        keep(store, captures)
    if indexed:
        index(path)
    for texts in chosen:
        filters = [parse_filter(text) for text in texts]
        taken = [one for one in captures if all_match(filters, one)]
        expected = Found(taken[-limit:], len(taken) > limit, overlooked=False)
        for reader in (None, memory, open_store(path)):
            assert latest(traffic(captures, reader), filters, limit=limit) == expected


def index(path: Path) -> None:
    writer = SqliteWriter(path, durability="process", retention=Retention(), busy_timeout_s=1, clock=SystemClock())
    while writer.tidy_up() is not None:
        pass
    writer.close()


def test_what_a_search_may_have_overlooked_is_told() -> None:
    captures = [
        replace(capture(b"x" * MAX_SEARCHED_BYTES + b" here"), id="long"),
        replace(capture(b"here"), id="short"),
    ]
    memory = MemoryStore()
    keep(memory, captures)
    for reader in (None, memory):
        found = latest(traffic(captures, reader), [parse_filter("text=here")], limit=5)
        assert found == Found([captures[1]], are_more=False, overlooked=True)
        found = latest(traffic(captures, reader), [parse_filter("body~here")], limit=5)
        assert found == Found(captures, are_more=False, overlooked=False)
