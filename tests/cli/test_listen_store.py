"""`listen` and a store that cannot be opened at once: it can be stopped meanwhile, and leaves nothing open."""

import asyncio
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from command_line import PATIENCE_S, eventually
from postback_conformance.cli.listen_settings import ListenSettings
from postback_conformance.cli.receiving import open_store_of
from postback_conformance.cli.serving import serve
from postback_receiver import SqliteStore
from postback_receiver.retention import Retention
from postback_receiver.sqlite_file import Durability

OF_RECEIVING = "postback_conformance.cli.receiving.SqliteStore"


@pytest.fixture
def settings(tmp_path: Path) -> ListenSettings:
    return ListenSettings(host="127.0.0.1", port=0, store=tmp_path / "locked.sqlite", max_body_bytes=9999)


def threads_of_store() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & {"store opening", "store locked.sqlite"}


class PatientStore(SqliteStore):
    """Waits for a lock for longer than any test lasts."""

    def __init__(self, path: Path, *, durability: Durability, retention: Retention) -> None:
        super().__init__(path, durability=durability, retention=retention, busy_timeout_s=3600)


@pytest.mark.parametrize("is_new", [True, False], ids=["new file", "known file"])
def test_a_receiver_that_waits_for_a_locked_store_can_be_stopped(
    *, is_new: bool, settings: ListenSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OF_RECEIVING, PatientStore)
    if not is_new:
        SqliteStore(settings.store).close()

    def stop() -> None:
        eventually(lambda: bool(threads_of_store()), "nobody opens the store")
        signal.raise_signal(signal.SIGTERM)

    stopper = Thread(target=stop)
    with closing(sqlite3.connect(settings.store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE" if is_new else "BEGIN IMMEDIATE")
        stopper.start()
        # It ends although the lock is still held.
        serve(settings)
    stopper.join(PATIENCE_S)
    eventually(lambda: not threads_of_store(), "the store is still being opened")


def test_a_store_that_is_open_when_nobody_wants_it_any_more_is_closed(
    settings: ListenSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open = threading.Event()

    class LateStore(SqliteStore):
        def __init__(self, path: Path, *, durability: Durability, retention: Retention) -> None:
            may_open.wait(PATIENCE_S)
            super().__init__(path, durability=durability, retention=retention)

    async def give_up() -> None:
        opening = asyncio.create_task(open_store_of(settings))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    monkeypatch.setattr(OF_RECEIVING, LateStore)
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(give_up())
        # The loop is there to be told of it, and does not run again.
        may_open.set()
        eventually(lambda: "store opening" not in threads_of_store(), "the store is still being opened")
    eventually(lambda: not threads_of_store(), "the store is still open")
