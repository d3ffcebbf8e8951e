"""Ledgers of partners: honest ones of different policies, broken ones, and who keeps one: books, an HTTP endpoint."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Self

from aiohttp import web

from postback_conformance.ledger.play import Reply
from postback_conformance.suite.probe import Recorded, read_probe
from postback_sender import Event
from postback_sender.notification import Notification, NotificationSource, parse_notification

Values = Mapping[str, str]
Point = tuple[Decimal, Decimal]
Record = dict[str, str]

NOTHING: Point = (Decimal(0), Decimal(0))

SETTINGS = """
url = "http://127.0.0.1:9/postback"
method = "POST"
body = '''{"id": "{ActionId}", "status": "{Status}", "payout": "{Payout}", "by": "{DeltaPayout}",
 "amount": "{Amount}", "amount_by": "{DeltaAmount}"}'''
"""
FIELDS = {
    "ActionId": "id",
    "Status": "status",
    "Payout": "payout",
    "DeltaPayout": "by",
    "Amount": "amount",
    "DeltaAmount": "amount_by",
}


def settings(text: str = SETTINGS) -> Notification:
    """Return the settings whose body the endpoint reads."""
    return parse_notification(NotificationSource(name="n.toml", text=text), None)


def end_of(values: Values) -> Point:
    return Decimal(values["Payout"]), Decimal(values["Amount"])


def start_of(values: Values) -> Point:
    payout, amount = end_of(values)
    return payout - Decimal(values["DeltaPayout"]), amount - Decimal(values["DeltaAmount"])


def record_of(status: str, point: Point) -> Record:
    return {"status": status, "payout": f"{point[0]:.2f}", "amount": f"{point[1]:.2f}"}


class Ledger:
    """One action's books; takes the values of each postback that arrives."""

    def take(self, values: Values) -> None:
        raise NotImplementedError

    def record(self) -> Record:
        raise NotImplementedError


class AddsDeltas(Ledger):
    """Honest: adds up the deltas of all different updates; an approved figure is final."""

    def __init__(self) -> None:
        self.seen: set[tuple[Point, Point]] = set()
        self.total = NOTHING
        self.reversals = 0
        self.approved: Point | None = None

    def take(self, values: Values) -> None:
        if values["Status"] == "APPROVED":
            self.approved = end_of(values)
        self.reversals += values["Status"] == "REVERSED"
        move = (start_of(values), end_of(values))
        if move not in self.seen:
            self.seen.add(move)
            self.total = (
                self.total[0] + Decimal(values["DeltaPayout"]),
                self.total[1] + Decimal(values["DeltaAmount"]),
            )

    def record(self) -> Record:
        if self.approved is not None:
            return record_of("APPROVED", self.approved)
        return record_of("REVERSED" if self.reversals and self.total == NOTHING else "PENDING", self.total)


class FollowsChain(Ledger):
    """Honest: stores the current figures of an update that begins where the ledger stands, and puts off the others."""

    def __init__(self) -> None:
        self.at = NOTHING
        self.status = "PENDING"
        self.put_off: list[Values] = []
        self.seen: list[Values] = []

    def take(self, values: Values) -> None:
        if values in self.seen:
            return
        self.seen.append(dict(values))
        self.put_off.append(dict(values))
        while self.status != "APPROVED" and (fits := [one for one in self.put_off if self.fits(one)]):
            self.put_off.remove(fits[0])
            self.at, self.status = end_of(fits[0]), fits[0]["Status"]

    def fits(self, values: Values) -> bool:
        return values["Status"] == "APPROVED" or start_of(values) == self.at

    def record(self) -> Record:
        return record_of(self.status, self.at)


class PutOffError(Exception):
    """What an update is refused with for now."""


class RefusesLate(FollowsChain):
    """Honest: refuses what does not begin where the ledger stands, and relies on its being sent again."""

    def take(self, values: Values) -> None:
        if values not in self.seen and not self.fits(values):
            raise PutOffError
        super().take(values)


class RefusesRepeats(AddsDeltas):
    """Honest, if not polite: refuses what it has."""

    def take(self, values: Values) -> None:
        if (start_of(values), end_of(values)) in self.seen:
            raise PutOffError
        super().take(values)


class LastWins(Ledger):
    """Broken where postbacks come late: stores whatever came last."""

    def __init__(self) -> None:
        self.last: Values = {}

    def take(self, values: Values) -> None:
        self.last = dict(values)

    def record(self) -> Record:
        return record_of(self.last["Status"], end_of(self.last))


class AddsEverything(AddsDeltas):
    """Broken where postbacks come twice: adds up the deltas of all."""

    def take(self, values: Values) -> None:
        self.seen.clear()
        super().take(values)


class FirstWins(LastWins):
    """Broken: takes the action's id for that of the postback."""

    def take(self, values: Values) -> None:
        if not self.last:
            super().take(values)


class Floats(AddsDeltas):
    """Broken: adds up in binary floating point."""

    def record(self) -> Record:
        payouts = [end[0] - start[0] for start, end in self.seen]
        total = 0.0
        for payout in payouts:
            total += float(payout)
        return {**super().record(), "payout": repr(total)}


class Books:
    """A partner in memory, without a network, that keeps one ledger of its kind for each action."""

    def __init__(self, kind: type[Ledger]) -> None:
        self.kind = kind
        self.ledgers: dict[str, Ledger] = {}

    async def send(self, event: Event, *, lost: bool = False, at_once: int = 1) -> Sequence[Reply]:
        return [self.take(event) for _ in range(at_once + lost)][lost:]

    def take(self, event: Event) -> Reply:
        ledger = self.ledgers.get(event.values["ActionId"], self.kind())
        try:
            ledger.take(event.values)
        except PutOffError:
            return Reply(False, "answered 503")
        self.ledgers[event.values["ActionId"]] = ledger
        return Reply(True, "answered 200")

    async def recorded(self, action_id: str, wanted: object = None) -> Recorded | None:
        _ = wanted
        ledger = self.ledgers.get(action_id)
        return None if ledger is None else read_probe({"actions": {action_id: ledger.record()}}, action_id)

    async def restart(self) -> None:
        self.ledgers = dict(self.ledgers)


class WipesTexts(AddsDeltas):
    """Broken: adds up the deltas, and takes what a reversal says of all else for empty."""

    def take(self, values: Values) -> None:
        super().take(values)
        self.texts = {"currency": "" if values["Status"] == "REVERSED" else "USD", "sub_id1": values["SubId1"]}

    def record(self) -> Record:
        return {**super().record(), **self.texts}


class LedgerEndpoint:
    """An HTTP endpoint on loopback that keeps one ledger of its kind for each action."""

    def __init__(self, kind: type[Ledger] = AddsDeltas) -> None:
        self.kind = kind
        self.ledgers: dict[str, Ledger] = {}
        self.url = ""
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/postback"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.json()
        values = {token: str(body[field]) for token, field in FIELDS.items()}
        ledger = self.ledgers.get(values["ActionId"], self.kind())
        try:
            ledger.take(values)
        except PutOffError:
            return web.Response(status=503)
        self.ledgers[values["ActionId"]] = ledger
        return web.Response()

    def probe(self, action_id: str) -> object:
        """Say what is recorded of an action, as a probe does."""
        ledger = self.ledgers.get(action_id)
        return {"actions": {} if ledger is None else {action_id: ledger.record()}}
