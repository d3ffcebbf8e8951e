"""An endpoint is put on a real socket, whatever it is made of, and what keeps it from there is told."""

import gzip
import json
import socket
import sys
import textwrap
from asyncio import run as run_async
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from postback_conformance.hosting.app import AppKind, hosted, kind_of
from postback_conformance.hosting.command_host import Command, started
from postback_conformance.hosting.hosted import Hosted, HostingError

Environ = dict[str, Any]
Receive = Callable[[], Awaitable[Environ]]
Send = Callable[[Environ], Awaitable[None]]

PROGRAM = """
    import os, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("X-Seen", f"POST {self.path} {self.headers['X-A']}")
            self.end_headers()
            self.wfile.write(body + f" {os.getpid()} {os.environ.get('MORE', '')}".encode())

        def log_message(self, *_):
            pass

    print("about to listen", flush=True)
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


def wsgi_app(environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    seen = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']} {environ['HTTP_X_A']}"
    start_response("202 Taken", [("X-Seen", seen), ("Content-Length", str(len(body)))])
    return [body[:1], body[1:]]


async def asgi_app(scope: Environ, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    x_a = ",".join(value.decode() for name, value in scope["headers"] if name == b"x-a")
    seen = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} {x_a}"
    await send({"type": "http.response.start", "status": 202, "headers": [(b"x-seen", seen.encode())]})
    await send({"type": "http.response.body", "body": body[:1], "more_body": True})
    await send({"type": "http.response.body", "body": body[1:]})


def aiohttp_app() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        seen = f"{request.method} {request.path}?{request.query_string} {','.join(request.headers.getall('X-A'))}"
        return web.Response(status=202, headers={"X-Seen": seen}, body=await request.read())

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    return app


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """A command that listens on the port it is told, in its own folder."""
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    return [sys.executable, "program.py", "{port}"]


def post(url: str, body: bytes) -> tuple[int, str | None, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("POST", f"{parts.path}?{parts.query}" if parts.query else parts.path, body, {"X-A": "1"})
        response = connection.getresponse()
        return response.status, response.getheader("X-Seen"), response.read()
    finally:
        connection.close()


def connected(endpoint: Hosted) -> closing[HTTPConnection]:
    """Return a connection that is kept from request to request."""
    return closing(HTTPConnection(urlsplit(endpoint.url).netloc, timeout=10))


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        pytest.param(lambda: wsgi_app, "wsgi", id="WSGI"),
        pytest.param(lambda: asgi_app, "asgi", id="ASGI"),
        pytest.param(aiohttp_app, "aiohttp", id="aiohttp"),
    ],
)
def test_an_application_answers_on_a_port_of_its_own(app: Callable[[], object], kind: AppKind) -> None:
    made = app()
    assert kind_of(made) == kind
    with hosted(made, path="/hooks/p%20q") as endpoint:
        assert post(f"{endpoint.url}?b=1", b"body") == (202, "POST /hooks/p q?b=1 1", b"body")
        assert endpoint.restart is None


@pytest.mark.parametrize("app", [wsgi_app, asgi_app], ids=["WSGI", "ASGI"])
def test_a_chunked_body_and_a_second_request_reach_it_on_one_connection(app: object) -> None:
    with hosted(app) as endpoint, connected(endpoint) as connection:
        for _ in range(2):
            connection.request("POST", "/", body=iter([b"one ", b"two"]), headers={"X-A": "1"}, encode_chunked=True)
            assert connection.getresponse().read() == b"one two"


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_application_that_fails_is_answered_for_with_500(kind: AppKind, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: object) -> Iterable[bytes]:
        raise ZeroDivisionError

    async def fails_later(*_: object) -> None:
        raise ZeroDivisionError

    with hosted(fails if kind == "wsgi" else fails_later) as endpoint:
        assert post(endpoint.url, b"")[0] == 500
    assert "ZeroDivisionError" in caplog.text


def test_an_asgi_application_that_fails_once_it_has_answered_keeps_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Starlette answers an exception with 500, and lets it go on then."""

    async def app(_scope: Environ, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500})
        await send({"type": "http.response.body", "body": b"sorry"})
        raise ZeroDivisionError

    with hosted(app) as endpoint, connected(endpoint) as connection:
        for _ in range(2):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"sorry"
            assert connection.sock is not None
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("app", [wsgi_app, asgi_app], ids=["WSGI", "ASGI"])
def test_a_compressed_body_reaches_it_as_it_was_sent(app: object) -> None:
    body = gzip.compress(b"body")
    with hosted(app) as endpoint, connected(endpoint) as connection:
        connection.request("POST", "/", body, {"X-A": "1", "Content-Encoding": "gzip"})
        assert connection.getresponse().read() == body


