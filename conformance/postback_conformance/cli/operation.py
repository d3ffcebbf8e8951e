"""The state of a running receiver as its inspector port shows it."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from postback_receiver import ReceiverError, SqliteStore, StoreError
from postback_receiver.metrics import Metric, counter, gauge

STORE_PATIENCE_S: Final = 2.0
"""How long the store may take for the write that readiness asks of it; who probes waits a few seconds at most."""


class Operation:
    """Answers the inspector. `stage`, `store` and `numbers` are set as the receiver comes up and goes down."""

    def __init__(
        self,
        store_path: Path,
        endpoints: Mapping[str, bytes | None],
        *,
        store_patience_s: float = STORE_PATIENCE_S,
    ) -> None:
        self.stage: Literal["starting", "running", "stopping"] = "starting"
        self.store: SqliteStore | None = None
        self.numbers: Callable[[], list[Metric]] = list
        self.listeners: Callable[[], int] = lambda: 1
        self.trouble: Callable[[], str | None] = lambda: None
        self._store_path = store_path
        self._endpoints = endpoints
        self._store_patience_s = store_patience_s

    async def why_unready(self) -> str | None:
        """Return why requests cannot be taken and recorded now, or None when they can."""
        if self.stage != "running" or self.store is None:
            return f"it is {self.stage}"
        if not self.listeners():
            return "nothing listens on the capture port"
        if trouble := self.trouble():
            return trouble
        try:
            # A real write, and one that changes nothing: only that tells of a full disk or a lock.
            async with asyncio.timeout(self._store_patience_s):
                await self.store.set_endpoints(self._endpoints)
        except TimeoutError:
            return f"the store took no write within {self._store_patience_s:g} s"
        except StoreError as error:
            return f"the store fails: {error.reason}"
        return None

    async def metrics(self) -> list[Metric]:
        """Return the numbers of the moment; those of the store are missing when it cannot be read."""
        metrics = [gauge("postback_stopping", "1 while the receiver ends.", int(self.stage == "stopping"))]
        metrics += self.numbers()
        if self.store is not None:
            try:
                metrics += await asyncio.to_thread(_store_metrics, self.store, self._store_path)
            except (ReceiverError, OSError):
                # /readyz says why.
                metrics.append(gauge("postback_store_readable", _READABLE, 0))
        return metrics


_READABLE: Final = "1 while the store can be read."


def _store_metrics(store: SqliteStore, path: Path) -> list[Metric]:
    files = (path, path.with_name(f"{path.name}-wal"))
    size = sum(file.stat().st_size for file in files if file.exists())
    gone = store.evictions()
    return [
        gauge("postback_store_readable", _READABLE, 1),
        gauge("postback_store_captures", "Captures in the store.", store.count()),
        counter("postback_store_evictions_total", "Captures that retention took out of the store.", gone.captures),
        gauge("postback_store_bytes", "Size of the store's files.", size),
    ]
