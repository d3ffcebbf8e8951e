"""`listen` in operation: its inspector, its log, its workers, what it sends on, and how flags and a file make one."""

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from command_line import PATIENCE_S, Listen, eventually
from kept_port import kept_port
from postback_conformance.cli import serving
from postback_conformance.cli.application import application
from postback_conformance.cli.listen_flags import forward_of, given, reply_of, retention_of
from postback_conformance.cli.listen_settings import ListenSettings, ReplyFlags, endpoints_of, why_one_process
from postback_conformance.cli.operation import Operation
from postback_conformance.cli.receiving import receiving
from postback_conformance.cli.serving import serve
from postback_conformance.cli.supervising import RESTART_DELAYS_S, how_it_ended, restart_delay_s
from postback_conformance.errors import ConformanceError
from postback_conformance.receiving.receiver_file import (
    ForwardFile,
    ReceiverSource,
    TlsFile,
    load_receiver_file,
    parse_receiver_file,
)
from postback_receiver import Capture, ReceiverError, SqliteStore, open_store
from postback_receiver.retention import Retention
from postback_sender import NotificationSource, SenderError

NOTIFICATION = """
url = "http://127.0.0.1:8080/postback?token=${TOKEN}"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}"}'
success_response = "OK"
"""


def fetch(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body)  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:  # noqa: S310  loopback
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def numbers(inspector: str) -> dict[str, float]:
    """The metrics of a receiver, those of its workers added up."""
    page = fetch(f"{inspector}/metrics")[1].decode()
    summed: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            summed[sample.name] = summed.get(sample.name, 0) + sample.value
    return summed


def children_of(parent: int) -> list[int]:
    """The processes that a process has started and that still run."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S607
    pairs = (map(int, line.split()) for line in listed.splitlines())
    return [child for child, of in pairs if of == parent]


class Behind(BaseHTTPRequestHandler):
    """The user's own server."""

    seen: list[tuple[str, bytes]] = []  # noqa: RUF012  one list for all requests, which is what it is for

    def do_POST(self) -> None:
        self.seen.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  named by the library
        """Nothing: the test looks at what was seen."""


def test_a_receiver_in_operation_is_watched_on_its_own_port_and_by_its_log(listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NOTIFICATION)
    Behind.seen.clear()
    behind = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    Thread(target=behind.serve_forever, daemon=True).start()
    listener = listen(
        *("--inspect", 0, "--inspect-port-file", "inspector", "--log-format", "json", "--notification", "n.toml"),
        *("--forward-to", f"http://127.0.0.1:{behind.server_port}", "--keep-count", 5, "--delay", "1ms"),
    )
    inspector = f"http://127.0.0.1:{(tmp_path / 'inspector').read_text().strip()}"

    assert fetch(f"{listener.url}/in?token=s3cret", b'{"id": }') == (200, b"OK")
    with socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE_S) as peer:
        peer.sendall(b"B\0D / HTTP/1.1\r\n\r\n")
        assert b" 400 " in peer.recv(100)
    assert fetch(f"{inspector}/readyz") == (200, b"ready\n")
    eventually(lambda: numbers(inspector)["postback_forwarded_total"] == 2, "both captures are settled")
    seen = numbers(inspector)
    assert (seen["postback_captures_total"], seen["postback_malformed_total"]) == (2, 1)
    assert (seen["postback_store_captures"], seen["postback_faults_total"]) == (2, 1)
    # The capture port serves nothing of the inspector: whatever it is asked for is one more capture.
    assert fetch(f"{listener.url}/metrics", b"") == (200, b"OK")
    ended = listener.stop(signal.SIGTERM)
    behind.shutdown()
    behind.server_close()

    assert ended.code == 0
    assert Behind.seen == [("/in?token=s3cret", b'{"id": }'), ("/metrics", b"")]
    events = [json.loads(line) for line in ended.err.splitlines()]
    assert [event["event"] for event in events if event["event"] in {"started", "stopping", "stopped"}] == [
        *("started", "stopping", "stopped")
    ]
    by_name = {event["event"]: event for event in events}
    assert (by_name["started"]["url"], by_name["started"]["inspector"]) == (listener.url, inspector)
    assert by_name["fault_injected"]["fault"] == "delay 1ms"
    assert by_name["unreadable_request"]["status"] == 400
    assert "body.json.well-formed" in [event["rule"] for event in events if event["event"] == "finding"]
    assert by_name["forwarded"]["status"] == 202
    assert by_name["not_forwarded"]["outcome"] == "unfit"
    assert by_name["stopped"]["captured"] == 3
    assert "s3cret" not in ended.text


