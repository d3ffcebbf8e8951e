"""`lint`: what is wrong with a notification before anything is sent, and the corrections that are certain."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from postback_conformance.cli.arguments import NotificationArgument
from postback_conformance.cli.terminal import Format, FormatOption, put, put_json, put_text, say
from postback_conformance.cli.whole_file import write_whole
from postback_conformance.errors import ConformanceError
from postback_conformance.lint import Finding, lint
from postback_conformance.lint.fixing import fix as fix_notification
from postback_conformance.lint.rewriting import rewritten
from postback_conformance.redaction import redacted_target
from postback_conformance.settings_files import read_source
from postback_sender import Notification, NotificationSource, parse_notification
from postback_sender.template import Template


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
    settings = parse_notification(source, None)
    if not (fix or diff):
        findings = lint(settings)
        _put_findings(findings, format)
    else:
        fixed = fix_notification(settings)
        findings = fixed.findings
        result = rewritten(source, fixed.notification)
        if not diff:
            _write(notification, source, result)
        if format is Format.JSON:
            _put_findings(findings, format)
        else:
            for text in _changes(settings, fixed.notification):
                put_text(text)
            for finding in findings:
                say(_as_text(finding))
    _sum_up(notification, findings, is_left=fix or diff)


def _put_findings(findings: Sequence[Finding], format: Format) -> None:
    for finding in findings:
        if format is Format.JSON:
            put_json(msgspec.to_builtins(finding))
        else:
            put(_as_text(finding))


def _as_text(finding: Finding) -> str:
    return (
        f"{finding.place}: {finding.message}\n"
        f"    {finding.level} {finding.slug}: {finding.consequence}\n"
        f"    → {finding.advice}"
    )


def _sum_up(path: Path, findings: Sequence[Finding], *, is_left: bool) -> None:
    counted = [finding for finding in findings if finding.level != "INFO"]
    advice = len(findings) - len(counted)
    if not counted:
        say(f"{path}: fine" + (f", with {_counted(advice, 'piece')} of advice" if advice else ""))
        return
    certain = sum(bool(finding.edits) for finding in counted)
    left = " left" if is_left else ""
    hint = f"; --fix corrects {certain}" if certain and not is_left else ""
    say(f"{_counted(len(counted), 'finding')}{left} in {path}{hint}")
    raise typer.Exit(1)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _write(path: Path, before: NotificationSource, after: NotificationSource) -> None:
    """Write the files that changed, each whole or not at all; a link is followed to the file it stands for."""
    texts = {path: (before.text, after.text)}
    texts |= {path.parent / name: (before.files[name], text) for name, text in after.files.items()}
    for target, (old, new) in texts.items():
        if old == new:
            continue
        try:
            write_whole(target.resolve(), new)
        except OSError as error:
            raise ConformanceError(f"{target}: cannot be written: {error.strerror}") from None


def _changes(before: Notification, after: Notification) -> Iterator[str]:
    """Yield a unified diff of each template that changed, secrets hidden."""
    if before.url.source != after.url.source:
        yield _diff(before.url, after.url)
    if before.body and after.body and before.body.source != after.body.source:
        yield _diff(before.body, after.body)


def _diff(before: Template, after: Template) -> str:
    old, new = (template.source.splitlines(keepends=True) for template in (before, after))
    lines = difflib.unified_diff(old, new, fromfile=before.name, tofile=f"{after.name} (corrected)")
    return "".join(_ended(redacted_target(line)) for line in lines)


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
