"""The formats a report can be written in, by name."""

import io
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from rich.console import Console

from postback_conformance.reports.html import html_report
from postback_conformance.reports.junit import junit_report
from postback_conformance.reports.machine import json_report, ndjson_report
from postback_conformance.reports.markdown import markdown_report
from postback_conformance.reports.report import Report
from postback_conformance.reports.sarif import sarif_report
from postback_conformance.reports.terminal import terminal_report

_WIDTH: Final = 120


class ReportFormat(StrEnum):
    """How a report is written."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"
    JUNIT = "junit"
    SARIF = "sarif"
    MARKDOWN = "markdown"
    HTML = "html"


def written(report: Report, form: ReportFormat, *, version: str) -> bytes:
    """Return a report in a format; `version` is that of the kit."""
    return sarif_report(report, version=version) if form is ReportFormat.SARIF else _WRITERS[form](report)


def _text_report(report: Report) -> bytes:
    text = io.StringIO()
    Console(file=text, width=_WIDTH, highlight=False, color_system=None).print(terminal_report(report))
    return text.getvalue().encode("utf-8", "backslashreplace")


_WRITERS: Final[Mapping[ReportFormat, Callable[[Report], bytes]]] = {
    ReportFormat.TEXT: _text_report,
    ReportFormat.JSON: json_report,
    ReportFormat.NDJSON: ndjson_report,
    ReportFormat.JUNIT: junit_report,
    ReportFormat.MARKDOWN: markdown_report,
    ReportFormat.HTML: html_report,
}
