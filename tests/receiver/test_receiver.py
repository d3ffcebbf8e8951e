"""The receiver for callers that are not asynchronous."""

import asyncio
import signal
import socket
import ssl
import threading
import urllib.request
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from http.client import HTTPResponse
from pathlib import Path

import pytest

from postback_receiver import (
    Capture,
    Case,
    Endpoint,
    Fault,
    ListenError,
    MemoryStore,
    OutOfOrder,
    Receiver,
    ReceiverStateError,
    Reply,
    Retention,
    SilenceBroken,
    SqliteStore,
    SystemClock,
    WaitTimeout,
    always,
    arrivals,
)
from postback_receiver.answer_plan import Plan
from postback_receiver.faults import Feature
from postback_receiver.loop_thread import LoopThread
from postback_receiver.matcher import path, query
from postback_receiver.tls import make_tls

Exchange = Callable[[int, bytes], tuple[HTTPResponse, bytes]]


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def test_captures_are_there_when_the_answer_is(receiver: Receiver, exchange: Exchange) -> None:
    exchange(receiver.port, get("/a"))
    exchange(receiver.port, get("/b"))
    assert [capture.target for capture in receiver.captures()] == ["/a", "/b"]
    assert receiver.url == f"http://127.0.0.1:{receiver.port}"


def test_captures_can_be_read_after_the_block(exchange: Exchange) -> None:
    with Receiver() as receiver:
        exchange(receiver.port, get("/a"))
    assert [capture.target for capture in receiver.captures()] == ["/a"]


def test_waiting_ends_with_the_request_that_makes_the_count_full(receiver: Receiver, exchange: Exchange) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(receiver.wait_for_count, 3, timeout=10)
        for target in ["/a", "/b", "/c"]:
            assert not waiting.done()
            exchange(receiver.port, get(target))
        assert [capture.target for capture in waiting.result()] == ["/a", "/b", "/c"]


def test_waiting_in_vain_is_a_failed_test_that_lists_what_arrived(receiver: Receiver, exchange: Exchange) -> None:
    exchange(receiver.port, get("/a?x=1"))
    with pytest.raises(WaitTimeout) as caught:
        receiver.wait_for_count(2, timeout=0.01)
    assert isinstance(caught.value, AssertionError)
    assert str(caught.value) == ("Waited 0.01 s for 2 requests; 1 arrived:\n  GET /a?x=1 (0 bytes, answered 200)")


def test_a_long_list_of_arrivals_shows_the_latest() -> None:
    message = str(WaitTimeout(wanted="30 requests", timeout_s=5, arrived=[f"GET /{n}" for n in range(25)]))
    assert message.splitlines()[:3] == ["Waited 5 s for 30 requests; 25 arrived:", "  … 5 earlier ones", "  GET /5"]
    assert message.endswith("GET /24")


def test_replies_can_be_changed_while_it_runs(receiver: Receiver, exchange: Exchange) -> None:
    statuses = [exchange(receiver.port, get("/a"))[0].status]
    receiver.reply(Reply(status=418))
    statuses.append(exchange(receiver.port, get("/a"))[0].status)
    assert statuses == [200, 418]


def test_a_sequence_goes_on_with_each_resend_of_the_same_request(receiver: Receiver, exchange: Exchange) -> None:
    receiver.reply(Reply(status=503), Reply(status=200))
    targets = ["/a", "/b", "/a", "/b"]
    assert [exchange(receiver.port, get(target))[0].status for target in targets] == [503, 503, 200, 200]


def test_a_sequence_can_have_a_key_and_an_end_of_its_own(receiver: Receiver, exchange: Exchange) -> None:
    receiver.reply(Reply(status=503), Reply(status=200), key=lambda capture: capture.path, end="cycle")
    targets = ["/a?1", "/a?2", "/a?3"]
    assert [exchange(receiver.port, get(target))[0].status for target in targets] == [503, 200, 503]


def test_endpoints_are_answered_for_one_by_one(exchange: Exchange) -> None:
    endpoints = [Endpoint(prefix="/a", replies=always(Reply(status=201))), Endpoint(prefix="/b")]
    with Receiver(endpoints=endpoints) as receiver:
        receiver.reply(Reply(status=202), endpoint="/b")
        assert [exchange(receiver.port, get(target))[0].status for target in ["/a", "/b"]] == [201, 202]
        with pytest.raises(ValueError, match="no endpoint '/c'; there are: /a, /b"):
            receiver.reply(Reply(), endpoint="/c")


