"""The report programs read: `postback-verdicts/1`."""

from typing import Any

import msgspec

from postback_conformance.judge import Judgement
from postback_conformance.verdict import Subject, summary

FORMAT = "postback-verdicts/1"


def machine_report(judgement: Judgement, *, seed: int | None = None, subject: Subject = "sender") -> dict[str, Any]:
    """Return the report as plain data: one entry for each finding, one for each rule without any."""
    return {
        "format": FORMAT,
        "subject": subject,
        "captures": judgement.captures,
        "left_out": judgement.left_out,
        "seed": seed,
        "verdicts": [msgspec.to_builtins(verdict) for verdict in judgement.verdicts],
        "summary": summary(judgement.verdicts),
    }


def encode_report(report: dict[str, Any]) -> bytes:
    """Return a report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)
