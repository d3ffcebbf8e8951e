"""A partner's endpoint that does everything right, with its ledger and probe, in four formats; a broken one overrides
a step. `conform` runs the suite against either.
"""

import asyncio
import json
import ssl
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

from aiohttp import web

from counted_clock import CountedClock
from fork_server import PATIENCE_S
from hasty_loop import run_hastily
from postback_conformance.judging.verdict import Verdict
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.catalogue import CASES
from postback_conformance.suite.endpoint import Endpoint
from postback_conformance.suite.patience import Patience
from postback_conformance.suite.probe import probe_at
from postback_conformance.suite.proxy import Proxy
from postback_conformance.suite.reporting import select_cases
from postback_conformance.suite.running import run_suite
from postback_conformance.suite.sent import Sent
from postback_sender import Event
from postback_sender.notification import NotificationSource, parse_notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND

SECRET = "s3cret-of-a-partner"
_TOKENS = {
    "action_id": "ActionId",
    "status": "Status",
    "payout": "Payout",
    "delta_payout": "DeltaPayout",
    "amount": "Amount",
    "delta_amount": "DeltaAmount",
    "currency": "Currency",
    "event_date": "EventDate",
    "sub_id1": "SubId1",
    "campaign_name": "CampaignName",
    "referring_type": "ReferringType",
}
_HEAD = f"""
event = "action_lifecycle"
timeout = "60s"
headers = {{ X-Api-Key = "{SECRET}" }}
"""
_URL = 'url = "http://127.0.0.1:8080/postback"\n'
_QUERY = "&".join(f"{name}={{{token}}}" for name, token in _TOKENS.items())
_FIELDS = ", ".join(f'"{name}": "{{{token}}}"' for name, token in _TOKENS.items())
_ATTRIBUTES = " ".join(f'{name}="{{{token}}}"' for name, token in _TOKENS.items())
_JSON_ITEM = r"\{\"sku\": \"{i.sku}\", \"price\": \"{i.amt}\", \"name\": \"{i.name}\"\}"
_JSON = r"\{" + _FIELDS + ', "items": [{join(items, i, "' + _JSON_ITEM + r'")}]\}'
_XML = f"<postback {_ATTRIBUTES}>" + r'{join(items, i, "<item sku=\"{i.sku}\"/>", "")}</postback>'

JSON_SETTINGS = f"{_HEAD}{_URL}body_format = 'json'\nbody = '''{_JSON}'''\n"
XML_SETTINGS = f"{_HEAD}{_URL}body_format = 'xml'\nbody = '''{_XML}'''\n"
FORM_SETTINGS = f"{_HEAD}{_URL}body_format = 'query'\nbody = '''{_QUERY}'''\n"
GET_SETTINGS = f"{_HEAD}url = 'http://127.0.0.1:8080/postback?{_QUERY}'\nmethod = 'GET'\n"

Move = tuple[Decimal, Decimal, Decimal, Decimal, str]
"""Payout and amount before an update and after it, and the status it tells."""