def test_a_store_of_the_callers_is_used_and_left_open(exchange: Exchange, tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        for target in ["/a", "/b"]:
            with Receiver(store=store) as receiver:
                exchange(receiver.port, get(target))
        assert [capture.target for capture in store.captures()] == ["/a", "/b"]


def test_a_port_in_use_is_told_to_the_caller(receiver: Receiver) -> None:
    with pytest.raises(ListenError, match="already in use"), Receiver(port=receiver.port):
        pass


def test_what_has_arrived_already_ends_a_wait_unless_it_is_told_to_look_only_at_what_comes(
    receiver: Receiver, exchange: Exchange
) -> None:
    for target in ["/a?1", "/b", "/a?2"]:
        exchange(receiver.port, get(target))
    first = receiver.wait_for(path("/a"), timeout=0)
    assert first.target == "/a?1"
    assert receiver.wait_for(path("/a"), timeout=0, after=first).target == "/a?2"
    assert [capture.target for capture in receiver.captures(path("/a"))] == ["/a?1", "/a?2"]
    assert [capture.target for capture in receiver.captures(after=first)] == ["/b", "/a?2"]
    mark = receiver.mark()
    with pytest.raises(WaitTimeout, match="Waited 0 s for a request with path '/a'; 0 arrived\\."):
        receiver.wait_for(path("/a"), timeout=0, after=mark)
    exchange(receiver.port, get("/a?3"))
    assert receiver.wait_for(path("/a"), after=mark).target == "/a?3"


def test_each_of_several_waiting_threads_gets_what_it_waits_for(receiver: Receiver, exchange: Exchange) -> None:
    with ThreadPoolExecutor(8) as pool:
        waiting = {n: pool.submit(receiver.wait_for, query("n", str(n)), timeout=10) for n in range(8)}
        for number in reversed(range(8)):
            exchange(receiver.port, get(f"/?n={number}"))
        assert [future.result().query for future in waiting.values()] == [f"n={number}" for number in waiting]


def test_whoever_waits_when_the_receiver_is_closed_is_told_so_at_once(exchange: Exchange) -> None:
    with ThreadPoolExecutor() as pool:
        with Receiver() as receiver:
            exchange(receiver.port, get("/a"))
            waits = (
                pool.submit(receiver.wait_for, path("/b"), timeout=60),
                pool.submit(receiver.wait_for_count, 2, timeout=60),
                pool.submit(receiver.wait_idle, quiet=60, timeout=60),
                pool.submit(receiver.assert_silent, path("/b"), for_=60),
            )
        for wait in waits:
            with pytest.raises(ReceiverStateError, match="The receiver was closed"):
                wait.result(timeout=10)
    assert receiver.wait_for(path("/a")).target == "/a"
    assert receiver.url.startswith("http://")


def test_a_receiver_that_does_not_listen_yet_says_so() -> None:
    receiver = Receiver()
    assert receiver.captures() == []
    for use in (lambda: receiver.url, lambda: receiver.port, lambda: receiver.url_of("/"), receiver.wait_for):
        with pytest.raises(ReceiverStateError, match="before it listens: use it with a with statement"):
            use()


def test_a_receiver_listens_once() -> None:
    with (
        Receiver() as receiver,
        pytest.raises(ReceiverStateError, match=r"is listening already.*make a new one"),
        receiver,
    ):
        pass
    with pytest.raises(ReceiverStateError, match="has been closed"), receiver:
        pass


def test_ctrl_c_ends_a_wait(exchange: Exchange) -> None:
    me = threading.get_ident()

    def press(_capture: Capture) -> None:
        signal.pthread_kill(me, signal.SIGINT)

    def wait(receiver: Receiver, pool: ThreadPoolExecutor) -> None:
        pool.submit(exchange, receiver.port, get("/a"))
        receiver.wait_for(path("/b"), timeout=60)

    with Receiver(on_arrival=press) as receiver, ThreadPoolExecutor() as pool, pytest.raises(KeyboardInterrupt):
        wait(receiver, pool)


def test_ctrl_c_while_it_starts_leaves_nothing_listening() -> None:
    me = threading.get_ident()
    interrupted, left = threading.Event(), threading.Event()

    @asynccontextmanager
    async def slow_to_start() -> AsyncGenerator[None]:
        signal.pthread_kill(me, signal.SIGINT)
        await asyncio.to_thread(interrupted.wait, 10)
        yield
        left.set()

    with pytest.raises(KeyboardInterrupt):
        LoopThread(slow_to_start(), name="slow").start()
    interrupted.set()
    assert left.wait(10)


def test_the_memory_of_what_arrived_is_bounded(
    new_capture: Callable[[str], Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "MAX_NUMBERED", 2)
    store = MemoryStore()
    seen = arrivals.Arrivals(store, SystemClock())
    for capture in map(new_capture, "abc"):
        asyncio.run(store.append(capture))
        seen.add(capture)
    assert [capture.id for capture in seen.captures()] == ["b", "c"]


def test_what_an_older_run_left_in_the_store_is_not_read_again(
    new_capture: Callable[[str], Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(retention=Retention(max_captures=2))
    for capture in map(new_capture, "abc"):
        asyncio.run(store.append(capture))
    seen = arrivals.Arrivals(store, SystemClock())
    read = store.captures
    asked: list[int] = []

    def captures(*, after: int = 0) -> Iterator[Capture]:
        asked.append(after)
        return read(after=after)

    monkeypatch.setattr(store, "captures", captures)
    asyncio.run(store.append(new_capture("d")))
    seen.add(new_capture("d"))
    assert [capture.id for capture in seen.captures()] == ["d"]
    assert asked == [3]


def test_what_arrived_can_be_put_aside_and_stays_in_the_store(exchange: Exchange) -> None:
    store = MemoryStore()
    with Receiver(store=store) as receiver:
        exchange(receiver.port, get("/a"))
        [before] = receiver.captures()
        receiver.clear()
        assert receiver.captures() == []
        exchange(receiver.port, get("/b"))
        assert [capture.target for capture in receiver.wait_for_count(1)] == ["/b"]
        with pytest.raises(ValueError, match="a capture that arrived here"):
            receiver.captures(after=before)
    with Receiver(store=store) as second:
        assert second.captures() == []
    assert store.count() == 2


def test_quiet_and_silence_are_told_from_traffic(receiver: Receiver, exchange: Exchange) -> None:
    exchange(receiver.port, get("/a"))
    assert [capture.target for capture in receiver.wait_idle(quiet=0.01)] == ["/a"]
    mark = receiver.mark()
    receiver.assert_silent(for_=0.01, after=mark)
    receiver.assert_silent(path("/b"), for_=0.01)
    for span in (0, 60):
        # What is there already counts, as everywhere else.
        with pytest.raises(SilenceBroken):
            receiver.assert_silent(path("/a"), for_=span)
    exchange(receiver.port, get("/b"))
    receiver.assert_silent(path("/a"), for_=0.01, after=mark)
    with pytest.raises(SilenceBroken, match="Expected no request for 60 s; this arrived:\n  GET /b"):
        receiver.assert_silent(for_=60, after=mark)
    with ThreadPoolExecutor() as pool:
        silence = pool.submit(receiver.assert_silent, path("/c"), for_=60, after=mark)
        exchange(receiver.port, get("/c"))
        with pytest.raises(SilenceBroken):
            silence.result(timeout=10)


def test_an_order_is_asserted_for_everything_or_for_each_event(receiver: Receiver, exchange: Exchange) -> None:
    for target in ["/a?id=1", "/a?id=2", "/b?id=2", "/b?id=1"]:
        exchange(receiver.port, get(target))
    receiver.assert_order(path("/a"), path("/b"))
    receiver.assert_order(path("/a"), path("/b"), key=query("id"))
    with pytest.raises(OutOfOrder, match="Of the event"):
        receiver.assert_order(path("/b"), path("/a"), key=query("id"))


def test_replies_can_be_numbers_functions_and_for_some_requests_only(receiver: Receiver, exchange: Exchange) -> None:
    def statuses(*targets: str) -> list[int]:
        return [exchange(receiver.port, get(target))[0].status for target in targets]

    receiver.reply(201)
    receiver.reply(503, 202, when=path("/b"), key=query("id"))
    assert statuses("/a", "/b?id=1", "/b?id=2", "/b?id=1&x", "/a") == [201, 503, 503, 202, 201]
    receiver.reply(lambda capture: Reply(status=404 if capture.path == "/a" else 200))
    assert statuses("/a", "/b?id=1") == [404, 200]
    with pytest.raises(ValueError, match="stands alone"):
        receiver.reply(200, always(Reply()))
    receiver.reply(503, cases=[Case(reply=Reply(status=202), when=path("/b"))])
    assert statuses("/a", "/b") == [503, 202]


@pytest.mark.parametrize(
    ("method", "given", "options", "told"),
    [
        ("reply", ["503"], {}, "expected a Reply, a status such as 503 or a function .*, got '503'"),
        ("reply", [200], {"key": "id"}, "expected key as a field .*, got 'id'"),
        ("reply", [200], {"when": "/a"}, "a matcher such as .*, not '/a'"),
        ("wait_for", [], {"timeout": "5"}, "timeout: expected seconds as a number, got '5'"),
        ("wait_for_count", [path("/a"), 2], {}, "expected the count of requests as a number, got"),
        ("wait_idle", [], {"quiet": "1"}, "quiet: expected seconds as a number, got '1'"),
        ("assert_silent", [], {"for_": "1"}, "for_: expected seconds as a number, got '1'"),
        ("assert_order", [path("/a")], {"key": "id"}, "expected key as a field .*, got 'id'"),
    ],
    ids=["reply", "key", "when", "timeout", "count", "quiet", "for", "key of an order"],
)
def test_what_is_of_another_type_is_refused_where_it_is_said(
    receiver: Receiver, method: str, given: list[object], options: dict[str, object], told: str
) -> None:
    with pytest.raises(TypeError, match=told):
        getattr(receiver, method)(*given, **options)


def test_whatever_goes_wrong_while_answering_ends_the_connection(
    receiver: Receiver, connect: Callable[[int], socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_plan: Plan) -> Plan:
        raise RuntimeError("a fault that fails")

    receiver.reply(Reply(faults=(Fault(label="mine", change=fail, takes=Feature.EVERYTHING),)), when=path("/bad"))
    connection = connect(receiver.port)
    connection.sendall(get("/bad"))
    assert connection.recv(1) == b""
    assert "could not be handled; it is cut" in caplog.text
    assert receiver.captures()[0].fault == "mine"


def test_urls_are_of_paths_that_an_endpoint_takes() -> None:
    with Receiver(endpoints=[Endpoint(prefix="/shop")]) as receiver:
        assert receiver.url_of("/shop/a?b=c") == f"{receiver.url}/shop/a?b=c"
        receiver.reply(500)
        for wrong in ("/shop2", "shop", ""):
            with pytest.raises(ValueError, match=r"no endpoint takes '.*'; there are: /shop"):
                receiver.url_of(wrong)


def test_observers_see_each_capture_and_cannot_wait_on_the_receivers_own_thread(exchange: Exchange) -> None:
    seen: list[Capture] = []
    refused: list[BaseException] = []

    def observe(capture: Capture) -> None:
        seen.append(capture)
        try:
            receiver.wait_for(path("/never"))
        except ReceiverStateError as error:
            refused.append(error)

    with Receiver(on_arrival=observe, on_capture=seen.append) as receiver:
        exchange(receiver.port, get("/a"))
    assert [capture.target for capture in seen] == ["/a", "/a"]
    assert len(refused) == 1


def test_with_a_tls_context_the_address_is_https() -> None:
    made = make_tls()
    client = ssl.create_default_context(cadata=made.ca_pem.decode())
    with Receiver(ssl_context=made.context) as receiver:
        assert receiver.url == f"https://127.0.0.1:{receiver.port}"
        urllib.request.urlopen(receiver.url_of("/a"), context=client).close()  # noqa: S310 -- our own URL
        tls = receiver.wait_for(path("/a")).tls
    assert tls is not None
    assert tls.version == "TLSv1.3"


def test_a_wait_in_vain_that_blocked_an_event_loop_says_what_does_not() -> None:
    async def block() -> None:
        with Receiver() as receiver:
            receiver.wait_for(timeout=0)

    with pytest.raises(WaitTimeout) as caught:
        asyncio.run(block())
    assert "AsyncReceiver does not" in caught.value.__notes__[0]
