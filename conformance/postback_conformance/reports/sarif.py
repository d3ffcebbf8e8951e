"""The report as SARIF 2.1.0, for code scanning: one run, a result for each failure, levels written out.

OASIS, Static Analysis Results Interchange Format 2.1.0: §3.27 results, §3.49 rules, §3.58 notifications.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from postback_conformance.judging.rule import Rule
from postback_conformance.judging.verdict import Level
from postback_conformance.printable import printable
from postback_conformance.reports.exhibit import Exhibit
from postback_conformance.reports.machine import encoded
from postback_conformance.reports.markdown import escaped
from postback_conformance.reports.report import SUBJECTS, Finding, Group, Report
from postback_conformance.reports.wording import wording

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final[Mapping[Level, str]] = {"MUST": "error", "SHOULD": "warning", "INFO": "note"}
# What a viewer would take for a placeholder, or for a link (§3.11.5 and §3.11.6).
_PLACEHOLDER: Final = re.compile(r"\{(?=\d+\})")
_LINK: Final = "]("

_Json = dict[str, Any]


def sarif_report(report: Report, *, version: str) -> bytes:
    """Return the report as a SARIF log; `version` is that of the kit.

    Passes and what did not apply are no results. What could not be told, and faults of the kit, are notifications.
    """
    indices = {rule: index for index, rule in enumerate(report.rules)}
    about = report.about
    run: _Json = {
        "tool": {
            "driver": {
                "name": "Postback Kit",
                "version": version,
                "rules": [_rule(rule) for rule in report.rules.values()],
            }
        },
        "invocations": [
            {
                "executionSuccessful": not report.errors,
                "toolExecutionNotifications": [*_notifications(report, indices)],
            }
        ],
        "artifacts": [{"location": {"uri": _uri(about.source)}, "roles": ["analysisTarget"]}],
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(finding, group, report, indices)
            for group in (*report.failures, *report.excused)
            for finding in group.findings
        ],
        "automationDetails": {"id": f"postback-{wording(about.subject).command}/{about.subject}/"},
        "properties": {
            "underTest": SUBJECTS[about.subject],
            "profile": about.profile,
            "captures": report.captures,
            "leftOut": report.left_out,
            "evicted": report.evicted,
        },
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(encoded(log), indent=2) + b"\n"


def _rule(rule: Rule) -> _Json:
    sources = [
        ", ".join(part for part in (one.document, one.section, one.date, one.certainty) if part) for one in rule.sources
    ]
    told = "\n".join(f"- {escaped(source)}" for source in sources)
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in re.split(r"[.-]", rule.id)),
        "shortDescription": {"text": rule.requirement},
        "fullDescription": {"text": f"{rule.requirement} Needs {rule.needs}."},
        "help": {
            "text": f"{rule.requirement}\n\nWhat to do: {rule.fix}\n\nSources: {'; '.join(sources)}",
            "markdown": f"{escaped(rule.requirement)}\n\n**What to do:** {escaped(rule.fix)}\n\nSources:\n\n{told}\n",
        },
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
        "properties": {"tags": ["postback", rule.subject, rule.id.partition(".")[0]]},
    }


def _result(finding: Finding, group: Group, report: Report, indices: Mapping[str, int]) -> _Json:
    one = finding.verdict
    result: _Json = {
        "ruleId": one.rule,
        "level": _LEVELS[one.level],
        "kind": "fail",
        "message": _message(_sentence(one.message)),
        "locations": [_location(finding, report.about.source)],
        "occurrenceCount": one.count,
        "partialFingerprints": {
            "postbackFinding/v1": finding.fingerprint,
            "postbackPlace/v1": finding.place_fingerprint,
        },
        "properties": {
            name: value
            for name, value in (
                ("endpoint", one.endpoint),
                ("cause", one.cause),
                ("action", finding.action),
                ("expected", one.expected),
                ("actual", one.actual),
                ("captures", list(one.captures)),
            )
            if value
        },
    }
    if one.rule in indices:
        result["ruleIndex"] = indices[one.rule]
    if group.first.baseline:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": one.baseline}]
    if finding.exhibit is not None and finding.exhibit.malformed is None:
        result["webRequest"] = _request(finding.exhibit)
        if finding.exhibit.status is not None:
            result["webResponse"] = {"statusCode": finding.exhibit.status}
    return result


def _location(finding: Finding, source: str) -> _Json:
    one = finding.verdict
    # Code scanning shows no result without a line, and a capture in a store has none of its own.
    place = {"artifactLocation": {"uri": _uri(source), "index": 0}, "region": {"startLine": 1}}
    location: _Json = {"physicalLocation": place}
    if one.captures:
        capture = printable(one.captures[-1])
        logical = [{"name": capture, "fullyQualifiedName": f"{one.endpoint or ''}#{capture}", "kind": "resource"}]
        if one.where.pointer:
            name = f"{one.endpoint or ''}#{capture}{one.where.pointer}"
            logical.append({"name": one.where.pointer, "fullyQualifiedName": name, "kind": "property"})
        location["logicalLocations"] = logical
    return location


def _request(shown: Exhibit) -> _Json:
    # Names of headers are keys here: of several with one name, the values stand one after the other.
    headers: dict[str, str] = {}
    for name, value, _ in shown.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {
        "protocol": "HTTP",
        "version": shown.http_version,
        "method": shown.method,
        "target": "".join(piece.text for piece in shown.target),
        "headers": headers,
        "body": {"text": "".join(piece.text for piece in shown.body)},
    }


def _notifications(report: Report, indices: Mapping[str, int]) -> Iterator[_Json]:
    for groups, level in ((report.errors, "error"), (report.inconclusive, "note")):
        for first in (group.first for group in groups):
            what = "A fault of the kit" if first.outcome == "error" else "Could not be told"
            at = f" at {first.endpoint}" if first.endpoint else ""
            notification: _Json = {
                "message": _message(_sentence(f"{what}{at}: {first.message}")),
                "level": level,
                "descriptor": {"id": first.outcome},
            }
            if first.rule in indices:
                notification["associatedRule"] = {"id": first.rule, "index": indices[first.rule]}
            yield notification


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _message(text: str) -> _Json:
    return {"text": _PLACEHOLDER.sub("{ ", printable(text).replace(_LINK, "] ("))}


def _uri(source: str) -> str:
    encoded = quote(source, errors="surrogatepass")
    return f"file://{encoded}" if encoded.startswith("/") else encoded
