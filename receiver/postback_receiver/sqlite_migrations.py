"""How the file of an older version becomes one of the next: read as the old version, written as the new one."""

import sqlite3
from collections.abc import Callable
from typing import Final

from postback_receiver.sqlite_rows import (
    CREATE_SEGMENT,
    CREATE_TABLES,
    SELECT_ALL_OF_VERSION_1,
    capture_to_row,
    insert_captures,
    record_endings,
    row_to_capture,
)


def _from_1_to_2(connection: sqlite3.Connection) -> None:
    """Adds what a capture knows since then, numbers and sizes without gaps, and a table for what follows an answer."""
    connection.execute("ALTER TABLE capture RENAME TO capture_1")
    for statement in CREATE_TABLES:
        connection.execute(statement)
    total_size = 0
    for seq, values in enumerate(connection.execute(SELECT_ALL_OF_VERSION_1), start=1):
        row = capture_to_row(row_to_capture(values).capture)
        total_size += row.size
        connection.execute(insert_captures(row.rare), (seq, total_size, *row.columns))
        if row.ending is not None:
            names, stamps = row.ending.stamps
            connection.execute(record_endings(names), (seq, *stamps))
    connection.execute("DROP TABLE capture_1")


def _from_2_to_3(connection: sqlite3.Connection) -> None:
    """Drops the full-text index, which knew less; it is made anew behind the captures."""
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'").fetchall()
    for [name] in tables:
        connection.execute(f"DROP TABLE {name}")
    connection.execute("DELETE FROM indexed")
    # There already where the file comes from version 1.
    connection.execute("DROP TABLE IF EXISTS segment")
    connection.execute(CREATE_SEGMENT)


MIGRATIONS: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {1: _from_1_to_2, 2: _from_2_to_3}
"""By the version each one starts from. They run in one transaction, and raise ValueError at a row they cannot read."""
