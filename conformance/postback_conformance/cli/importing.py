"""`import`: captures from a file into a store."""

import asyncio
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from postback_conformance.captured.traffic import open_traffic
from postback_conformance.cli.counting import counting
from postback_conformance.cli.saying import say
from postback_conformance.errors import ConformanceError, SelectionError
from postback_receiver import Capture, CaptureLookupError, SqliteStore, StoreError, capture_to_line
from postback_receiver.har import is_numbered_by_har

# What is handed to the store at a time goes into one commit.
_BATCH: Final = 256
_SHOWN: Final = 10


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("import")(_import)


def _import(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="NDJSON, HAR, or another store.", show_default=False)],
    *,
    store: Annotated[
        Path, typer.Option("--store", metavar="STORE", help="Where to; made when missing.", show_default=False)
    ],
) -> None:
    """Add captures to a store. One whose id is there already is skipped, so that an import can be repeated.

    Exit code 1 when the store has another capture by the same id; 4 when there is nothing to import.
    """
    if store.exists() and file.exists() and store.samefile(file):
        raise ConformanceError(f"{file}: the store cannot be imported into itself")
    with open_traffic(file) as traffic:
        # A file that cannot be read leaves no new store behind.
        captures = map(_with_lasting_id, traffic.read())
        first = list(islice(captures, 1))
        if not first:
            raise SelectionError(f"{file} holds no captures")
        target = SqliteStore(store)
        tally = _Tally(target)
        try:
            with asyncio.Runner() as runner, counting("importing", traffic.count) as count_one:
                runner.run(target.set_endpoints(traffic.settings))
                batch = [*first, *islice(captures, _BATCH - 1)]
                while batch:
                    runner.run(tally.add(batch))
                    for _ in batch:
                        count_one()
                    batch = list(islice(captures, _BATCH))
        except KeyboardInterrupt:
            say("stopped by Ctrl-C; the same command goes on with the rest")
            code = 130
        else:
            code = int(bool(tally.refused))
        finally:
            target.close()
            tally.tell(store)
    raise typer.Exit(code)


class _Tally:
    """Adds captures to a store and counts what became of them."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._added = 0
        self._present = 0
        self.refused = 0

    async def add(self, captures: list[Capture]) -> None:
        """Add some captures in one commit; raises `StoreError` for a store that cannot take them."""
        outcomes = await asyncio.gather(*map(self._store.append, captures), return_exceptions=True)
        for capture, outcome in zip(captures, outcomes, strict=True):
            if outcome is None:
                self._added += 1
            elif not isinstance(outcome, StoreError) or (present := self._find(capture.id)) is None:
                raise outcome
            elif present == capture:
                self._present += 1
            else:
                self.refused += 1
                if self.refused <= _SHOWN:
                    say(f"refused: the store has another capture with the id {capture.id}")

    def _find(self, capture_id: str) -> Capture | None:
        try:
            found = self._store.find(capture_id)
        except CaptureLookupError:
            return None
        return found if found.id == capture_id else None

    def tell(self, store: Path) -> None:
        """Say how many captures were added, skipped and refused."""
        say(f"{self._added} imported into {store}")
        if self._present:
            say(f"{self._present} skipped: they are there already")
        if self.refused:
            say(f"{self.refused} refused: the store has other captures with their ids")


def _with_lasting_id(capture: Capture) -> Capture:
    """Return a capture with an id that is the same in the next import, and another for one of another archive."""
    if not is_numbered_by_har(capture):
        return capture
    digest = blake2b(capture_to_line(capture), digest_size=8).hexdigest()
    return msgspec.structs.replace(capture, id=f"har-{digest}")
