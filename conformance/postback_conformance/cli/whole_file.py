"""Files that others read while we write: whoever sees one sees all of it."""

import errno
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; see `write_all_whole`."""
    write_all_whole({path: text})


def write_all_whole(texts: Mapping[Path, str]) -> None:
    """Write several text files; none is touched before all of them are on the disk. Raises `OSError`.

    A file that was there keeps its mode, owner and group; where its mode forbids to write it, or its owner could not be
    kept, that is an error.
    """
    with ExitStack() as undo:
        drafts: dict[Path, Path] = {}
        for path, text in texts.items():
            before = _before(path)
            draft = drafts[path] = _draft(path)
            undo.callback(draft.unlink, missing_ok=True)
            draft.write_text(text, encoding="utf-8", newline="")
            if before:
                _keep_owner(draft, before)
                draft.chmod(before.st_mode)
        for path, draft in drafts.items():
            draft.replace(path)


def _keep_owner(draft: Path, before: os.stat_result) -> None:
    """Give a new file the owner and group of the one whose place it takes."""
    ours = draft.stat()
    if (ours.st_uid, ours.st_gid) == (before.st_uid, before.st_gid):
        return
    try:
        os.chown(draft, before.st_uid, before.st_gid)
    except PermissionError:
        raise PermissionError(errno.EPERM, "it belongs to another user or group, who would lose it") from None


@contextmanager
def written_whole(path: Path) -> Generator[BinaryIO]:
    """Hand out a new file that takes the place of `path` at the end, and leaves nothing behind if that is not reached.

    What is no regular file, such as /dev/null, is written to. Raises `OSError`, before anything is written, where
    `write_all_whole` would.
    """
    before = _before(path)
    if before and not stat.S_ISREG(before.st_mode):
        with path.open("wb") as file:
            yield file
        return
    draft = _draft(path)
    try:
        with draft.open("wb") as file:
            yield file
        if before:
            _keep_owner(draft, before)
            draft.chmod(before.st_mode)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _before(path: Path) -> os.stat_result | None:
    """Return what there is to know of the file whose place is to be taken; None when there is none."""
    before = path.stat() if path.exists() else None
    # The superuser may write anything; who took the write bits away did not want it written all the same.
    if before and not (before.st_mode & _WRITABLE and os.access(path, os.W_OK)):
        raise PermissionError(errno.EACCES, "it is write-protected", str(path))
    return before


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")
