"""A run of the suite as a report, in the shape of those of `check`: a case stands where a rule would."""

from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from postback_conformance.judging.judge import Judgement
from postback_conformance.judging.rule import Example, Rule
from postback_conformance.judging.selection import CASE, select
from postback_conformance.judging.verdict import Level
from postback_conformance.redaction import Hide, hidden
from postback_conformance.reports.report import About, Report, make_report
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.running import ANSWERS
from postback_sender.notification import Notification

_NO_EXAMPLE: Final = Example(settings="", captures=())


def suite_report(
    judgement: Judgement,
    cases: Iterable[Case],
    bench: Bench,
    *,
    failing: tuple[Level, ...] = ("MUST",),
    hide: Hide | None = hidden,
) -> Report:
    """Return the report of a run; `failing` are the levels whose failures count, None for `hide` shows secrets."""
    return make_report(
        judgement,
        [_as_rule(case) for case in (ANSWERS, *cases)],
        About(subject="endpoint", source=bench.endpoint_name, seed=bench.seed, failing=failing),
        notifications=bench.notification,
        fetch=bench.captures,
        hide=hide,
    )


def select_cases(cases: Sequence[Case], *, only: Sequence[str] = (), skip: Sequence[str] = ()) -> tuple[Case, ...]:
    """Return the cases that match a pattern of `only` (all when there is none) and none of `skip`.

    Raises `SelectionError` for a pattern that matches nothing, and when nothing is left.
    """
    return select(cases, CASE, only=only, skip=skip)


def _as_rule(case: Case) -> Rule:
    return Rule(
        id=case.id,
        level=case.level,
        requirement=case.requirement,
        needs="the endpoint" + "".join(f", a {need}" for need in case.needs),
        fix=case.fix,
        sources=case.sources,
        passing=_NO_EXAMPLE,
        failing=_NO_EXAMPLE,
        start=_not_by_captures,
        subject=case.subject,
        aliases=case.aliases,
    )


def _not_by_captures(_notification: Notification) -> NoReturn:
    raise TypeError("a case is run, it does not judge captures")
