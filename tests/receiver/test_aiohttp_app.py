"""Inside an aiohttp program the receiver records as exactly as aiohttp lets it, and answers as on its own port.

What both have in common stands in `test_server` and `test_faults`, which run over both.
"""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from http.client import HTTPResponse
from pathlib import Path
from queue import SimpleQueue

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from postback_receiver import (
    Capture,
    Endpoint,
    MemoryStore,
    Reply,
    SqliteStore,
    always,
    capture_app,
    down,
    never_answer,
)
from postback_receiver.recording import path_below
from postback_receiver.tls import make_tls

Exchange = Callable[[int, bytes], tuple[HTTPResponse, bytes]]
Connect = Callable[[int], socket.socket]
ReadAnswer = Callable[[socket.socket], tuple[HTTPResponse, bytes]]
RunApp = Callable[[web.Application], int]

PATIENCE_S = 10.0
AS_SENT: Mapping[str, object] = {"auto_decompress": False}
"""What a program asks of aiohttp so that it leaves bodies alone."""


def request_of(target: str, *fields: str, body: bytes = b"", method: str = "POST") -> bytes:
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: a", *fields, "", ""])
    return head.encode("latin-1") + body


def sized(target: str, body: bytes, *fields: str) -> bytes:
    return request_of(target, f"Content-Length: {len(body)}", *fields, body=body)


GET = request_of("/", method="GET")


@asynccontextmanager
async def running(app: web.Application, *, handler_cancellation: bool = False) -> AsyncGenerator[int]:
    """Run a program on plain asyncio, whose transports are not those of uvloop; its port."""
    runner = web.AppRunner(app, handler_cancellation=handler_cancellation)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def test_a_program_keeps_its_own_routes_and_middlewares_and_each_receiver_its_own_mount(
    run_app: RunApp, connect: Connect, read_answer: ReadAnswer
) -> None:
    seen: list[str] = []

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        seen.append(request.path)
        if "X-Stranger" in request.headers:
            raise web.HTTPForbidden
        return await handler(request)

    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    stores = MemoryStore(), MemoryStore()
    program, inner = web.Application(middlewares=[note]), web.Application()
    program.router.add_get("/hello", hello)
    inner.add_subapp("/in", capture_app(stores[0], [Endpoint(prefix="/postback")]))
    program.add_subapp("/hooks", inner)
    program.add_subapp("/other", capture_app(stores[1], [Endpoint(replies=always(Reply(status=202)))]))
    connection = connect(run_app(program))

    def status_of(request: bytes) -> int:
        connection.sendall(request)
        return read_answer(connection)[0].status

    assert status_of(request_of("/hello", method="GET")) == 200
    assert status_of(sized("/hooks/in/postback/x?y", b"1")) == 200
    assert status_of(sized("/other", b"2")) == 202
    assert status_of(sized("/h%6Foks/in/postback", b"3", "X-Stranger: 1")) == 403
    assert status_of(sized("/h%6Foks/in/postback", b"3")) == 200
    connection.sendall(sized("/hooks/in", b"4"))
    assert b"Endpoints: /hooks/in/postback. The request was recorded." in read_answer(connection)[1]

    assert len(seen) == 6
    first = list(stores[0].captures())
    assert [(c.target, c.endpoint, c.body) for c in first] == [
        ("/hooks/in/postback/x?y", "/postback", b"1"),
        ("/h%6Foks/in/postback", "/postback", b"3"),
        ("/hooks/in", None, b"4"),
    ]
    assert [(c.connection, c.connection_request) for c in first] == [("c1", 1), ("c1", 2), ("c1", 3)]
    [other] = stores[1].captures()
    assert (other.target, other.endpoint, other.body, other.connection_request) == ("/other", "/", b"2", 1)
    name, port = connection.getsockname()
    assert {other.remote, *(c.remote for c in first)} == {f"{name}:{port}"}


