"""Whatever bytes arrive, in whatever pieces: each connection ends, is recorded, and keeps no other waiting."""

import asyncio
import socket
from collections.abc import Iterable
from typing import SupportsIndex, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fork_server import PATIENCE_S
from postback_receiver import CaptureServer, Clock, Endpoint, MemoryStore, SystemClock
from postback_receiver.capture_request import CaptureRequest, RequestEnd
from postback_receiver.connection import CaptureConnection
from postback_receiver.reading import MAX_CHUNKED_BYTES, MAX_MALFORMED_BYTES, MAX_QUEUE, MAX_QUEUE_BYTES
from postback_receiver.request_body import MAX_FRAMING_PER_BYTE, MAX_TRAILER_BYTES, ChunkedBody

GOOD = b"POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

SHAPES = {
    "good": GOOD,
    "two in one go": GOOD + GOOD,
    "chunks and trailers": CHUNKED + b"3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nA: b\r\n\r\n" + GOOD,
    "length and chunks": GOOD[:-8] + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nbody",
    "folded": b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare carriage return": b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "NUL in the target": b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL and nothing else": bytes(50),
    "10,000 headers": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    "a header without end": b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 70_000,
    "no size of a chunk": CHUNKED + b"xyz\r\n",
    "a negative chunk": CHUNKED + b"-1\r\n\r\n",
    "a huge chunk": CHUNKED + b"fffffffffffffff\r\nabc",
    "a chunk too large to say": CHUNKED + b"f" * 17 + b"\r\nabc",
    "a chunk with another size": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "a bare line feed in chunks": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "bad trailers": CHUNKED + b"0\r\nno colon\r\n\r\n",
    "half a head": b"GET / HTTP/1.1\r\nHost",
    "half a body": GOOD[:-2],
    "TLS": bytes.fromhex("160301020001000100") + bytes(40),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "empty lines": b"\r\n\r\n" + GOOD + b"\r\n" + GOOD,
}


class Recorder:
    """Takes requests off one connection without a network, and answers none."""

    clock: Clock = SystemClock()
    max_body_bytes = 1000
    head_timeout_s = stall_timeout_s = 60.0

    def __init__(self) -> None:
        self.requests: list[CaptureRequest] = []
        self.is_lost = False

    def opened(self, connection: CaptureConnection) -> bool:
        del connection
        return True

    async def handle(self, request: CaptureRequest) -> bool:
        self.requests.append(request)
        return request.keep_alive and request.ending is RequestEnd.COMPLETE

    def lost(self, connection: CaptureConnection) -> None:
        del connection
        self.is_lost = True

    def go_down(self, for_ns: int) -> None: ...


