"""What is captured is what was on the wire, byte for byte."""

import gzip
import socket
import struct
from collections.abc import Callable
from http.client import HTTPResponse

import pytest

from postback_receiver import Capture, CaptureServer, Endpoint, MemoryStore, Receiver, Reply, never_answer

Exchange = Callable[[int, bytes], tuple[HTTPResponse, bytes]]
Connect = Callable[[int], socket.socket]
ReadAnswer = Callable[[socket.socket], tuple[HTTPResponse, bytes]]


def only(receiver: Receiver) -> Capture:
    [capture] = receiver.wait_for_count(1)
    return capture


def test_headers_keep_their_order_case_repeats_and_bytes(receiver: Receiver, exchange: Exchange) -> None:
    exchange(
        receiver.port,
        b"GET / HTTP/1.1\r\nHOST: a\r\nx-Two: 1\r\nB:\r\nX-TWO:  2\r\nName: caf\xc3\xa9 \xff\r\nx-Two: 1\r\n\r\n",
    )
    assert only(receiver).headers == (
        ("HOST", "a"),
        ("x-Two", "1"),
        ("B", ""),
        ("X-TWO", "2"),
        ("Name", b"caf\xc3\xa9 \xff".decode("latin-1")),
        ("x-Two", "1"),
    )


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "//a/../b/./c",
        "/%7Euser/%2F?x=%20&y=+&&z",
        '/?raw={Token}&q="<>`|^\\',
        "/?a#b",
        "/?name=caf\u00e9",
        "http://partner.example/p?q",
        "/?" + "q" * 200_000,
    ],
    ids=lambda target: target[:20],
)
def test_the_target_is_kept_as_sent(receiver: Receiver, exchange: Exchange, target: str) -> None:
    exchange(receiver.port, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert only(receiver).target.encode("latin-1") == target.encode()


def test_a_long_header_and_many_headers_are_taken(receiver: Receiver, exchange: Exchange) -> None:
    many = b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(200))
    answer, _ = exchange(
        receiver.port, b"GET / HTTP/1.1\r\nHost: a\r\nLong: " + b"v" * 60_000 + b"\r\n" + many + b"\r\n"
    )
    assert answer.status == 200
    assert len(only(receiver).headers) == 202


def test_a_compressed_body_stays_compressed(receiver: Receiver, exchange: Exchange) -> None:
    body = gzip.compress(b'{"a": 1}' * 100)
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    exchange(receiver.port, head.encode() + body)
    assert only(receiver).body == body


def test_a_body_with_every_byte_is_kept(receiver: Receiver, exchange: Exchange) -> None:
    body = bytes(range(256)) * 300
    exchange(receiver.port, f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    capture = only(receiver)
    assert capture.body == body
    assert not capture.truncated
    assert capture.monotonic_ns is not None
    assert capture.body_done_ns is not None
    assert capture.monotonic_ns <= capture.body_done_ns


def test_chunks_are_joined_and_nothing_else(receiver: Receiver, exchange: Exchange) -> None:
    exchange(
        receiver.port,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\n\r\n\r\n0\r\n\r\n",
    )
    capture = only(receiver)
    assert capture.body == b"abc\r\n"
    assert capture.header("transfer-encoding") == ("chunked",)


def test_trailers_are_kept_apart_from_headers_and_from_the_next_request(
    receiver: Receiver, connect: Connect, read_answer: ReadAnswer
) -> None:
    connection = connect(receiver.port)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head + b"1\r\na\r\n0\r\nX-Sum: 1\r\nx-sum:\t2 \r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    read_answer(connection)
    first, second = receiver.wait_for_count(2)
    assert (first.body, first.trailers) == (b"a", (("X-Sum", "1"), ("x-sum", "2")))
    assert (second.headers, second.trailers) == ((("Host", "a"),), ())


def test_a_peer_that_closes_its_half_is_answered_and_seen_to_have_gone(receiver: Receiver, connect: Connect) -> None:
    connection = connect(receiver.port)
    connection.sendall(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)
    received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    first, last = receiver.wait_for_count(2)
    assert first.gone_ns is None
    assert last.connected_ns is not None
    assert last.monotonic_ns is not None
    assert last.gone_ns is not None
    assert last.connected_ns <= last.monotonic_ns <= last.gone_ns
    assert last.answer is not None
    assert last.answer.sent_ns is not None


@pytest.mark.parametrize("pipelined", [1, 100], ids=["one", "many"])
def test_a_peer_that_gives_up_waiting_for_no_answer_ends_the_connection(
    receiver: Receiver, connect: Connect, pipelined: int
) -> None:
    receiver.reply(Reply(faults=(never_answer(),)))
    peer = connect(receiver.port)
    peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * pipelined)
    receiver.wait_for_count(1)
    peer.shutdown(socket.SHUT_WR)
    assert peer.recv(1) == b""
    captures = receiver.wait_for_count(pipelined)
    assert [capture.connection_request for capture in captures] == list(range(1, pipelined + 1))


def test_http_1_0_is_answered_and_closed(receiver: Receiver, connect: Connect) -> None:
    connection = connect(receiver.port)
    connection.sendall(b"GET /old HTTP/1.0\r\n\r\n")
    received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.0 200 OK\r\n")
    assert only(receiver).http_version == "1.0"


