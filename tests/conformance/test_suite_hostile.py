"""Endpoints and probes that are no help: each ends soon, in words that say what happened; nothing of it passes."""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from typing import Any, cast

import pytest

from fork_server import PATIENCE_S
from hasty_loop import HastyLoop, let_pass, run_hastily
from partner_endpoint import JSON_SETTINGS
from postback_conformance.errors import SelectionError
from postback_conformance.judging.verdict import Outcome, Verdict
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case, case_catalogue
from postback_conformance.suite.catalogue import CASES
from postback_conformance.suite.endpoint import Endpoint
from postback_conformance.suite.facts import OURS
from postback_conformance.suite.probe import CallableProbe, Probe, ProbeError, ProbeFunction, probe_at, read_probe
from postback_conformance.suite.reporting import select_cases
from postback_conformance.suite.running import run_suite
from postback_receiver.tls import make_tls
from postback_sender.notification import NotificationSource, parse_notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND

NOTIFICATION = parse_notification(NotificationSource(name="n.toml", text=JSON_SETTINGS), {})
ANSWERS = "endpoint.answers"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    return serve


async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    let_pass(60)
    await reader.read()
    writer.close()


def conform(
    serve: Serve,
    *,
    only: Iterable[str] = (),
    cases: Iterable[Case] = CASES,
    probe: Probe | None = None,
    tls: ssl.SSLContext | None = None,
) -> tuple[Verdict, ...]:
    """Run cases against whatever answers like that."""
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(served(reader, writer)))

    async def run() -> tuple[Verdict, ...]:
        server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
        url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/postback"
        async with server:
            async with Bench(Endpoint(url=url), NOTIFICATION, probe=probe, quick=True) as bench:
                verdicts = (await run_suite(select_cases(tuple(cases), only=tuple(only)), bench)).verdicts
            if tasks:
                await asyncio.wait(tasks, timeout=PATIENCE_S)
            return verdicts

    return run_hastily(run())


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REDIRECT = (
    b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        pytest.param(hanging, "no answer in time", id="hangs"),
        pytest.param(closing, "no connection", id="closes"),
        pytest.param(answering(b"\x00\xffgarbage\r\n\r\n"), "broken answer", id="garbage"),
        pytest.param(answering(OK[:20]), "broken answer", id="half an answer"),
        pytest.param(answering(REDIRECT), "a redirect, which is not followed", id="redirects"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_told_once_and_nothing_passes(serve: Serve, words: str) -> None:
    asked = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await serve(reader, writer)

    first, *others = conform(counted)
    assert asked <= 3, "nobody waits for each of forty cases"
    assert (first.rule, first.outcome, words in first.message) == (ANSWERS, "fail", True)
    assert {one.outcome for one in others} == {"inconclusive", "not_applicable"}
    assert all(ANSWERS in one.message for one in others if one.outcome == "inconclusive")


def test_an_endpoint_that_is_down_is_told() -> None:
    async def run() -> tuple[Verdict, ...]:
        server = await asyncio.start_server(closing, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        server.close()
        await server.wait_closed()
        async with Bench(Endpoint(url=url), NOTIFICATION) as bench:
            return (await run_suite(CASES, bench)).verdicts

    first, *others = asyncio.run(run())
    assert (first.rule, "no connection" in first.message) == (ANSWERS, True)
    assert "pass" not in {one.outcome for one in others}


def test_a_certificate_that_nobody_trusts_is_told() -> None:
    first, *others = conform(answering(OK), tls=make_tls().context, only=["rejects.*"])
    assert (first.rule, "no trusted connection" in first.message) == (ANSWERS, True)
    assert "pass" not in {one.outcome for one in others}


def test_an_endpoint_that_refuses_everything_refuses_nothing_for_a_reason() -> None:
    verdicts = conform(answering(NOT_FOUND), only=["accepts.documented-example", "rejects.m*", "rejects.w*"])
    assert [(one.rule, one.outcome) for one in verdicts] == [
        ("accepts.documented-example", "fail"),
        ("rejects.malformed-body", "inconclusive"),
        ("rejects.wrong-type", "inconclusive"),
        ("rejects.wrong-method", "inconclusive"),
        ("rejects.missing-secret", "inconclusive"),
        ("rejects.wrong-length", "inconclusive"),
    ]
    assert "a plain postback is not accepted, either (answered 404)" in verdicts[1].message


def test_an_endpoint_that_falls_silent_is_told_where_it_did() -> None:
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        await (answering(OK) if served < 10 else closing)(reader, writer)

    verdicts = conform(serve, only=["accepts.*"])
    (lost,) = [one for one in verdicts if one.rule == ANSWERS]
    assert lost.message.startswith("after accepts.all-kinds: ")
    assert [one.outcome for one in verdicts[:2]] == ["pass", "fail"]
    assert "pass" not in {one.outcome for one in verdicts[2:]}


def test_an_endpoint_that_closes_now_and_then_has_findings_and_no_fault_of_ours() -> None:
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        await (closing if served % 3 == 0 else answering(OK))(reader, writer)

    outcomes = {one.outcome for one in conform(serve, only=["accepts.*"])}
    assert "fail" in outcomes
    assert "error" not in outcomes


def _raises(_: str) -> None:
    raise ValueError("no such table: actions")


def _exits(_: str) -> None:
    raise SystemExit(3)


BAD_ANSWERS: list[tuple[object, str]] = [
    ([], "expected {"),
    ({"actions": 5}, "expected {"),
    ({"actions": {"1": 5}}, "expected an object, got 5"),
    ({"actions": {"1": {"payout": 4.2}}}, "expected a decimal in quotes"),
    ({"actions": {"1": {"payout": "4,20"}}}, 'expected a decimal such as "4.20"'),
    ({"actions": {"1": {"amount": "NaN"}}}, 'expected a decimal such as "4.20"'),
    ({"actions": {"1": {"status": "PAID"}}}, "expected PENDING, APPROVED, REVERSED"),
    ({"actions": {"1": {"updates": "2"}}}, "expected a whole number"),
    ({"actions": {"1": {"sub_id1": 7}}}, "expected a text"),
    ({"actions": [{"id": "1"}, {"id": "1"}]}, "2 times"),
]


@pytest.mark.parametrize(("answer", "words"), [pytest.param(*each, id=f"{n}") for n, each in enumerate(BAD_ANSWERS)])
def test_what_is_no_answer_of_a_probe_is_told(answer: object, words: str) -> None:
    with pytest.raises(ProbeError) as raised:
        read_probe(answer, "1")
    assert words in str(raised.value)


def test_an_answer_of_a_probe_may_be_a_table_or_a_list_and_leave_fields_out() -> None:
    fields: dict[str, Any] = {"status": "reversed", "payout": "0.00", "amount": Decimal("1.5"), "sub_id1": " x "}
    one = read_probe({"actions": {"1.2.3": fields, "other": {}}}, "1.2.3")
    assert one is not None
    assert (one.status, one.payout, one.amount, one.currency) == ("REVERSED", Decimal("0.00"), Decimal("1.5"), None)
    assert one.texts == {"sub_id1": " x "}
    assert read_probe({"actions": [{"id": "1.2.3", **fields}]}, "1.2.3") == one
    assert read_probe({"actions": {}}, "1.2.3") is read_probe(None, "1.2.3") is None


def test_a_probe_that_fails_leaves_the_question_open_and_blames_nobody() -> None:
    gate = threading.Event()
    loops: list[HastyLoop] = []

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loops.append(cast("HastyLoop", asyncio.get_running_loop()))
        await answering(OK)(reader, writer)

    def hangs(_: str) -> bool:
        loops[-1].let_pass(20)
        return gate.wait(PATIENCE_S)

    async def is_asynchronous(_: str) -> list[int]:
        return [1]

    tried: list[tuple[ProbeFunction, str]] = [
        (_raises, "the probe failed: ValueError: no such table: actions"),
        (_exits, "the probe failed: RuntimeError: SystemExit"),
        (hangs, "the probe gave no answer within 20s"),
        (is_asynchronous, "the probe returned [1]"),
    ]
    for function, words in tried:
        probe = CallableProbe(function, limit_ns=20 * NANOSECONDS_PER_SECOND)
        (verdict,) = conform(answered, only=["recovery.cut-mid-body"], probe=probe)
        assert (verdict.outcome, words in verdict.message) == ("inconclusive", True), verdict.message
    gate.set()


def test_a_probe_that_hangs_is_not_asked_for_ever() -> None:
    gate = threading.Event()
    asked: list[str] = []
    loops: list[HastyLoop] = []

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loops.append(cast("HastyLoop", asyncio.get_running_loop()))
        await answering(OK)(reader, writer)

    def hangs(action_id: str) -> bool:
        asked.append(action_id)
        loops[-1].let_pass(20)
        return gate.wait(PATIENCE_S)

    only = ["accepts.documented-example", "accepts.empties", "accepts.many-items", "accepts.unicode", "state.reversal"]
    verdicts = conform(answered, only=only, probe=CallableProbe(hangs, limit_ns=20 * NANOSECONDS_PER_SECOND))
    gate.set()
    assert {one.outcome for one in verdicts} == {"inconclusive"}
    assert len(asked) == 3
    assert verdicts[-1].message == "the probe gave no answer 3 times, and is not asked any more"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("tests", "expected a URL, a path at the endpoint or module:function"),
        ("no_such_module_of_anybody:f", "cannot be loaded: ModuleNotFoundError"),
        ("json:nothing", "cannot be loaded: AttributeError"),
        ("math:pi", "expected a function, got 3.14"),
    ],
)
def test_a_probe_that_cannot_be_found_is_told(place: str, words: str) -> None:
    with pytest.raises(ProbeError) as raised:
        probe_at(place)
    assert words in str(raised.value)


async def _breaks(_: Bench) -> Iterable[Outcome]:
    raise ZeroDivisionError("of the kit")


BREAKS = Case(id="a.b", level="MUST", requirement="r", fix="f", sources=(OURS,), run=_breaks)


def test_a_case_that_breaks_is_a_fault_of_the_kit() -> None:
    (verdict,) = conform(answering(OK), cases=[BREAKS])
    assert (verdict.outcome, verdict.message) == ("error", "the case itself failed: ZeroDivisionError: of the kit")


def test_no_two_cases_have_one_id_and_each_can_be_read() -> None:
    with pytest.raises(ValueError, match=r"two cases are called a\.b"):
        case_catalogue([BREAKS], [BREAKS])
    assert all(case.requirement.endswith(".") and case.fix and case.sources for case in CASES)


def test_a_pattern_that_matches_no_case_is_told() -> None:
    with pytest.raises(SelectionError) as raised:
        select_cases(CASES, only=["accepts.unicod"])
    assert str(raised.value).startswith("no case is called 'accepts.unicod' (did you mean accepts.unicode")
    assert "postback conform --list-cases" in str(raised.value)