class NoNetwork(asyncio.Transport):
    """Takes every answer and leads nowhere."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return False


async def feed(pieces: Iterable[bytes], max_body_bytes: int = 1000) -> list[CaptureRequest]:
    """Feed these pieces to a connection, and then its end."""
    recorder = Recorder()
    recorder.max_body_bytes = max_body_bytes
    connection = CaptureConnection(recorder, "c1", asyncio.get_running_loop())
    connection.connection_made(NoNetwork())
    for piece in pieces:
        connection.data_received(piece)
    connection.eof_received()
    connection.connection_lost(None)
    for _ in range(1000):
        if recorder.is_lost:
            break
        await asyncio.sleep(0)
    assert recorder.is_lost
    return recorder.requests


def gist(requests: Iterable[CaptureRequest]) -> list[tuple[object, ...]]:
    """What must not depend on the pieces. How much came of what is no HTTP before that was clear may."""
    return [
        (r.number, r.method, r.target, r.headers, r.body, r.trailers, r.ending) if not r.malformed else (r.number,)
        for r in requests
    ]


def test_every_stream_reads_the_same_wherever_it_is_split() -> None:
    async def scenario() -> None:
        for name, stream in SHAPES.items():
            whole = gist(await feed([stream]))
            # The head of the long ones is enough.
            places = range(1, min(len(stream), 160))
            for place in places:
                assert gist(await feed([stream[:place], stream[place:]])) == whole, (name, place)
            if len(stream) < 500:
                assert gist(await feed(bytes([byte]) for byte in stream)) == whole, name

    asyncio.run(scenario())


class CopyCounted(bytes):
    """Counts the bytes that are copied out of it."""

    copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:  # type: ignore[override]
        part = super().__getitem__(key)
        if isinstance(part, bytes):
            self.copied += len(part)
        return part


def test_very_many_chunks_of_one_byte_are_read_without_copying_them_again_and_again() -> None:
    letters = bytes(range(97, 123)) * 2000
    wire = CopyCounted(b"".join(b"1\r\n%c\r\n" % letter for letter in letters) + b"0\r\nA: b\r\n\r\nNEXT")
    body = ChunkedBody(max_bytes=len(letters))
    assert body.feed(wire) == len(wire) - len(b"NEXT")
    assert (bytes(body.data), body.trailers, body.is_done) == (letters, (("A", "b"),), True)
    assert wire.copied < len(wire)

    in_pieces = ChunkedBody(max_bytes=len(letters))
    for start in range(0, len(wire) - 4, 1000):
        in_pieces.feed(bytes(wire)[start : start + 1000])
    assert in_pieces.data == letters


def test_a_body_in_chunks_goes_on_in_turns_and_its_connection_with_the_next_request() -> None:
    wire = b"1\r\na\r\n" * (2 * MAX_CHUNKED_BYTES // 6)
    short = asyncio.run(feed([CHUNKED + wire + b"0\r\n\r\n" + GOOD], max_body_bytes=100_000))
    assert [(request.method, len(request.body), request.ending) for request in short] == [
        ("POST", len(wire) // 6, RequestEnd.COMPLETE),
        ("POST", 4, RequestEnd.UNANSWERED),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"1;" + b"x" * 4000 + b"\r\na\r\n", "too long together", id="extensions"),
        pytest.param(b"1;" + b"x" * 5000 + b"\r\na\r\n", "chunk 1 does not begin", id="one long extension"),
    ],
)
def test_what_surrounds_chunks_is_bounded(line: bytes, reason: str) -> None:
    body = ChunkedBody(max_bytes=1000)
    fed = 0
    while body.fault is None and fed < 100:
        body.feed(line)
        fed += 1
    assert reason in (body.fault or "")
    assert fed * len(line) <= 1000 * MAX_FRAMING_PER_BYTE + MAX_TRAILER_BYTES + len(line)
    assert len(body.spoilt) < MAX_MALFORMED_BYTES


@pytest.mark.parametrize(
    ("size", "most"),
    [(0, MAX_QUEUE * 100), (50_000, MAX_QUEUE_BYTES + 60_000)],
    ids=["many", "large"],
)
def test_a_connection_reads_ahead_up_to_its_limits_and_keeps_the_rest_in_order(size: int, most: int) -> None:
    texts = [
        b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (number, size) + b"x" * size
        for number in range(100)
    ]
    wire = CopyCounted(b"".join(texts))

    async def scenario() -> list[CaptureRequest]:
        recorder = Recorder()
        recorder.max_body_bytes = 100_000
        connection = CaptureConnection(recorder, "c1", asyncio.get_running_loop())
        connection.connection_made(NoNetwork())
        connection.data_received(wire)
        assert wire.copied <= most
        for _ in range(10 * len(texts)):
            await asyncio.sleep(0)
        assert wire.copied <= len(wire)
        connection.cancel()
        return recorder.requests

    requests = asyncio.run(scenario())
    assert [request.target for request in requests] == [f"/{number}" for number in range(100)]
    assert {(len(request.body), request.ending) for request in requests} == {(size, RequestEnd.COMPLETE)}


PIECES = st.one_of(
    st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"0", b"ff", *SHAPES.values(), *GOOD.splitlines(True)]),
    st.binary(max_size=8),
)


@given(st.lists(PIECES, max_size=6), st.integers(1, 400))
@settings(max_examples=30)
def test_any_stream_is_recorded_and_reads_the_same_in_pieces(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)[:20_000]
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]

    async def scenario() -> tuple[list[CaptureRequest], list[CaptureRequest]]:
        return await feed([stream]), await feed(pieces)

    whole, split = asyncio.run(scenario())
    assert gist(split) == gist(whole)
    assert bool(whole) == bool(stream.strip(b"\r\n"))


async def converse(port: int, stream: bytes, name: str) -> tuple[str, bytes]:
    """Send a stream in pieces, close that half, and read what comes until the end; who it was, and what came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    own = cast("tuple[str, int]", writer.get_extra_info("sockname"))
    cut = 1 + 37 * len(name) % min(len(stream) - 1, 200)
    received = b""
    try:
        for piece in (stream[:cut], stream[cut:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write_eof()
        received = await reader.read()
    except OSError:
        pass
    writer.close()
    return f"127.0.0.1:{own[1]}", received


async def ask(port: int) -> bytes:
    """Make a good request and return the first line of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GOOD)
    line = await reader.readline()
    writer.close()
    return line


def test_hostile_connections_are_all_recorded_while_a_good_one_is_answered() -> None:
    async def scenario() -> tuple[MemoryStore, dict[str, tuple[str, bytes]]]:
        store = MemoryStore()
        async with CaptureServer(store, [Endpoint()], max_body_bytes=1000) as server:
            hostile = asyncio.gather(*(converse(server.port, stream, name) for name, stream in SHAPES.items()))
            assert await ask(server.port) == b"HTTP/1.1 200 OK\r\n"
            ended = dict(zip(SHAPES, await asyncio.wait_for(hostile, PATIENCE_S), strict=True))
            assert await ask(server.port) == b"HTTP/1.1 200 OK\r\n"
            assert server.counts.malformed > 10
        return store, ended

    store, ended = asyncio.run(scenario())
    recorded = {capture.remote for capture in store.captures()}
    assert [name for name, (remote, _) in ended.items() if remote not in recorded] == []
    # Never more answers than captures.
    assert all(received.count(b"HTTP/1.") <= 3 for _, received in ended.values())


def begin_heads(port: int) -> list[socket.socket]:
    """Two hundred connections, on each of which a head has begun."""
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for peer in peers:
        peer.send(b"GET / HTTP/1.1\r\nHost:")
    return peers


def test_many_slow_heads_keep_nobody_waiting() -> None:
    async def scenario() -> tuple[int, int]:
        async with CaptureServer(MemoryStore(), [Endpoint()], head_timeout_s=3600) as server:
            slow = begin_heads(server.port)
            assert await ask(server.port) == b"HTTP/1.1 200 OK\r\n"
            counts = server.counts
        for peer in slow:
            peer.close()
        return counts.connections, counts.malformed

    assert asyncio.run(scenario()) == (201, 0)


def test_many_slow_heads_are_recorded_and_answered_when_their_time_is_up() -> None:
    async def scenario() -> list[str | None]:
        store = MemoryStore()
        async with CaptureServer(store, [Endpoint()], head_timeout_s=0.02) as server:
            slow = begin_heads(server.port)
            answers = [await asyncio.to_thread(peer.recv, 12) for peer in slow]
            for peer in slow:
                peer.close()
        assert answers == [b"HTTP/1.1 408"] * 200
        return [capture.malformed for capture in store.captures()]

    assert asyncio.run(scenario()) == ["the head stopped arriving"] * 200


def test_a_connection_that_sends_nothing_is_no_capture() -> None:
    async def scenario() -> int:
        store = MemoryStore()
        async with CaptureServer(store, [Endpoint()]) as server:
            for empty in (b"", b"\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(empty)
                writer.write_eof()
                assert await reader.read() == b""
                writer.close()
        return store.count()

    assert asyncio.run(scenario()) == 0


@pytest.mark.parametrize("most", [1, 3])
def test_whoever_waits_longest_makes_room_for_a_new_connection(most: int) -> None:
    async def scenario() -> int:
        async with CaptureServer(MemoryStore(), [Endpoint()], max_connections=most) as server:
            idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(most)]
            assert await ask(server.port) == b"HTTP/1.1 200 OK\r\n"
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await idle[0][0].readexactly(1)
            for _, writer in idle:
                writer.close()
            return server.counts.connections_refused

    assert asyncio.run(scenario()) == 1


def test_a_burst_of_connections_does_not_get_past_the_limit() -> None:
    async def scenario() -> int:
        async with CaptureServer(MemoryStore(), [Endpoint()], max_connections=3) as server:
            # Nobody is accepted before the event loop goes on, and then all are.
            peers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]
            assert await ask(server.port) == b"HTTP/1.1 200 OK\r\n"
            count = server.counts.connections_open
            for peer in peers:
                peer.close()
        return count

    assert asyncio.run(scenario()) <= 3


def test_whoever_has_been_sending_a_body_for_longest_makes_room_when_all_have_begun() -> None:
    head = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"

    async def scenario() -> list[tuple[str, bool]]:
        store = MemoryStore()
        async with CaptureServer(store, [Endpoint()], max_connections=2) as server:
            peers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            # The second one to connect begins first.
            for number in (1, 0):
                reader, writer = peers[number]
                writer.write(head % number)
                await reader.readuntil(b"\r\n\r\n")
            assert await ask(server.port) == b"HTTP/1.1 200 OK\r\n"
            peers[0][1].write(b"nine more")
            assert (await peers[0][0].readline()) == b"HTTP/1.1 200 OK\r\n"
            for _, writer in peers:
                writer.close()
        return [(capture.target, capture.truncated) for capture in store.captures()]

    assert sorted(asyncio.run(scenario())) == [("/0", False), ("/1", True), ("/good", False)]
