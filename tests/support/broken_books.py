"""Endpoints that do one thing wrong in what they book, and when much happens at once or something breaks off."""

import asyncio
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from fork_server import PATIENCE_S
from hand_made_endpoint import HandMade
from hasty_loop import let_pass
from partner_endpoint import Ledger, Partner

Values = Mapping[str, Any]


# What it books


class Sums(Ledger):
    """Right: adds up the deltas of all different updates."""

    def __init__(self) -> None:
        super().__init__()
        self.booked: dict[str, list[Values]] = {}
        self.known: list[Values] = []

    def knows(self, values: Values) -> bool:
        """Tell whether an update was booked already."""
        return values in self.known

    def book(self, values: Values) -> None:
        """Book an update, known or not."""
        super().record(values)
        self.known.append(values)
        self.booked.setdefault(values["action_id"], []).append(values)

    def record(self, values: Values) -> None:
        """Book an update that is new."""
        if not self.knows(values):
            self.book(values)

    def total(self, action_id: str, figure: str) -> str:
        """Return what the updates of an action add up to."""
        return str(sum(Decimal(one[f"delta_{figure}"]) for one in self.booked[action_id]))

    def shown(self, action_id: str) -> dict[str, Any]:
        """What the probe returns."""
        shown = super().shown(action_id)
        for entry in shown["actions"].values():
            entry |= {figure: self.total(action_id, figure) for figure in ("payout", "amount")}
            entry["updates"] = len(self.booked[action_id])
        return shown


class Books(Partner):
    """Right: keeps such a ledger."""

    ledger_of: type[Sums] = Sums

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Sums = self.ledger_of()


class BooksEveryArrival(Books):
    async def record(self, values: Values) -> None:
        self.ledger.book(values)


class LooksThenBooks(Books):
    async def record(self, values: Values) -> None:
        if not self.ledger.knows(values):
            await self.crowd.met(2)
            self.ledger.book(values)


class KnowsDuplicatesByConnection(Books):
    """Each of its workers has a memory of its own."""

    def read(self, request: web.Request, body: bytes) -> Values:
        worker = request.transport.get_extra_info("peername") if request.transport is not None else None
        return {**super().read(request, body), "worker": worker}


class LetsTheLastArrivalWin(Partner):
    async def record(self, values: Values) -> None:
        self.ledger.moves.pop(values["action_id"], None)
        await super().record(values)


class DropsReversals(Partner):
    async def record(self, values: Values) -> None:
        if values["status"] != "REVERSED":
            await super().record(values)


class TakesTheActionIdForADuplicate(Partner):
    async def record(self, values: Values) -> None:
        if values["action_id"] not in self.ledger.moves:
            await super().record(values)


class TakesIdAndStatusForADuplicate(Partner):
    async def record(self, values: Values) -> None:
        if values["status"] not in {move[-1] for move in self.ledger.moves.get(values["action_id"], ())}:
            await super().record(values)


class AddsUpWhatHolds(Books):
    class ledger_of(Sums):  # noqa: N801  it stands for a value
        def total(self, action_id: str, figure: str) -> str:
            return str(sum(Decimal(one[figure]) for one in self.booked[action_id]))


class TakesTheSameFiguresForADuplicate(Partner):
    async def record(self, values: Values) -> None:
        figures = Decimal(values["payout"]), Decimal(values["amount"]), values["status"]
        if figures not in {move[2:] for move in self.ledger.moves.get(values["action_id"], ())}:
            await super().record(values)