@pytest.mark.parametrize(
    ("path", "mount", "below"),
    [
        ("/hooks/a/b", "/hooks", "/a/b"),
        ("/h%6Foks/a%2Fb/", "/hooks", "/a%2Fb/"),
        ("/hooks", "/hooks", "/"),
        ("/hooks/", "/hooks", "/"),
        ("/hooks//a", "/hooks", "//a"),
        ("/a/b/c", "/a/b", "/c"),
        ("*", "/a", "/"),
    ],
)
def test_what_lies_below_a_mount_is_what_follows_its_segments(path: str, mount: str, below: str) -> None:
    assert path_below(path, mount) == below


def test_target_headers_and_body_are_those_of_the_wire(
    run_app: RunApp, connect: Connect, read_answer: ReadAnswer
) -> None:
    store, handled = MemoryStore(), SimpleQueue[Capture]()
    connection = connect(run_app(capture_app(store, [Endpoint()], on_capture=handled.put)))
    every_byte = bytes(range(256)) * 3
    targets = [
        "//a/../b/./c",
        "/%7Euser/%2F?x=%20&y=+&&z",
        '/?raw={Token}&q="`|^\\',
        "http://partner.example/p?q",
        "/%0A",
    ]
    fields = ["x-Two: 1", "B:", "X-TWO:  2 ", "Name: caf\xc3\xa9 \xff", "x-Two: 1"]
    for target in targets:
        connection.sendall(sized(target, every_byte, *fields))
        assert read_answer(connection)[0].status == 200
        # When an answer left is noted once it has.
        handled.get(timeout=PATIENCE_S)
    captures = list(store.captures())
    assert [capture.target for capture in captures] == targets
    for number, capture in enumerate(captures, start=1):
        names = [("Host", "a"), ("Content-Length", "768"), ("x-Two", "1"), ("B", ""), ("X-TWO", "2")]
        assert capture.headers == (*names, ("Name", "caf\xc3\xa9 \xff"), ("x-Two", "1"))
        assert (capture.method, capture.http_version, capture.body) == ("POST", "1.1", every_byte)
        assert capture.connection_request == number
        assert capture.answer is not None
        assert capture.received_at_ns <= (capture.answer.sent_at_ns or 0)
        assert (capture.monotonic_ns or 0) <= (capture.body_done_ns or 0) <= (capture.answer.sent_ns or 0)


def mounted(app: web.Application, handler_args: Mapping[str, object] | None = None) -> web.Application:
    program = web.Application(handler_args=handler_args)
    program.add_subapp("/hooks", app)
    return program


