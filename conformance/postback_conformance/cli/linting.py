"""`lint`: what is wrong with a notification before anything is sent, and the corrections that are certain."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from postback_conformance.cli.arguments import NotificationArgument
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, put_text
from postback_conformance.cli.whole_file import write_all_whole
from postback_conformance.errors import ConformanceError
from postback_conformance.lint import Finding, lint_source
from postback_conformance.lint.fixing import fix as fix_notification
from postback_conformance.lint.flat import FlatText
from postback_conformance.lint.linting import flat_body, flat_url
from postback_conformance.lint.settings_places import SettingsPlaces
from postback_conformance.lint.spelling import Spelling
from postback_conformance.lint.syntax import syntax_finding
from postback_conformance.printable import counted
from postback_conformance.redaction import SHOWN
from postback_sender import Notification, NotificationSource, parse_notification
from postback_sender.notification_file import read_source
from postback_sender.template import TemplateSyntaxError


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("lint")(_lint)


def _lint(
    notification: NotificationArgument,
    *,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write the corrections that are certain, and show them as a diff.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would write, and write nothing.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Check a notification: settings, templates, and what they will do to you.

    Exit code 1 when there is a finding, or with --fix and --diff when one is left; mere advice (INFO) does not count.
    """
    source = read_source(notification)
    if fix or diff:
        findings = _mended(notification, source, format, writes=not diff)
    else:
        findings = lint_source(source)
        _put_findings(findings, format)
    _sum_up(notification, findings, is_left=fix or diff)


def _mended(path: Path, source: NotificationSource, format: Format, *, writes: bool) -> tuple[Finding, ...]:
    """Write, or only show, what is certain; return the findings that are left."""
    try:
        settings = parse_notification(source, None)
    except TemplateSyntaxError as error:
        problem = syntax_finding(error, source)
        _put_findings([problem], format, fixed=False)
        return (problem,)
    # Imported when used: the library that keeps a file's layout takes 0.05 s that other commands need not wait for.
    from postback_conformance.lint.rewriting import rewritten  # noqa: PLC0415

    fixed = fix_notification(settings)
    result = rewritten(source, fixed.notification)
    if writes:
        _write(path, source, result)
    before, after = SettingsPlaces(source), SettingsPlaces(result)
    if format is Format.JSON:
        for notification, mended in fixed.rounds:
            _put_findings([before.placed(finding, notification) for finding in mended], format, fixed=True)
    else:
        for text in _changes(settings, fixed.notification):
            put_text(text)
    findings = tuple(after.placed(finding, fixed.notification) for finding in fixed.findings)
    _put_findings(findings, format, fixed=False)
    return findings


def _put_findings(findings: Iterable[Finding], format: Format, *, fixed: bool | None = None) -> None:
    for finding in findings:
        if format is Format.JSON:
            put_json(_as_data(finding) | ({} if fixed is None else {"fixed": fixed}))
        else:
            put(_as_text(finding))


def _as_data(finding: Finding) -> dict[str, object]:
    edits = [
        {
            "slot": edit.slot,
            "start": edit.start,
            "end": edit.end,
            "replacement": SHOWN if edit.is_secret else edit.replacement,
        }
        for edit in finding.edits
    ]
    return {**msgspec.structs.asdict(finding), "edits": edits}


def _as_text(finding: Finding) -> str:
    return (
        f"{finding.place}: {finding.message}\n"
        f"    {finding.level} {finding.slug}: {finding.consequence}\n"
        f"    → {finding.advice}"
    )


def _sum_up(path: Path, findings: Sequence[Finding], *, is_left: bool) -> None:
    serious = [finding for finding in findings if finding.level != "INFO"]
    advice = len(findings) - len(serious)
    if not serious:
        say(f"{path}: fine" + (f", with {counted(advice, 'piece')} of advice" if advice else ""))
        return
    certain = sum(bool(finding.edits) for finding in serious)
    left = " left" if is_left else ""
    hint = f"; --fix corrects {certain}" if certain and not is_left else ""
    say(f"{counted(len(serious), 'finding')}{left} in {path}{hint}")
    raise typer.Exit(1)


def _write(path: Path, before: NotificationSource, after: NotificationSource) -> None:
    """Write the files that changed, each whole or not at all; a link is followed to the file it stands for."""
    texts = {path: (before.text, after.text)}
    texts |= {path.parent / name: (before.files[name], text) for name, text in after.files.items()}
    changed = {target.resolve(): new for target, (old, new) in texts.items() if old != new}
    try:
        write_all_whole(changed)
    except OSError as error:
        names = ", ".join(str(target) for target, (old, new) in texts.items() if old != new)
        raise ConformanceError(f"{names}: cannot be written, and nothing was: {error.strerror}") from None


def _changes(before: Notification, after: Notification) -> Iterator[str]:
    """Yield a unified diff of each template that changed, secrets hidden."""
    for flat in (flat_url, flat_body):
        old, new = (flat(notification, Spelling(notification)) for notification in (before, after))
        if old and new and old.template.source != new.template.source:
            yield _diff(old, new)


def _diff(before: FlatText, after: FlatText) -> str:
    name, old, new = before.template.name, _lines(before.template.source), _lines(after.template.source)
    shown: dict[str, str] = {}
    for line, hidden in zip(old + new, _lines(before.shown_source()) + _lines(after.shown_source()), strict=True):
        # The same line may hold a secret in one place only.
        shown[line] = hidden if hidden != line else shown.get(line, line)
    changes = difflib.unified_diff(old, new, fromfile=name, tofile=f"{name} (corrected)")
    return "".join(_ended(line[0] + shown.get(line[1:], line[1:])) for line in changes)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
