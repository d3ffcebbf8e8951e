"""The report as Markdown for the summary of a build step: short, the worst first, and never longer than is allowed.

What was captured is data: every character that means something in Markdown or HTML is written as an entity, which
means nothing (CommonMark §6.2: an entity is never a delimiter).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from postback_conformance.printable import counted, printable
from postback_conformance.reports.grouping import (
    SYMBOLS,
    WORDS,
    Action,
    broken,
    by_action,
    counted_at,
    counts_by_kind,
    headline,
    mood,
)
from postback_conformance.reports.report import NOT_TO_BLAME, SUBJECTS, Finding, Group, Report
from postback_conformance.reports.wording import evicted, not_judged, wording

# GitHub takes 1 MiB from a step, and people take less.
MAX_BYTES: Final = 256 * 1024
_MOST_ROWS: Final = 40
_MOST_DETAILS: Final = 15
_MOST_REASONS: Final = 20
_LETTERS: Final = 300
_SPECIAL: Final = re.compile(r"[^\w\s,;'\"/=%?.()-]|(?<=www)\.|_", re.IGNORECASE | re.ASCII)
_LIST_OR_RULE: Final = re.compile(r"^(\s*)([-=])")


def escaped(text: str) -> str:
    """Return a text as Markdown that shows it: on one line, nothing in it obeyed."""
    flat = printable(" ".join(text.split()))
    shown = _SPECIAL.sub(lambda found: _entity(found[0]), flat)
    return _LIST_OR_RULE.sub(lambda found: found[1] + _entity(found[2]), shown)


def markdown_report(report: Report) -> bytes:
    """Return the report as GitHub-flavoured Markdown of at most `MAX_BYTES`."""
    parts: list[bytes] = []
    room = MAX_BYTES
    end = b"\n_More did not fit in here._\n"
    for part in _parts(report):
        encoded = part.encode("utf-8", "backslashreplace") + b"\n"
        if len(encoded) > room - len(end):
            parts.append(end)
            break
        parts.append(encoded)
        room -= len(encoded)
    return b"".join(parts)


def _entity(letters: str) -> str:
    # A word joiner keeps a mention from being one where entities are read first.
    return (
        "&#64;&#8288;"
        if letters == "@"
        else "".join(f"&#{ord(letter)};" for letter in letters if ord(letter) < 128)
        + (letters if ord(letters[0]) >= 128 else "")
    )


def _parts(report: Report) -> Iterator[str]:
    yield f"## {SYMBOLS[mood(report)]} Postback {wording(report.about.subject).command}: {headline(report)}\n"
    yield _about(report)
    yield _counts(report)
    if report.errors:
        yield "\n### Faults of the kit\n"
        yield from _reasons(report.errors)
    if report.failures:
        yield "\n### Findings\n"
        yield from _table(report.failures, wording(report.about.subject).tested.capitalize())
        yield from _actions(by_action(broken(report)))
        for group in report.failures[:_MOST_DETAILS]:
            yield _details(group, report)
    if report.inconclusive:
        yield "\n<details><summary>Could not be told</summary>\n"
        yield from _reasons(report.inconclusive)
        yield "\n</details>\n"
    if report.excused or report.stale:
        yield "\n<details><summary>Baseline</summary>\n"
        yield from (
            f"- `{group.first.rule}` {_code(group.first.endpoint)}: {group.count} excused, "
            f"{_short(group.first.baseline)}"
            for group in report.excused[:_MOST_REASONS]
        )
        yield from (
            f"- stale: {_code(entry.rule)} {_code(entry.endpoint)}: {_short(entry.why or entry.reason)}"
            for entry in report.stale[:_MOST_REASONS]
        )
        yield "\n</details>\n"


def _about(report: Report) -> str:
    about = report.about
    words = wording(about.subject)
    told = [
        f"Under test: {SUBJECTS[about.subject]}.",
        f"{counted(report.captures, words.evidence)} {words.origin} {_code(about.source)}"
        + words.profile(about.profile)
        + (f", seed {about.seed}" if about.seed is not None else "")
        + ".",
    ]
    if report.left_out:
        told.append(f"{not_judged(report.left_out)}.")
    if report.evicted:
        told.append(f"{evicted(report.evicted)}.")
    return " ".join(told) + "\n"


def _counts(report: Report) -> str:
    told = [f"{SYMBOLS[kind]} {count} {WORDS[kind]}" for kind, count in counts_by_kind(report).items() if count]
    if report.excused_count:
        told.append(f"{report.excused_count} excused by the baseline")
    at = counted_at(report)
    return " · ".join(told) + (f" ({at})" if at else "") + "\n"


def _table(groups: tuple[Group, ...], tested: str) -> Iterator[str]:
    yield f"| {tested} | Level | Endpoint | Findings | First |\n|---|---|---|---:|---|"
    for group in groups[:_MOST_ROWS]:
        first = group.first
        yield (
            f"| `{first.rule}` | {first.level} | {_code(first.endpoint)} | {group.count} | {_short(first.message)} |"
        )
    if len(groups) > _MOST_ROWS:
        yield f"\n… and {counted(len(groups) - _MOST_ROWS, 'row')} more."


def _actions(actions: list[Action]) -> Iterator[str]:
    known = [action for action in actions if action.id is not None]
    if len(known) < 2:
        return
    yield "\n<details><summary>By action</summary>\n\n| Action | Endpoint | Rules |\n|---|---|---|"
    for action in known[:_MOST_ROWS]:
        rules = ", ".join(f"`{rule}`" for rule in action.rules[:10])
        yield f"| {_code(action.id)} | {_code(action.endpoint)} | {rules} |"
    if len(known) > _MOST_ROWS:
        yield f"\n… and {counted(len(known) - _MOST_ROWS, 'action')} more."
    yield "\n</details>\n"


def _details(group: Group, report: Report) -> str:
    first = group.first
    rule = report.rules.get(first.rule)
    rows = [f"<details><summary><code>{first.rule}</code> {_code(first.endpoint)}</summary>\n"]
    if rule is not None:
        rows.append(f"{escaped(rule.requirement)}\n")
    rows += [_one(finding) for finding in group.shown[:3]]
    if group.count > 3:
        rows.append(f"- … and {group.count - 3} more")
    if first.fix:
        rows.append(f"\n**What to do:** {escaped(first.fix)}")
    return "\n".join((*rows, "\n</details>\n"))


def _one(finding: Finding) -> str:
    one = finding.verdict
    facts = [
        *([NOT_TO_BLAME] if one.cause else ()),
        *([f"expected {_short(one.expected)}"] if one.expected else ()),
        *([f"got {_code(one.actual)}"] if one.actual else ()),
        *([f"action {_code(finding.action)}"] if finding.action else ()),
        *([f"{wording(one.subject).evidence} {_code(one.captures[-1])}"] if one.captures else ()),
    ]
    return f"- {_short(one.message)}" + (f" ({', '.join(facts)})" if facts else "")


def _reasons(groups: Iterable[Group]) -> Iterator[str]:
    groups = list(groups)
    yield from (
        f"- `{group.first.rule}` {_code(group.first.endpoint)}: {_short(group.first.message)}"
        for group in groups[:_MOST_REASONS]
    )
    if len(groups) > _MOST_REASONS:
        yield f"- … and {len(groups) - _MOST_REASONS} more"


def _short(text: str) -> str:
    return escaped(text[:_LETTERS]) + ("…" if len(text) > _LETTERS else "")


def _code(text: str | None) -> str:
    """Return captured text as code: what is in code is no link and mentions nobody."""
    return f"<code>{_short(text)}</code>" if text else ""