@pytest.mark.parametrize("is_mounted", [False, True], ids=["alone", "mounted"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["sized", "chunked"])
def test_a_compressed_body_is_kept_as_sent_where_aiohttp_leaves_it_alone(
    run_app: RunApp, exchange: Exchange, *, is_mounted: bool, is_chunked: bool
) -> None:
    store, body = MemoryStore(), gzip.compress(b"{}" * 50)
    app = capture_app(store, [Endpoint()])
    port = run_app(mounted(app, AS_SENT) if is_mounted else app)
    packed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    request = (
        request_of("/hooks/x", "Content-Encoding: gzip", "Transfer-Encoding: chunked", body=packed)
        if is_chunked
        else sized("/hooks/x", body, "Content-Encoding: gzip")
    )
    assert exchange(port, request)[0].status == 200
    [capture] = store.captures()
    assert (capture.body, capture.truncated) == (body, False)


def test_a_body_that_aiohttp_decompressed_is_refused_and_never_taken_for_what_was_sent(
    run_app: RunApp, exchange: Exchange
) -> None:
    store = MemoryStore()
    port = run_app(mounted(capture_app(store, [Endpoint()])))
    answer, text = exchange(port, sized("/hooks/x", gzip.compress(b"{}" * 50), "Content-Encoding: gzip"))
    assert (answer.status, answer.getheader("Accept-Encoding")) == (415, "identity")
    assert b"as they were sent" in text
    [capture] = store.captures()
    assert (capture.target, capture.body, capture.truncated, capture.malformed) == ("/hooks/x", b"", True, None)


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_a_body_over_the_limit_is_recorded_in_part_and_refused(
    run_app: RunApp, connect: Connect, read_answer: ReadAnswer, framing: str
) -> None:
    store, body = MemoryStore(), b"x" * 5000
    connection = connect(run_app(capture_app(store, [Endpoint()], max_body_bytes=1000)))
    wire_body = b"1388\r\n" + body + b"\r\n0\r\n\r\n" if "chunked" in framing else body
    connection.sendall(request_of("/", framing, body=wire_body))
    answer, text = read_answer(connection)
    assert (answer.status, answer.getheader("Connection")) == (413, "close")
    assert text == b"This receiver takes bodies of up to 1000 bytes. The first 1000 bytes were recorded.\n"
    assert connection.recv(1) == b""
    [capture] = store.captures()
    assert (capture.body, capture.truncated, capture.body_done_ns) == (body[:1000], True, None)


def test_a_body_that_stops_arriving_is_recorded_and_refused(run_app: RunApp, exchange: Exchange) -> None:
    store = MemoryStore()
    port = run_app(capture_app(store, [Endpoint()], stall_timeout_s=0.01))
    answer, _ = exchange(port, request_of("/", "Content-Length: 100", body=b"half"))
    assert answer.status == 408
    [capture] = store.captures()
    assert (capture.body, capture.truncated) == (b"half", True)


def test_a_peer_that_leaves_in_its_body_is_recorded_and_not_answered(run_app: RunApp, connect: Connect) -> None:
    store, handled = MemoryStore(), SimpleQueue[Capture]()
    connection = connect(run_app(capture_app(store, [Endpoint()], on_capture=handled.put)))
    connection.sendall(request_of("/", "Content-Length: 100", "Expect: 100-continue"))
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    connection.sendall(b"half")
    connection.close()
    capture = handled.get(timeout=PATIENCE_S)
    assert (capture.body, capture.truncated, capture.answer) == (b"half", True, None)


def test_when_a_peer_left_is_noted_on_its_last_request(
    run_app: RunApp, connect: Connect, exchange: Exchange, read_answer: ReadAnswer
) -> None:
    store, arrived, handled = MemoryStore(), SimpleQueue[Capture](), SimpleQueue[Capture]()
    endpoints = [Endpoint(), Endpoint(prefix="/never", replies=always(Reply(faults=(never_answer(),))))]
    port = run_app(capture_app(store, endpoints, on_arrival=arrived.put, on_capture=handled.put))
    patient, impatient = connect(port), connect(port)
    for _ in range(2):
        patient.sendall(GET)
        read_answer(patient)
    impatient.sendall(request_of("/never", method="GET"))
    while arrived.get(timeout=PATIENCE_S).path != "/never":
        pass
    patient.close()
    impatient.close()
    while handled.get(timeout=PATIENCE_S).path != "/never":
        pass
    exchange(port, GET)  # a request later, both have been seen to leave
    first, second, never, _ = store.captures()
    assert first.gone_ns is None
    assert second.answer is not None
    assert (second.gone_ns or 0) > (second.answer.sent_ns or 0)
    assert (never.gone_ns or 0) > (never.monotonic_ns or 0)
    assert never.answer is None


def test_trailers_never_end_up_in_the_next_request(run_app: RunApp, connect: Connect) -> None:
    store = MemoryStore()
    connection = connect(run_app(capture_app(store, [Endpoint()])))
    trailing = request_of("/", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
    connection.sendall(trailing + GET)
    answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"\r\nConnection: close\r\n" in answer
    [capture] = store.captures()
    assert capture.body == b"abc"
    assert not capture.header("X-Sum")


def test_an_expectation_that_nobody_knows_is_recorded_like_anything_else(run_app: RunApp, exchange: Exchange) -> None:
    store = MemoryStore()
    assert exchange(run_app(capture_app(store, [Endpoint()])), sized("/x", b"1", "Expect: tea"))[0].status == 200
    assert [capture.header("Expect") for capture in store.captures()] == [("tea",)]


def down_at_first(store: MemoryStore, seconds: float) -> Endpoint:
    """An endpoint whose first request takes the receiver down for so long."""

    def replies(_capture: Capture) -> Reply:
        return Reply(status=202) if store.count() else Reply(faults=(down(seconds),))

    return Endpoint(replies=replies)


def test_while_it_is_down_a_receiver_records_and_resets(run_app: RunApp, exchange: Exchange) -> None:
    store = MemoryStore()
    port = run_app(capture_app(store, [down_at_first(store, 3600)]))
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            exchange(port, GET)
    assert [(capture.fault, capture.answer) for capture in store.captures()] == [("down 3600s", None)] * 3


def test_a_receiver_that_was_down_answers_again(run_app: RunApp, exchange: Exchange) -> None:
    store = MemoryStore()
    port = run_app(capture_app(store, [down_at_first(store, 0.02)]))
    resets = 0
    while True:
        try:
            answer, _ = exchange(port, GET)
        except ConnectionResetError:
            resets += 1
        else:
            break
    assert answer.status == 202
    assert [capture.fault for capture in store.captures()] == ["down 20ms"] * resets + [None]


def test_what_was_agreed_on_an_encrypted_connection_is_recorded() -> None:
    made = make_tls()
    trusting = ssl.create_default_context(cadata=made.ca_pem.decode())

    async def scenario() -> MemoryStore:
        store = MemoryStore()
        runner = web.AppRunner(capture_app(store, [Endpoint()]))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=made.context).start()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", runner.addresses[0][1], ssl=trusting, server_hostname="localhost"
        )
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await writer.wait_closed()
        await runner.cleanup()
        return store

    [capture] = asyncio.run(scenario()).captures()
    assert capture.tls is not None
    assert capture.tls.version == "TLSv1.3"


