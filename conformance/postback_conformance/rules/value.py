"""Values: what stands in the places of the tokens."""

import re
from urllib.parse import unquote_to_bytes

from postback_conformance.rule import Rule, Source, each_capture
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example
from postback_conformance.verdict import Fail, Outcome, Where
from postback_receiver import Capture
from postback_sender.notification import Notification

# impact.com writes every token in PascalCase, item fields as variable.field.
_TOKEN = re.compile(rb"\{([A-Z][A-Za-z0-9]*|[a-z]+\.[a-z]+)\}")


def _unreplaced_token(notification: Notification, capture: Capture) -> Outcome | None:
    _ = notification
    if found := _TOKEN.search(capture.body):
        return _finding(capture, found, "body", Where(span=found.span()))
    if found := _TOKEN.search(unquote_to_bytes(capture.target)):
        return _finding(capture, found, "target", Where())
    return None


def _finding(capture: Capture, found: re.Match[bytes], place: str, where: Where) -> Fail:
    token = found[0].decode()
    return Fail(
        message=f"{token} stands in the {place} as it stood in the template",
        expected="the value of the token, or nothing",
        actual=token,
        captures=(capture.id,),
        where=where,
    )


RULES = (
    Rule(
        id="value.unreplaced-token",
        level="MUST",
        requirement="No token of the template arrives unreplaced.",
        needs="any capture",
        fix="Check the spelling of the token; `postback lint` names the nearest that exists.",
        sources=(
            Source(document="help centre, Enable Action Clearing Events Notification", section="step 5"),
            Source(document="postback templates of a tracker", certainty="third-party"),
        ),
        start=each_capture(_unreplaced_token),
        passing=example(JSON_SETTINGS, capture(b'{"id": "{}", "sub": "{x"}')),
        failing=example(JSON_SETTINGS, capture(b'{"id": "{SubId9}"}')),
    ),
)
