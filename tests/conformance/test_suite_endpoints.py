"""The suite against endpoints that do everything right, and against each fault by the case that is made for it."""

import asyncio
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any
from xml.sax import handler, make_parser
from xml.sax.xmlreader import AttributesImpl, InputSource

import pytest
from aiohttp import web

from partner_endpoint import (
    FORM_SETTINGS,
    GET_SETTINGS,
    JSON_SETTINGS,
    XML_SETTINGS,
    FormPartner,
    GetPartner,
    Partner,
    Refused,
    XmlPartner,
    serving,
)
from postback_conformance.suite.bench import Bench, Endpoint
from postback_conformance.suite.catalogue import CASES
from postback_conformance.suite.probe import probe_at
from postback_conformance.suite.reporting import select_cases
from postback_conformance.suite.running import run_suite
from postback_conformance.verdict import Verdict
from postback_sender.notification import NotificationSource, parse_notification

# One takes a second by design and is tried below; the others have tests of their own.
SLOW = ("latency.slow-neighbour", "state.*")


def conform(
    partner: Partner,
    settings: str = JSON_SETTINGS,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    probe: bool = True,
) -> tuple[Verdict, ...]:
    """Run cases against a partner."""
    notification = parse_notification(NotificationSource(name="n.toml", text=settings), {})

    async def run(url: str) -> tuple[Verdict, ...]:
        look = probe_at(url.replace("/postback", "/probe")) if probe else None
        async with Bench(Endpoint(url=url), notification, probe=look, seed=1, max_examples=2, quick=True) as bench:
            return (await run_suite(select_cases(CASES, only=only, skip=skip), bench)).verdicts

    with serving(partner) as url:
        return asyncio.run(run(url))


@pytest.mark.parametrize(
    ("partner", "settings", "applicable"),
    [
        pytest.param(Partner, JSON_SETTINGS, 28, id="json"),
        pytest.param(XmlPartner, XML_SETTINGS, 30, id="xml"),
        pytest.param(FormPartner, FORM_SETTINGS, 24, id="form"),
        pytest.param(GetPartner, GET_SETTINGS, 21, id="get"),
    ],
)
def test_an_endpoint_that_does_everything_right_passes_everything(
    partner: type[Partner], settings: str, applicable: int
) -> None:
    verdicts = conform(partner(), settings, skip=SLOW)
    assert [one for one in verdicts if one.outcome not in {"pass", "not_applicable"}] == []
    assert sum(one.outcome == "pass" for one in verdicts) == applicable
    assert all(one.message for one in verdicts)


def test_without_a_probe_what_needs_one_does_not_apply() -> None:
    verdicts = conform(Partner(), only=("accepts.text-kept", "recovery.cut-mid-body"), probe=False)
    assert [(one.outcome, "no probe" in one.message) for one in verdicts] == [("not_applicable", True)] * 2


class CrashesOnAQuote(Partner):
    async def record(self, values: Mapping[str, Any]) -> None:
        if "'" in values["sub_id1"]:
            raise ValueError("unterminated string in SQL")
        await super().record(values)


class TrimsTexts(Partner):
    async def record(self, values: Mapping[str, Any]) -> None:
        await super().record({name: text.strip() if isinstance(text, str) else text for name, text in values.items()})


class DropsOffsets(Partner):
    async def record(self, values: Mapping[str, Any]) -> None:
        await super().record({**values, "event_date": values["event_date"][:19] + "+00:00"})


class NeedsASubId(Partner):
    def values(self, request: web.Request, body: bytes) -> Mapping[str, Any]:
        values = super().values(request, body)
        if not values["sub_id1"]:
            raise Refused(422, "which sub id?")
        return values


class KnowsNoReversals(Partner):
    def values(self, request: web.Request, body: bytes) -> Mapping[str, Any]:
        values = super().values(request, body)
        if values["status"] not in {"PENDING", "APPROVED"}:
            raise Refused(422, "which status?")
        return values


class HasASmallLimit(Partner):
    async def body(self, request: web.Request) -> bytes:
        body = await super().body(request)
        if len(body) > 10_000:
            raise Refused(413, "too large")
        return body


class AcceptsBeforeReading(Partner):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        await super().answer(request)
        return web.Response(text="OK")


class KnowsNoSecret(Partner):
    def authorize(self, request: web.Request) -> None:
        _ = request


class ComparesTheBeginning(Partner):
    def authorize(self, request: web.Request) -> None:
        if "X-Api-Key" not in request.headers:
            raise Refused(401, "who are you?")


class DiesOfDepth(Partner):
    def values(self, request: web.Request, body: bytes) -> Mapping[str, Any]:
        if body.count(b"[") > 500:
            raise RecursionError("maximum recursion depth exceeded")
        return super().values(request, body)


