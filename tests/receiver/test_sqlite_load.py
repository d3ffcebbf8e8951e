"""What a SQLite store does with much of the same: it indexes later, and knows header fields again."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_receiver import Capture, SqliteStore, open_store, sqlite_rows, sqlite_store
from postback_receiver.capture import Headers
from postback_receiver.retention import capture_size
from postback_receiver.sqlite_rows import capture_to_row

NewCapture = Callable[[str], Capture]


def test_one_small_commit_among_large_ones_gives_no_time_to_index(
    tmp_path: Path, new_capture: NewCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_WORTH_INDEXING", 4)
    monkeypatch.setattr(sqlite_store, "_COMMITS_BETWEEN", 2)
    monkeypatch.setattr(sqlite_store, "IDLE_S", 60.0)
    path = tmp_path / "captures.db"

    async def flood() -> None:
        with (
            closing(SqliteStore(path, busy_timeout_s=60.0)) as store,
            closing(sqlite3.connect(path, isolation_level=None, timeout=60.0)) as other,
        ):
            # While another writer has the file, they come to wait, all for one commit or two.
            other.execute("BEGIN IMMEDIATE")
            appends = [asyncio.create_task(store.append(new_capture(f"{number}"))) for number in range(64)]
            await asyncio.sleep(0)
            other.execute("COMMIT")
            await asyncio.gather(*appends)
            await store.append(new_capture("last"))
            await store.flush()
            assert other.execute("SELECT count(*) FROM indexed").fetchone() == (0,)

    asyncio.run(flood())
    assert open_store(path).count() == 65


def test_fields_that_come_again_are_kept_the_same(new_capture: NewCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_rows, "_known_fields", {})
    capture = replace(new_capture("a"), headers=(("X-Key", "\xe4"), ("x-key", '"')), trailers=(("T", "1"),))
    first, again = capture_to_row(capture), capture_to_row(capture)
    assert first == again
    assert '[["X-Key","\xe4"],["x-key","\\""]]' in first.columns
    assert first.size == capture_size(capture)


def test_few_fields_are_remembered_and_no_long_ones(new_capture: NewCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[Headers, object] = {}
    monkeypatch.setattr(sqlite_rows, "_known_fields", known)
    monkeypatch.setattr(sqlite_rows, "_MOST_KNOWN", 3)
    monkeypatch.setattr(sqlite_rows, "_LONGEST_KNOWN", 64)
    sizes: list[int] = []
    for number in range(8):
        capture_to_row(replace(new_capture("a"), headers=(("Content-Length", f"{number}"),)))
        sizes.append(len(known))
    assert sizes == [1, 2, 3, 1, 2, 3, 1, 2]
    capture_to_row(replace(new_capture("a"), headers=(("X-Long", "x" * 64),)))
    assert len(known) == 2
