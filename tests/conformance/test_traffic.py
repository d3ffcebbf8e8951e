"""Captures are read from a store or from NDJSON; what cannot be read is told with what, where, and what to do."""

import asyncio
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_conformance.captured.traffic import notifications_of, open_traffic, pack_source, unpack_source
from postback_conformance.errors import TrafficError
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Capture, SqliteStore, StoreError, capture_to_line, write_har
from postback_sender.notification import NotificationSource
from postback_sender.notification_file import load_notification, read_source
from postback_sender.settings_table import NotificationError

ARRIVED = [replace(capture(b"%d" % number), id=f"c{number}") for number in range(3)]
SOURCE = NotificationSource(name="n.toml", text=JSON_SETTINGS)


def fill_store(path: Path, arrived: Sequence[Capture], endpoints: Mapping[str, bytes | None]) -> None:
    async def fill() -> None:
        store = SqliteStore(path)
        await store.set_endpoints(endpoints)
        for one in arrived:
            await store.append(one)
        store.close()

    asyncio.run(fill())


def read(path: Path) -> list[Capture]:
    with open_traffic(path) as traffic:
        return list(traffic.read())


def test_a_store_gives_its_captures_and_what_each_endpoint_was_set_to(tmp_path: Path) -> None:
    path = tmp_path / "captures.db"
    fill_store(path, ARRIVED, {"/": pack_source(SOURCE), "/quiet": None})
    with open_traffic(path) as traffic:
        assert (traffic.name, traffic.count) == (str(path), 3)
        assert list(traffic.read()) == ARRIVED
        assert list(traffic.read()) == ARRIVED, "it can be read again, for the evidence"
        assert list(notifications_of(traffic.settings, name=traffic.name)) == ["/"]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\n\n \n"])
def test_ndjson_gives_its_captures_whatever_ends_a_line(separator: bytes, tmp_path: Path) -> None:
    path = tmp_path / "captures.ndjson"
    path.write_bytes(b"\n" * 100 + separator.join(map(capture_to_line, ARRIVED)))
    assert read(path) == ARRIVED


