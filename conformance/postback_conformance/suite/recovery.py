"""What is left after something broke off: nothing half, and an endpoint that goes on."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Final

from postback_conformance.judging.verdict import Fail, NotApplicable, Outcome
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import ACKNOWLEDGE, HTTP_1, OURS
from postback_conformance.suite.outcomes import is_there, must_accept, must_take, still_there, unknown_actions
from postback_conformance.suite.proxy import ProxyFault
from postback_conformance.suite.state import resend_after_restart
from postback_sender.delivery.request import request_bytes
from postback_sender.quantities import NANOSECONDS_PER_SECOND

_SOON_NS: Final = NANOSECONDS_PER_SECOND // 50
_SILENT_CLIENTS: Final = 20
_BEFORE_RESTART: Final = 5


async def _cut(bench: Bench) -> Iterable[Outcome]:
    if why := unknown_actions(bench):
        return [NotApplicable(why=why, by_settings=True)]
    outcomes: list[Outcome] = []
    for share in (0.25, 0.75, 1.0):
        event = bench.event()
        _, data = request_bytes(bench.postback(event))
        # A share of 1 is all but the last byte.
        after = min(int(len(data) * share), len(data) - 1)
        async with bench.proxy(ProxyFault(kind="cut request", after=after)) as proxy:
            (cut,) = await bench.send([event], via=proxy)
        action_id = event.values["ActionId"]
        if await bench.recorded(action_id) is not None:
            outcomes.append(
                Fail(
                    message=f"a request that was cut after {after} of {len(data)} bytes was recorded",
                    expected="nothing recorded of a request that never came whole",
                    actual=f"the action {action_id}",
                    captures=cut.captures,
                )
            )
            continue
        (again,) = await bench.send([event])
        outcomes.append(await must_take(bench, event, again, "a postback whose first attempt was cut"))
    return outcomes


async def _resend(bench: Bench) -> Iterable[Outcome]:
    outcomes: list[Outcome] = []
    event = bench.event()
    _, data = request_bytes(bench.postback(event))
    fault = ProxyFault(kind="cut request", after=len(data) * 3 // 4)
    async with bench.proxy(fault) as proxy:
        (sent,) = await bench.send([event], via=proxy, retries_ns=(_SOON_NS,))
    outcomes.append(must_accept(sent, "a postback whose first attempt was cut"))
    event = bench.event()
    async with bench.proxy(ProxyFault(kind="cut answer")) as proxy:
        (sent,) = await bench.send([event], via=proxy, retries_ns=(_SOON_NS,))
    what = "a postback that was accepted before, with an answer that got lost,"
    if sent.is_refused:
        # By the help centre nothing is sent again then, by the OpenAPI all for a day; either way nothing is lost.
        why = f"{what} is refused ({sent.told}), which is the endpoint's right; a success would end the resends"
        return [*outcomes, NotApplicable(why=why)]
    return [*outcomes, await must_take(bench, event, sent, what)]


async def _silent(bench: Bench) -> Iterable[Outcome]:
    async with bench.proxy() as proxy, AsyncExitStack() as stack:
        for _ in range(_SILENT_CLIENTS):
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            stack.callback(writer.close)
        await proxy.begun(_SILENT_CLIENTS)
        beside = await still_there(bench, f"{_SILENT_CLIENTS} connections that say nothing")
    return [beside, await still_there(bench, "connections that said nothing")]


async def _restart(bench: Bench) -> Iterable[Outcome]:
    if why := unknown_actions(bench):
        return [NotApplicable(why=why, by_settings=True)]
    events = [bench.event() for _ in range(_BEFORE_RESTART)]
    sents = await bench.send(events)
    await bench.restart()
    outcomes: list[Outcome] = []
    for event, sent in zip(events, sents, strict=True):
        if sent.accepted and await bench.recorded(event.values["ActionId"], wanted=is_there) is None:
            outcomes.append(
                Fail(
                    message="a postback that was accepted is gone after a restart",
                    expected=f"the action {event.values['ActionId']}",
                    actual="nothing",
                    captures=sent.captures,
                )
            )
    return [*outcomes, await still_there(bench, "a restart"), *await resend_after_restart(bench)]


CASES: Final = (
    Case(
        id="recovery.cut-mid-body",
        level="MUST",
        requirement="A request that is cut before its end leaves nothing behind, and is recorded when it comes again.",
        fix="Record in one transaction, after the whole body was read; a body shorter than its length is no body.",
        sources=(HTTP_1(section="§8: incomplete messages"), OURS),
        run=_cut,
        needs=("probe",),
    ),
    Case(
        id="recovery.resend",
        level="MUST",
        requirement="What comes again after a cut is accepted; if accepted already, it may be refused with a 4xx.",
        fix="Answer a duplicate with success, not with the error of a unique key: it has arrived, and that is all that "
        "the sender wants to know.",
        sources=(ACKNOWLEDGE, OURS),
        run=_resend,
    ),
    Case(
        id="recovery.silent-clients",
        level="SHOULD",
        requirement="Connections that say nothing keep nobody else out.",
        fix="Serve with several workers or asynchronously, with a time-out for the head of a request.",
        sources=(OURS,),
        run=_silent,
    ),
    Case(
        id="recovery.restart",
        level="MUST",
        requirement="What was accepted is still there, and known, when the endpoint was killed and started again.",
        fix="Answer once the record is on disk, with all that tells a duplicate: commit first, then say so.",
        sources=(ACKNOWLEDGE, OURS),
        run=_restart,
        needs=("restart", "probe"),
    ),
)
