"""What a failed case tells: its findings, its story, how to send it again, and the file that it is kept in."""

import shlex
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from postback_conformance.judging.judge import Judgement
from postback_conformance.judging.verdict import Level
from postback_conformance.ledger.story import curl_lines, told
from postback_conformance.pytest_plugin.asked import Told
from postback_conformance.reports.formats import ReportFormat, written
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.case_file import CaseFile, encode_case_file, file_name
from postback_conformance.suite.once_more import commands
from postback_conformance.suite.outcomes import SAW_NOTHING
from postback_conformance.suite.playing import LedgerFail
from postback_conformance.suite.reporting import suite_report
from postback_sender.notification import parse_notification


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A case that failed, and what it was asked with."""

    case: Case
    judgement: Judgement
    bench: Bench
    told: Told
    url: str
    ledger: LedgerFail | None
    """What is wrong on the books, if that is what it found."""
    failing: tuple[Level, ...]
    """The levels that fail a test."""
    folder: Path | None
    """Where it is kept; None keeps no case."""


def failure(failed: Failed) -> str:
    """Return what pytest shows of a failed case, and keep it in a file."""
    return "\n".join(_lines(failed))


def _lines(failed: Failed) -> Iterator[str]:
    bench = failed.bench
    report = suite_report(failed.judgement, [failed.case], bench, failing=failed.failing)
    yield written(report, ReportFormat.TEXT, version=version("postback-kit")).decode().strip()
    story, told_already = "", list[str]()
    if failed.ledger is not None:
        # What comes from the environment stays the name of a variable.
        shown = failed.told.notification
        if failed.told.source is not None:
            shown = parse_notification(failed.told.source, None)
        story = told(failed.ledger.steps, failed.ledger.error.found, shown)
        told_already.append(failed.case.id)
        yield f"\nThe story:\n{story}\n\n{curl_lines(failed.ledger.steps, shown, failed.url).rstrip()}"
    yield from commands(failed.judgement, bench, told_already)
    if bench.saw_nothing:
        yield f"\n{SAW_NOTHING}"
    yield f"\nseed {bench.seed}: run it again with --postback-seed={bench.seed}"
    if path := _kept(failed, story):
        # An endpoint that was hosted for the test is gone by then, and its URL with it.
        yield f"or with --postback-replay={path}, or `postback conform URL --replay {path}`"


def _kept(failed: Failed, story: str) -> str:
    """Keep the case in a file, and return its path as a shell takes it; "" where there is none."""
    if failed.told.source is None or failed.folder is None:
        return ""
    file = CaseFile(
        case=failed.case.id,
        seed=failed.bench.seed,
        max_examples=failed.bench.max_examples,
        notification=failed.told.source,
        steps=failed.ledger.steps if failed.ledger is not None else (),
        story=story,
    )
    path = failed.folder / file_name(file)
    path.write_bytes(encode_case_file(file))
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
