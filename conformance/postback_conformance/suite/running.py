"""Runs cases against an endpoint, one after the other, and makes verdicts of what came of them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from postback_conformance.hosting.hosted import HostingError
from postback_conformance.judging.judge import Judgement
from postback_conformance.judging.verdict import (
    PASS,
    Fail,
    Inconclusive,
    NotApplicable,
    Outcome,
    OutcomeName,
    Verdict,
)
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case, Need, missing
from postback_conformance.suite.facts import ACKNOWLEDGE, OURS
from postback_conformance.suite.probe import ProbeError
from postback_sender import RenderError, TemplateSyntaxError
from postback_sender.delivery.retry import Failure
from postback_sender.quantities import NANOSECONDS_PER_SECOND, format_duration

_SLOWEST_CASE_NS: Final = 60 * NANOSECONDS_PER_SECOND
_TOLD_OF_AN_ERROR: Final = 300
_MORE_LOOKS: Final = 2
_ASK_THERE: Final = (
    "Hand in the URL that it leads to, or let the endpoint answer by itself: redirects are not followed, and a "
    "postback that is answered with one is lost."
)
_TRUST: Final = (
    "Trust the endpoint's certificate with --ca-file FILE, or any with --insecure; the URL must be https where the "
    "server speaks TLS, and only there."
)
NOT_TRIED: Final = "not tried: "
"""How the reason of a case begins that was left out because of what happened before."""

_STOPPED: Final = Inconclusive(why=f"{NOT_TRIED}the run was stopped")

Began = Callable[[Case], None]
"""Is told of each case before it is tried, or found not to apply."""

Ended = Callable[[Case, tuple[Verdict, ...], tuple[Fail, ...]], None]
"""Is told of each case as it ends, with its verdicts, and with its failures as the case itself told them."""


class Stop:
    """Ends a run early: the case that runs is cut off, those that follow are not tried, and all that is told."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._running: asyncio.Task[list[Outcome]] | None = None

    @property
    def is_asked(self) -> bool:
        """Whether the run was to end early."""
        return self._asked.is_set()

    def ask(self) -> None:
        """End the run."""
        self._asked.set()
        if self._running is not None:
            self._running.cancel()

    async def unless_asked(self, work: Coroutine[Any, Any, list[Outcome]]) -> list[Outcome]:
        """Return what comes of it, as long as nobody asks to stop."""
        if self._asked.is_set():
            work.close()
            return [_STOPPED]
        self._running = asyncio.create_task(work)
        try:
            return await self._running
        except asyncio.CancelledError:
            if not self._asked.is_set() or not self._running.cancelled():
                raise
            return [Inconclusive(why="cut off: the run was stopped")]
        finally:
            self._running = None


async def run_suite(
    cases: Sequence[Case],
    bench: Bench,
    *,
    began: Began | None = None,
    ended: Ended | None = None,
    stop: Stop | None = None,
) -> Judgement:
    """Run cases against the endpoint of the bench, and return the verdicts; nothing an endpoint does is raised.

    A case that lacks what it needs is not applicable. While the endpoint gives no answer, cases are inconclusive.
    """
    stop = stop or Stop()
    verdicts: list[Verdict] = []
    lost = await _lost(bench, stop)
    verdicts += lost
    for case in cases:
        if began is not None:
            began(case)
        outcomes = await _outcomes(case, bench, stop, is_lost=bool(lost))
        made = verdicts_of(case, outcomes)
        verdicts += made
        if ended is not None:
            ended(case, made, tuple(one for one in outcomes if isinstance(one, Fail)))
        if not lost and any(one.outcome in {"fail", "inconclusive"} for one in made):
            lost = await _lost(bench, stop, after=case)
            verdicts += lost
    return Judgement(verdicts=tuple(verdicts), captures=bench.sent_count, left_out=0)


async def _lost(bench: Bench, stop: Stop, after: Case | None = None) -> tuple[Verdict, ...]:
    """Return the finding that the endpoint does not answer, nothing when it does, whatever it says."""
    outcomes = await stop.unless_asked(_tried(ANSWERS, bench))
    when = f"after {after.id}: " if after is not None else ""
    told = [replace(one, message=when + one.message) for one in outcomes if isinstance(one, Fail)]
    return verdicts_of(ANSWERS, told) if told else ()


