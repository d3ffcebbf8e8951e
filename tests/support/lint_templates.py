"""Templates for tests of `lint --fix`: sound ones, settings around any text, and what a body says for an event."""

import json
from typing import Final

from hypothesis import strategies as st

from postback_conformance.demo import demo_sources
from postback_conformance.judging.readings import form_fault, read_json, xml_fault
from postback_conformance.lint import fix
from postback_conformance.strategies import events, lifecycles
from postback_sender import Event, NotificationSource, SenderError, parse_notification
from postback_sender.notification import BodyFormat, Notification

URL: Final = "http://127.0.0.1/p?action={ActionId}&status={Status}&delta={DeltaPayout}"
RAW: Final = '[template]\nescaping = "raw"'


def notification_of(body: str, body_format: BodyFormat = "json", *, url: str = URL, more: str = "") -> Notification:
    """Return settings with a body of this text, and more below."""
    lines = [
        f"url = {quoted(url)}",
        'method = "POST"',
        f'body_format = "{body_format}"',
        f"body = {quoted(body)}",
        more,
    ]
    return parse_notification(NotificationSource(name="any.toml", text="\n".join(lines)), None)


def quoted(text: str) -> str:
    """Write a text as TOML; JSON's strings are TOML's, but for two ways to write a letter."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def body_of(notification: Notification) -> str:
    """Return the text of the body's template."""
    assert notification.body is not None
    return notification.body.source


def rendered(notification: Notification, event: Event) -> bytes:
    """Return the body for an event."""
    assert notification.body is not None
    known = notification.known_tokens
    return notification.body.render(event.values, context=notification.body_format, items=event.items, known=known)


def is_well_formed(notification: Notification, event: Event) -> bool:
    """Tell whether the body for an event is what its format says."""
    body = rendered(notification, event)
    match notification.body_format:
        case "json":
            return read_json(body).fault is None
        case "xml":
            return xml_fault(body) is None
        case "query":
            return form_fault(body) is None


TWIN: Final = parse_notification(demo_sources()["corrected"], None)
SOUND: Final[dict[BodyFormat, str]] = {
    "json": body_of(TWIN),
    "xml": body_of(parse_notification(demo_sources()["xml"], None)),
    "query": body_of(parse_notification(demo_sources()["query"], None)),
}
EVENTS: Final = st.one_of(
    events(kind="action_lifecycle"), lifecycles(max_items=3, max_updates=2).flatmap(st.sampled_from)
)


def assert_fixed_twice_is_fixed_once(body: str, body_format: BodyFormat, *, url: str, more: str = "") -> None:
    """Check that there is nothing left to mend, or that nobody can."""
    try:
        notification = notification_of(body, body_format, url=url, more=more)
    except SenderError:
        return
    once = fix(notification)
    twice = fix(once.notification)
    assert body_of(twice.notification) == body_of(once.notification)
    assert twice.notification.url.source == once.notification.url.source
    assert twice.findings == once.findings