def test_a_program_that_ends_waits_for_nothing_that_cannot_come_and_flushes_the_store(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> list[bytes]:
        arrived = asyncio.Queue[Capture]()
        never = Endpoint(prefix="/never", replies=always(Reply(faults=(never_answer(),))))
        async with running(capture_app(store, [Endpoint(), never], on_arrival=arrived.put_nowait)) as port:
            peers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            peers[0][1].write(sized("/whole", b"1"))
            whole = await peers[0][0].readuntil(b"\r\n\r\n")
            peers[1][1].write(sized("/never", b"2"))
            while (await arrived.get()).path != "/never":
                pass
            peers[2][1].write(request_of("/half", "Content-Length: 9", "Expect: 100-continue"))
            await peers[2][0].readuntil(b"\r\n\r\n")
            peers[2][1].write(b"half")
        rests = [await reader.read() for reader, _ in peers]
        for _, writer in peers:
            writer.close()
        assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
        return rests

    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        assert asyncio.run(asyncio.wait_for(scenario(store), PATIENCE_S)) == [b"", b"", b""]
        whole, never, half = store.captures()
        assert whole.answer is not None
        assert whole.answer.sent_ns is not None
        assert never.answer is None
        assert (half.target, half.truncated, half.answer) == ("/half", True, None)


class SlowStore(MemoryStore):
    """Takes captures only once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def append(self, capture: Capture) -> None:
        self.holds.set()
        await self.may_go_on.wait()
        await super().append(capture)


def test_a_program_that_cancels_what_peers_leave_behind_loses_no_request() -> None:
    async def scenario() -> MemoryStore:
        store, handled = SlowStore(), asyncio.Queue[Capture]()
        app = capture_app(store, [Endpoint()], on_capture=handled.put_nowait)
        async with running(app, handler_cancellation=True) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sized("/left", b"1"))
            await store.holds.wait()
            writer.transport.abort()
            # An exchange with the program later, it has noticed.
            reader, other = await asyncio.open_connection("127.0.0.1", port)
            other.write(b"no HTTP\r\n\r\n")
            await reader.read()
            other.close()
            store.may_go_on.set()
            await handled.get()
        return store

    [capture] = asyncio.run(scenario()).captures()
    assert capture.body == b"1"
    assert capture.gone_ns is not None
    assert capture.answer is not None
    assert capture.answer.sent_ns is None