async def _answers(bench: Bench) -> Iterable[Outcome]:
    try:
        sent = await bench.send_postback(bench.postback(bench.event()))
        for _ in range(_MORE_LOOKS):
            if sent.last.failure is not Failure.CONNECTION:
                break
            # One that closes now and then is there, and its cases tell more.
            sent = await bench.send_postback(bench.postback(bench.event()))
    except RenderError as error:
        # Settings that cannot tell of the documented example are for `lint` and the cases.
        return [Inconclusive(why=f"the settings cannot tell of the documented example: {error}")]
    is_redirect = sent.status is not None and 300 <= sent.status < 400
    if sent.is_answered and not is_redirect:
        return [PASS]
    fix = _ASK_THERE if is_redirect else _TRUST if sent.last.failure is Failure.TLS else ""
    return [
        Fail(
            message=f"{bench.endpoint_name} does not answer: {sent.told}",
            expected="an HTTP answer that is no redirect",
            actual=sent.told,
            captures=sent.captures,
            fix=fix,
        )
    ]


ANSWERS: Final = Case(
    id="endpoint.answers",
    level="MUST",
    requirement="The endpoint answers, in HTTP, and sends nobody elsewhere.",
    fix="Start the endpoint, and see that this is the URL postbacks are sent to; nothing else was tried.",
    sources=(ACKNOWLEDGE, OURS),
    run=_answers,
)
"""What is looked at before any other case, whatever was selected."""


def verdicts_of(case: Case, outcomes: Iterable[Outcome | str]) -> tuple[Verdict, ...]:
    """Return one verdict for each failure, else one for the case; a text among the outcomes is a fault of the kit."""
    outcomes = list(outcomes)
    if failures := [one for one in outcomes if isinstance(one, Fail)]:
        return tuple(_failure(case, one) for one in failures)
    for one in outcomes:
        if isinstance(one, str):
            return (_told(case, "error", one),)
    # What could not be told outweighs what held; what did not apply does not.
    if doubts := [one for one in outcomes if isinstance(one, Inconclusive)]:
        return (_told(case, "inconclusive", _joined(one.why for one in doubts), doubts[0].captures),)
    idle = [one.why for one in outcomes if isinstance(one, NotApplicable)]
    if idle and len(idle) == len(outcomes):
        return (_told(case, "not_applicable", _joined(idle)),)
    return (_told(case, "pass", ""),)


async def _outcomes(case: Case, bench: Bench, stop: Stop, *, is_lost: bool) -> list[Outcome | str]:
    at_hand: list[Need] = []
    if bench.probe is not None:
        at_hand.append("probe")
    if bench.endpoint.restart is not None:
        at_hand.append("restart")
    lacking = missing(case, at_hand=at_hand)
    if lacking is not None:
        return [lacking]
    if is_lost:
        return [Inconclusive(why=f"{NOT_TRIED}the endpoint does not answer, see {ANSWERS.id}")]
    try:
        return [*await stop.unless_asked(_tried(case, bench))]
    except Exception as error:  # noqa: BLE001  a fault of ours must not be blamed on the endpoint, nor end the run
        return [f"the case itself failed: {type(error).__name__}: {error}"[:_TOLD_OF_AN_ERROR]]


async def _tried(case: Case, bench: Bench) -> list[Outcome]:
    """Return what comes of a case in its time, also where the endpoint is not what keeps it from an end."""
    limit_ns = max(_SLOWEST_CASE_NS, 4 * bench.notification.timeouts.total_ns)
    try:
        async with asyncio.timeout(limit_ns / NANOSECONDS_PER_SECOND):
            return [*await case.run(bench)] or [PASS]
    except (ProbeError, HostingError) as error:
        why = str(error)
    except (RenderError, TemplateSyntaxError) as error:
        why = f"the settings cannot tell of this event: {error}"
    except TimeoutError:
        why = f"not done in time; a case may take {format_duration(limit_ns)}"
    return [Inconclusive(why=why)]


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _failure(case: Case, fail: Fail) -> Verdict:
    return Verdict(
        rule=case.id,
        level=case.level,
        subject=case.subject,
        outcome="fail",
        endpoint=None,
        message=fail.message,
        expected=fail.expected,
        actual=fail.actual,
        captures=fail.captures,
        where=fail.where,
        fix=fail.fix or case.fix,
    )


def _told(case: Case, outcome: OutcomeName, message: str, captures: tuple[str, ...] = ()) -> Verdict:
    return Verdict(
        rule=case.id,
        level=case.level,
        subject=case.subject,
        outcome=outcome,
        endpoint=None,
        message=message or case.requirement,
        captures=captures,
    )
