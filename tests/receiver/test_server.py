"""The server records first and answers second, and closes without losing what is under way."""

import asyncio
import socket
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path
from typing import cast

import pytest

from postback_receiver import (
    Answer,
    Capture,
    CaptureServer,
    Endpoint,
    ListenError,
    MemoryStore,
    RandomDelay,
    Reply,
    ReplyScript,
    SqliteStore,
    StoreError,
    always,
    new_event_loop,
    reset,
)
from postback_receiver import server as server_module
from postback_receiver.listening import base_url

Serve = Callable[[CaptureServer], CaptureServer]
ListenOn = Callable[..., int]
Exchange = Callable[[int, bytes], tuple[HTTPResponse, bytes]]

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


class FixedClock:
    """Stands still at one moment."""

    def now_ns(self) -> int:
        return 1_778_447_247_123_456_789

    def monotonic_ns(self) -> int:
        return 42


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store that does not wait for locks."""
    with closing(SqliteStore(tmp_path / "captures.db", busy_timeout_s=0)) as store:
        yield store


def test_stamps_and_ids_come_from_what_was_passed_in(serve: Serve, exchange: Exchange) -> None:
    store = MemoryStore()
    server = serve(
        CaptureServer(store, [Endpoint()], clock=FixedClock(), new_id=iter(["start", "one", "two"]).__next__)
    )
    exchange(server.port, GET)
    exchange(server.port, GET)
    assert [capture.id for capture in store.captures()] == ["one", "two"]
    capture = store.find("one")
    assert capture.run == "start"
    assert (capture.received_at_ns, capture.monotonic_ns, capture.body_done_ns) == (FixedClock().now_ns(), 42, 42)
    assert capture.connected_ns == 42
    assert capture.answer is not None
    assert (capture.answer.sent_at_ns, capture.answer.sent_ns) == (FixedClock().now_ns(), 42)


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


def test_several_servers_share_one_port(serve: Serve, connect: Callable[[int], socket.socket]) -> None:
    stores = [MemoryStore(), MemoryStore()]
    first = serve(CaptureServer(stores[0], [Endpoint()], reuse_port=True))
    second = serve(CaptureServer(stores[1], [Endpoint()], reuse_port=True, port=first.port))
    assert second.port == first.port
    for _ in range(40):
        connection = connect(first.port)
        connection.sendall(GET)
        connection.recv(1)
    assert min(store.count() for store in stores) > 0


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
    def stall_once(capture: Capture) -> Reply:
        if capture.path == "/stall":
            time.sleep(0.2)
        return Reply()

    store = MemoryStore()
    server = serve(CaptureServer(store, [Endpoint(replies=stall_once)]))
    exchange(server.port, get("/stall"))
    exchange(server.port, get("/behind"))
    stalled, behind = store.captures()
    assert stalled.lateness_ns < 100_000_000 < behind.lateness_ns


def test_a_port_in_use_is_an_error_that_helps(serve: Serve) -> None:
    server = serve(CaptureServer(MemoryStore(), [Endpoint()]))
    with pytest.raises(ListenError, match=f"127.0.0.1 port {server.port}: the port is already in use. Stop") as caught:
        serve(CaptureServer(MemoryStore(), [Endpoint()], port=server.port))
    assert caught.value.port == server.port


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("192.0.2.1", 0, "Cannot listen on 192.0.2.1 port 0"),
        ("no.such.host.invalid", 0, "Cannot listen on no.such.host.invalid port 0"),
        ("127.0.0.1", 65536, "there is no such port"),
    ],
)
def test_an_address_that_cannot_be_had_is_an_error_of_ours(serve: Serve, host: str, port: int, reason: str) -> None:
    with pytest.raises(ListenError, match=reason):
        serve(CaptureServer(MemoryStore(), [Endpoint()], host=host, port=port))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 -- not bound to here
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
    ],
)
def test_the_url_is_one_that_this_machine_can_reach(host: str, url: str) -> None:
    assert base_url(host, 80) == url


def test_who_gets_the_last_files_is_heard_others_make_room_and_the_log_says_so_once(
    serve: Serve,
    exchange: Exchange,
    connect: Callable[[int], socket.socket],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Every connection has a higher number than that.
    monkeypatch.setattr("postback_receiver.server.most_files", lambda: 9)
    server = serve(CaptureServer(MemoryStore(), [Endpoint()]))
    idle = connect(server.port)
    assert exchange(server.port, get("/a"))[0].status == 200
    assert idle.recv(1) == b""
    assert server.counts.connections_refused == 1
    assert [record.getMessage()[:54] for record in caplog.records] == [
        "This process has opened nearly all of the 9 files it m"
    ]


class HoldingStore(MemoryStore):
    """Keeps the senders to /held waiting for their answer until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = asyncio.Event()
        self.released = asyncio.Event()

    async def append(self, capture: Capture) -> None:
        await super().append(capture)
        if capture.path == "/held":
            self.holds.set()
            await self.released.wait()


