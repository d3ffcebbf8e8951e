"""What every store promises, held against each one there is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from postback_receiver import (
    Answer,
    Capture,
    CaptureLookupError,
    CaptureQuery,
    CaptureStore,
    Clock,
    Evictions,
    MemoryStore,
    Retention,
    SqliteStore,
    StoreError,
)
from stopped_clock import StoppedClock

NewCapture = Callable[[str], Capture]


class OpenNewStore(Protocol):
    def __call__(self, *, retention: Retention = ..., clock: Clock | None = ...) -> CaptureStore: ...


@pytest.fixture(params=["memory", "sqlite"])
def open_new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenNewStore]:
    """Opens empty stores of one kind."""
    with ExitStack() as stack:

        def open_new(*, retention: Retention = Retention(), clock: Clock | None = None) -> CaptureStore:  # noqa: B008 -- frozen
            store: CaptureStore
            if request.param == "sqlite":
                path = tmp_path / f"{len(list(tmp_path.glob('*.db')))}.db"
                store = SqliteStore(path, retention=retention, clock=clock)
            else:
                store = MemoryStore(retention=retention, clock=clock)
            stack.callback(store.close)
            return store

        yield open_new


@pytest.fixture
def store(open_new_store: OpenNewStore) -> CaptureStore:
    return open_new_store()


def keep(store: CaptureStore, *captures: Capture) -> None:
    async def append_all() -> None:
        await asyncio.gather(*map(store.append, captures))

    asyncio.run(append_all())


def test_a_new_store_is_empty(store: CaptureStore) -> None:
    assert store.count() == 0
    assert list(store.captures()) == []
    assert dict(store.endpoints()) == {}


# Each example opens its own store, so that sharing the fixture between examples is no mixture of states.
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25, deadline=None
)
@given(data=st.data())
def test_a_capture_comes_back_as_it_went_in(
    open_new_store: OpenNewStore, any_capture: SearchStrategy[Capture], data: st.DataObject
) -> None:
    store = open_new_store()
    capture = data.draw(any_capture)
    keep(store, capture)
    assert list(store.captures()) == [capture]
    assert store.find(capture.id) == capture
    store.close()


def test_captures_come_in_the_order_of_arrival(store: CaptureStore, new_capture: NewCapture) -> None:
    """Also when there are more than one page of them, and when their times and ids sort otherwise."""
    captures = [new_capture(f"{number * 7919 % 1000:03}") for number in range(1000)]
    keep(store, *captures)
    assert list(store.captures()) == captures
    assert store.count() == 1000


def test_a_second_capture_with_the_same_id_is_refused_alone(store: CaptureStore, new_capture: NewCapture) -> None:
    async def append_twice() -> list[BaseException | None]:
        ids = ["a", "b", "a", "c"]
        return await asyncio.gather(*(store.append(new_capture(i)) for i in ids), return_exceptions=True)

    outcomes = asyncio.run(append_twice())
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), StoreError, type(None)]
    assert [capture.id for capture in store.captures()] == ["a", "b", "c"]


def test_an_id_may_be_shortened_as_long_as_it_is_clear(store: CaptureStore, new_capture: NewCapture) -> None:
    keep(store, *map(new_capture, ["ab", "abc", "b1", "b2", "%", "😀x"]))
    assert store.find("ab").id == "ab"
    assert store.find("abc").id == "abc"
    assert store.find("b1").id == "b1"
    assert store.find("%").id == "%"
    assert store.find("😀").id == "😀x"


@pytest.mark.parametrize(
    ("id_prefix", "candidates", "message"),
    [
        ("b", ("b1", "b2"), "fits several captures: b1, b2. Give more"),
        ("x", (), "No capture has an id that starts with 'x'"),
        ("_", (), "No capture"),
        ("\ud800", (), "No capture"),
    ],
)
def test_an_unclear_id_is_an_error_that_helps(
    store: CaptureStore, new_capture: NewCapture, id_prefix: str, candidates: tuple[str, ...], message: str
) -> None:
    keep(store, *map(new_capture, ["a", "b2", "b1"]))
    with pytest.raises(CaptureLookupError, match=message) as caught:
        store.find(id_prefix)
    assert caught.value.candidates == candidates


def test_a_very_unclear_id_lists_only_the_newest_few(store: CaptureStore, new_capture: NewCapture) -> None:
    keep(store, *(new_capture(f"{number:03}") for number in range(100)))
    with pytest.raises(CaptureLookupError, match=r": 079, .*, 098, …\. Give more"):
        store.find("0")


def test_when_an_answer_left_and_when_the_peer_had_gone_is_noted(store: CaptureStore, new_capture: NewCapture) -> None:
    unanswered = replace(new_capture("b"), answer=None)

    async def answer() -> None:
        await store.append(new_capture("a"))
        await store.append(unanswered)
        for capture_id in ["a", "b", "unknown", "\ud800"]:
            store.record_answer_sent(capture_id, 17, 7)
        await store.flush()
        for capture_id in ["a", "b", "unknown", "\ud800"]:
            store.record_peer_gone(capture_id, 8)
        await store.flush()

    asyncio.run(answer())
    answered = store.find("a")
    assert (answered.answer, answered.gone_ns) == (Answer(status=200, sent_at_ns=17, sent_ns=7), 8)
    assert store.find("b") == replace(unanswered, gone_ns=8)
    assert store.count() == 2


def test_an_answer_that_comes_later_is_kept_once(store: CaptureStore, new_capture: NewCapture) -> None:
    late = Answer(status=202, headers=(("X", "1"),), body=b"\xff", sent_at_ns=17, sent_ns=7)

    async def answer_later() -> None:
        await store.append(new_capture("a"))
        await store.append(replace(new_capture("b"), answer=None))
        for capture_id in ["a", "b", "unknown"]:
            await store.record_answer(capture_id, late)
        await store.record_answer("b", Answer(status=500))

    asyncio.run(answer_later())
    assert [capture.answer for capture in store.captures()] == [Answer(status=200), late]
    assert [capture.id for capture in store.search(CaptureQuery(status=202)).captures] == ["b"]
    store.close()
    with pytest.raises(StoreError, match="it is closed"):
        asyncio.run(store.record_answer("b", late))


def test_reading_goes_on_behind_a_number(store: CaptureStore, new_capture: NewCapture) -> None:
    keep(store, *map(new_capture, "abc"))
    numbered = list(store.numbered())
    assert [(number, capture.id) for number, capture in numbered] == [(1, "a"), (2, "b"), (3, "c")]
    keep(store, new_capture("d"))
    assert list(store.captures(after=3)) == [store.find("d")]
    assert list(store.numbered(after=1)) == [*numbered[1:], (4, store.find("d"))]
    assert list(store.captures(after=4)) == []


def test_a_store_without_limits_evicts_nothing(store: CaptureStore, new_capture: NewCapture) -> None:
    keep(store, *map(new_capture, "abc"))
    assert store.evictions() == Evictions()


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(max_captures=2), "ef"),
        (Retention(max_bytes=250), "ef"),
        (Retention(max_bytes=1), "f"),
        (Retention(max_age_ns=2_500_000_000), "def"),
        (Retention(max_age_ns=1, max_captures=1), "f"),
        (Retention(max_captures=6, max_bytes=10_000, max_age_ns=10**12), "abcdef"),
    ],
    ids=["number", "bytes", "the-newest-stays", "age", "all", "within"],
)
def test_the_oldest_captures_go_first_and_are_counted(
    open_new_store: OpenNewStore, new_capture: NewCapture, retention: Retention, left: str
) -> None:
    captures = [replace(new_capture(one), body=bytes(100), target="/", headers=()) for one in "abcdef"]
    store = open_new_store(retention=retention, clock=StoppedClock(captures[-1].received_at_ns))
    for one in captures:
        keep(store, one)
    gone = captures[: len(captures) - len(left)]
    assert "".join(capture.id for capture in store.captures()) == left
    assert store.count() == len(left)
    assert store.evictions() == Evictions(
        captures=len(gone),
        bytes=101 * len(gone),
        oldest_at_ns=gone[0].received_at_ns if gone else None,
        newest_at_ns=gone[-1].received_at_ns if gone else None,
    )
    first = len(gone) + 1
    assert [number for number, _ in store.numbered()] == list(range(first, 7))
    assert [capture.id for capture in store.search(CaptureQuery()).captures] == list(reversed(left))


def test_after_an_eviction_numbers_go_on_and_the_evicted_is_unknown(
    open_new_store: OpenNewStore, new_capture: NewCapture
) -> None:
    store = open_new_store(retention=Retention(max_captures=1))
    keep(store, *map(new_capture, "abc"))
    store.record_answer_sent("a", 17, 7)
    keep(store, new_capture("d"))
    assert [(number, capture.id) for number, capture in store.numbered(after=1)] == [(4, "d")]
    with pytest.raises(CaptureLookupError):
        store.find("a")
    keep(store, new_capture("a"))
    assert store.find("a").answer == Answer(status=200)


def test_settings_of_earlier_endpoints_stay(store: CaptureStore) -> None:
    async def set_twice() -> None:
        await store.set_endpoints({"/a": b"old", "/b": None})
        await store.set_endpoints({"/a": b"new \xff", "/c": b""})

    asyncio.run(set_twice())
    assert dict(store.endpoints()) == {"/a": b"new \xff", "/b": None, "/c": b""}


def test_a_closed_store_takes_nothing_in_and_still_reads(store: CaptureStore, new_capture: NewCapture) -> None:
    keep(store, new_capture("a"))
    store.close()
    store.close()
    with pytest.raises(StoreError, match="it is closed"):
        keep(store, new_capture("b"))
    store.record_answer_sent("a", 17, 7)
    store.record_peer_gone("a", 8)
    assert [capture.id for capture in store.captures()] == ["a"]


def test_a_caller_that_gives_up_does_not_keep_the_others_waiting(store: CaptureStore, new_capture: NewCapture) -> None:
    async def one_gives_up() -> None:
        first = asyncio.create_task(store.append(new_capture("a")))
        others = [asyncio.create_task(store.append(new_capture(name))) for name in "bcd"]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(*others)

    asyncio.run(one_gives_up())
    assert {"b", "c", "d"} <= {capture.id for capture in store.captures()}
