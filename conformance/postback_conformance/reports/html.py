"""The report as one HTML page that needs nothing else: no network, no script, light and dark."""

from collections.abc import Mapping
from typing import Any

import jinja2
import msgspec

from postback_conformance.judge import Judgement
from postback_conformance.printable import printable
from postback_conformance.redaction import is_form, redacted_form, redacted_headers, redacted_target
from postback_conformance.reports.grouping import SYMBOLS, FindingGroup, endpoints_of, grid, grouped
from postback_conformance.verdict import Subject, summary
from postback_receiver import Capture

# Of each body shown: enough to see the fault in its surroundings, not a whole catalogue of items.
_BYTES_AROUND = 400


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A finding with the capture it is about, its body cut into before, marked and after."""

    group: FindingGroup
    capture: Capture | None
    headers: tuple[tuple[str, str], ...] = ()
    target: str = ""
    before: str = ""
    marked: str = ""
    after: str = ""


def html_report(
    judgement: Judgement,
    evidence: Mapping[str, Capture],
    *,
    source: str,
    subject: Subject = "sender",
    seed: int | None = None,
) -> str:
    """Return the page; `evidence` holds captures by id, `source` names where they came from.

    Secret headers, parameters and form fields are hidden; JSON and XML bodies are shown as they are.
    """
    verdicts = judgement.verdicts
    context: dict[str, Any] = {
        "captures": judgement.captures,
        "source": source,
        "subject": subject,
        "seed": seed,
        "counts": summary(verdicts),
        "symbols": SYMBOLS,
        "endpoints": endpoints_of(verdicts),
        "grid": grid(verdicts),
        "findings": [_evidence(group, evidence) for group in grouped(verdicts, "error", "fail")],
        "undecided": grouped(verdicts, "inconclusive"),
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("postback_conformance.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(context)


def _evidence(group: FindingGroup, evidence: Mapping[str, Capture]) -> Evidence:
    capture = next((evidence[one] for one in reversed(group.first.captures) if one in evidence), None)
    if capture is None:
        return Evidence(group=group, capture=None)
    first, beyond = group.first.where.span or (0, 0)
    return Evidence(
        group=group,
        capture=capture,
        headers=tuple((printable(name), printable(value)) for name, value in redacted_headers(capture.headers)),
        target=printable(redacted_target(capture.target)),
        before=_text(capture, max(0, first - _BYTES_AROUND), first),
        marked=_text(capture, first, beyond),
        after=_text(capture, beyond, beyond + _BYTES_AROUND),
    )


def _text(capture: Capture, first: int, beyond: int) -> str:
    body = redacted_form(capture.body, first, beyond) if is_form(capture) else capture.body[first:beyond]
    return body.decode("utf-8", "backslashreplace")


def _shown(value: object) -> object:
    return printable(value, keep="\n\t") if isinstance(value, str) else value
