"""Files that are written whole: all of them or none, and whose they were they stay."""

import os
import stat
from pathlib import Path

import pytest

from postback_conformance.cli.whole_file import write_all_whole, write_whole

OTHER_ID = 54_321


def of_somebody_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file look as if it belonged to another user; only the superuser could give it away."""
    of_any = Path.stat

    def of_another(one: Path, **options: bool) -> os.stat_result:
        found = of_any(one, **options)
        return os.stat_result([*found[:4], OTHER_ID, OTHER_ID, *found[6:10]]) if one == path else found

    monkeypatch.setattr(Path, "stat", of_another)


def test_a_file_keeps_its_mode_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    path.chmod(0o600)

    write_whole(path, "one\r\ntwo\n")

    assert path.read_bytes() == b"one\r\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_keeps_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []

    def note(_: Path, user: int, group: int) -> None:
        given.append((user, group))

    monkeypatch.setattr(os, "chown", note)
    (tmp_path / "a").touch()
    of_somebody_else(tmp_path / "a", monkeypatch)

    write_whole(tmp_path / "a", "after")

    assert given == [(OTHER_ID, OTHER_ID)]


@pytest.mark.parametrize("reason", ["it is write-protected", "it belongs to another user or group, who would lose it"])
def test_a_file_that_must_not_be_replaced_keeps_all_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        path.write_text("before")
    if "write-protected" in reason:
        second.chmod(0o444)
    else:
        monkeypatch.setattr(os, "chown", refuse)
        of_somebody_else(second, monkeypatch)

    with pytest.raises(PermissionError, match=reason):
        write_all_whole({first: "after", second: "after"})

    assert {path: path.read_text() for path in tmp_path.iterdir()} == {first: "before", second: "before"}