LINES = b"\n".join(map(capture_to_line, ARRIVED))
BOM = b"\xef\xbb\xbf"
ARCHIVE = b"".join(write_har(ARRIVED))
# Names, quotes and brackets that mean nothing where they stand.
BEFORE = b'{"$schema": "log", "comment": "{\\"log\\": [", "_made": {"log": [{"log": "}}"}]}, "_at": -1.5e3,'


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        BOM + LINES,
        b"\n".join(b'{"x": {"format": 1, "log": {}},' + line[1:] for line in LINES.split(b"\n")),
        LINES.replace(b'"id"', b'"log": {}, "id"'),
        ARCHIVE,
        BOM + b"\r\n\t" + ARCHIVE,
        BEFORE + ARCHIVE[1:],
        b'{"comment": "' + b"#" * 60_000 + b'",' + ARCHIVE[1:],
    ],
    ids=[
        "lines",
        "marked lines",
        "lines with a key before",
        "lines with a log of their own",
        "archive",
        "marked archive",
        "archive behind other keys",
        "archive behind a long comment",
    ],
)
def test_lines_and_archives_are_told_apart_whatever_stands_before(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "captures"
    path.write_bytes(data)
    assert read(path) == ARRIVED


@pytest.mark.parametrize("data", [b"", b"\n \n", BOM])
def test_an_empty_file_holds_no_captures(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(data)
    assert read(path) == []


def test_a_file_that_is_cut_off_gives_what_is_whole_and_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "cut.ndjson"
    path.write_bytes(b"\n".join(map(capture_to_line, ARRIVED))[:-20])
    with open_traffic(path) as traffic:
        captures = iter(traffic.read())
        assert [next(captures), next(captures)] == ARRIVED[:2]
        with pytest.raises(TrafficError) as caught:
            next(captures)
    message = str(caught.value)
    assert message.startswith(f"{path}: Line 3 is not a capture: expected one JSON object in format postback-capture/1")
    assert message.endswith("; export it again, or take that line out")


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"hello, world", "'hello, world'"),
        (b"\x00\xff", r"'\x00�'"),
        (b"[{}]", "'[{}]'"),
        (b"SQLite form", "'SQLite"),
        ('{"log": {}}'.encode("utf-16"), "UTF-16: save it as UTF-8"),
    ],
)
def test_a_file_that_is_neither_is_told_with_how_it_begins(data: bytes, got: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(data)
    with pytest.raises(TrafficError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: expected a capture store, NDJSON or HAR; got {got}")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nothing.db"
    with pytest.raises(TrafficError) as caught:
        read(path)
    expected = f"{path}: cannot be read: No such file or directory; expected a capture store, NDJSON or HAR"
    assert str(caught.value) == expected


def test_a_folder_is_no_traffic(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE theirs (one)")
    with pytest.raises(StoreError, match=r"other\.db"):
        read(path)


def test_without_settings_somebody_has_to_say_what_should_have_arrived() -> None:
    with pytest.raises(TrafficError) as caught:
        notifications_of({"/": None}, name="captures.ndjson")
    assert str(caught.value) == (
        "captures.ndjson: nothing says what these captures should look like; pass --notification NOTIFICATION.toml"
    )


def test_a_source_that_was_kept_is_the_source() -> None:
    source = NotificationSource(name="ü.toml", text=JSON_SETTINGS, files={"body.json": "{}\n"})
    assert unpack_source(pack_source(source)) == source


@pytest.mark.parametrize("packed", [b"", b"{}", b"\xff", b"[]"])
def test_settings_that_cannot_be_read_say_what_to_pass_instead(packed: bytes) -> None:
    with pytest.raises(TrafficError, match=r"endpoint settings cannot be read: .*; pass --notification"):
        unpack_source(packed)


def test_a_notification_is_read_with_the_body_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text('url = "http://h/"\nmethod = "POST"\nbody_file = "b.json"\n', "utf-8")
    (tmp_path / "b.json").write_text('{"id": "{ActionId} ü"}', "utf-8")
    notification = load_notification(tmp_path / "n.toml", None)
    assert notification.body is not None
    assert notification.body.source == '{"id": "{ActionId} ü"}'
    assert read_source(tmp_path / "n.toml").name == "n.toml"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "n.toml: cannot be read: No such file or directory"),
        ({"n.toml": b'body_file = "b.json"'}, "b.json: cannot be read (the body_file of n.toml): No such file"),
        ({"n.toml": b'url = "\xff"'}, "n.toml: not UTF-8 at byte 7"),
        ({"n.toml": b" " * (4 * 1024 * 1024 + 1)}, "n.toml: larger than 4 MiB; expected a settings or template file"),
        ({"n.toml": b"url = "}, "n.toml: not valid TOML: "),
    ],
    ids=["no file", "no body file", "not UTF-8", "too large", "not TOML"],
)
def test_a_notification_that_cannot_be_read_is_told_with_its_file(
    files: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(NotificationError) as caught:
        load_notification(tmp_path / "n.toml", None)
    assert message in str(caught.value)


def settings_with(folder: Path, body_file: str) -> Path:
    """Write settings that name this body file, as TOML spells it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "n.toml"
    path.write_text(f'method = "POST"\nbody_file = "{body_file}"\n', "utf-8")
    return path


@pytest.mark.parametrize(
    "body_file",
    ["../secret.txt", "sub/../b.txt", "/etc/hostname", "link.txt", "folder/secret.txt", "b\\u0000.txt"],
    ids=["above", "up and down", "absolute", "a link", "a linked folder", "no name at all"],
)
def test_a_body_file_lies_in_the_folder_of_the_settings(body_file: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("hunter2", "utf-8")
    path = settings_with(tmp_path / "settings", body_file)
    (path.parent / "link.txt").symlink_to(tmp_path / "secret.txt")
    (path.parent / "folder").symlink_to(tmp_path)
    with pytest.raises(
        NotificationError, match=r"^n\.toml, line 2: body_file: expected a file in the folder of n\.toml, got '"
    ):
        read_source(path)


def test_a_body_file_may_lie_deeper_and_be_a_link_within_the_folder(tmp_path: Path) -> None:
    path = settings_with(tmp_path / "settings", "bodies/link.txt")
    (path.parent / "bodies").mkdir()
    (path.parent / "b.txt").write_text("x", "utf-8")
    (path.parent / "bodies/link.txt").symlink_to(path.parent / "b.txt")
    assert read_source(path).files == {"bodies/link.txt": "x"}
    (tmp_path / "linked").symlink_to(path.parent)
    assert read_source(tmp_path / "linked/n.toml").files == {"bodies/link.txt": "x"}


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_body_file_is_a_regular_file(kind: str, tmp_path: Path) -> None:
    path = settings_with(tmp_path, kind)
    if kind == "folder":
        (tmp_path / kind).mkdir()
    else:
        os.mkfifo(tmp_path / kind)
    with pytest.raises(NotificationError, match=r"line 2: body_file: .* got '\w+', which is no regular file"):
        read_source(path)


def test_a_body_file_that_links_to_itself_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "b.txt").symlink_to(tmp_path / "b.txt")
    with pytest.raises(NotificationError, match=r"b\.txt: cannot be read \(the body_file of n\.toml\): "):
        read_source(settings_with(tmp_path, "b.txt"))


def test_settings_without_end_are_refused() -> None:
    with pytest.raises(NotificationError, match="/dev/zero: larger than 4 MiB"):
        read_source(Path("/dev/zero"))


def test_line_ends_of_a_body_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"a\r\nb\rc\n")
    assert read_source(settings_with(tmp_path, "b.txt")).files == {"b.txt": "a\r\nb\rc\n"}


def test_what_a_message_quotes_of_a_file_is_short_and_obeyed_by_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "captures.ndjson"
    path.write_bytes(b'{"format":"\\u001b[2J' + b"9" * 10_000 + b'"}')
    with pytest.raises(TrafficError, match="Line 1 is not a capture") as caught:
        read(path)
    assert len(str(caught.value)) < 1_000
    assert str(caught.value).isprintable()