def test_an_answer_that_found_nobody_has_no_time_of_leaving() -> None:
    async def scenario() -> HoldingStore:
        store = HoldingStore()
        async with CaptureServer(store, [Endpoint()]) as server:
            _, leaving = await asyncio.open_connection("127.0.0.1", server.port)
            leaving.write(get("/held"))
            await store.holds.wait()
            # With a FIN it might still wait for the answer.
            own = cast("socket.socket", leaving.get_extra_info("socket"))
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            leaving.transport.abort()
            # An exchange later, the server has noticed.
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            store.released.set()
        return store

    held, other = asyncio.run(scenario()).captures()
    assert held.answer == Answer(status=200)
    assert other.answer is not None
    assert other.answer.sent_at_ns is not None


def test_a_request_in_flight_is_finished_when_the_server_closes() -> None:
    async def scenario() -> tuple[bytes, MemoryStore]:
        store = MemoryStore()
        async with CaptureServer(store, [Endpoint()]) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            # The last half is on its way when closing begins.
            writer.write(b"two halfs")
        answer = await reader.read()
        writer.close()
        return answer, store

    answer, store = asyncio.run(scenario())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in answer
    assert [capture.body for capture in store.captures()] == [b"two halfs"]


def test_a_request_that_does_not_finish_is_cut_and_recorded_when_the_server_closes() -> None:
    async def scenario() -> MemoryStore:
        store = MemoryStore()
        async with CaptureServer(store, [Endpoint()], close_grace_s=0.05) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"half")
        assert await reader.read() == b""
        writer.close()
        return store

    [capture] = asyncio.run(scenario()).captures()
    assert (capture.body, capture.truncated, capture.answer) == (b"half", True, None)


def test_closing_waits_for_answers_that_are_due_soon_and_cuts_those_that_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soon, late = (Endpoint(prefix=f"/{delay}", replies=always(Reply(delay=delay))) for delay in (0.1, 60))

    async def scenario() -> tuple[list[bytes], MemoryStore, int]:
        arrivals: asyncio.Queue[Capture] = asyncio.Queue()
        store = MemoryStore()
        async with CaptureServer(store, [soon, late], on_arrival=arrivals.put_nowait) as server:
            pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            for (_, writer), endpoint in zip(pairs, (soon, late), strict=True):
                writer.write(get(endpoint.prefix))
                await arrivals.get()
        answers = [await reader.read() for reader, _ in pairs]
        for _, writer in pairs:
            writer.close()
        return answers, store, server.counts.not_answered

    answers, store, not_answered = asyncio.run(asyncio.wait_for(scenario(), 4))
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK", b""]
    assert [capture.answer and capture.answer.sent_ns is not None for capture in store.captures()] == [True, False]
    assert not_answered == 1
    assert not caplog.records


def test_a_port_that_is_down_on_purpose_says_so_and_comes_back_once_it_is_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "_RETRY_LISTEN_S", 0.01)

    async def scenario() -> list[bool]:
        async with CaptureServer(MemoryStore(), [Endpoint()]) as server:
            seen = [server.is_listening]
            server.go_down(1)
            with socket.create_server(("127.0.0.1", server.port)):
                seen.append(server.is_listening)
                while not caplog.records:  # noqa: ASYNC110 -- nobody is told that a port cannot be had yet
                    await asyncio.sleep(0)
            while not server.is_listening:  # noqa: ASYNC110 -- nor that it can
                await asyncio.sleep(0)
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.close()
            seen.append(server.is_listening)
        return [*seen, server.is_listening]

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(asyncio.wait_for(scenario(), 10)) == [True, False, True, False]
    assert "goes on trying" in caplog.text


def test_closing_flushes_the_times_of_answers(sqlite_store: SqliteStore) -> None:
    async def scenario() -> None:
        async with CaptureServer(sqlite_store, [Endpoint()]) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    asyncio.run(scenario())
    [capture] = sqlite_store.captures()
    assert capture.answer is not None
    assert capture.answer.sent_at_ns is not None
    assert capture.answer.sent_at_ns >= capture.received_at_ns


def test_whole_requests_behind_one_that_ends_the_connection_are_recorded_without_an_answer() -> None:
    requests = [b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" % number for number in range(5)]

    async def scenario() -> tuple[HoldingStore, int]:
        store = HoldingStore()
        async with CaptureServer(store, [Endpoint()]) as server:
            _, leaving = await asyncio.open_connection("127.0.0.1", server.port)
            leaving.write(get("/held") + b"".join(requests))
            await store.holds.wait()
            own = cast("socket.socket", leaving.get_extra_info("socket"))
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            leaving.transport.abort()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            writer.write(last + requests[0] + b"HALF")
            assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 1
            writer.close()
            store.released.set()
        return store, server.counts.not_answered

    store, not_answered = asyncio.run(scenario())
    captures = [capture for capture in store.captures() if capture.path not in {"/held", "/last"}]
    assert sorted(capture.target for capture in captures) == ["", "/0", "/0", "/1", "/2", "/3", "/4"]
    assert {capture.answer for capture in captures} == {None}
    whole = [capture for capture in captures if capture.malformed is None]
    assert {(capture.body, capture.truncated, capture.body_done_ns is None) for capture in whole} == {
        (b"x", False, False)
    }
    assert not_answered == 8
