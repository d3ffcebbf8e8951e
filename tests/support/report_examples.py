"""Judgements and captures to make reports of: ordinary ones, and some whose every text is hostile."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from postback_conformance.judging.baseline import StaleEntry
from postback_conformance.judging.judge import Judgement, judge
from postback_conformance.judging.verdict import OutcomeName, Verdict, Where
from postback_conformance.redaction import Hide, hidden
from postback_conformance.reports.report import About, Report, make_report
from postback_conformance.reports.timeline import Timelines
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Capture
from postback_sender.notification import Notification, NotificationSource, parse_notification

HOSTILE_TEXT: Final = (
    "<script>alert(1)</script><img src=x>]]>\"'&\x00\x1b[31m\x9b31m\u202e|`*_[a](http://x)\n# h\n@me {0} \ud800"
)
HOSTILE_BYTES: Final = HOSTILE_TEXT.encode("utf-8", "replace") + b"\xff\xfe"

BROKEN: Final = replace(
    capture('{"näme": }'.encode(), target="/postback?api_key=hunter2&x=1"),
    id="broken",
    headers=(("Content-Type", "application/json"), ("Authorization", "hunter2")),
)
OUTCOMES: Final[tuple[OutcomeName, ...]] = ("pass", "fail", "inconclusive", "not_applicable", "error")


def settings_of(text: str) -> Notification:
    """Return the notification of a TOML text."""
    return parse_notification(NotificationSource(name="example.toml", text=text), None)


def report_of(
    captures: Sequence[Capture],
    settings: str = JSON_SETTINGS,
    *,
    seed: int | None = None,
    source: str = "captures.sqlite",
    hide: Hide | None = hidden,
) -> Report:
    """Return the report on captures that were all judged by the same settings."""
    notification = settings_of(settings)
    timelines = Timelines(notification)
    judgement = judge(captures, notification, RULES, observe=timelines.observe)
    return make_report(
        judgement,
        RULES,
        About(source=source, seed=seed),
        notifications=notification,
        fetch=lambda ids: [one for one in captures if one.id in ids],
        timeline=timelines.timeline,
        hide=hide,
    )


def report_on(verdicts: Iterable[Verdict], captures: Sequence[Capture] = (), **about: str) -> Report:
    """Return the report on verdicts that nobody had to judge."""
    judgement = Judgement(verdicts=tuple(verdicts), captures=len(captures), left_out=0)
    return make_report(
        judgement,
        [rule for rule in RULES if rule.id in {"body.utf8", "body.bom"}],
        About(source=about.get("source", "x.ndjson")),
        fetch=lambda ids: [one for one in captures if one.id in ids],
    )


def verdict(
    outcome: OutcomeName = "fail",
    *,
    rule: str = "body.utf8",
    message: str = "it is broken",
    expected: str = "",
    actual: str = "",
    fix: str = "",
    baseline: str = "",
) -> Verdict:
    """Return a verdict of an outcome, with the texts that matter."""
    return Verdict(
        rule=rule,
        level="MUST",
        subject="sender",
        outcome=outcome,
        endpoint="/a",
        message=message,
        expected=expected,
        actual=actual,
        fix=fix,
        baseline=baseline,
    )


def hostile_report(text: str = HOSTILE_TEXT, body: bytes = HOSTILE_BYTES) -> Report:
    """Return a report with a verdict of every outcome, in which everything that can come from outside is hostile."""
    on_the_wire = text.encode("utf-8", "replace").decode("latin-1")
    arrived = replace(
        capture(body, method=on_the_wire, target=f"/{on_the_wire}?key=hunter2", headers=((on_the_wire, on_the_wire),)),
        id=text,
        http_version=on_the_wire,
        fault=text,
    )
    kinds: list[tuple[OutcomeName, bool]] = [*((outcome, False) for outcome in OUTCOMES), ("fail", True)]
    verdicts = [
        replace(
            verdict(outcome, message=text, expected=text, actual=text, fix=text, baseline=text if excused else ""),
            endpoint=text,
            captures=(text,),
            where=Where(span=(1, 9), header=text, pointer=text),
        )
        for outcome, excused in kinds
    ]
    made = report_on(verdicts, [arrived], source=text)
    return replace(made, stale=(StaleEntry(rule="body.utf8", endpoint=text, reason=text, why=text),))
