"""The port of a server: shared, taken, out of reach, nearly out of files, or down on purpose."""

import asyncio
import socket
from collections.abc import Callable
from http.client import HTTPResponse

import pytest

from command_line import PATIENCE_S
from plain_requests import GET, get
from postback_receiver import CaptureServer, Endpoint, ListenError, MemoryStore, new_event_loop
from postback_receiver import server as server_module
from postback_receiver.listening import base_url

Serve = Callable[[CaptureServer], CaptureServer]
Exchange = Callable[[int, bytes], tuple[HTTPResponse, bytes]]


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
    told = [record.getMessage() for record in caplog.records if record.name == server_module.__name__]
    assert [words[:54] for words in told] == ["This process has opened nearly all of the 9 files it m"]


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
                while "goes on trying" not in caplog.text:  # noqa: ASYNC110 -- nobody is told that a port cannot be had yet
                    await asyncio.sleep(0)
            while not server.is_listening:  # noqa: ASYNC110 -- nor that it can
                await asyncio.sleep(0)
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.close()
            seen.append(server.is_listening)
        return [*seen, server.is_listening]

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(asyncio.wait_for(scenario(), PATIENCE_S)) == [True, False, True, False]
