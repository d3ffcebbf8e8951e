"""The file behind a SQLite store: telling ours from others, making it, opening it.

A file that is not ours is never changed. Whose it is, SQLite is asked, through a connection: opening and closing the
file in any other way makes the system drop every lock that this process holds on it, and then the next program to leave
takes the log of a receiver at work for nobody's and deletes it.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from stat import S_ISDIR
from typing import Final, Literal, TypeAlias

from postback_receiver.errors import StoreError
from postback_receiver.sqlite_migrations import MIGRATIONS
from postback_receiver.sqlite_rows import CREATE_TABLES, VERSION

APPLICATION_ID: Final = int.from_bytes(b"PBKT")
SCHEMA_VERSION: Final = VERSION

Durability: TypeAlias = Literal["process", "power"]
"""What a capture outlives once it is acknowledged: the death of the receiver (kill -9 included), or a power cut too."""

_SYNCHRONOUS: Final[dict[Durability, str]] = {"process": "NORMAL", "power": "FULL"}
# Most rows are 2 to 4 KB, and each commit writes whole pages: with pages of the usual 4 KB a third of what is written
# is empty space, and with larger ones a lone request pays too much. Takes effect in new files.
_PAGE_SIZE: Final = 8_192
_CACHE_KIB: Final = 8_192

BUSY_TIMEOUT_S: Final = 5.0
"""How long to wait for another program's lock. Its commits take milliseconds; past this, it is stuck or not ours."""

_RETRY_S: Final = 0.005

OWN_FOLDER: Final = ".postback"
"""The folder stores usually live in, inside somebody's project; we keep what we put there out of their commits."""

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
        if not _is_there(path):
            _make_folder(path.parent)
        connection = sqlite3.connect(
            _uri(path, "rwc"), uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            _refuse_what_is_not_ours(connection, path)
            # What retention evicts must not stay readable in pages that are free.
            connection.execute("PRAGMA secure_delete = ON")
            _prepare(connection, path)
            _write_ahead(connection, busy_timeout_s)
            # What is committed survives the death of this process either way. Only a crash of the whole machine may
            # lose the last commits in the first, which is worth a third of the throughput here.
            connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
            connection.execute(f"PRAGMA fullfsync = {durability == 'power'}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A read-only connection to an existing store; StoreError when there is none."""
    with store_errors(path):
        if not _is_there(path):
            raise StoreError(path=str(path), reason="there is no such file. Check the path.")
        connection = _reading_connection(path)
        try:
            version = _refuse_what_is_not_ours(connection, path)
        except BaseException:
            connection.close()
            raise
        if version:
            return connection
        connection.close()
        raise StoreError(path=str(path), reason="the file is empty; no receiver has written to it yet.")


def is_database(path: Path) -> bool:
    """Whether a file is a SQLite database, of whomever; OSError when it cannot be looked at.

    SQLite is asked, for the reason above. One that is locked or damaged is a database, too.
    """
    if not path.stat().st_size:
        return False
    try:
        with closing(_reading_connection(path)) as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
    except sqlite3.Error as error:
        return error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN}
    return bool(pages)


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


def _is_there(path: Path) -> bool:
    try:
        is_folder = S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False
    if is_folder:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return True


def _refuse_what_is_not_ours(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a store of ours, 0 for an empty file; StoreError for anything else. Reads, and changes nothing."""
    try:
        # Asked first: whoever makes the file meanwhile makes all of it at once.
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise StoreError(path=str(path), reason=f"{_ADVICE[sqlite3.SQLITE_NOTADB]} It was left as it is.") from None
    # A receiver that was killed just after it made the file leaves it without a page.
    if pages and application != APPLICATION_ID:
        raise StoreError(
            path=str(path), reason="it is a SQLite database of another program. Use another file. It was left as it is."
        )
    version = schema_version(connection)
    _refuse_what_is_newer(version, path)
    return version


def _refuse_what_is_newer(version: int, path: Path) -> None:
    if version > SCHEMA_VERSION:
        raise StoreError(
            path=str(path),
            reason=f"it has version {version}, and this Postback Kit knows versions up to {SCHEMA_VERSION}. "
            "Update Postback Kit, or use another file. It was left as it is.",
        )


def _make_folder(folder: Path) -> None:
    """Make our own folder; any other must be there, or a slip of the pen would leave a tree of new folders."""
    if folder.exists():
        return
    own = next((one for one in (folder, *folder.parents) if one.name == OWN_FOLDER), None)
    if own is None:
        raise StoreError(path=str(folder), reason="there is no such folder. Make it first, or check the path.")
    if not own.exists():
        own.mkdir(exist_ok=True)
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
    _refuse_what_is_newer(version, path)
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


def _write_ahead(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch a file to write-ahead logging; SQLite refuses all but one of those that do so at once."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"
