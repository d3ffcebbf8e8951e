"""The capture itself: what was judged is all that arrived. Its subject is our own evidence."""

import re

from msgspec.structs import replace

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.rule import Rule, Source, each_capture
from postback_conformance.judging.verdict import Fail, Inconclusive, Outcome
from postback_conformance.redaction import LEFT_OUT_BY_EXPORT, has_left_out
from postback_conformance.rules.examples import JSON_BODY, JSON_SETTINGS, capture, example

# More digits no length in bytes has that anybody could send.
_LENGTH = re.compile(r"[0-9]{1,18}")


def _complete(evidence: Evidence) -> Outcome | None:
    capture = evidence.capture
    if capture.malformed is not None:
        return Fail(
            message=f"this could not be read as an HTTP request: {capture.malformed}",
            expected="an HTTP request",
            actual=f"{len(capture.body)} bytes that are none",
            captures=(capture.id,),
        )
    if not capture.truncated:
        return None
    if has_left_out(capture):
        return Inconclusive(why=LEFT_OUT_BY_EXPORT, captures=(capture.id,))
    size, length = len(capture.body), _length(evidence)
    # Whoever was answered had not left: then it was the receiver that stopped, at its limit or for lack of patience.
    if capture.answer is None and capture.gone_ns is not None and length is not None and size < length:
        return Fail(
            message=f"the sender hung up after {size} of {length} bytes of the body",
            expected=f"{length} bytes, as its Content-Length says",
            actual=f"{size} bytes, and the end of the connection",
            captures=(capture.id,),
        )
    if evidence.is_of_archive:
        return Inconclusive(why="the archive does not hold the body as it was sent", captures=(capture.id,))
    return Inconclusive(
        why=f"only the first {size} bytes of the body are here: if it was longer than the receiver's limit, raise that "
        "with --max-body",
        captures=(capture.id,),
    )


def _length(evidence: Evidence) -> int | None:
    lengths = set(evidence.header("content-length"))
    text = lengths.pop() if len(lengths) == 1 else ""
    return int(text) if _LENGTH.fullmatch(text) else None


_CUT_OFF = capture(b'{"id', headers=(("Content-Type", "application/json"), ("Content-Length", "30")), truncated=True)

RULES = (
    Rule(
        id="capture.complete",
        level="MUST",
        requirement="Every capture holds its whole request.",
        needs="any capture; of one that was cut off, its Content-Length and that the sender left",
        fix="Find out why the sender hung up before the end of its body; the other rules cannot tell meanwhile.",
        sources=(
            Source(
                document="Postback Kit",
                section="ARCHITECTURE.md: a capture is evidence",
                date="2026-11-22",
                certainty="inferred",
            ),
        ),
        start=each_capture(_complete),
        sees_malformed=True,
        passing=example(JSON_SETTINGS, capture(JSON_BODY)),
        failing=example(JSON_SETTINGS, replace(_CUT_OFF, answer=None, gone_ns=1)),
    ),
)
