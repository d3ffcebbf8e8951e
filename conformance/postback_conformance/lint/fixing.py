"""Writes the corrections that are certain: in rounds, since one correction can bring the next wound to light."""

from collections.abc import Iterable, Sequence

import msgspec

from postback_conformance.lint.finding import Edit, Finding, Slot
from postback_conformance.lint.linting import lint
from postback_conformance.lint.probing import is_well_formed
from postback_conformance.lint.spelling import Spelling
from postback_sender.errors import SenderError
from postback_sender.notification import Notification
from postback_sender.template import Template

# Corrections that touch each other wait for the next round; far more rounds than any template a person wrote.
_ROUNDS = 64


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """A notification with its certain corrections written in, and the findings that are left.

    `rounds` are the corrections in the order they were made: each time the notification as it was, and what was mended.
    """

    notification: Notification
    findings: tuple[Finding, ...]
    rounds: tuple[tuple[Notification, tuple[Finding, ...]], ...] = ()


def fix(notification: Notification) -> Fixed:
    """Return the notification corrected as far as that is certain; fixing the result again changes nothing.

    A round whose result is no template, or breaks a body that was well formed, is not kept, nor are rounds that end
    with more findings than there were at first. After 64 rounds, what has been reached is returned.
    """
    best = reached = Fixed(notification=notification, findings=lint(notification))
    most = len(reached.findings)
    for _ in range(_ROUNDS):
        current, mended = reached.notification, _compatible(reached.findings)
        after = _edited(current, [edit for finding in mended for edit in finding.edits]) if mended else None
        if after is None or _is_broken_by_it(current, after):
            break
        rounds = (*reached.rounds, (current, mended))
        reached = Fixed(notification=after, findings=lint(after), rounds=rounds)
        if len(reached.findings) <= most:
            best = reached
    return best


def apply_edits(source: str, edits: Iterable[Edit]) -> str:
    """Return a source with edits applied that do not overlap; what lies outside of them stays as it is."""
    pieces: list[str] = []
    position = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += source[position : edit.start], edit.replacement
        position = edit.end
    return "".join((*pieces, source[position:]))


def _compatible(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return as many findings as have edits that do not touch those of an earlier one; a finding's belong together."""
    chosen: list[Finding] = []
    taken: set[tuple[Slot, int]] = set()
    for finding in findings:
        touched: set[tuple[Slot, int]] = {
            (edit.slot, offset) for edit in finding.edits for offset in range(edit.start, edit.end + 1)
        }
        if finding.edits and not touched & taken:
            chosen.append(finding)
            taken |= touched
    return tuple(chosen)


def _edited(notification: Notification, edits: Sequence[Edit]) -> Notification | None:
    changes: dict[str, Template] = {}
    templates: tuple[tuple[Slot, Template | None], ...] = (("url", notification.url), ("body", notification.body))
    for slot, template in templates:
        mine = [edit for edit in edits if edit.slot == slot]
        if template is None or not mine:
            continue
        source = apply_edits(template.source, mine)
        try:
            changes[slot] = Template.parse(source, options=template.options, name=template.name)
        except SenderError:
            return None
    return msgspec.structs.replace(notification, **changes)


def _is_broken_by_it(before: Notification, after: Notification) -> bool:
    if before.body is None or after.body is None or before.body is after.body:
        return False
    spelling = Spelling(before)
    return is_well_formed(before, before.body, spelling) and not is_well_formed(after, after.body, spelling)
