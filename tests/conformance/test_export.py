"""What is exported does again what was captured, and shows no secret unless asked to."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_conformance.captured.export import ExportCount, ExportFormat, exported
from postback_conformance.redaction import keyed_hashes
from postback_conformance.rules.examples import capture
from postback_receiver import Answer, Capture, Endpoint, MemoryStore, Receiver, Reply, always, line_to_capture, read_har
from postback_sender.replay.request import Destination

JSON = ("Content-Type", "application/json")
BLOB = ("Content-Type", "application/octet-stream")


def export(captures: Sequence[Capture], format: ExportFormat, *, to: str | None = None) -> bytes:  # noqa: A002
    """Everything that is written, secrets revealed."""
    goal = None if to is None else Destination.parse(to)
    return b"".join(exported(captures, format, hide=None, to=goal, count=ExportCount()))


def recorded(method: str = "POST", target: str = "/p", body: bytes = b"", *headers: tuple[str, str]) -> Capture:
    return replace(capture(body, method=method, target=target), headers=headers)


SENT = [
    recorded("POST", "/postback?click=x&a=1", b'{"name": "O\'Brien",\n "city": "Z\xc3\xbcrich"}', JSON),
    recorded("POST", "/binary", b"\xff\x00\r\n@\\'%s", BLOB, ("Content-Length", "9")),
    recorded("POST", "/file", b"@/etc/passwd", JSON),
    recorded("PUT", "/long", b"0123456789abcdef" * 8192),
    recorded("GET", "/plain", b"", ("Accept", "x")),
    recorded("GET", "/body-of-a-get", b"x=1"),
    recorded("POST", "/empty", b"", ("Content-Length", "0"), ("X-Last", "1")),
    recorded("HEAD", "/head"),
    recorded("POST", "/chunks", b"one two", ("Transfer-Encoding", "chunked")),
    recorded("GET", "/headers", b"", ("x-b", "1"), ("X-A", "\xe9\t\\'$(id)"), ("x-b", "2"), ("X-Empty", "")),
    recorded("GET", "/a/../b/%2e%2E/./c?x={1,2}&y=[1-3]&$(id)=`id`'\"!"),
    recorded("GET", "/odd\\path\xe9?#not-a-fragment"),
    recorded("GET", "/ends-with?"),
    recorded("OPTIONS", "*"),
]  # fmt: skip


def test_curl_commands_send_the_same_bytes(tmp_path: Path) -> None:
    store = MemoryStore()
    with Receiver(store=store) as receiver:
        host = ("Host", receiver.url.removeprefix("http://"))
        captures = [replace(one, headers=(host, *one.headers)) for one in SENT]
        script = tmp_path / "again.sh"
        script.write_bytes(export(captures, ExportFormat.CURL).replace(b"curl ", b"curl -sS -o /dev/null "))
        done = subprocess.run(["sh", script], capture_output=True, timeout=60, check=False)  # noqa: S607
        assert (done.returncode, done.stderr) == (0, b"")
    assert [whole(one) for one in store.captures()] == [whole(one) for one in captures]


def whole(one: Capture) -> tuple[object, ...]:
    """What was sent, except for a length that nobody had said before."""
    headers = [header for header in one.headers if header[0] != "Content-Length"]
    return one.method, one.target, headers, one.body


def test_without_being_told_nothing_is_sent_beyond_this_machine() -> None:
    elsewhere = recorded("GET", "/p", b"", ("Host", "shop.example"))
    assert b"curl http://127.0.0.1:8080/p" in export([elsewhere], ExportFormat.CURL)
    assert b"--header 'Host: shop.example'" in export([elsewhere], ExportFormat.CURL)
    told = export([elsewhere], ExportFormat.CURL, to="https://stage.example/hook?a=1")
    assert b"'https://stage.example/hook?a=1'" in told
    assert b"shop.example" not in told
    assert b"POSTBACK_TO\", 'http://127.0.0.1:8080'" in export([elsewhere], ExportFormat.PYTEST)


def test_a_test_file_passes_where_the_endpoint_answers_as_recorded_and_fails_where_not(tmp_path: Path) -> None:
    answer = Answer(status=202, body=b"taken\n")
    captures = [replace(one, id=f"\"'\\{{}}\n{number % 9}", answer=answer) for number, one in enumerate(SENT)]
    # An answer to HEAD has no body, and no endpoint takes *.
    captures = [one for one in captures if one.method not in {"HEAD", "OPTIONS"}]
    captures.append(replace(captures[0], answer=replace(answer, body=b"refused")))
    (tmp_path / "test_recorded.py").write_bytes(export(captures, ExportFormat.PYTEST))
    store = MemoryStore()
    taking = Endpoint(replies=always(Reply(status=202, body=b"taken\n")))
    with Receiver(endpoints=[taking], store=store) as receiver:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
            cwd=tmp_path,
            env={"POSTBACK_TO": receiver.url},
            capture_output=True,
            timeout=60,
            check=False,
        )
    arrived = [(one.method, one.target, one.body) for one in store.captures()]
    assert f"1 failed, {len(captures) - 1} passed" in done.stdout.decode()
    assert arrived == [(one.method, one.target, one.body) for one in captures]


def test_what_cannot_be_sent_again_or_compared_is_left_out_and_counted() -> None:
    whole_one = capture(b"{}")
    captures = [
        whole_one,
        replace(whole_one, malformed="no HTTP"),
        replace(whole_one, truncated=True),
        replace(whole_one, answer=None),
        replace(whole_one, fault="reset"),
    ]
    counts = {format_: ExportCount() for format_ in ExportFormat}
    for format_, count in counts.items():
        list(exported(captures, format_, hide=None, count=count))
    assert {format_: (count.written, count.left_out.total()) for format_, count in counts.items()} == {
        ExportFormat.NDJSON: (5, 0),
        ExportFormat.HAR: (5, 0),
        ExportFormat.CURL: (3, 2),
        ExportFormat.PYTEST: (1, 4),
    }


@pytest.mark.parametrize("format_", list(ExportFormat))
def test_a_secret_is_hidden_by_the_same_hash_wherever_it_stands(format_: ExportFormat) -> None:
    secret = capture(
        b'{"token": "hunter2", "id": 1}',
        target="/p?api_key=hunter%32",
        headers=(("X-Token", "hunter2"), JSON),
    )
    count = ExportCount()
    written = b"".join(exported([secret, capture(b"{}")], format_, hide=keyed_hashes(b"key"), count=count))
    assert b"hunter" not in written
    assert (count.written, count.hidden) == (2, 1)
    [stand_in] = {part[:12] for part in written.split(b"[secret:")[1:]}
    again = b"".join(exported([secret], format_, hide=keyed_hashes(b"key"), count=count))
    other = b"".join(exported([secret], format_, hide=keyed_hashes(b"another"), count=count))
    assert stand_in in again
    assert stand_in not in other
    assert b"hunter2" in export([secret], format_)


def test_what_is_exported_to_be_read_again_is_the_same() -> None:
    [line] = export([SENT[0]], ExportFormat.NDJSON).splitlines()
    assert line_to_capture(line) == SENT[0]
    assert read_har(export(SENT[:1], ExportFormat.HAR)) == SENT[:1]
    assert json.loads(line)["body"] == SENT[0].body.decode()
