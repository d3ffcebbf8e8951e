"""The file behind an outbox: telling ours from others, making it, bringing it up to date, opening it."""

import os
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Final, Literal

from postback_sender.delivery.retry import Failure
from postback_sender.outbox.entry import CUT_OFF_DETAIL, Begun
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_schema import (
    COUNT_CUT_OFF,
    CREATE_TABLES,
    FORGET_HELD,
    INSERT_CUT_OFF,
    MIGRATIONS,
    NOBODY_SAW_IT,
    REARRANGE,
    SELECT_LANES,
)

APPLICATION_ID: Final = int.from_bytes(b"PBOX")
SCHEMA_VERSION: Final = 3

Synchronous = Literal["normal", "full"]

_BUSY_TIMEOUT_S: Final = 5.0

# `UPDATE … FROM`; every Python that is still looked after comes with a newer one.
_OLDEST_SQLITE: Final = (3, 33)

# An event takes 1 to 2 KB, and a page of SQLite's usual 4096 bytes would be half empty with two of them.
_PAGE_BYTES: Final = 8192
_CACHE_KIB: Final = 16 * 1024
# Pages in the log before they are moved to the file proper, which waits for the disk: 16 MiB.
_LOG_PAGES: Final = 2048

# In the folder that ours usually live in, inside somebody's project, nothing gets into their commits.
_OWN_FOLDER: Final = ".postback"

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked. Close that program, or use another file.",
    sqlite3.SQLITE_FULL: "the disk is full. Free some space, or use a file on another disk.",
    sqlite3.SQLITE_READONLY: "it may not be written to. Change its permissions, or use another file.",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened. Check the permissions of the file and of its folder.",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database. Use another file.",
    sqlite3.SQLITE_CORRUPT: "it is damaged. Keep a copy and use another file.",
    sqlite3.SQLITE_IOERR: "the disk reported an error, or has no space left.",
}


def open_for_writing(
    path: Path, *, synchronous: Synchronous = "normal", left_behind: Iterable[Begun] = ()
) -> sqlite3.Connection:
    """Return a connection to the outbox at `path`, made when missing. Only who holds its lock may ask for one.

    What the lock says was `left_behind` is put into the log; then it is to be cleared there.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise outbox_error(path, f"SQLite {needed} is needed, and this Python has {sqlite3.sqlite_version}.")
    with outbox_errors(path):
        connection = sqlite3.connect(
            _uri(path, "rwc"), uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            version = _refuse_what_is_not_ours(connection, path)
            _check_json(connection, path)
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            if version < SCHEMA_VERSION:
                _create_or_migrate(connection, version)
            connection.execute("PRAGMA journal_mode = WAL")
            # What is committed survives the death of this process in either case. With "full" it also survives a crash
            # of the whole machine, and every commit waits for the disk.
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            with transaction(connection):
                forget_held(connection)
                _log_cut_off(connection, left_behind)
        except BaseException:
            connection.close()
            raise
        return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads an existing outbox, also while another process writes it."""
    with outbox_errors(path):
        if not path.exists():
            raise outbox_error(
                path, "there is no such file. Check the path; `postback send` makes it when it accepts events."
            )
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            # Opened for writing, so that the last to leave clears SQLite's two helper files away; nothing is written.
            uri = _uri(path, "rw")
        else:
            # Where nothing may be written, SQLite cannot make these files; without a log nobody is writing, either.
            has_log = path.with_name(f"{path.name}-wal").exists()
            uri = _uri(path, "ro") + ("" if has_log else "&immutable=1")
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA query_only = ON")
            version = _refuse_what_is_not_ours(connection, path)
        except BaseException:
            connection.close()
            raise
        if version:
            return connection
        connection.close()
        raise outbox_error(path, "the file is empty; no sender has written to it yet.")


def make_folder(folder: Path) -> None:
    """Make our own folder; any other must be there, or a slip of the pen would leave a tree of new folders."""
    if folder.exists():
        return
    own = next((one for one in (folder, *folder.parents) if one.name == _OWN_FOLDER), None)
    if own is None:
        raise outbox_error(folder, "there is no such folder. Make it first, or check the path.")
    with outbox_errors(folder):
        own.mkdir(exist_ok=True)
        (own / ".gitignore").write_text("# Made by Postback Kit: captured traffic may hold secrets.\n*\n")
        folder.mkdir(parents=True, exist_ok=True)


def forget_held(connection: sqlite3.Connection) -> None:
    """Delete what is held, and let go what was accepted after it with the same key."""
    if sum([connection.execute(statement).rowcount for statement in FORGET_HELD]):
        rearrange(connection)


def _log_cut_off(connection: sqlite3.Connection, left_behind: Iterable[Begun]) -> None:
    """Log those attempts whose end is not in the log, as cut off; the others got there before the kill."""
    for begun in left_behind:
        values = {
            **begun._asdict(),
            "finished_at_ns": NOBODY_SAW_IT,
            "failure": Failure.CUT_OFF,
            "detail": CUT_OFF_DETAIL,
        }
        if connection.execute(INSERT_CUT_OFF, values).rowcount:
            connection.execute(COUNT_CUT_OFF, values)


def rearrange(connection: sqlite3.Connection) -> None:
    """Put every waiting entry where it belongs: first in its key, or behind another."""
    for lane, ordered in connection.execute(SELECT_LANES).fetchall():
        connection.execute(REARRANGE, {"lane": lane, "ordered": ordered})


@contextmanager
def outbox_errors(path: Path) -> Generator[None]:
    """Whatever SQLite or the file system complain about in here becomes an `OutboxError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise outbox_error(path, explain(error)) from error
    except OSError as error:
        raise outbox_error(path, f"{error.strerror or error}.") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Commit what is done in here, or nothing of it when an error gets out."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has rolled back itself.
        with suppress(sqlite3.Error):
            connection.rollback()
        raise


def outbox_error(path: Path, reason: str) -> OutboxError:
    """Return the error of this file."""
    return OutboxError(f"the outbox {path}: {reason}")


def explain(error: sqlite3.Error) -> str:
    """Return what SQLite's error means for people, and what to do."""
    # The lower eight bits are the kind of error, the others its variety.
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return f"{_ADVICE.get(kind, 'SQLite could not do its work.')} (SQLite says: {error})"


def _refuse_what_is_not_ours(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of an outbox, 0 for an empty file; `OutboxError` for anything else. Changes nothing.

    Asked through a connection: opening and closing the file in any other way drops every lock this process has on it.
    """
    try:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise outbox_error(path, f"{_ADVICE[sqlite3.SQLITE_NOTADB]} It was left as it is.") from None
    # Whoever was killed while making the file leaves it without a page.
    if pages and application != APPLICATION_ID:
        raise outbox_error(path, "it is a SQLite database, but no outbox. Use another file. It was left as it is.")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise outbox_error(
            path,
            f"it has version {version}, and this Postback Kit knows versions up to {SCHEMA_VERSION}. "
            "Update Postback Kit, or use another file. It was left as it is.",
        )
    return version


def _check_json(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("SELECT json('1')")
    except sqlite3.OperationalError:
        raise outbox_error(path, "this Python's SQLite was built without its JSON functions, which it needs.") from None


def _create_or_migrate(connection: sqlite3.Connection, version: int) -> None:
    with transaction(connection):
        # Both before the switch to a write-ahead log, and so in the first hundred bytes of the file proper.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for statement in chain.from_iterable(MIGRATIONS[version - 1 :]) if version else CREATE_TABLES:
            connection.execute(statement)


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"
