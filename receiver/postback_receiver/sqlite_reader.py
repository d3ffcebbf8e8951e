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
from postback_receiver.sqlite_search import find, is_encodable
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
        fitting: list[Capture] = []
        # SQLite takes no half characters, so no id has any.
        if is_encodable(id_prefix):
            with self._open() as (connection, version):
                for [seq] in connection.execute(rows.SEQ_OF_ID, {"id": id_prefix}):
                    for row in connection.execute(rows.SELECT_PAGE[version], (seq - 1, 1)):
                        return rows.row_to_capture(row).capture
                values = {"start": id_prefix, "limit": MAX_LISTED + 1}
                found = connection.execute(rows.SELECT_BY_ID[version], values)
                fitting = [rows.row_to_capture(row).capture for row in found]
        if len(fitting) == 1:
            return fitting[0]
        raise CaptureLookupError(id_prefix=id_prefix, candidates=[capture.id for capture in fitting])

    def count(self) -> int:
        with self._open() as (connection, _):
            return int(connection.execute(rows.COUNT).fetchone()[0])

    def search(self, query: CaptureQuery, *, limit: int = PAGE_SIZE, before: int | None = None) -> CapturePage:
        with self._open() as (connection, version):
            connection.execute("BEGIN")
            found = list(islice(find(connection, version, query, before), limit))
        captures = tuple(capture for _, capture in found)
        return CapturePage(captures, before=found[-1].number if len(found) == limit else None)

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


def open_store(path: str | Path) -> SqliteReader:
    """An existing store, for reading only; StoreError when there is none, it is not ours, or it is too new."""
    return SqliteReader(path)
