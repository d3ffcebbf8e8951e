"""Runs cases against an endpoint, one after the other, and makes verdicts of what came of them."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from postback_conformance.judge import Judgement
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case, Need, missing
from postback_conformance.suite.facts import ACKNOWLEDGE, OURS
from postback_conformance.suite.probe import ProbeError
from postback_conformance.verdict import (
    PASS,
    Fail,
    Inconclusive,
    NotApplicable,
    Outcome,
    OutcomeName,
    Verdict,
)
from postback_sender import RenderError, TemplateSyntaxError
from postback_sender.quantities import NANOSECONDS_PER_SECOND, format_duration

_SLOWEST_CASE_NS: Final = 60 * NANOSECONDS_PER_SECOND
_TOLD_OF_AN_ERROR: Final = 300

Ended = Callable[[Case, tuple[Verdict, ...], tuple[Fail, ...]], None]
"""Is told of each case as it ends, with its verdicts, and with its failures as the case itself told them."""


async def run_suite(cases: Sequence[Case], bench: Bench, *, ended: Ended | None = None) -> Judgement:
    """Run cases against the endpoint of the bench, and return the verdicts; nothing an endpoint does is raised.

    A case that lacks what it needs is not applicable. While the endpoint gives no answer, cases are inconclusive.
    """
    verdicts: list[Verdict] = []
    lost = await _lost(bench)
    verdicts += lost
    for case in cases:
        outcomes = await _outcomes(case, bench, is_lost=bool(lost))
        made = verdicts_of(case, outcomes)
        verdicts += made
        if ended is not None:
            ended(case, made, tuple(one for one in outcomes if isinstance(one, Fail)))
        if not lost and any(one.outcome in {"fail", "inconclusive"} for one in made):
            lost = await _lost(bench, after=case)
            verdicts += lost
    return Judgement(verdicts=tuple(verdicts), captures=bench.sent_count, left_out=0)


async def _lost(bench: Bench, after: Case | None = None) -> tuple[Verdict, ...]:
    """Return the finding that the endpoint does not answer, nothing when it does, whatever it says."""
    outcomes = [*await ANSWERS.run(bench)]
    when = f"after {after.id}: " if after is not None else ""
    told = [replace(one, message=when + one.message) for one in outcomes if isinstance(one, Fail)]
    return verdicts_of(ANSWERS, told) if told else ()


async def _answers(bench: Bench) -> Iterable[Outcome]:
    try:
        sent = await bench.send_postback(bench.postback(bench.event()))
    except RenderError as error:
        # Settings that cannot tell of the documented example are for `lint` and the cases.
        return [Inconclusive(why=f"the settings cannot tell of the documented example: {error}")]
    is_redirect = sent.status is not None and 300 <= sent.status < 400
    if sent.is_answered and not is_redirect:
        return [PASS]
    return [
        Fail(
            message=f"{bench.endpoint_name} does not answer: {sent.told}",
            expected="an HTTP answer that is no redirect",
            actual=sent.told,
            captures=sent.captures,
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


async def _outcomes(case: Case, bench: Bench, *, is_lost: bool) -> list[Outcome | str]:
    at_hand: list[Need] = []
    if bench.probe is not None:
        at_hand.append("probe")
    if bench.endpoint.restart is not None:
        at_hand.append("restart")
    lacking = missing(case, at_hand=at_hand)
    if lacking is not None:
        return [lacking]
    if is_lost:
        return [Inconclusive(why=f"not tried: the endpoint does not answer, see {ANSWERS.id}")]
    limit_ns = max(_SLOWEST_CASE_NS, 4 * bench.notification.timeouts.total_ns)
    try:
        async with asyncio.timeout(limit_ns / NANOSECONDS_PER_SECOND):
            return [*await case.run(bench)] or [PASS]
    except ProbeError as error:
        why = str(error)
    except (RenderError, TemplateSyntaxError) as error:
        why = f"the settings cannot tell of this event: {error}"
    except TimeoutError:
        why = f"not done in time; a case may take {format_duration(limit_ns)}"
    except Exception as error:  # noqa: BLE001  a fault of ours must not be blamed on the endpoint, nor end the run
        return [f"the case itself failed: {type(error).__name__}: {error}"[:_TOLD_OF_AN_ERROR]]
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
        fix=case.fix,
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