class ReplacesBadBytes(Partner):
    def values(self, request: web.Request, body: bytes) -> Mapping[str, Any]:
        return super().values(request, body.decode("utf-8", "replace").encode())


class TakesAnyMethod(Partner):
    methods = ("POST", "PUT", "DELETE")


class TrustsLength(Partner):
    async def body(self, request: web.Request) -> bytes:
        if request.content_length is None:
            raise KeyError("Content-Length")
        return await super().body(request)


class ReadsOnce(Partner):
    async def body(self, request: web.Request) -> bytes:
        return await request.content.readany()


class LosesSome(Partner):
    async def record(self, values: Mapping[str, Any]) -> None:
        # Reads everything, waits for the disk, and writes everything back.
        moves = dict(self.ledger.moves)
        await asyncio.sleep(0.001)
        await super().record(values)
        moves[values["action_id"]] = self.ledger.moves[values["action_id"]]
        self.ledger.moves = moves


class ServesOneByOne(Partner):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def body(self, request: web.Request) -> bytes:
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


class RefusesDuplicates(Partner):
    async def record(self, values: Mapping[str, Any]) -> None:
        if values["action_id"] in self.ledger.moves:
            raise web.HTTPConflict
        await super().record(values)


class AnswersHalfBusy(Partner):
    def __init__(self) -> None:
        super().__init__()
        self.busy = 0

    async def record(self, values: Mapping[str, Any]) -> None:
        self.busy += 1
        try:
            await asyncio.sleep(0.002)
            if self.busy > 8:
                raise web.HTTPServiceUnavailable
            await super().record(values)
        finally:
            self.busy -= 1


class Unfolds(XmlPartner):
    """Reads XML with a parser that does whatever a document asks for."""

    def values(self, request: web.Request, body: bytes) -> Mapping[str, Any]:
        _ = request
        found: dict[str, str] = {}

        class Root(handler.ContentHandler):
            def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802  a name of SAX
                if name == "postback":
                    found.update(attrs.items())

        parser = make_parser()  # noqa: S317  that it is vulnerable is the point
        parser.setFeature(handler.feature_external_ges, True)
        parser.setContentHandler(Root())
        source = InputSource()
        source.setByteStream(BytesIO(body))
        try:
            parser.parse(source)
        except Exception as error:
            raise Refused(400, "no XML") from error
        return found


class HasATokenInItsUrl(GetPartner):
    def authorize(self, request: web.Request) -> None:
        if request.query.get("token") != "abc":
            raise Refused(403, "who are you?")


def test_a_secret_in_the_url_is_tried_as_well() -> None:
    settings = GET_SETTINGS.replace("postback?", "postback?token=abc&").replace("headers", "#")
    (found,) = conform(HasATokenInItsUrl(), settings, only=("rejects.missing-secret",))
    assert found.outcome == "pass"
    missing = conform(GetPartnerOfAnybody(), settings, only=("rejects.missing-secret",))
    assert [one.message.partition(" was ")[0] for one in missing] == [
        "a postback without its parameter token",
        "a postback with another token",
        "a postback without the right secret",
    ]


class GetPartnerOfAnybody(GetPartner):
    def authorize(self, request: web.Request) -> None:
        _ = request


BROKEN = {
    CrashesOnAQuote: "accepts.unicode",
    TrimsTexts: "accepts.text-kept",
    DropsOffsets: "accepts.dates-kept",
    NeedsASubId: "accepts.empties",
    KnowsNoReversals: "accepts.all-kinds",
    HasASmallLimit: "accepts.many-items",
    TrustsLength: "accepts.chunked",
    ReadsOnce: "accepts.in-pieces",
    AcceptsBeforeReading: "rejects.malformed-body",
    KnowsNoSecret: "rejects.missing-secret",
    ComparesTheBeginning: "rejects.missing-secret",
    DiesOfDepth: "rejects.deep-nesting",
    ReplacesBadBytes: "rejects.bad-utf8",
    TakesAnyMethod: "rejects.wrong-method",
    LosesSome: "latency.burst",
    AnswersHalfBusy: "latency.burst",
    ServesOneByOne: "latency.slow-neighbour",
    RecordsHalves: "recovery.cut-mid-body",
    RefusesDuplicates: "recovery.resend",
    Unfolds: "rejects.xml-external-entity",
}


@pytest.mark.parametrize(
    ("broken", "case"), [pytest.param(broken, case, id=broken.__name__) for broken, case in BROKEN.items()]
)
def test_each_fault_is_found_by_the_case_made_for_it(broken: type[Partner], case: str) -> None:
    settings = XML_SETTINGS if issubclass(broken, XmlPartner) else JSON_SETTINGS
    verdicts = conform(broken(), settings, only=(case,))
    assert {(one.rule, one.outcome) for one in verdicts} == {(case, "fail")}
    assert all(one.message and one.expected and one.actual and one.fix for one in verdicts)
