"""What the receiver's tests share: captures, a server on a thread, and a client that sends exact bytes."""

import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from http.client import HTTPResponse
from itertools import count

import pytest
from aiohttp import web
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from postback_receiver import Answer, Capture, CaptureServer, Receiver, Tls, capture_app
from postback_receiver.loop_thread import LoopThread

ANSWER_TIMEOUT_S = 10.0


@pytest.fixture
def new_capture() -> Callable[[str], Capture]:
    """Makes a capture with the given id, each one second later than the one before."""
    seconds = count(1_778_447_247)
    return lambda capture_id: Capture(
        id=capture_id,
        endpoint="/",
        received_at_ns=next(seconds) * 1_000_000_000,
        connection="c1",
        connection_request=1,
        remote="127.0.0.1:5000",
        http_version="1.1",
        method="POST",
        target="/postback?click=x",
        headers=(("Host", "localhost"),),
        body=b"{}",
        answer=Answer(status=200),
    )


@pytest.fixture(scope="session")
def any_capture() -> SearchStrategy[Capture]:
    """Every capture there can be: any bytes, any repeats, any time that fits 64 bits."""
    wire_text = st.text(st.characters(max_codepoint=0xFF), max_size=20)
    headers = st.lists(st.tuples(wire_text, wire_text), max_size=4).map(tuple)
    wall_ns = st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(0, 2**33).map(lambda us: us * 1000)
    stamp = st.none() | st.integers(-(2**63), 2**63 - 1)
    body = st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
    number = st.integers(0, 2**63 - 1)
    answers = st.builds(
        Answer,
        status=st.integers(100, 999),
        headers=headers,
        body=body,
        sent_at_ns=st.none() | wall_ns,
        sent_ns=stamp,
    )
    own_text = st.none() | st.text(max_size=20)
    tls = st.builds(Tls, version=st.text(max_size=8), cipher=st.text(max_size=8), server_name=own_text, client=own_text)
    return st.builds(
        Capture,
        id=st.text(),
        run=st.text(max_size=8),
        endpoint=st.none() | st.text(),
        received_at_ns=wall_ns,
        connected_ns=stamp,
        monotonic_ns=stamp,
        body_done_ns=stamp,
        gone_ns=stamp,
        lateness_ns=number,
        connection=st.text(),
        connection_request=number,
        remote=st.text(),
        tls=st.none() | tls,
        http_version=st.text(),
        method=wire_text,
        target=wire_text,
        headers=headers,
        body=body,
        trailers=headers,
        truncated=st.booleans(),
        malformed=own_text,
        answer=st.none() | answers,
        fault=st.none() | st.text(),
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that answers 200 to everything."""
    with Receiver() as listening:
        yield listening


@pytest.fixture
def serve() -> Iterator[Callable[[CaptureServer], CaptureServer]]:
    """Runs a server on a thread of its own until the test ends."""
    with ExitStack() as stack:

        def start(server: CaptureServer) -> CaptureServer:
            thread = LoopThread(server, name="server under test")
            started = thread.start()
            stack.callback(thread.stop)
            return started

        yield start


@asynccontextmanager
async def running(app: web.Application) -> AsyncGenerator[int]:
    """Run an aiohttp program on a free port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
def run_app() -> Iterator[Callable[[web.Application], int]]:
    """Runs an aiohttp program on a thread of its own until the test ends; its port."""
    with ExitStack() as stack:

        def start(app: web.Application) -> int:
            thread = LoopThread(running(app), name="aiohttp program under test")
            port = thread.start()
            stack.callback(thread.stop)
            return port

        yield start


@pytest.fixture(params=["capture port", "aiohttp"])
def listen_on(
    request: pytest.FixtureRequest,
    serve: Callable[[CaptureServer], CaptureServer],
    run_app: Callable[[web.Application], int],
) -> Callable[..., int]:
    """Records into a store and answers for endpoints, by each way there is; its port."""
    if request.param == "aiohttp":
        return lambda *args, **options: run_app(capture_app(*args, **options))
    return lambda *args, **options: serve(CaptureServer(*args, **options)).port


@pytest.fixture
def connect() -> Iterator[Callable[[int], socket.socket]]:
    """Opens plain connections to a port of this machine, closed when the test ends."""
    with ExitStack() as stack:

        def open_connection(port: int) -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT_S))

        yield open_connection


@pytest.fixture(scope="session")
def read_answer() -> Callable[[socket.socket], tuple[HTTPResponse, bytes]]:
    """Reads one answer off a connection: its head and its body."""

    def read(connection: socket.socket) -> tuple[HTTPResponse, bytes]:
        response = HTTPResponse(connection)
        response.begin()
        return response, response.read()

    return read


@pytest.fixture
def exchange(
    connect: Callable[[int], socket.socket], read_answer: Callable[[socket.socket], tuple[HTTPResponse, bytes]]
) -> Callable[[int, bytes], tuple[HTTPResponse, bytes]]:
    """Sends these bytes on a new connection and reads one answer."""

    def send_and_read(port: int, request: bytes) -> tuple[HTTPResponse, bytes]:
        connection = connect(port)
        connection.sendall(request)
        return read_answer(connection)

    return send_and_read
