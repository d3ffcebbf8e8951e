"""`replay`: what was captured arrives again, byte for byte, from every kind of file; and what came back is told."""

import asyncio
import gzip
import json
import signal
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest
import trustme
from msgspec.structs import replace

from command_line import PATIENCE_S, Outcome, Run, Start
from kept_port import kept_port
from postback_conformance.captured.traffic import pack_source
from postback_conformance.rules.examples import capture
from postback_receiver import Capture, Receiver, Reply, SqliteStore, capture_to_line, write_har
from postback_sender import NotificationSource

REQUESTS = [
    b"GET /a/../b//c?x=%zz&bare&? HTTP/1.1\r\nhOST: old\r\nX-One: 1\r\nx-one: 2\r\nX-Bytes: \xff\xc3\xa9\r\n\r\n",
    b"POST /p HTTP/1.1\r\nX-Before: 1\r\nHost: old\r\ncontent-length: 6\r\nContent-Type: x/y\r\n\r\n\x00\xff\r\n\r\n",
    b"POST /gz? HTTP/1.1\r\nHost: old\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(gzip.compress(b"hi", mtime=0)), gzip.compress(b"hi", mtime=0)),
    b"PUT / HTTP/1.1\r\nHost: old\r\nContent-Length: 0\r\nConnection: close, X-Hop\r\nX-Hop: h\r\n\r\n",
    b"POST /chunks HTTP/1.1\r\nHost: old\r\nTransfer-Encoding: chunked\r\nX-Last: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
]
NOTIFICATION = 'url = "http://127.0.0.1/postback?id={ActionId}"\n'


class Replay(Protocol):
    """Runs `postback replay` in an empty folder."""

    def __call__(self, *arguments: object) -> Outcome: ...


@pytest.fixture
def replay(run: Run) -> Replay:
    """Run `postback replay`."""
    return lambda *arguments: run("replay", *arguments)


def record(path: Path, requests: Sequence[bytes]) -> list[Capture]:
    store = SqliteStore(path)
    with Receiver(store=store) as receiver:
        for request in requests:
            with socket.create_connection(("127.0.0.1", receiver.port), timeout=PATIENCE_S) as peer:
                peer.sendall(request)
                assert peer.recv(4096).startswith(b"HTTP/1.1 200")
        captures = receiver.captures()
    store.close()
    return captures


def ndjson(path: Path, *captures: Capture) -> Path:
    path.write_bytes(b"\n".join(map(capture_to_line, captures)))
    return path


def expected_headers(one: Capture, port: int) -> list[tuple[str, str]]:
    """What a request has when it arrives again."""
    dropped = {"connection", "x-hop"}
    replaced = {
        "host": f"127.0.0.1:{port}",
        "transfer-encoding": str(len(one.body)),
    }
    return [
        ("Content-Length" if name == "Transfer-Encoding" else name, replaced.get(name.lower(), value))
        for name, value in one.headers
        if name.lower() not in dropped
    ]


