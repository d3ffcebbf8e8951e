"""`listen`, `list`, `show`, `check`: receive something, look at it, judge it."""

import gzip
import json
import signal
import socket
import sqlite3
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from command_line import Listen, Run
from postback_receiver import SqliteStore, open_store

NOTIFICATION = """
url = "http://127.0.0.1:8080/postback?token=${TOKEN}"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}", "status": "{Status}"}'
success_response = "OK"
"""


def post(url: str, body: bytes = b"{}", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json", **(headers or {})})  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  loopback
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_what_arrived_can_be_listed_shown_and_judged(run: Run, listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NOTIFICATION.replace("\"}'", '", "city": "{RefCustomerCity}"}\''))
    listener = listen("--notification", "n.toml")
    body = '{"id": "1.2.3", "status": "PENDING", "city": "Zürich"}'.encode()

    assert post(f"{listener.url}/postback?token=hunter2", body) == (200, b"OK")
    assert post(f"{listener.url}/postback?token=hunter2", b'{"id": }') == (200, b"OK")
    ended = listener.stop()

    assert ended.code == 0
    assert "body.json.well-formed" in ended.err
    assert "2 captured" in ended.err
    assert "hunter2" not in ended.text
    rows = [json.loads(line) for line in run("list", listener.store, "--format", "json").out.splitlines()]
    assert [row["bytes"] for row in rows] == [len(body), 8]
    shown = run("show", listener.store, rows[0]["id"][:10])
    assert body.decode() in shown.out
    assert "token=[hidden]" in shown.out
    assert "token=hunter2" in run("show", listener.store, rows[0]["id"], "--reveal").out
    assert '"city": "Zürich"' in run("show", listener.store, rows[0]["id"], "--decoded").out
    capture = json.loads(run("show", listener.store, rows[0]["id"], "--format", "json").out)
    assert (capture["format"], capture["body"]) == ("postback-capture/1", body.decode())
    judged = run("check", listener.store, "--format", "json")
    assert judged.code == 1
    report = json.loads(judged.out)
    [finding] = [verdict for verdict in report["verdicts"] if verdict["outcome"] == "fail"]
    assert (finding["rule"], finding["captures"]) == ("body.json.well-formed", [rows[1]["id"]])
    assert finding["where"] == {"span": [7, 8]}
    assert report["captures"] == 2


def test_list_reads_well_in_a_pipe_and_says_when_there_is_nothing(run: Run, listen: Listen) -> None:
    listener = listen()
    listener.stop()
    empty = run("list", listener.store)
    assert (empty.code, empty.out) == (0, "")
    assert "holds no captures yet" in empty.err

    listener = listen()
    post(f"{listener.url}/a-rather-long-path/{'x' * 40}")
    listener.stop()
    assert f"/a-rather-long-path/{'x' * 40}" in run("list", listener.store).out


def test_json_goes_to_stdout_one_capture_a_line(listen: Listen) -> None:
    listener = listen("--format", "json")
    post(listener.url, b"\xff\x00")

    [line] = listener.stop().out.splitlines()
    assert json.loads(line)["body_base64"] == "/wA="


def test_a_body_over_the_limit_is_recorded_cut_and_flagged(run: Run, listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NOTIFICATION)
    listener = listen("--max-body", "1KiB", "--notification", "n.toml")
    status, answer = post(f"{listener.url}/postback", b"x" * 5000)
    listener.stop()

    assert status == 413
    assert b"1024 bytes" in answer
    report = json.loads(run("check", listener.store, "--format", "json").out)
    outcomes = {verdict["rule"]: verdict["outcome"] for verdict in report["verdicts"]}
    # Our own limit cut it: nobody is to blame, and nobody can tell.
    assert outcomes["capture.complete"] == outcomes["body.json.well-formed"] == "inconclusive"


@pytest.mark.parametrize("acknowledged", [1, 300])
def test_kill_9_under_load_loses_no_acknowledged_request(listen: Listen, acknowledged: int) -> None:
    listener = listen()
    answered: list[str] = []
    enough = threading.Event()

    def flood(worker: int) -> None:
        number = 0
        try:
            with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as peer:
                while True:
                    name = f"{worker}-{number}"
                    peer.sendall(f"POST /{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi".encode())
                    answer = peer.recv(4096)
                    if not answer.startswith(b"HTTP/1.1 200"):
                        return
                    answered.append(name)
                    number += 1
                    if len(answered) >= acknowledged:
                        enough.set()
        except OSError:
            # The receiver was shot: the end of every connection, and the point of the test.
            return

    workers = [threading.Thread(target=flood, args=(worker,)) for worker in range(16)]
    for worker in workers:
        worker.start()
    assert enough.wait(60)
    listener.process.kill()
    for worker in workers:
        worker.join(60)

    store = open_store(listener.store)
    stored = [capture.target.removeprefix("/") for capture in store.captures()]
    store.close()
    assert len(answered) >= acknowledged
    assert set(answered) <= set(stored)
    assert len(stored) == len(set(stored))


def test_a_restart_on_the_same_store_goes_on_where_it_was(run: Run, listen: Listen) -> None:
    for body in (b"1", b"2"):
        listener = listen()
        post(listener.url, body)
        listener.stop(signal.SIGTERM)

    rows = run("list", listener.store, "--format", "json").out.splitlines()
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--port", "{taken}"], "port {taken}", id="port in use"),
        pytest.param(["--store", "other.sqlite"], "other.sqlite", id="a database of somebody else"),
        pytest.param(["--store", "text.txt"], "text.txt", id="no database"),
        pytest.param(["--notification", "missing.toml"], "missing.toml: cannot be read", id="no such file"),
        pytest.param(["--max-body", "lots"], "expected a size", id="no size"),
        pytest.param(["--port-file", "no/such/folder/port"], "--port-file", id="port file in no folder"),
        pytest.param(["--port", "70000"], "--port", id="no port"),
    ],
)
def test_what_keeps_it_from_listening_is_one_message(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        database = sqlite3.connect(tmp_path / "other.sqlite")
        database.execute("CREATE TABLE theirs (x)")
        database.close()
        (tmp_path / "text.txt").write_text("not a database, but long enough to look at " * 10)
        before = (tmp_path / "other.sqlite").read_bytes()
        defaults = [] if "--port" in arguments else ["--port", "0"]
        outcome = run("listen", *defaults, *(part.replace("{taken}", port) for part in arguments))

    assert outcome.code == 2
    assert message.replace("{taken}", port) in outcome.err
    assert (tmp_path / "other.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["check", "missing"], 2, "missing: cannot be read", id="no such file"),
        pytest.param(["check", "empty.sqlite", "--notification", "n.toml"], 4, "holds no captures", id="empty store"),
        pytest.param(["check", "c.ndjson"], 2, "pass --notification", id="captures without settings"),
        pytest.param(["check", "c.ndjson", "--notification", "n.toml", "--only", "boddy.*"], 4, "boddy.*", id="typo"),
        pytest.param(["check", "n.toml", "--notification", "n.toml"], 2, "expected a capture store", id="no captures"),
        pytest.param(["check", "cut.ndjson", "--notification", "n.toml"], 2, "Line 1", id="cut line"),
        pytest.param(["check", "empty.ndjson", "--notification", "n.toml"], 4, "holds no captures", id="empty file"),
        pytest.param(["list", "missing"], 2, "missing", id="list: no such file"),
        pytest.param(["show", "empty.sqlite", "abc"], 4, "No capture has an id", id="show: no such id"),
        pytest.param(["rules", "explain", "body.json.wellformed"], 4, "did you mean body.json.well-formed", id="rule"),
    ],
)
def test_what_cannot_be_judged_is_one_message(
    run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    SqliteStore(tmp_path / "empty.sqlite").close()
    (tmp_path / "n.toml").write_text(NOTIFICATION)
    (tmp_path / "c.ndjson").write_text('{"format": "postback-capture/1"}\n')
    (tmp_path / "cut.ndjson").write_text('{"format": "postback-capt')
    (tmp_path / "empty.ndjson").write_text("")

    outcome = run(*arguments)

    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


def test_an_html_report_is_written_beside_the_verdicts(run: Run, listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NOTIFICATION)
    listener = listen("--notification", "n.toml")
    post(f"{listener.url}/postback?token=x", b"{]")
    listener.stop()

    outcome = run("check", listener.store, "--html", "deep/er/report.html")

    assert outcome.code == 1
    assert "body.json.well-formed" in outcome.out
    assert "<mark>]</mark>" in (tmp_path / "deep/er/report.html").read_text()


def test_what_somebody_sent_is_shown_as_data_and_never_obeyed(run: Run, listen: Listen) -> None:
    listener = listen()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as peer:
        peer.sendall(b"GET /?a=[/nope]&b=[red]x&token=s3cret HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.recv(4096)
    told = listener.stop()
    listed, shown = run("list", listener.store), run("show", listener.store, "", "--format", "json")

    assert "a=[/nope]&b=[red]x&token=[hidden]" in told.err
    assert "a=[/nope]&b=[red]x&token=[hidden]" in listed.out
    assert "s3cret" not in told.text + listed.text
    assert (shown.code, "no id was given" in shown.err) == (2, True)


def test_secrets_are_hidden_in_what_programs_read_unless_revealed(listen: Listen) -> None:
    for options, is_hidden in (((), True), (("--reveal",), False)):
        listener = listen("--format", "json", *options)
        post(f"{listener.url}/?token=s3cret", headers={"Authorization": "Bearer s3cret"})
        assert ("s3cret" not in listener.stop().out) == is_hidden


def test_what_is_not_http_is_told_in_one_line(listen: Listen) -> None:
    listener = listen()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as peer:
        peer.sendall(b"GET /?token=s3cret&q=\x00 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 400 Bad Request" in peer.recv(4096)
    told = listener.stop()

    assert "1 could not be read as HTTP" in told.err
    assert "Traceback" not in told.err
    assert "s3cret" not in told.err


def test_an_encoded_body_is_kept_as_sent_and_judged_decoded(run: Run, listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NOTIFICATION)
    listener = listen("--notification", "n.toml")
    post(f"{listener.url}/postback?token=x", gzip.compress(b"{}"), {"Content-Encoding": "gzip"})
    listener.stop()

    report = json.loads(run("check", listener.store, "--format", "json").out)
    outcomes = {verdict["rule"]: verdict["outcome"] for verdict in report["verdicts"]}
    assert outcomes["body.json.well-formed"] == outcomes["body.utf8"] == "pass"
