"""The file behind a SQLite store: telling ours from others, making it, opening it.

A file that is not ours is never touched. SQLite writes an application id and a version into the first hundred bytes of
a database, so one plain read answers the question before SQLite itself opens anything. Both are set before the file
is switched to write-ahead logging, and so are in the file proper and not in its log.
"""

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from postback_receiver.errors import StoreError
from postback_receiver.sqlite_migrations import MIGRATIONS
from postback_receiver.sqlite_rows import CREATE_TABLES

APPLICATION_ID: Final = int.from_bytes(b"PBKT")
SCHEMA_VERSION: Final = 2

Durability: TypeAlias = Literal["process", "power"]
"""What a capture outlives once it is acknowledged: the death of the receiver (kill -9 included), or a power cut too."""

_SYNCHRONOUS: Final[dict[Durability, str]] = {"process": "NORMAL", "power": "FULL"}
# Most rows are 2 to 4 KB, and each commit writes whole pages: with pages of the usual 4 KB a third of what is written
# is empty space, and with larger ones a lone request pays too much. Takes effect in new files.
_PAGE_SIZE: Final = 8_192
_CACHE_KIB: Final = 8_192

BUSY_TIMEOUT_S: Final = 5.0
"""How long to wait for another program's lock. Its commits take milliseconds; past this, it is stuck or not ours."""

OWN_FOLDER: Final = ".postback"
"""The folder stores usually live in, inside somebody's project; we keep what we put there out of their commits."""

_MAGIC = b"SQLite format 3\0"
_HEADER_SIZE = 100
_VERSION_FIELD = slice(60, 64)
_APPLICATION_FIELD = slice(68, 72)

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked. Close that program, or use another file.",
    sqlite3.SQLITE_FULL: "the disk is full. Free some space, or use a file on another disk.",
    sqlite3.SQLITE_READONLY: "it may not be written to. Change its permissions, or use another file.",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened. Check the permissions of the file and of its folder.",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database. Use another file.",
    sqlite3.SQLITE_CORRUPT: "it is damaged. Keep a copy and use another file.",
    sqlite3.SQLITE_IOERR: "the disk reported an error, or has no space left.",
}


def open_for_writing(path: Path, *, busy_timeout_s: float, durability: Durability = "process") -> sqlite3.Connection:
    """A connection to the store at `path`, which is created or brought up to date; StoreError when that cannot be."""
    with store_errors(path):
        try:
            _refuse_what_is_not_ours(path)
        except FileNotFoundError:
            _make_folder(path.parent)
        connection = sqlite3.connect(
            _uri(path, "rwc"), uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            # What is committed survives the death of this process either way. Only a crash of the whole machine may
            # lose the last commits in the first, which is worth a third of the throughput here.
            connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
            connection.execute(f"PRAGMA fullfsync = {durability == 'power'}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            # Overwrite what is deleted where that takes no further writing.
            connection.execute("PRAGMA secure_delete = FAST")
        except BaseException:
            connection.close()
            raise
        return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A read-only connection to an existing store; StoreError when there is none."""
    with store_errors(path):
        try:
            is_empty = _refuse_what_is_not_ours(path) == 0
        except FileNotFoundError:
            raise StoreError(path=str(path), reason="there is no such file. Check the path.") from None
        if is_empty:
            raise StoreError(path=str(path), reason="the file is empty; no receiver has written to it yet.")
        return _reading_connection(path)


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of an open store, 0 of a file in which nothing has been made yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _reading_connection(path: Path) -> sqlite3.Connection:
    log = path.with_name(f"{path.name}-wal")
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        # Opened for writing, so that the last to leave clears SQLite's two helper files away; nothing is written.
        uri = _uri(path, "rw")
    else:
        # Where nothing may be written, SQLite cannot make these files; without a log nobody is writing, either.
        uri = _uri(path, "ro") + ("" if log.exists() else "&immutable=1")
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def store_errors(path: Path) -> Generator[None]:
    """Whatever SQLite or the file system complain about in here becomes a StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(path=str(path), reason=explain(error)) from error
    except OSError as error:
        raise StoreError(path=str(path), reason=f"{error.strerror or error}.") from error


def explain(error: sqlite3.Error) -> str:
    """What SQLite's error means for the user, and what to do."""
    # The lower eight bits are the kind of error, the others its variety.
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return f"{_ADVICE.get(kind, 'SQLite could not do its work.')} (SQLite says: {error})"


def _refuse_what_is_not_ours(path: Path) -> int:
    """The version of a store of ours, 0 for an empty file; StoreError for anything else. Reads, and changes nothing."""
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    if not header:
        # A receiver that was killed just after it made the file leaves this behind.
        return 0
    if not header.startswith(_MAGIC):
        raise StoreError(path=str(path), reason=f"{_ADVICE[sqlite3.SQLITE_NOTADB]} It was left as it is.")
    if int.from_bytes(header[_APPLICATION_FIELD]) != APPLICATION_ID:
        raise StoreError(
            path=str(path), reason="it is a SQLite database of another program. Use another file. It was left as it is."
        )
    version = int.from_bytes(header[_VERSION_FIELD])
    if version > SCHEMA_VERSION:
        raise StoreError(
            path=str(path),
            reason=f"it has version {version}, and this Postback Kit knows versions up to {SCHEMA_VERSION}. "
            "Update Postback Kit, or use another file. It was left as it is.",
        )
    return version


def _make_folder(folder: Path) -> None:
    """Make our own folder; any other must be there, or a slip of the pen would leave a tree of new folders."""
    if folder.exists():
        return
    own = next((one for one in (folder, *folder.parents) if one.name == OWN_FOLDER), None)
    if own is None:
        raise StoreError(path=str(folder), reason="there is no such folder. Make it first, or check the path.")
    if not own.exists():
        own.mkdir()
        (own / ".gitignore").write_text("# Made by Postback Kit: captured traffic may hold secrets.\n*\n")
    folder.mkdir(parents=True, exist_ok=True)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file, or bring those of an older version up to date: all of it or nothing."""
    if schema_version(connection) == SCHEMA_VERSION:
        return
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have done it while this one waited for the lock.
    version = schema_version(connection)
    if version == 0:
        for statement in CREATE_TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    else:
        for older in range(version, SCHEMA_VERSION):
            try:
                MIGRATIONS[older](connection)
            except ValueError as error:
                raise StoreError(path=str(path), reason=f"it holds a row that is not a capture: {error}.") from error
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    # The version is read from the file proper, where it must not lag behind.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"
