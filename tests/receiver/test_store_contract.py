"""What every store promises, held against each one there is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from postback_receiver import Answer, Capture, CaptureLookupError, CaptureStore, MemoryStore, SqliteStore, StoreError

NewCapture = Callable[[str], Capture]


@pytest.fixture(params=["memory", "sqlite"])
def open_new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], CaptureStore]]:
    """Opens empty stores of one kind."""
    with ExitStack() as stack:

        def open_new() -> CaptureStore:
            path = tmp_path / f"{len(list(tmp_path.glob('*.db')))}.db"
            store: CaptureStore = SqliteStore(path) if request.param == "sqlite" else MemoryStore()
            stack.callback(store.close)
            return store

        yield open_new


@pytest.fixture
def store(open_new_store: Callable[[], CaptureStore]) -> CaptureStore:
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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(data=st.data())
def test_a_capture_comes_back_as_it_went_in(
    open_new_store: Callable[[], CaptureStore], any_capture: SearchStrategy[Capture], data: st.DataObject
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
    ],
)
def test_an_unclear_id_is_an_error_that_helps(
    store: CaptureStore, new_capture: NewCapture, id_prefix: str, candidates: tuple[str, ...], message: str
) -> None:
    keep(store, *map(new_capture, ["a", "b2", "b1"]))
    with pytest.raises(CaptureLookupError, match=message) as caught:
        store.find(id_prefix)
    assert caught.value.candidates == candidates


def test_a_very_unclear_id_lists_only_the_first_few(store: CaptureStore, new_capture: NewCapture) -> None:
    keep(store, *(new_capture(f"{number:03}") for number in range(100)))
    with pytest.raises(CaptureLookupError, match=r", 019, …\. Give more"):
        store.find("0")


def test_the_time_an_answer_left_is_noted(store: CaptureStore, new_capture: NewCapture) -> None:
    unanswered = replace(new_capture("b"), answer=None)

    async def answer() -> None:
        await store.append(new_capture("a"))
        await store.append(unanswered)
        for capture_id in ["a", "b", "unknown"]:
            store.record_answer_sent(capture_id, 17)
        await store.flush()

    asyncio.run(answer())
    assert store.find("a").answer == Answer(status=200, sent_at_ns=17)
    assert store.find("b") == unanswered


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
    store.record_answer_sent("a", 17)
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
