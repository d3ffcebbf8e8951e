"""What the receiver's tests share: captures, a server on a thread, and a client that sends exact bytes."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from itertools import count

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from postback_receiver import Answer, Capture, CaptureServer, Receiver
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
        Answer, status=st.integers(100, 999), headers=headers, body=body, sent_at_ns=st.none() | wall_ns
    )
    return st.builds(
        Capture,
        id=st.text(),
        endpoint=st.none() | st.text(),
        received_at_ns=wall_ns,
        monotonic_ns=stamp,
        body_done_ns=stamp,
        lateness_ns=number,
        connection=st.text(),
        connection_request=number,
        remote=st.text(),
        http_version=st.text(),
        method=wire_text,
        target=wire_text,
        headers=headers,
        body=body,
        truncated=st.booleans(),
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
