"""Reading a SQLite store, in this process or another, while somebody may be writing it."""

import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from postback_receiver import sqlite_rows as rows
from postback_receiver.capture import Capture
from postback_receiver.capture_query import PAGE_SIZE, CaptureQuery
from postback_receiver.errors import MAX_LISTED, CaptureLookupError, StoreError
from postback_receiver.retention import Evictions
from postback_receiver.sqlite_file import open_for_reading, schema_version, store_errors
from postback_receiver.sqlite_index import INT64_MAX
from postback_receiver.sqlite_search import find, ids_like, is_encodable, overlooks
from postback_receiver.store import CapturePage, Numbered

PAGE_ROWS: Final = 256
"""Captures read at a time. One long transaction per reader would keep the log of a busy store from shrinking."""


class SqliteReader:
    """Reads a store of this version or an older one. Each call opens the file anew: it always sees the last commit and
    belongs to no thread.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        open_for_reading(self._path).close()

    def captures(self, *, after: int = 0) -> Iterator[Capture]:
        return (capture for _, capture in self.numbered(after=after))

    def numbered(self, *, after: int = 0) -> Iterator[Numbered]:
        with self._open() as (connection, version):
            while True:
                page = [
                    rows.row_to_capture(row)
                    for row in connection.execute(rows.SELECT_PAGE[version], (after, PAGE_ROWS))
                ]
                if not page:
                    break
                yield from page
                after = page[-1].number

    def find(self, id_prefix: str) -> Capture:
        fitting: list[str] = []
        # SQLite takes no half characters, so no id has any.
        if is_encodable(id_prefix):
            with self._open() as (connection, version):
                connection.execute("BEGIN")
                exact = _by_id(connection, version, id_prefix)
                if exact is not None:
                    return exact
                fitting = ids_like(connection, version, id_prefix, MAX_LISTED + 1)
                only = _by_id(connection, version, fitting[0]) if len(fitting) == 1 else None
                if only is not None:
                    return only
        raise CaptureLookupError(id_prefix=id_prefix, candidates=sorted(fitting))

    def count(self) -> int:
        with self._open() as (connection, _):
            return int(connection.execute(rows.COUNT).fetchone()[0])

    def search(self, query: CaptureQuery, *, limit: int = PAGE_SIZE, before: int | None = None) -> CapturePage:
        with self._open() as (connection, version):
            connection.execute("BEGIN")
            found = list(islice(find(connection, version, query, before), limit))
            last = found[-1].number if len(found) == limit else None
            stop = INT64_MAX if before is None else before - 1
            overlooked = overlooks(connection, version, query, last or 1, stop)
        captures = tuple(capture for _, capture in found)
        return CapturePage(captures, before=last, overlooked=overlooked)

    def evictions(self) -> Evictions:
        with self._open() as (connection, version):
            if version == 1:
                return Evictions()
            captures, size, oldest_at_ns, newest_at_ns = connection.execute(rows.SELECT_EVICTION).fetchone()
        return Evictions(captures=captures, bytes=size, oldest_at_ns=oldest_at_ns, newest_at_ns=newest_at_ns)

    def endpoints(self) -> Mapping[str, bytes | None]:
        with self._open() as (connection, _):
            return dict(connection.execute(rows.SELECT_SETTINGS).fetchall())

    def close(self) -> None:
        """Nothing is held between calls."""

    @contextmanager
    def _open(self) -> Generator[tuple[sqlite3.Connection, int]]:
        with store_errors(self._path), closing(open_for_reading(self._path)) as connection:
            try:
                yield connection, schema_version(connection)
            except rows.RowError as error:
                reason = f"it holds a row that is not a capture: {error}."
                raise StoreError(path=str(self._path), reason=reason) from error


def _by_id(connection: sqlite3.Connection, version: int, capture_id: str) -> Capture | None:
    for [seq] in connection.execute(rows.SEQ_OF_ID, {"id": capture_id}):
        for row in connection.execute(rows.SELECT_PAGE[version], (seq - 1, 1)):
            return rows.row_to_capture(row).capture
    return None


def open_store(path: str | Path) -> SqliteReader:
    """An existing store, for reading only; StoreError when there is none, it is not ours, or it is too new."""
    return SqliteReader(path)
