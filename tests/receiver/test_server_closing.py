"""What becomes of requests when the server closes, or their sender has left: nothing that arrived is lost."""

import asyncio
import socket
import struct
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import cast

import pytest

from command_line import PATIENCE_S
from plain_requests import GET, get
from postback_receiver import Answer, Capture, CaptureServer, Endpoint, MemoryStore, Reply, SqliteStore, always
from stopped_loop import passed, run_stopped, until_taken


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
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(CaptureServer(store, [Endpoint()], close_grace_s=10))
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"half")
            await until_taken(writer)
            closing = asyncio.ensure_future(stack.aclose())
            await passed(9)
            assert not closing.done()
            # Then it is cut, and if that were not enough, given up.
            await passed(2)
            await passed(20)
            await closing
        assert await reader.read() == b""
        writer.close()
        return store

    [capture] = run_stopped(scenario()).captures()
    assert (capture.body, capture.truncated, capture.answer) == (b"half", True, None)


def test_closing_waits_for_answers_that_are_due_soon_and_cuts_those_that_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soon, late = (Endpoint(prefix=f"/{delay}", replies=always(Reply(delay=delay))) for delay in (0.1, 3600))

    async def scenario() -> tuple[list[bytes], MemoryStore, int]:
        arrivals: asyncio.Queue[Capture] = asyncio.Queue()
        store = MemoryStore()
        async with CaptureServer(store, [soon, late], close_grace_s=1800, on_arrival=arrivals.put_nowait) as server:
            pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            for (_, writer), endpoint in zip(pairs, (soon, late), strict=True):
                writer.write(get(endpoint.prefix))
                await arrivals.get()
        answers = [await reader.read() for reader, _ in pairs]
        for _, writer in pairs:
            writer.close()
        return answers, store, server.counts.not_answered

    answers, store, not_answered = asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK", b""]
    assert [capture.answer and capture.answer.sent_ns is not None for capture in store.captures()] == [True, False]
    assert not_answered == 1
    assert "postback_receiver" not in {record.name.partition(".")[0] for record in caplog.records}


def test_closing_flushes_the_times_of_answers(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        async with CaptureServer(store, [Endpoint()]) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        asyncio.run(scenario(store))
        [capture] = store.captures()
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
