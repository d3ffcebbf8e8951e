"""Where reports of `check` and `conform` go, by their flags: one to stdout or a file, any others into files."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from postback_conformance.captured.traffic import Traffic
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import put, show
from postback_conformance.cli.whole_file import written_whole
from postback_conformance.errors import ConformanceError
from postback_conformance.reports.formats import ReportFormat, written
from postback_conformance.reports.report import Report
from postback_conformance.reports.terminal import terminal_report
from postback_receiver import Capture, CaptureLookupError

ReportOption = Annotated[
    list[str] | None,
    typer.Option("--report", metavar="FORMAT=FILE", help="Also write this, such as junit=out.xml; may be repeated."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where --format goes, instead of being printed."),
]
# Of a store, so many are looked up one by one; for more it is read through once more.
_MOST_LOOKED_UP = 300


def wanted_reports(texts: Sequence[str]) -> list[tuple[ReportFormat, Path]]:
    """Return the formats and files of `--report FORMAT=FILE`; raises `ConformanceError` for what is none."""
    return [_wanted(text) for text in texts]


def _wanted(text: str) -> tuple[ReportFormat, Path]:
    name, equals, path = text.partition("=")
    if not equals or not path or name not in set(ReportFormat):
        raise ConformanceError(
            f"--report {text}: expected FORMAT=FILE such as junit=postbacks.xml; formats are {', '.join(ReportFormat)}"
        )
    return ReportFormat(name), Path(path)


def put_report(report: Report, format: ReportFormat, output: Path | None) -> None:
    """Print a report, or write it to a file."""
    if output is not None:
        write_report(output, _data(report, format))
    elif format is ReportFormat.TEXT:
        show(terminal_report(report))
    else:
        put(_data(report, format))


def write_reports(report: Report, wanted: Iterable[tuple[ReportFormat, Path]]) -> None:
    """Write a report in several formats, each into a file of its own, and say where they are."""
    for kind, path in wanted:
        write_report(path, _data(report, kind))
        say(f"report: {path}")


def write_report(path: Path, data: bytes) -> None:
    """Write a report to a file, whole or not at all; folders on the way are made."""
    if path.is_dir():
        raise ConformanceError(f"{path}: the report cannot be written: it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write(data)
    except FileExistsError:
        raise ConformanceError(f"{path}: the report cannot be written: a file is in the place of its folder") from None
    except OSError as error:
        raise ConformanceError(f"{path}: the report cannot be written: {error.strerror}") from None


def captures_of(traffic: Traffic) -> Callable[[frozenset[str]], Iterable[Capture]]:
    """Return what fetches captures by id, as far as they are still there."""

    def fetch(ids: frozenset[str]) -> Iterator[Capture]:
        if traffic.store is not None and len(ids) <= _MOST_LOOKED_UP:
            for one in sorted(ids):
                try:
                    yield traffic.store.find(one)
                except CaptureLookupError:
                    # Evicted meanwhile, while something is listening: then it is not shown.
                    continue
        else:
            yield from (capture for capture in traffic.read() if capture.id in ids)

    return fetch


def _data(report: Report, format: ReportFormat) -> bytes:
    return written(report, format, version=version("postback-kit"))
