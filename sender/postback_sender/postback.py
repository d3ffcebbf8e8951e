"""`Postback`: one rendered request, and how a notification and an event become one."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

import msgspec

from postback_sender.errors import RenderError
from postback_sender.event import Event
from postback_sender.notification import BodyFormat, Notification

# What captured production calls of May 2026 carried: this agent, these encodings, no Accept.
USER_AGENT = "Impact-Postback-Client/1.0"
ACCEPT_ENCODING = "gzip, br"

CONTENT_TYPES: dict[BodyFormat, str] = {
    "query": "application/x-www-form-urlencoded",
    "json": "application/json",
    "xml": "application/xml",
}

# RFC 9112 §3.2: a request line is printable ASCII without blanks; raw values may hold anything.
_NOT_IN_REQUEST_LINE = re.compile(rb"[^!-~]")


Headers = Sequence[tuple[str, str]]


class Postback(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request ready to send; `key` names the action (or job, inquiry …) it tells about, empty if it has none."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    key: str


def render_postback(notification: Notification, event: Event, *, to: str | None = None) -> Postback:
    """Return the request impact.com would make for an event, or raise `RenderError`.

    `to` sends it elsewhere: its scheme and host replace those of the settings, and its path too when it has one.
    """
    known = notification.known_tokens
    target = notification.url.render(event.values, context="url", items=event.items, known=known)
    url = request_target(target)
    headers = [("User-Agent", USER_AGENT), ("Accept-Encoding", ACCEPT_ENCODING)]
    body = b""
    if notification.body is not None:
        body = notification.body.render(event.values, context=notification.body_format, items=event.items, known=known)
        headers.append(("Content-Type", CONTENT_TYPES[notification.body_format]))
    return Postback(
        method=notification.method,
        url=request_target(redirect(url, to).encode()) if to else url,
        headers=_merged(headers, notification.headers),
        body=body,
        key=event_key(event),
    )


def request_target(text: bytes) -> str:
    """Return a rendered URL as a request line can hold it: bytes that it cannot are percent-encoded."""
    return _NOT_IN_REQUEST_LINE.sub(lambda found: b"%%%02X" % found[0][0], text).decode("ascii")


def _merged(ours: Headers, partners: Headers) -> tuple[tuple[str, str], ...]:
    """Return both, without those of ours that the partner sets otherwise."""
    replaced = {name.lower() for name, _ in partners}
    return (*((name, value) for name, value in ours if name.lower() not in replaced), *partners)


def event_key(event: Event) -> str:
    """Return what ties the events of one action together: its id, or the id of an inquiry, request or job.

    Events of a partner's own kinds are tied in the same way: by `ActionId`, else by `Id`, else by nothing.
    """
    return event.values.get("ActionId") or event.values.get("Id", "")


def redirect(url: str, to: str) -> str:
    """Return `url` aimed at another server: the scheme and host of `to`, and its path when it has one."""
    try:
        here, there = urlsplit(url), urlsplit(to)
    except ValueError as error:
        raise RenderError(f"{to!r} is not a URL: {error}") from None
    if there.scheme not in {"http", "https"} or not there.netloc:
        raise RenderError(f"expected a URL such as http://127.0.0.1:8080, got {to!r}")
    path = here.path if there.path in {"", "/"} else there.path
    return urlunsplit((there.scheme, there.netloc, path, there.query or here.query, ""))