class OverwritesWhatOthersBooked(Books):
    """Reads an action's figures, adds, waits for the disk, and writes them back."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: dict[str, dict[str, str]] = {}

    async def record(self, values: Values) -> None:
        if self.ledger.knows(values):
            return
        self.ledger.book(values)
        before = self.totals.get(values["action_id"], {})
        await self.crowd.met(2)
        self.totals[values["action_id"]] = {
            figure: str(Decimal(before.get(figure, "0")) + Decimal(values[f"delta_{figure}"]))
            for figure in ("payout", "amount")
        }

    async def probe(self, request: web.Request) -> web.Response:
        asked = request.query["id"]
        shown = self.ledger.shown(asked)
        for entry in shown["actions"].values():
            entry.update(self.totals.get(asked, {}))
        return web.json_response(shown)


class SkipsWhatPaysNothing(Partner):
    async def record(self, values: Values) -> None:
        if Decimal(values["payout"]) or values["status"] == "REVERSED":
            await super().record(values)


class KeepsTheEndOfAnId(Partner):
    async def record(self, values: Values) -> None:
        await super().record({**values, "action_id": values["action_id"].rpartition(".")[2]})

    async def probe(self, request: web.Request) -> web.Response:
        asked = request.query["id"]
        found = self.ledger.shown(asked.rpartition(".")[2])["actions"]
        return web.json_response({"actions": dict.fromkeys([asked] if found else [], *found.values())})


class SwallowsItsErrors(Partner):
    """Its tables hold no text beyond Latin-1; the error is logged, and that is that."""

    async def record(self, values: Values) -> None:
        try:
            str(values).encode("latin-1")
        except UnicodeEncodeError:
            return
        await super().record(values)


class PutsOffWhatItCannotPlace(Partner):
    """Right: what begins where nothing ended yet may come again."""

    async def record(self, values: Values) -> None:
        payout, amount, payout_delta, amount_delta = (
            Decimal(values[name]) for name in ("payout", "amount", "delta_payout", "delta_amount")
        )
        moves = self.ledger.moves.get(values["action_id"], {})
        ends = {(Decimal(0), Decimal(0)), *((move[2], move[3]) for move in moves)}
        if (payout - payout_delta, amount - amount_delta) not in ends:
            raise web.HTTPServiceUnavailable
        await super().record(values)


class CountsInFloats(Books):
    class ledger_of(Sums):  # noqa: N801  it stands for a value
        def total(self, action_id: str, figure: str) -> str:
            return repr(sum(float(one[f"delta_{figure}"]) for one in self.booked[action_id]))


class ForgetsDuplicatesSoon(Books):
    def __init__(self) -> None:
        super().__init__()
        self.latest: deque[Values] = deque(maxlen=2)

    async def record(self, values: Values) -> None:
        if values not in self.latest:
            self.latest.append(values)
            self.ledger.book(values)


# How it stands what happens


class NowAndThenThinks(Partner):
    async def record(self, values: Values) -> None:
        await super().record(values)
        if len(self.ledger.moves) % 4 == 0:
            self.clock.let_pass(2.1)


class LosesSomeAtOnce(Partner):
    async def record(self, values: Values) -> None:
        # Reads everything, waits for the disk, and writes everything back.
        moves = dict(self.ledger.moves)
        await self.crowd.met(2)
        await super().record(values)
        moves[values["action_id"]] = self.ledger.moves[values["action_id"]]
        self.ledger.moves = moves


class IsHalfBusyAtOnce(Partner):
    def __init__(self) -> None:
        super().__init__()
        self.busy = 0

    async def record(self, values: Values) -> None:
        self.busy += 1
        try:
            await self.crowd.met(9)
            if self.busy > 8:
                raise web.HTTPServiceUnavailable
            await super().record(values)
        finally:
            self.busy -= 1


class ReadsOneByOne(Partner):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def body(self, request: web.Request) -> bytes:
        if self.lock.locked():
            # Whoever stands in line, stands there for a second.
            self.clock.let_pass(1)
        async with self.lock:
            return await super().body(request)


class RecordsHalves(Partner):
    async def body(self, request: web.Request) -> bytes:
        body = b""
        try:
            async for piece in request.content.iter_any():
                body += piece
        except ConnectionError:
            begun = body.partition(b'"action_id": "')[2].partition(b'"')[0].decode()
            nothing = dict.fromkeys(("payout", "amount", "delta_payout", "delta_amount"), "0")
            texts = {"status": "PENDING"} | dict.fromkeys(("currency", "event_date", "sub_id1", "campaign_name"), "")
            if begun:
                self.ledger.record({**nothing, **texts, "action_id": begun})
            raise
        return body


class RefusesDuplicates(Books):
    """Right: by the sources nothing is lost when what is known is refused."""

    async def record(self, values: Values) -> None:
        if self.ledger.knows(values):
            raise web.HTTPConflict
        await super().record(values)


class CrashesOnDuplicates(Books):
    """The error of its unique key is nobody's to catch."""

    async def record(self, values: Values) -> None:
        if self.ledger.knows(values):
            raise web.HTTPInternalServerError
        await super().record(values)


class HasAWorkerForEachConnection(HandMade):
    """It has twenty of them, and each waits until its connection ends."""

    def __init__(self) -> None:
        super().__init__()
        self.workers = asyncio.Semaphore(20)

    async def served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.workers.locked() and await reader.read(1):
            # Whoever asks now loses patience.
            let_pass(PATIENCE_S)
        async with self.workers:
            await super().served(reader, writer)


class KnowsDuplicatesFromMemory(Books):
    def restart(self) -> None:
        self.ledger.known.clear()


class AnswersBeforeSaving(Partner):
    """What it has is in memory, to be written when there is time."""

    def restart(self) -> None:
        self.ledger = Ledger()
