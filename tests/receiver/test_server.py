"""The server records first and answers second, and tells observers and counters of both."""

import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path

import pytest

from plain_requests import GET, get
from postback_receiver import (
    Capture,
    CaptureServer,
    Endpoint,
    MemoryStore,
    RandomDelay,
    Reply,
    ReplyScript,
    SqliteStore,
    StoreError,
    always,
    reset,
)
from postback_receiver.lateness import INTERVAL_NS
from stopped_clock import StoppedClock

Serve = Callable[[CaptureServer], CaptureServer]
ListenOn = Callable[..., int]
Exchange = Callable[[int, bytes], tuple[HTTPResponse, bytes]]

AT_NS = 1_778_447_247_123_456_789
SECOND_NS = 1_000_000_000


class TurnedClock(StoppedClock):
    """A clock that stands still until somebody turns it on."""

    turned_ns = 42

    def monotonic_ns(self) -> int:
        return self.turned_ns


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store that does not wait for locks."""
    with closing(SqliteStore(tmp_path / "captures.db", busy_timeout_s=0)) as store:
        yield store


def test_stamps_and_ids_come_from_what_was_passed_in(serve: Serve, exchange: Exchange) -> None:
    store = MemoryStore()
    server = serve(
        CaptureServer(store, [Endpoint()], clock=TurnedClock(AT_NS), new_id=iter(["start", "one", "two"]).__next__)
    )
    exchange(server.port, GET)
    exchange(server.port, GET)
    assert [capture.id for capture in store.captures()] == ["one", "two"]
    capture = store.find("one")
    assert capture.run == "start"
    assert (capture.received_at_ns, capture.monotonic_ns, capture.body_done_ns) == (AT_NS, 42, 42)
    assert capture.connected_ns == 42
    assert capture.answer is not None
    assert (capture.answer.sent_at_ns, capture.answer.sent_ns) == (AT_NS, 42)


def test_the_answer_is_the_reply_and_is_recorded(listen_on: ListenOn, exchange: Exchange) -> None:
    store = MemoryStore()
    reply = Reply(status=202, headers=(("X-Mine", "1"), ("X-Mine", "2")), body=b"\xff\x00")
    port = listen_on(store, [Endpoint(replies=always(reply))])
    answer, body = exchange(port, GET)
    assert (answer.status, answer.headers.get_all("X-Mine"), body) == (202, ["1", "2"], b"\xff\x00")
    [capture] = store.captures()
    assert capture.answer is not None
    assert (capture.answer.status, capture.answer.headers, capture.answer.body) == (202, reply.headers, reply.body)


def test_each_endpoint_answers_for_its_own_paths(listen_on: ListenOn, exchange: Exchange) -> None:
    store = MemoryStore()
    endpoints = [Endpoint(prefix=f"/{status}", replies=always(Reply(status=status))) for status in (201, 202)]
    port = listen_on(store, endpoints)
    targets = ["/201", "/202/x?y"]
    assert [exchange(port, get(target))[0].status for target in targets] == [201, 202]
    assert [capture.endpoint for capture in store.captures()] == ["/201", "/202"]


def test_a_path_of_no_endpoint_is_recorded_and_refused(listen_on: ListenOn, exchange: Exchange) -> None:
    store = MemoryStore()
    port = listen_on(store, [Endpoint(prefix="/b"), Endpoint(prefix="/a")])
    answer, text = exchange(port, get("/c"))
    assert answer.status == 404
    assert text == b"No endpoint takes this path. Endpoints: /a, /b. The request was recorded.\n"
    assert [capture.endpoint for capture in store.captures()] == [None]


def test_settings_of_endpoints_are_kept_with_the_captures(listen_on: ListenOn) -> None:
    store = MemoryStore()
    listen_on(store, [Endpoint(prefix="/a", settings=b"x = 1"), Endpoint(prefix="/b")])
    assert dict(store.endpoints()) == {"/a": b"x = 1", "/b": None}


def test_sequences_are_counted_for_each_event(listen_on: ListenOn, exchange: Exchange) -> None:
    script = ReplyScript([Reply(status=503), Reply(status=200)], key=lambda capture: capture.query)
    port = listen_on(MemoryStore(), [Endpoint(replies=script)])
    targets = ["/?event=1", "/?event=2", "/?event=1", "/?event=2", "/?event=1"]
    statuses = [exchange(port, get(target))[0].status for target in targets]
    assert statuses == [503, 503, 200, 200, 200]


def test_a_reply_script_that_fails_is_our_fault_and_says_so(
    listen_on: ListenOn, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_capture: Capture) -> Reply:
        raise LookupError("oops")

    store = MemoryStore()
    port = listen_on(store, [Endpoint(replies=broken)])
    answer, text = exchange(port, GET)
    assert answer.status == 500
    assert b"the receiver's own reply script failed" in text
    assert store.count() == 1
    assert "LookupError: oops" in caplog.text


def test_a_store_that_fails_means_503_and_nothing_is_acknowledged(
    sqlite_store: SqliteStore, listen_on: ListenOn, exchange: Exchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Capture] = []
    port = listen_on(sqlite_store, [Endpoint()], on_arrival=seen.append, on_capture=seen.append)
    with closing(sqlite3.connect(tmp_path / "captures.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        answer, text = exchange(port, get("/lost"))
    assert answer.status == 503
    assert text == b"The request could not be recorded and is not acknowledged. Send it again later.\n"
    assert "another program keeps it locked" in caplog.text
    assert seen == []
    assert exchange(port, get("/kept"))[0].status == 200
    assert [capture.target for capture in sqlite_store.captures()] == ["/kept"]


class RefusingStore(MemoryStore):
    """Cannot keep what arrives at /refused."""

    async def append(self, capture: Capture) -> None:
        if capture.path == "/refused":
            raise StoreError(path="memory", reason="it is full")
        await super().append(capture)


def test_what_happened_is_counted(serve: Serve, exchange: Exchange, connect: Callable[[int], socket.socket]) -> None:
    # Random delays differ from request to request; they are counted as one kind.
    lost = Endpoint(prefix="/lost", replies=always(Reply(delay=RandomDelay(0, 0.001), faults=(reset(),))))
    server = serve(CaptureServer(RefusingStore(), [Endpoint(prefix="/p"), lost], max_body_bytes=3))
    exchange(server.port, get("/p"))
    exchange(server.port, get("/elsewhere"))
    exchange(server.port, get("/refused"))
    exchange(server.port, b"no HTTP\r\n\r\n")
    exchange(server.port, b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlong")
    with pytest.raises(ConnectionResetError):
        exchange(server.port, get("/lost"))
    open_connection = connect(server.port)
    open_connection.sendall(GET)
    open_connection.recv(1)
    counts = server.counts
    assert (counts.captures, counts.unmatched, counts.malformed, counts.truncated) == (6, 2, 1, 1)
    assert (counts.not_answered, counts.faults, counts.store_failures) == (1, {"delay + reset": 1}, 1)
    assert counts.connections == 7
    assert counts.connections_open >= 1


def test_observers_hear_of_a_capture_before_and_after_its_answer(listen_on: ListenOn, exchange: Exchange) -> None:
    heard: list[tuple[str, bool]] = []

    def observer(name: str) -> Callable[[Capture], None]:
        return lambda capture: heard.append(
            (name, capture.answer is not None and capture.answer.sent_at_ns is not None)
        )

    port = listen_on(MemoryStore(), [Endpoint()], on_arrival=observer("arrival"), on_capture=observer("capture"))
    exchange(port, GET)
    exchange(port, GET)
    assert heard[:3] == [("arrival", False), ("capture", True), ("arrival", False)]


def test_an_observer_that_fails_is_logged_and_the_peer_does_not_notice(
    listen_on: ListenOn, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_capture: Capture) -> None:
        raise LookupError("oops")

    port = listen_on(MemoryStore(), [Endpoint()], on_arrival=broken, on_capture=broken)
    assert exchange(port, GET)[0].status == 200
    assert exchange(port, GET)[0].status == 200
    assert "LookupError: oops" in caplog.text


def test_a_stalled_event_loop_shows_on_the_captures_behind_it(serve: Serve, exchange: Exchange) -> None:
    clock = TurnedClock(AT_NS)

    def stall(capture: Capture) -> Reply:
        clock.turned_ns += SECOND_NS if capture.path == "/stall" else 0
        return Reply()

    store = MemoryStore()
    server = serve(CaptureServer(store, [Endpoint(replies=stall)], clock=clock))
    exchange(server.port, get("/stall"))
    exchange(server.port, get("/behind"))
    stalled, behind = store.captures()
    assert (stalled.lateness_ns, behind.lateness_ns) == (0, SECOND_NS - INTERVAL_NS)