def test_a_sender_that_asks_before_sending_is_invited(
    receiver: Receiver, connect: Connect, read_answer: ReadAnswer
) -> None:
    connection = connect(receiver.port)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"hi")
    answer, _ = read_answer(connection)
    assert answer.status == 200
    assert only(receiver).body == b"hi"


def test_connections_and_their_requests_are_numbered(
    receiver: Receiver, connect: Connect, read_answer: ReadAnswer
) -> None:
    first, second = connect(receiver.port), connect(receiver.port)
    for connection in [first, second, first, first]:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        read_answer(connection)
    captures = receiver.wait_for_count(4)
    numbers = [(capture.remote, capture.connection_request) for capture in captures]
    one, two = (f"127.0.0.1:{connection.getsockname()[1]}" for connection in (first, second))
    assert numbers == [(one, 1), (two, 1), (one, 2), (one, 3)]
    assert captures[0].connection == captures[2].connection != captures[1].connection


def test_requests_sent_in_one_go_are_all_captured(receiver: Receiver, connect: Connect) -> None:
    connect(receiver.port).sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(3)))
    assert [(c.target, c.connection_request) for c in receiver.wait_for_count(3)] == [("/0", 1), ("/1", 2), ("/2", 3)]


@pytest.mark.parametrize("framing", [b"Content-Length: 5000", b"Transfer-Encoding: chunked"])
def test_a_body_over_the_limit_is_recorded_in_part_and_refused(
    connect: Connect, read_answer: ReadAnswer, framing: bytes
) -> None:
    body = b"x" * 5000
    wire_body = b"1388\r\n" + body + b"\r\n0\r\n\r\n" if b"chunked" in framing else body
    with Receiver(max_body_bytes=1000) as receiver:
        connection = connect(receiver.port)
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + wire_body)
        answer, text = read_answer(connection)
        assert answer.status == 413
        assert text == b"This receiver takes bodies of up to 1000 bytes. The first 1000 bytes were recorded.\n"
        assert answer.getheader("Connection") == "close"
        assert connection.recv(1) == b""
        capture = only(receiver)
    assert capture.body == body[:1000]
    assert capture.truncated
    assert capture.body_done_ns is None
    assert capture.answer is not None
    assert capture.answer.status == 413


def test_a_body_of_exactly_the_limit_is_fine(exchange: Exchange) -> None:
    with Receiver(max_body_bytes=1000) as receiver:
        answer, _ = exchange(receiver.port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        assert answer.status == 200
        assert not only(receiver).truncated


@pytest.mark.parametrize("hard", [False, True], ids=["close", "reset"])
def test_a_peer_that_leaves_in_its_body_is_recorded_and_not_answered(
    receiver: Receiver, connect: Connect, *, hard: bool
) -> None:
    connection = connect(receiver.port)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    if hard:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        connection.sendall(b"half")
    connection.close()
    capture = only(receiver)
    assert capture.body == (b"" if hard else b"half")
    assert capture.truncated
    assert capture.answer is None


def test_a_body_that_stops_arriving_is_recorded_and_refused(
    serve: Callable[[CaptureServer], CaptureServer], exchange: Exchange
) -> None:
    store = MemoryStore()
    server = serve(CaptureServer(store, [Endpoint()], stall_timeout_s=0.01))
    answer, _ = exchange(server.port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    assert answer.status == 408
    [capture] = store.captures()
    assert (capture.body, capture.truncated) == (b"half", True)


def test_a_body_that_breaks_its_chunk_framing_is_recorded_at_once_with_what_broke_it(
    receiver: Receiver, connect: Connect, read_answer: ReadAnswer
) -> None:
    connection = connect(receiver.port)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    connection.sendall(b"4\r\nhalf\r\nnonsense\r\n")
    answer, text = read_answer(connection)
    assert answer.status == 400
    reason = "chunk 2 does not begin with its size in hexadecimal and CR LF"
    assert text == f"This request could not be read as HTTP: {reason}. It was recorded.\n".encode()
    capture = only(receiver)
    assert (capture.method, capture.malformed, capture.truncated) == ("POST", reason, True)
    assert (capture.body, capture.body_done_ns) == (b"halfnonsense\r\n", None)


@pytest.mark.parametrize(
    "request_line",
    [
        pytest.param("GET /?token=hunter2 x HTTP/1.1", id="a blank in the target"),
        pytest.param("GET / HTTP/1.1\r\nContent-Length: hunter2", id="a length that is none"),
        pytest.param("hunter2", id="no HTTP at all"),
    ],
)
def test_what_cannot_be_read_as_http_is_recorded_counted_and_never_repeated(
    receiver: Receiver, connect: Connect, caplog: pytest.LogCaptureFixture, request_line: str
) -> None:
    peer = connect(receiver.port)
    peer.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode("latin-1"))
    answer = b"".join(iter(lambda: peer.recv(65_536), b""))

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"hunter2" not in answer
    assert receiver.unreadable_requests == 1
    capture = only(receiver)
    assert capture.malformed is not None
    assert capture.body == f"{request_line}\r\nHost: x\r\n\r\n".encode("latin-1")
    assert capture.answer is not None
    assert capture.answer.status == 400
    assert "could not be read as HTTP" in caplog.text
    assert "hunter2" not in caplog.text
    assert "Traceback" not in caplog.text
