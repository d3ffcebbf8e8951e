"""Headers: the one the partner asked for, and a content type that fits the body format."""

from postback_conformance.redaction import has_stand_in
from postback_conformance.rule import Rule, Source, each_capture
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example
from postback_conformance.verdict import Fail, NotApplicable, Outcome, Where
from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.postback import CONTENT_TYPES

# RFC 7303 §9.2 keeps text/xml as an equal of application/xml.
_ACCEPTED = {
    "json": (CONTENT_TYPES["json"],),
    "query": (CONTENT_TYPES["query"],),
    "xml": (CONTENT_TYPES["xml"], "text/xml"),
}
_WITH_HEADER = JSON_SETTINGS + '[headers]\nX-Api-Key = "secret"\n'
_JSON = ("Content-Type", "application/json")


def _content_type(notification: Notification, capture: Capture) -> Outcome | None:
    if notification.body is None:
        return NotApplicable(why="the notification has no body")
    accepted = _ACCEPTED[notification.body_format]
    values = capture.header("Content-Type")
    actual = values[0].partition(";")[0].strip().lower() if len(values) == 1 else ""
    if actual in accepted:
        return None
    return Fail(
        message=f"the body is {notification.body_format}, the Content-Type is {' and '.join(values) or 'missing'}",
        expected=" or ".join(accepted),
        actual=", ".join(values) or "no Content-Type",
        captures=(capture.id,),
        where=Where(header="Content-Type"),
    )


def _custom_header(notification: Notification, capture: Capture) -> Outcome | None:
    if not notification.headers:
        return NotApplicable(why="the notification sets no header")
    for name, value in notification.headers:
        actual = capture.header(name)
        # A value that still reads ${NAME} came from an environment that is not here, and a hidden one was exported
        # without --reveal: only its presence can be told.
        if _as_captured(value) in actual or (actual and ("${" in value or any(map(has_stand_in, actual)))):
            continue
        # The value may be a secret: a report must not repeat it.
        what = "has another value" if actual else "is missing"
        return Fail(
            message=f"the header {name} {what}",
            expected=f"{name} with the value of the notification",
            actual=f"{name} {what}",
            captures=(capture.id,),
            where=Where(header=name),
        )
    return None


def _as_captured(value: str) -> str:
    """Return a header value as it reads in a capture: UTF-8, one character for each byte, no blanks around it."""
    return value.encode().decode("latin-1").strip(" \t")


RULES = (
    Rule(
        id="header.content-type",
        level="SHOULD",
        requirement="A body comes with the content type of its format.",
        needs="a notification with a body",
        fix="Do not rely on the content type to choose a parser; read the body by the format you configured.",
        sources=(
            Source(
                document="help centre, Enable Action Clearing Events Notification",
                section="step 5: a body format, no content type",
                date="2023-08-31",
            ),
            Source(document="RFC 8259, RFC 7303, WHATWG URL", section="media types", certainty="inferred"),
        ),
        start=each_capture(_content_type),
        passing=example(JSON_SETTINGS, capture(b"{}", headers=(("content-type", "application/json; charset=utf-8"),))),
        failing=example(JSON_SETTINGS, capture(b"{}", headers=(("Content-Type", "text/plain"),))),
    ),
    Rule(
        id="header.custom-present",
        level="MUST",
        requirement="Every header of the notification is sent with its value.",
        needs="a notification that sets headers",
        fix="Check the HTTP Header field at impact.com; a proxy may drop headers it does not know.",
        sources=(
            Source(
                document="help centre, Enable Action Clearing Events Notification", section="step 6", date="2023-08-31"
            ),
        ),
        start=each_capture(_custom_header),
        passing=example(_WITH_HEADER, capture(b"{}", headers=(_JSON, ("x-api-key", "secret")))),
        failing=example(_WITH_HEADER, capture(b"{}", headers=(_JSON, ("X-Api-Key", "other")))),
    ),
)
