"""The report as one HTML page that needs nothing else: no network, no script, light and dark, narrow and wide."""

from functools import lru_cache
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup, escape

from postback_conformance.judging.rule import Rule
from postback_conformance.printable import printable
from postback_conformance.reports.charts import line_chart, pacing_chart
from postback_conformance.reports.grouping import (
    SYMBOLS,
    WORDS,
    broken,
    by_action,
    by_rule,
    counted_at,
    counts_by_kind,
    headline,
    mood,
    own_template,
)
from postback_conformance.reports.report import MAX_EXHIBITS, NOT_TO_BLAME, SUBJECTS, Group, Report
from postback_conformance.reports.terminal import place_in_words
from postback_conformance.reports.wording import evicted, not_judged, wording

# The page of any traffic stays under a few megabytes, which a browser opens at once; what is left out is said.
_MOST_RULES: Final = 80
_MOST_ENDPOINTS: Final = 10
_MOST_ACTIONS: Final = 200
_MOST_ROWS: Final = 400


class RuleSection(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with findings: where to jump to, what it asks for, its findings at each endpoint."""

    anchor: str
    id: str
    level: str
    rule: Rule | None
    groups: tuple[Group, ...]
    groups_left_out: int
    count: int


def html_report(report: Report) -> bytes:
    """Return the page, as UTF-8."""
    found = by_rule((*report.errors, *report.failures))
    sections = tuple(_section(report, rule, groups, index) for index, (rule, groups) in enumerate(found[:_MOST_RULES]))
    actions = [action for action in by_action(broken(report)) if action.id is not None]
    quiet = (*report.passed, *report.not_applicable)
    context: dict[str, Any] = {
        "report": report,
        "about": report.about,
        "under_test": SUBJECTS[report.about.subject],
        "symbols": SYMBOLS,
        "words": WORDS,
        "wording": wording(report.about.subject),
        "everything": wording(report.about.subject).everything,
        "counts": counts_by_kind(report),
        "counted_at": counted_at(report),
        "headline": headline(report),
        "mood": mood(report),
        "sections": sections,
        "sections_left_out": len(found) - len(sections),
        "anchors": {section.id: section.anchor for section in sections},
        "max_exhibits": MAX_EXHIBITS,
        "not_to_blame": NOT_TO_BLAME,
        "own_template": own_template(report),
        "advice": _advice,
        "not_judged": not_judged,
        "evicted": evicted,
        "place_in_words": place_in_words,
        "actions": actions[:_MOST_ACTIONS],
        "actions_left_out": max(0, len(actions) - _MOST_ACTIONS),
        "inconclusive": report.inconclusive[:_MOST_ROWS],
        "inconclusive_left_out": max(0, len(report.inconclusive) - _MOST_ROWS),
        "excused": report.excused[:_MOST_ROWS],
        "stale": report.stale[:_MOST_ROWS],
        "quiet": quiet[:_MOST_ROWS],
        "quiet_left_out": max(0, len(quiet) - _MOST_ROWS),
        "pacings": [pacing_chart(one) for one in report.timeline.pacings[:_MOST_ENDPOINTS]],
        "pacings_left_out": max(0, len(report.timeline.pacings) - _MOST_ENDPOINTS),
        "lines": [line_chart(one) for one in report.timeline.lines],
    }
    # A half character in a file's name has no place in UTF-8, and none on a page.
    return _template().render(context).encode("utf-8", "backslashreplace")


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("postback_conformance.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _section(report: Report, rule: str, groups: list[Group], index: int) -> RuleSection:
    return RuleSection(
        anchor=f"rule-{index + 1}",
        id=rule,
        level=groups[0].first.level,
        rule=report.rules.get(rule),
        groups=tuple(groups[:_MOST_ENDPOINTS]),
        groups_left_out=max(0, len(groups) - _MOST_ENDPOINTS),
        count=sum(group.count for group in groups),
    )


def _advice(text: str) -> Markup:
    """Return advice with what stands between backticks as code; one without a partner is a backtick."""
    parts = printable(text, keep="\n\t").split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = ["`".join(parts[-2:])]
    told = (Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts))
    return Markup("").join(told)


def _shown(value: object) -> object:
    # What a macro returns has been through here, and is HTML by now.
    return printable(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value