@pytest.mark.parametrize("app", [wsgi_app, asgi_app], ids=["WSGI", "ASGI"])
def test_who_waits_to_be_asked_for_a_body_is_asked(app: object) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    with hosted(app) as endpoint, connected(endpoint) as connection:
        connection.connect()
        connection.sock.sendall(head)
        assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sock.sendall(b"body")
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 202 ")


def test_an_asgi_application_is_told_of_its_life() -> None:
    told: list[str] = []

    async def app(scope: Environ, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["database"] = "open"
            for _ in range(2):
                message = await receive()
                told.append(message["type"])
                await send({"type": message["type"] + ".complete"})
            return
        body = json.dumps([scope["state"], (await receive())["body"].decode()]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-seen", b"")]})
        await send({"type": "http.response.body", "body": body})
        assert (await receive())["type"] == "http.disconnect"

    with hosted(app) as endpoint:
        assert post(endpoint.url, b"x")[2] == b'[{"database": "open"}, "x"]'
        assert told == ["lifespan.startup"]
    assert told == ["lifespan.startup", "lifespan.shutdown"]


def test_an_asgi_application_whose_start_fails_is_not_hosted() -> None:
    async def app(_scope: Environ, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(HostingError, match="startup failed: no database"), hosted(app):
        pass


def test_a_command_is_started_waited_for_restarted_and_ended(program: list[str], tmp_path: Path) -> None:
    with hosted(Command(program, env={"MORE": "on {port}"}, cwd=tmp_path), path="/p") as endpoint:
        # None that the system gives to whoever asks for any: it stays free while the program starts.
        assert 1024 < (urlsplit(endpoint.url).port or 0) < 32_768
        first = post(endpoint.url, b"body")
        assert first[:2] == (200, "POST /p 1")
        assert first[2].startswith(b"body ")
        assert first[2].endswith(f" on {urlsplit(endpoint.url).port}".encode())

        assert endpoint.restart is not None
        run_async(restarted(endpoint))
        assert post(endpoint.url, b"body")[2] != first[2]
    with pytest.raises(OSError, match="refused"):
        post(endpoint.url, b"")


async def restarted(endpoint: Hosted) -> None:
    assert endpoint.restart is not None
    await endpoint.restart()


@pytest.mark.parametrize(
    ("app", "message"),
    [
        pytest.param(
            [sys.executable, "-c", "print('no'); exit(3)", "{port}"], "exit code 3; it printed:\nno", id="ends at once"
        ),
        pytest.param(Command(["sleep", "60"], env={"A": "b"}), "where it takes its port: write {port}", id="no port"),
        pytest.param("serve 'here", "serve 'here: No closing quotation", id="no words"),
        pytest.param(["/no/such/program", "{port}"], "cannot be started", id="no program"),
        pytest.param("no.such.module:app", "cannot be loaded: ModuleNotFoundError", id="no module"),
        pytest.param("json:no_such_name", "cannot be loaded: AttributeError", id="no such name"),
        pytest.param(7, "expected a URL, module:name,", id="nothing of the kind"),
        pytest.param([], "expected a URL, module:name,", id="no command"),
        pytest.param("nothing", "expected a URL, module:name,", id="a word"),
    ],
)
def test_what_cannot_be_hosted_is_told(app: object, message: str) -> None:
    with pytest.raises(HostingError) as caught, hosted(app):
        pass
    assert message in str(caught.value)


def test_a_connection_to_itself_is_no_endpoint_that_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may give a connection to a free port that very port for its own end; and the port stays free."""

    def to_itself(address: tuple[str, int], **_: object) -> socket.socket:
        with socket.socket() as connection:
            connection.bind(address)
            connection.connect(address)
            return connection.dup()

    monkeypatch.setattr(socket, "create_connection", to_itself)
    command = Command([sys.executable, "-c", "input()", "{port}"])
    with pytest.raises(HostingError, match="ended with exit code 1"), started(command):
        pass


def test_a_url_is_taken_as_it_is_and_a_name_is_imported() -> None:
    with hosted("https://partner.example/p?a=1") as endpoint:
        assert endpoint.url == "https://partner.example/p?a=1"
    with hosted("wsgiref.simple_server:demo_app", path="/p") as endpoint:
        assert b"PATH_INFO = '/p'" in post(endpoint.url, b"")[2]