class Refused(Exception):  # noqa: N818  it is what happened, not what went wrong
    """What the endpoint will not take; the status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Ledger:
    """What was recorded: each update of an action once, whatever the order in which they came."""

    def __init__(self) -> None:
        self.moves: dict[str, dict[Move, Mapping[str, Any]]] = {}

    def record(self, values: Mapping[str, Any]) -> None:
        """Record one update."""
        payout, amount = Decimal(values["payout"]), Decimal(values["amount"])
        delta_payout, delta_amount = Decimal(values["delta_payout"]), Decimal(values["delta_amount"])
        move = (payout - delta_payout, amount - delta_amount, payout, amount, values["status"])
        self.moves.setdefault(values["action_id"], {}).setdefault(move, values)

    def shown(self, action_id: str) -> dict[str, Any]:
        """What the probe returns."""
        moves = self.moves.get(action_id)
        if not moves:
            return {"actions": {}}
        # Where the walk from nothing ends: the one point that is entered once more than it is left.
        balance = Counter({(Decimal(0), Decimal(0)): 1})
        balance.update((move[2], move[3]) for move in moves)
        balance.subtract((move[0], move[1]) for move in moves)
        last = next((move for move in reversed(moves) if balance[move[2], move[3]] > 0), next(reversed(moves)))
        values = moves[last]
        names = ("status", "payout", "amount", "currency", "event_date", "sub_id1", "campaign_name")
        return {"actions": {action_id: {**{name: values[name] for name in names}, "updates": len(moves)}}}


class Crowd:
    """Requests that are sent at once: so many at a time. Whoever loses by the others being there does so every time."""

    def __init__(self, size: int = 1) -> None:
        self._size = size
        self._here = 0
        self._met = asyncio.Event()

    async def met(self, count: int) -> None:
        """Wait until so many of them are here, where that many come."""
        self._here += 1
        if self._here == count:
            self._met.set()
        if self._size >= count:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._met.wait()


class Partner:
    """The endpoint's application; a broken one does one of its steps wrong."""

    content_types: Collection[str] = ("application/json", "application/octet-stream")
    methods: Collection[str] = ("POST",)
    tls: ssl.SSLContext | None = None
    blocks = False
    """Whether it keeps its loop from all else, so that it needs one of its own."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        # What its answers take, by the clock of the suite: as long as it says.
        self.clock = CountedClock()
        self.crowd = Crowd()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Record a postback, then say so."""
        try:
            values = self.read(request, await self.body(request))
        except Refused as error:
            return web.Response(status=error.status, text=str(error))
        await self.record(values)
        return web.Response(text="OK")

    async def body(self, request: web.Request) -> bytes:
        """Read a body to its end, or refuse it."""
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise Refused(413, "too large") from error

    def read(self, request: web.Request, body: bytes) -> Mapping[str, Any]:
        """Return the values of a postback."""
        self.authorize(request)
        if request.content_type not in self.content_types:
            raise Refused(415, "another format, please")
        return self.checked(self.values(request, body))

    def checked(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values, if they are all that is needed."""
        try:
            if not values["action_id"]:
                raise Refused(422, "which action?")
            for name in ("payout", "amount", "delta_payout", "delta_amount"):
                Decimal(values[name])
        except (KeyError, TypeError, InvalidOperation) as error:
            raise Refused(422, "what is missing?") from error
        return values

    def authorize(self, request: web.Request) -> None:
        """Refuse who does not know the secret."""
        if request.headers.get("X-Api-Key") != SECRET:
            raise Refused(401, "who are you?")

    def values(self, request: web.Request, body: bytes) -> Mapping[str, Any]:
        """Return what a request says."""
        _ = request
        return self.parsed(body)

    def parsed(self, body: bytes) -> Mapping[str, Any]:
        """Return what a body says."""
        try:
            return dict(json.loads(body.decode("utf-8")))
        except (ValueError, TypeError, RecursionError) as error:
            raise Refused(400, "no JSON") from error

    async def record(self, values: Mapping[str, Any]) -> None:
        """Record what was read."""
        self.ledger.record(values)

    async def probe(self, request: web.Request) -> web.Response:
        """Show what was recorded."""
        return web.json_response(self.ledger.shown(request.query["id"]))

    def restart(self) -> None:
        """Go on after a kill: nothing is lost, since what was answered had been recorded."""

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[int]:
        """Listen, with one postback URL and one probe URL; the port."""
        app = web.Application()
        for method in self.methods:
            app.router.add_route(method, "/postback", self.answer)
        app.router.add_get("/probe", self.probe)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.tls).start()
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()


class XmlPartner(Partner):
    """The same, for postbacks in XML."""

    content_types = ("application/xml", "text/xml")

    def parsed(self, body: bytes) -> Mapping[str, Any]:
        """Return the attributes of the root; a document type is refused before anything is unfolded."""
        if b"<!DOCTYPE" in body:
            raise Refused(400, "no document types")
        try:
            return dict(ET.fromstring(body).attrib)  # noqa: S314  without a document type
        except (ET.ParseError, RecursionError) as error:
            raise Refused(400, "no XML") from error


class GetPartner(Partner):
    """The same, for postbacks that carry everything in their URL."""

    methods = ("GET",)

    def values(self, request: web.Request, body: bytes) -> Mapping[str, Any]:
        """Return the parameters."""
        _ = body
        return dict(request.query)


class FormPartner(Partner):
    """The same, for postbacks whose body is a form."""

    content_types = ("application/x-www-form-urlencoded",)

    def parsed(self, body: bytes) -> Mapping[str, Any]:
        """Return the fields."""
        try:
            return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True))
        except ValueError as error:
            raise Refused(400, "no form") from error


@contextmanager
def serving(partner: Partner) -> Generator[str]:
    """Serve a partner on a thread of its own; the URL of its endpoint, whose probe is at `/probe`."""
    started = threading.Event()
    state: dict[str, Any] = {}

    async def run() -> None:
        state["loop"], state["stop"] = asyncio.get_running_loop(), asyncio.Event()
        async with partner.listening() as port:
            state["port"] = port
            started.set()
            await state["stop"].wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(PATIENCE_S), "the partner's server did not start"
    try:
        yield f"http{'s' if partner.tls else ''}://127.0.0.1:{state['port']}/postback"
    finally:
        state["loop"].call_soon_threadsafe(state["stop"].set)
        thread.join(PATIENCE_S)


class WatchedBench(Bench):
    """A bench whose partner knows how many requests come at once."""

    partner: Partner

    async def send(
        self,
        events: Sequence[Event],
        *,
        concurrency: int = 1,
        retries_ns: Sequence[int] = (),
        via: Proxy | None = None,
    ) -> list[Sent]:
        """Send events as ever."""
        self.partner.crowd = Crowd(min(concurrency, len(events)))
        return await super().send(events, concurrency=concurrency, retries_ns=retries_ns, via=via)


def conform(
    partner: Partner,
    settings: str = JSON_SETTINGS,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    probe: bool = True,
    seed: int = 1,
    max_examples: int = 2,
) -> tuple[Verdict, ...]:
    """Run cases against a partner, quickly, by a clock of its own.

    Both share a loop, so that what is sent is read before more is sent, however busy the machine is.
    """
    notification = parse_notification(NotificationSource(name="n.toml", text=settings), {})

    async def restart() -> None:
        partner.restart()

    async def run(url: str) -> tuple[Verdict, ...]:
        look_at = url.replace("/postback", "/probe")
        look = probe_at(look_at, limit_ns=round(PATIENCE_S) * NANOSECONDS_PER_SECOND) if probe else None
        bench = WatchedBench(
            Endpoint(url=url, restart=restart),
            notification,
            probe=look,
            seed=seed,
            max_examples=max_examples,
            quick=True,
            clock=partner.clock,
            # Nobody here books later than it answers.
            patience=Patience(pauses_s=()),
        )
        bench.partner = partner
        async with bench:
            return (await run_suite(select_cases(CASES, only=only, skip=skip), bench)).verdicts

    async def run_beside() -> tuple[Verdict, ...]:
        async with partner.listening() as port:
            return await run(f"http://127.0.0.1:{port}/postback")

    if not partner.blocks:
        return run_hastily(run_beside())
    with serving(partner) as url:
        return run_hastily(run(url))
