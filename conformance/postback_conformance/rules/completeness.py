"""The capture itself: what was judged is all that arrived. Its subject is our own evidence."""

from postback_conformance.rule import Rule, Source, each_capture
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example
from postback_conformance.verdict import Fail, Outcome
from postback_receiver import Capture
from postback_sender.notification import Notification


def _complete(notification: Notification, capture: Capture) -> Outcome | None:
    _ = notification
    if capture.malformed is not None:
        return Fail(
            message=f"this could not be read as an HTTP request: {capture.malformed}",
            expected="an HTTP request",
            actual=f"{len(capture.body)} bytes that are none",
            captures=(capture.id,),
        )
    if not capture.truncated:
        return None
    return Fail(
        message=f"only the first {len(capture.body)} bytes of the body are here",
        expected="the whole body",
        actual="a body over the receiver's limit, or a sender that left before its end",
        captures=(capture.id,),
    )


RULES = (
    Rule(
        id="capture.complete",
        level="MUST",
        requirement="Every capture holds its whole request.",
        needs="any capture",
        fix="Raise the receiver's body limit, or find out why the sender hung up; other rules cannot tell meanwhile.",
        sources=(
            Source(document="Postback Kit", section="ARCHITECTURE.md: a capture is evidence", certainty="inferred"),
        ),
        start=each_capture(_complete),
        sees_malformed=True,
        passing=example(JSON_SETTINGS, capture(b"{}")),
        failing=example(JSON_SETTINGS, capture(b'{"id', truncated=True)),
    ),
)