def test_workers_share_port_and_store_and_one_that_dies_is_replaced(listen: Listen, tmp_path: Path) -> None:
    listener = listen("--workers", 2, "--inspect", 0, "--inspect-port-file", "inspector", "--log-format", "json")
    inspector = f"http://127.0.0.1:{(tmp_path / 'inspector').read_text().strip()}"

    for number in range(20):
        assert fetch(f"{listener.url}/{number}", b"{}")[0] == 200
    assert numbers(inspector)["postback_workers"] == 2
    workers = children_of(listener.process.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    eventually(lambda: numbers(inspector)["postback_worker_restarts_total"] == 1, "the death is noticed")
    eventually(lambda: numbers(inspector)["postback_workers"] == 2, "the worker is replaced")
    for number in range(20, 40):
        assert fetch(f"{listener.url}/{number}", b"{}")[0] == 200
    ended = listener.stop(signal.SIGTERM)

    assert ended.code == 0
    store = open_store(listener.store)
    captures = list(store.captures())
    store.close()
    assert sorted(int(capture.path[1:]) for capture in captures) == list(range(40))
    assert len({capture.run for capture in captures}) in {2, 3}
    events = [json.loads(line) for line in ended.err.splitlines()]
    [restarted] = [event for event in events if event["event"] == "worker_restarted"]
    assert "SIGKILL" in restarted["message"]
    assert not set(workers) & set(children_of(1))


def settings(tmp_path: Path, **changes: Any) -> ListenSettings:  # noqa: ANN401  whatever a setting is
    fields: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "store": tmp_path / "c.sqlite", "max_body_bytes": 9999}
    return ListenSettings(**{**fields, **changes})