@pytest.mark.parametrize("kind", ["store", "ndjson", "har"])
def test_what_arrives_is_what_was_recorded_byte_for_byte(replay: Replay, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "captures"
    recorded = record(path, REQUESTS)
    if kind == "ndjson":
        ndjson(path, *recorded)
    elif kind == "har":
        path.write_bytes(b"".join(write_har(recorded)))

    with Receiver() as receiver:
        outcome = replay(path, "--to", receiver.url, "--concurrency", "1", "--diff")
        arrived = receiver.captures()

    assert outcome.code == 0, outcome.text
    assert "5 of 5 sent again: 5 times 200\ncompared with the record: 5 same\nlateness: p50 " in outcome.err
    assert [(one.method, one.target, one.body) for one in arrived] == [
        (one.method, one.target, one.body) for one in recorded
    ]
    for before, now in zip(recorded, arrived, strict=True):
        assert list(now.headers) == expected_headers(before, receiver.port)


def test_every_round_has_new_ids_and_every_action_keeps_its_own(replay: Replay, tmp_path: Path) -> None:
    path = tmp_path / "captures"
    targets = ["/postback?id=1.2.3", "/postback?id=1.2.4", "/postback?id=1.2.3", "/elsewhere"]
    record(path, [f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for target in targets])
    store = SqliteStore(path)
    asyncio.run(store.set_endpoints({"/": pack_source(NotificationSource(name="n.toml", text=NOTIFICATION))}))
    store.close()

    options = ("--fresh", "--seed", "7", "--loop", "2", "--concurrency", "1", "--format", "json")
    with Receiver() as receiver:
        outcome = replay(path, "--to", receiver.url, *options)
        again = replay(path, "--to", receiver.url, *options)
        arrived = [one.target for one in receiver.captures()]

    assert (outcome.code, again.code) == (0, 0), outcome.text
    assert "seed 7: the same new ids again with --seed 7\nids kept in 1 request" in outcome.err
    assert arrived[:8] == arrived[8:]
    first, second = arrived[:4], arrived[4:8]
    assert (first[0], first[3]) == (first[2], "/elsewhere")
    assert len({*targets, *first, *second}) == 3 + 2 + 2
    *lines, summary = map(json.loads, outcome.out.splitlines())
    assert [line["round"] for line in lines] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert (summary["format"], summary["sent"], summary["seed"]) == ("postback-replay-summary/1", 8, 7)
    assert sum(row["requests"] for row in summary["lateness_ns"]["counts"]) == 8


def test_answers_that_differ_are_shown_and_end_with_1(replay: Replay, tmp_path: Path) -> None:
    recorded = [replace(one, id=f"c{number}") for number, one in enumerate([capture(b"{}"), capture(b"{}", at_s=0.01)])]
    path = ndjson(tmp_path / "c.ndjson", *recorded)
    with Receiver() as receiver:
        receiver.reply(Reply(body=b"new"), Reply(status=503), key=lambda _capture: "")
        plain = replay(path, "--to", receiver.url, "--only", "id=c0")
        differing = replay(path, "--to", receiver.url, "--concurrency", "1", "--diff")

    assert plain.code == 0
    assert "1 left out: not selected by --only" in plain.err
    assert differing.code == 1
    assert "c0  POST /postback  status differs\n    status 200 then, 503 now" in differing.err
    assert "2 status differs" in differing.err


def test_a_dry_run_says_what_it_would_do_and_does_nothing(replay: Replay, tmp_path: Path) -> None:
    recorded = [replace(capture(at_s=second), id=f"c{second}") for second in (0, 60, 60.5)]
    path = ndjson(tmp_path / "c.ndjson", *recorded, replace(capture(truncated=True), id="cut"))
    with Receiver() as receiver:
        outcome = replay(path, "--to", receiver.url, "--dry-run", "--speed", "2x", "--max-gap", "10s")
        data = json.loads(replay(path, "--to", receiver.url, "--dry-run", "--format", "json").out)
        assert receiver.captures() == []

    assert outcome.code == 0
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert lines[:4] == ["+0.000s POST /postback", "+5.000s POST /postback", "+5.250s POST /postback", ""]
    assert "takes at least 5.25s" in lines
    assert "in one second at most 2" in lines
    assert "left out 1 capture: the body is not all there" in lines
    assert (data["requests"], data["duration_ns"], data["concurrency"]) == (3, 60_500_000_000, 256)


def test_a_long_dry_run_lists_the_first_requests_without_their_secrets(replay: Replay, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "c.ndjson", replace(capture(), target="/p?token=s3cret"))
    outcome = replay(path, "--to", "http://127.0.0.1:9", "--dry-run", "--speed", "max", "--loop", "23")

    assert outcome.out.count("at once  POST    /p?token=[hidden]\n") == 20
    assert "… and 3 more\n" in outcome.out
    assert "s3cret" not in outcome.out


def test_sigterm_ends_it_with_what_was_sent(start: Start, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "c.ndjson", *(replace(capture(at_s=second), id=f"c{second}") for second in (0, 3600)))
    with Receiver() as receiver:
        process = start("replay", path, "--to", receiver.url)
        receiver.wait_for_count(1, timeout=PATIENCE_S)
        outcome = process.end(signal.SIGTERM)
    assert outcome.code == 130
    assert "1 of 2 sent again" in outcome.err
    assert "1 not sent, or without an answer, because you stopped it" in outcome.err


def test_headers_are_set_and_nobody_listening_ends_with_1(replay: Replay, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "c.ndjson", capture(b"{}"))
    with Receiver() as receiver:
        replay(path, "--to", f"{receiver.url}/new", "--set", "X-Key: s3cret", "--set", "content-type:")
        [arrived] = receiver.captures()
    assert (arrived.target, arrived.header("X-Key"), arrived.header("Content-Type")) == ("/new", ("s3cret",), ())

    with kept_port() as port:
        refused = replay(path, "--to", f"http://127.0.0.1:{port}")
    assert refused.code == 1
    assert "no answer: no connection" in refused.err
    assert "0 of 1 sent again: 1 time no connection" in refused.err


def test_a_certificate_is_trusted_by_its_file_and_a_stranger_is_told_how(replay: Replay, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "c.ndjson", capture(b"{}"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # trustme says that it takes contexts of another library as well, which is not installed.
    authority.issue_cert("127.0.0.1").configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    with Receiver(ssl_context=server) as receiver:
        stranger = replay(path, "--to", receiver.url)
        trusting = replay(path, "--to", receiver.url, "--ca-file", "ca.pem")

    assert (stranger.code, trusting.code) == (1, 0), trusting.text
    assert "; --ca-file FILE trusts its certificate, --insecure any" in stranger.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "http://10.1.2.3/"], 2, "--allow-host 10.1.2.3"),
        (["--only", "status=418"], 4, "1 left out: not selected by --only"),
        (["--fresh"], 2, "pass --notification"),
        (["--speed", "2"], 2, "--speed: expected a speed"),
        (["--timeout", "soon"], 2, "--timeout: expected a duration"),
        (["--fresh", "--notification", "n.toml"], 2, "--fresh found no action id in any of 1 requests"),
    ],
    ids=["a stranger", "nothing selected", "no notification", "no speed", "no time", "no id"],
)
def test_what_cannot_be_replayed_is_one_message(
    replay: Replay, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    ndjson(tmp_path / "c.ndjson", capture(b"{}"))
    (tmp_path / "n.toml").write_text(NOTIFICATION)
    outcome = replay("c.ndjson", "--to", "http://127.0.0.1:9", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
