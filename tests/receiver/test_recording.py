"""What becomes of a capture whose answer is asked of somebody else when the peer leaves or the receiver stops."""

import asyncio
import socket
import struct
from typing import cast

import pytest

from fork_server import PATIENCE_S
from postback_receiver import Capture, CaptureServer, Endpoint, MemoryStore, Reply, text_reply
from postback_receiver.capture_request import CaptureRequest
from postback_receiver.connection import CaptureConnection

REQUEST = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


class Watched(CaptureServer):
    """Notes which request it handles, and whether that was given up."""

    request: CaptureRequest
    is_given_up = False

    async def handle(self, request: CaptureRequest) -> bool:
        self.request = request
        try:
            return await super().handle(request)
        except asyncio.CancelledError:
            self.is_given_up = True
            raise


@pytest.mark.parametrize("has_said_its_last", [False, True], ids=["the peer waits", "the peer has closed its half"])
def test_a_relay_in_flight_when_the_receiver_stops_is_ended_counted_and_told(*, has_said_its_last: bool) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def relay(_capture: Capture) -> Reply:
        asked.set()
        try:
            return await asyncio.Future[Reply]()
        finally:
            ended.set()

    async def run() -> None:
        store, heard = MemoryStore(), list[Capture]()
        server = Watched(store, [Endpoint()], relay=relay, on_capture=heard.append, close_grace_s=0.05)
        async with asyncio.timeout(PATIENCE_S):
            async with server:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(REQUEST)
                await asked.wait()
                if has_said_its_last:
                    writer.write_eof()
                    await server.request.left()
            writer.close()
        assert ended.is_set()
        assert [(capture.id, capture.answer) for capture in heard] == [(each.id, None) for each in store.captures()]
        assert len(heard) == 1
        assert server.counts.not_answered == 1
        # Of one who has left what the server behind did is waited for, to the end.
        assert server.is_given_up or not has_said_its_last

    asyncio.run(run())


def test_a_relay_whose_connection_is_cut_is_over_and_need_not_be_given_up() -> None:
    async def run() -> None:
        asked, heard = asyncio.Event(), asyncio.Queue[Capture]()

        async def relay(_capture: Capture) -> Reply:
            asked.set()
            return await asyncio.Future[Reply]()

        server = Watched(MemoryStore(), [Endpoint()], relay=relay, on_capture=heard.put_nowait)
        async with asyncio.timeout(PATIENCE_S), server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(REQUEST)
            await asked.wait()
            cast("CaptureConnection", server.request.connection).cut()
            assert (await heard.get()).answer is None
            writer.close()
        assert (server.counts.not_answered, server.is_given_up) == (1, False)

    asyncio.run(run())


def test_what_the_server_behind_answers_after_the_peer_has_left_is_recorded() -> None:
    async def run() -> None:
        store, heard = MemoryStore(), asyncio.Queue[Capture]()

        async def relay(_capture: Capture) -> Reply:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            await server.request.gone(0)
            return text_reply(202, "taken")

        server = Watched(store, [Endpoint()], relay=relay, on_capture=heard.put_nowait)
        async with asyncio.timeout(PATIENCE_S), server:
            peer = socket.create_connection(("127.0.0.1", server.port))
            peer.sendall(REQUEST)
            capture = await heard.get()
        assert capture.answer is not None
        assert (capture.answer.status, capture.answer.sent_ns) == (202, None)
        assert server.counts.not_answered == 1
        assert [each.answer for each in store.captures()] == [capture.answer]

    asyncio.run(run())