class Quiet:
    """A log that keeps the names of events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def shows(self, level: int) -> bool:
        _ = level
        return True

    def note(self, event: str, words: str, *, shown: str | None = None, level: int = 20, **facts: object) -> None:
        _ = words, shown, level, facts
        self.events.append(event)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_receiver_that_has_not_come_up_yet_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    @asynccontextmanager
    async def never_up(*_: object, **_more: object) -> AsyncGenerator[None]:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.Event().wait()
        yield

    monkeypatch.setattr(serving, "receiving", never_up)
    before = signal.getsignal(number)
    serve(settings(tmp_path))
    assert signal.getsignal(number) == before
    told = capsys.readouterr().err.splitlines()
    assert told == ["stopping before it has begun to listen", f"0 captured in {tmp_path / 'c.sqlite'}"]


def test_a_relayed_answer_is_answered_and_recorded(tmp_path: Path) -> None:
    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 409 No\r\nX-A: 1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\x00\xff")
        writer.close()

    async def run() -> None:
        seen: list[Capture] = []
        async with await asyncio.start_server(behind, "127.0.0.1", 0) as server:
            to = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            relay = settings(tmp_path, forward=ForwardFile(to=to, mode="relay", timeout_ns=10**10))
            async with receiving(relay, log=Quiet(), on_capture=seen.append) as reception:
                answer = await asyncio.to_thread(fetch, f"{reception.server.url}/x", b"{}")
        assert answer == (409, b"\x00\xff")
        [capture] = seen
        assert capture.answer is not None
        assert (capture.answer.status, capture.answer.headers) == (409, (("X-A", "1"),))

    asyncio.run(run())


def test_a_receiver_does_not_send_on_to_itself(tmp_path: Path) -> None:
    async def run() -> None:
        with kept_port() as port:
            to_itself = settings(
                tmp_path, port=port, forward=ForwardFile(to=f"http://localhost:{port}/", mode="tee", timeout_ns=10**9)
            )
            with pytest.raises(ConformanceError, match="leads back"):
                async with receiving(to_itself, log=Quiet(), on_capture=lambda _: None):
                    pass

    asyncio.run(run())


def test_a_certificate_made_for_the_run_is_trusted_by_the_file_beside_the_store(tmp_path: Path) -> None:
    async def run() -> None:
        secure = settings(tmp_path, tls=TlsFile(generated=True))
        async with receiving(secure, log=Quiet(), on_capture=lambda _: None) as reception:
            trust = ssl.create_default_context(cafile=tmp_path / "receiver-ca.pem")
            reader, writer = await asyncio.open_connection("localhost", reception.server.port, ssl=trust)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()

    asyncio.run(run())


def test_readiness_follows_the_store_and_the_stage(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "c.sqlite"
        operation = Operation(path, {"/": None}, store_patience_s=PATIENCE_S)
        assert await operation.why_unready() == "it is starting"
        operation.store, operation.stage = SqliteStore(path, busy_timeout_s=0.01), "running"
        assert await operation.why_unready() is None
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            reason = await operation.why_unready()
            assert reason is not None
            assert "the store fails: another program keeps it locked" in reason
        assert await operation.why_unready() is None
        operation.listeners = lambda: 0
        assert await operation.why_unready() == "nothing listens on the capture port"
        operation.listeners, operation.trouble = lambda: 1, lambda: "worker 2 cannot be started"
        assert await operation.why_unready() == "worker 2 cannot be started"
        operation.stage = "stopping"
        assert await operation.why_unready() == "it is stopping"
        operation.store.close()
        assert "postback_store_captures" in {metric.name for metric in await operation.metrics()}

    asyncio.run(run())


FILE = """
durability = "power"
workers = 2
[retention]
count = 7
[forward]
to = "http://127.0.0.1:1/a"
mode = "relay"
[[endpoint]]
path = "/a"
[[endpoint.reply]]
status = 503
[[endpoint.reply]]
status = 200
[[endpoint]]
path = "/b"
"""


def test_flags_go_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "receiver.toml").write_text(FILE)
    file = load_receiver_file(tmp_path / "receiver.toml")

    assert (given(1, None, file.workers), given(1, 3, file.workers)) == (2, 3)
    assert retention_of("1h", None, None, file) == Retention(max_age_ns=3600 * 10**9, max_captures=7)
    assert retention_of(None, 3, "1KiB", file) == Retention(max_captures=3, max_bytes=1024)
    assert forward_of(None, None, "1s", (), file) == ForwardFile(
        to="http://127.0.0.1:1/a", mode="relay", timeout_ns=10**9
    )
    assert forward_of("http://127.0.0.1:2", "tee", None, ["h"], None) == ForwardFile(
        to="http://127.0.0.1:2", mode="tee", timeout_ns=10**10, allow=("h",)
    )
    both = settings(tmp_path, file=file.source)
    assert [len(endpoint.replies) for endpoint in endpoints_of(both)] == [2, 1]
    only = settings(tmp_path, file=file.source, reply=reply_of(418, "x", "1s", ["reset mid-body"] * 0))
    assert [(each.path, [(r.status, r.body, r.delay) for r in each.replies]) for each in endpoints_of(only)] == [
        ("/a", [(418, b"x", 1)]),
        ("/b", [(418, b"x", 1)]),
    ]


@pytest.mark.parametrize(
    ("flags", "status", "body"),
    [
        (None, 200, b"OK"),
        (reply_of(202, None, None, ()), 202, b"OK"),
        (reply_of(503, None, None, ()), 503, b""),
        (reply_of(503, "later", None, ()), 503, b"later"),
    ],
    ids=["success", "another success", "no success", "a text of its own"],
)
def test_a_status_of_failure_does_not_carry_the_text_of_success(
    tmp_path: Path, flags: ReplyFlags | None, status: int, body: bytes
) -> None:
    source = NotificationSource(name="n.toml", text=NOTIFICATION, files={})
    [endpoint] = endpoints_of(settings(tmp_path, notification=source, reply=flags))
    assert [(reply.status, reply.body) for reply in endpoint.replies] == [(status, body)]


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("[[endpoint]]\n[[endpoint.reply]]\nstatus = 503\n[[endpoint.reply]]\nstatus = 200", "in turn"),
        ("[[endpoint]]\n[[endpoint.reply]]\nattempts = 1\nstatus = 503", "in turn"),
        ('[[endpoint]]\nmaximum_requests = "5/s"', "limits the requests"),
        ('[[endpoint]]\n[[endpoint.reply]]\nfault = "down 1s"', "goes down"),
        ("[tls]\ngenerated = true", "certificate of its own"),
        ('[[endpoint]]\n[[endpoint.reply]]\nfault = "reset"', None),
        ('[[endpoint]]\n[[endpoint.reply]]\nwhen = "path=/x"\nstatus = 503', None),
    ],
)
def test_what_has_to_know_of_all_requests_takes_one_process(toml: str, reason: str | None) -> None:
    file = parse_receiver_file(ReceiverSource(name="receiver.toml", folder="/", text=toml))
    found = why_one_process(file.endpoints, file.tls)
    assert (reason is None and found is None) or (found is not None and str(reason) in found)


def test_a_worker_that_keeps_dying_is_left_dead_for_longer() -> None:
    assert [restart_delay_s(deaths) for deaths in range(1, 7)] == [*RESTART_DELAYS_S, 5.0, 5.0]
    assert [how_it_ended(code) for code in (-9, 3, -250)] == ["SIGKILL", "exit code 3", "signal 250"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--inspect-port-file", "x"], "needs --inspect"),
        (["--tls-certificate", "a.pem", "--tls-generated"], "exclude each other"),
        (["--tls-key", "a.pem"], "needs --tls-certificate"),
        (["--client-ca", "a.pem"], "needs TLS"),
        (["--forward-mode", "relay"], "need --forward-to"),
        (["--forward-to", "http://192.0.2.1/"], "--allow-host 192.0.2.1"),
        (["--forward-to", "http://127.0.0.1:1", "--forward-timeout", "soon"], "--forward-timeout: expected a duration"),
        (["--keep-age", "0s"], "--keep-age: expected more than nothing"),
        (["--keep-bytes", "some"], "--keep-bytes: expected a size"),
        (["--delay", "x"], "--delay: expected a duration"),
        (["--fault", "rest"], "did you mean"),
        (["--fault", "dribble 1 byte per 1s"], "--fault: the fault"),
        (["--workers", "2", "--tls-generated"], "--workers 2: each would make"),
        (["--config", "missing.toml"], "missing.toml: cannot be read"),
    ],
)
def test_flags_that_make_no_sense_are_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ConformanceError, SenderError, ReceiverError), match=re.escape(message)):
        application(["listen"])(["listen", "--port", "0", *arguments], standalone_mode=False)
    assert not [file for file in tmp_path.iterdir() if file.name != ".postback"]
