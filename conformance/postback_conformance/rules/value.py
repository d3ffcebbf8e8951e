"""Values: what stands in the places of the tokens."""

import re

from postback_conformance.rule import Rule, Source, each_capture
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example
from postback_conformance.verdict import Fail, Inconclusive, Outcome, Where
from postback_receiver import Capture
from postback_sender.notification import Notification

# impact.com writes every token in PascalCase, item fields as variable.field.
_NAME = r"([A-Z][A-Za-z0-9]*|[a-z]+\.[a-z]+)"
_TOKEN = re.compile(rf"\{{{_NAME}\}}".encode())
_TOKEN_IN_URL = re.compile(rf"(?:\{{|%7[Bb]){_NAME}(?:\}}|%7[Dd])".encode())


def _unreplaced_token(notification: Notification, capture: Capture) -> Outcome | None:
    pattern = _TOKEN_IN_URL if notification.body_format == "query" else _TOKEN
    if found := pattern.search(capture.body):
        return _outcome(notification, capture, found, "body", Where(span=found.span()))
    if found := _TOKEN_IN_URL.search(capture.target.encode("latin-1")):
        return _outcome(notification, capture, found, "target", Where())
    if capture.truncated:
        return Inconclusive(why="the body was not captured to its end", captures=(capture.id,))
    return None


def _outcome(notification: Notification, capture: Capture, found: re.Match[bytes], place: str, where: Where) -> Outcome:
    token = f"{{{found[1].decode()}}}"
    if found[1].decode() not in _names(notification):
        return Inconclusive(
            why=f"{token} stands in the {place}; the template has no such token, so it may be a value",
            captures=(capture.id,),
        )
    return Fail(
        message=f"{token} stands in the {place} as it stands in the template",
        expected="the value of the token, or nothing",
        actual=token,
        captures=(capture.id,),
        where=where,
    )


def _names(notification: Notification) -> frozenset[str]:
    return notification.url.names | (notification.body.names if notification.body else frozenset[str]())


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
        failing=example(JSON_SETTINGS, capture(b'{"id": "{ActionId}"}')),
    ),
)
