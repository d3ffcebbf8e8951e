"""`export`, `import`, and `list` and `show` with filters, run in this process: what goes out comes in again."""

import asyncio
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from postback_conformance.cli.application import application
from postback_conformance.cli.capture_options import KEY_VARIABLE
from postback_conformance.cli.consoles import results
from postback_conformance.errors import ConformanceError, SelectionError
from postback_conformance.rules.examples import capture
from postback_receiver import Answer, Capture, SqliteStore, Tls, capture_to_line, write_har
from postback_receiver.capture_query import MAX_SEARCHED_BYTES
from postback_receiver.summary import one_line

HEADERS = (("Host", "127.0.0.1:8080"), ("Content-Type", "application/json"))
GOOD: Final = replace(
    capture(b'{"city": "Z\xc3\xbcrich", "api_key": "hunter2"}', target="/postback?token=hunter2", headers=HEADERS),
    id="good",
    run="r1",
    connected_ns=-3_000_000,
    body_done_ns=400_000,
    gone_ns=20_000_000,
    lateness_ns=50_000,
    tls=Tls(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256", server_name="shop.example"),
    trailers=(("X-Sum", "1"),),
    answer=Answer(status=200, body=b"OK", sent_ns=1_100_000),
)
BROKEN: Final = replace(
    capture(b"GET /?token=hunter2 HTP\r\n\r\n", method="", target="", headers=()),
    id="broken",
    endpoint=None,
    malformed="no HTTP",
    answer=None,
)
CUT: Final = replace(capture(b"\xff\x00"), id="cut", endpoint=None, truncated=True, fault="reset", run="")
CAPTURES: Final = (GOOD, BROKEN, CUT)


class Postback:
    """The command `postback`, without a process of its own."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self.err = ""

    def __call__(self, *arguments: object, code: int = 0) -> str:
        words = [str(argument) for argument in arguments]
        self._capfd.readouterr()
        assert (application(words)(words, prog_name="postback", standalone_mode=False) or 0) == code
        out, self.err = self._capfd.readouterr()
        return out


@pytest.fixture
def postback(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Postback:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    # As into a pipe, whatever this was started from.
    monkeypatch.setattr(results, "width", 240)
    return Postback(capfd)


def fill(path: str, captures: Sequence[Capture] = CAPTURES) -> str:
    async def append() -> None:
        for each in captures:
            await store.append(each)

    store = SqliteStore(path)
    asyncio.run(append())
    store.close()
    return path


def test_from_a_store_to_a_file_to_a_store_nothing_changes(postback: Postback) -> None:
    fill("a.sqlite")
    for format_, output in (("ndjson", "a.ndjson"), ("har", "a.har")):
        postback("export", "a.sqlite", "--format", format_, "--reveal", "--output", output)
        assert postback("import", output, "--store", f"{output}.sqlite") == ""
        assert "3 imported" in postback.err
        assert postback("export", f"{output}.sqlite", "--reveal") == Path("a.ndjson").read_text()
    postback("import", "a.sqlite", "--store", "a.har.sqlite")
    assert "0 imported" in postback.err
    assert "3 skipped: they are there already" in postback.err


def test_another_capture_with_the_same_id_is_refused_and_the_rest_goes_in(postback: Postback) -> None:
    fill("a.sqlite", [replace(CUT, body=b"other")])
    Path("b.ndjson").write_bytes(b"\n".join(map(capture_to_line, [GOOD, CUT])))
    postback("import", "b.ndjson", "--store", "a.sqlite", code=1)
    assert "refused: the store has another capture with the id cut" in postback.err
    assert "1 imported into a.sqlite\n1 refused" in postback.err


def test_archives_of_others_can_be_imported_together_and_again(postback: Postback) -> None:
    entries = [json.loads(b"".join(write_har([replace(GOOD, body=body)]))) for body in (b"1", b"2")]
    for number, archive in enumerate(entries):
        del archive["log"]["entries"][0]["_postback"]
        Path(f"{number}.har").write_text(json.dumps(archive))
    for file, told in (("0.har", "1 imported"), ("1.har", "1 imported"), ("0.har", "1 skipped")):
        postback("import", file, "--store", "s.sqlite")
        assert told in postback.err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        pytest.param(["--only", "is=malformed"], ["broken"], id="malformed"),
        pytest.param(["--only", "is=unmatched", "--only", "is!=malformed"], ["cut"], id="all of several"),
        pytest.param(["--search", "zür"], ["good"], id="text"),
        pytest.param(["--only", "status>=200", "--limit", "1"], ["cut"], id="latest"),
        pytest.param(["--only", "body~hunter2"], ["good", "broken"], id="body"),
    ],
)
@pytest.mark.parametrize("file", ["a.sqlite", "a.ndjson"])
def test_captures_are_chosen_alike_in_stores_and_files(
    postback: Postback, file: str, arguments: list[str], shown: list[str]
) -> None:
    fill("a.sqlite")
    Path("a.ndjson").write_bytes(b"\n".join(map(capture_to_line, CAPTURES)))
    rows = [json.loads(line) for line in postback("list", file, *arguments, "--format", "json").splitlines()]
    assert [row["id"] for row in rows] == shown
    if "--limit" not in arguments:
        assert [json.loads(line)["id"] for line in postback("export", file, *arguments).splitlines()] == shown


def test_list_notes_what_is_remarkable_and_hides_secrets(postback: Postback) -> None:
    table = postback("list", fill("a.sqlite"))
    assert "malformed: no HTTP" in table
    # No receiver saw it, so that none can have had no endpoint for it.
    assert "truncated, reset" in table
    elsewhere = replace(CUT, run="r1", fault=None, answer=Answer(status=404))
    assert one_line(elsewhere).endswith("(2 bytes, truncated, no endpoint takes this path, answered 404)")
    unmatched = postback("list", fill("b.sqlite", [replace(CUT, run="r1")]))
    assert "truncated, unmatched, reset" in unmatched
    assert "token=[hidden]" in table
    assert "hunter2" not in table


def test_show_tells_what_happened_when_and_how(postback: Postback) -> None:
    out = postback("show", fill("a.sqlite"), "go")
    assert '"api_key": "[hidden]"}\n\nX-Sum: 1\n' in out
    assert "TLSv1.3 with TLS_AES_128_GCM_SHA256, asked for shop.example" in postback.err
    assert "connected -3ms, body done +0.4ms, answered +1.1ms, peer gone +20ms" in postback.err
    assert "off by up to 0.05ms" in postback.err
    assert postback("show", "a.sqlite", "broken") == "GET /?token=[hidden]\r\n\r\n"
    assert "malformed: no HTTP" in postback.err


@pytest.mark.parametrize(
    ("format_", "wanted"), [("json", '"id":"good"'), ("har", '"log"'), ("curl", "curl"), ("pytest", "import pytest")]
)
def test_show_prints_one_capture_as_export_would(postback: Postback, format_: str, wanted: str) -> None:
    out = postback("show", fill("a.sqlite"), "good", "--format", format_)
    assert wanted in out
    assert "[secret:" in out
    assert "hunter2" not in out
    if format_ in {"curl", "pytest"}:
        assert "http://127.0.0.1:9999" in postback(
            "show", "a.sqlite", "good", "--format", format_, "--to", "http://127.0.0.1:9999"
        )


def test_a_key_in_the_environment_makes_exports_comparable(postback: Postback, monkeypatch: pytest.MonkeyPatch) -> None:
    fill("a.sqlite")
    assert postback("export", "a.sqlite") != postback("export", "a.sqlite")
    assert "3 exported\n2 hold [secret:…]" in postback.err
    monkeypatch.setenv(KEY_VARIABLE, "a key of ours")
    assert postback("export", "a.sqlite") == postback("export", "a.sqlite")


def test_what_no_secret_can_be_found_in_is_left_out_and_said_to_be(postback: Postback) -> None:
    zipped = gzip.compress(b'{"token": "hunter2"}')
    header = ("Content-Encoding", "gzip")
    fill("a.sqlite", [replace(CUT, body=zipped[:-1], headers=(header,), fault=None, truncated=False)])
    assert "[left out: " in postback("export", "a.sqlite")
    assert "1 without a body that cannot be looked through for secrets; --reveal shows it" in postback.err
    assert "[left out: " in postback("show", "a.sqlite", "cut", "--body-only")
    assert "[left out: " not in postback("export", "a.sqlite", "--reveal")


def test_what_a_search_may_have_overlooked_is_said(postback: Postback) -> None:
    fill("a.sqlite", [replace(CUT, body=b"x" * MAX_SEARCHED_BYTES + b" here"), GOOD])
    for command in ("list", "export"):
        postback(command, "a.sqlite", "--search", "zür")
        assert "longer than the first 64 KiB that are searched" in postback.err
        postback(command, "a.sqlite", "--only", "id=good")
        assert "longer than" not in postback.err


def test_the_schema_of_a_line_can_be_printed(postback: Postback) -> None:
    published = Path(__file__).parents[2] / "docs" / "capture.schema.json"
    assert postback("export", "--schema") == published.read_text()


def _to_itself(postback: Postback) -> None:
    postback("import", fill("a.sqlite"), "--store", "a.sqlite")


def _over_itself(postback: Postback) -> None:
    postback("export", fill("a.sqlite"), "--output", "a.sqlite")


def _nothing_chosen(postback: Postback) -> None:
    postback("export", fill("a.sqlite"), "--only", "status=999", "--output", "out.har", "--format", "har")


def _nothing_sendable(postback: Postback) -> None:
    postback("export", fill("a.sqlite", [BROKEN]), "--format", "curl", "--output", "out.sh")


def _nothing_to_import(postback: Postback) -> None:
    Path("empty.ndjson").touch()
    postback("import", "empty.ndjson", "--store", "new.sqlite")


def _broken_file(postback: Postback) -> None:
    Path("cut.ndjson").write_bytes(capture_to_line(GOOD)[:-9])
    postback("import", "cut.ndjson", "--store", "new.sqlite")


def _not_sent(postback: Postback) -> None:
    postback("export", fill("a.sqlite"), "--to", "http://127.0.0.1:1")


def _no_curl_for_it(postback: Postback) -> None:
    postback("show", fill("a.sqlite"), "broken", "--format", "curl")


@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        (_to_itself, ConformanceError, "cannot be imported into itself"),
        (_over_itself, ConformanceError, "that is what is to be exported"),
        (_nothing_chosen, SelectionError, "no capture that all of these take: status=999"),
        (_nothing_sendable, SelectionError, "1 left out: it is no HTTP request"),
        (_nothing_to_import, SelectionError, "holds no captures"),
        (_broken_file, ConformanceError, "Line 1 is not a capture"),
        (_not_sent, ConformanceError, "--format curl or pytest"),
        (_no_curl_for_it, ConformanceError, "cannot be shown as curl: it is no HTTP request"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing_behind(
    postback: Postback, mistake: Callable[[Postback], None], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        mistake(postback)
    assert not [path for path in Path().iterdir() if path.name.startswith(("new", "out", ".out"))]


def test_an_import_that_is_stopped_keeps_what_it_has_and_goes_on_later(
    postback: Postback, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = [replace(CUT, id=f"{number:04}") for number in range(12)]
    Path("many.ndjson").write_bytes(b"\n".join(map(capture_to_line, captures)))
    append = SqliteStore.append
    seen: list[Capture] = []

    async def stopping(store: SqliteStore, one: Capture) -> None:
        await append(store, one)
        seen.append(one)
        if len(seen) == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "append", stopping)
        patched.setattr("postback_conformance.cli.importing._BATCH", 4)
        postback("import", "many.ndjson", "--store", "s.sqlite", code=130)
    assert "stopped by Ctrl-C" in postback.err
    postback("import", "many.ndjson", "--store", "s.sqlite")
    assert "skipped" in postback.err
    assert len(postback("export", "s.sqlite").splitlines()) == 12
