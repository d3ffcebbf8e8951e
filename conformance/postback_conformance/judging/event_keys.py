"""Which event a captured request is about, read by running the notification's templates backwards."""

import hashlib
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Literal

from postback_receiver import Capture, same_request

if TYPE_CHECKING:
    from postback_sender import Notification
    from postback_sender.template.matching import Match

# What reads values by a template is imported when used: most receivers have no notification, and start without it.

KeyKind = Literal["event", "action", "request"]
"""What makes two requests be about the same thing: all values of the event, its action or other id, or every byte."""

# In the order in which `postback_sender.postback.event_key` asks for them.
_ID_TOKENS = ("ActionId", "Id")


def event_keys(kind: KeyKind, notification: "Notification | None") -> Callable[[Capture], str]:
    """Return what names the event of a capture.

    Requests that are not as the templates say, and all of them without a notification, are told apart by their bytes.
    """
    if notification is None or kind == "request":
        return same_request
    return partial(_event_key if kind == "event" else _action_key, notification)


def _event_key(notification: "Notification", capture: Capture) -> str:
    """Return what stands for all values in URL and body; whatever the sender adds beyond them does not count."""
    from postback_conformance.judging.wanted_url import VARIABLE  # noqa: PLC0415

    matches = [*_matches(notification, capture)]
    values = [
        (value.name, value.value)
        for found in matches
        if found is not None
        for value in chain(found.values, *chain.from_iterable(found.joins))
        if not VARIABLE.fullmatch(value.name)
    ]
    if not values or None in matches:
        return same_request(capture)
    return hashlib.sha256(repr(values).encode()).hexdigest()


def _action_key(notification: "Notification", capture: Capture) -> str:
    from postback_conformance.judging.token_values import token_value  # noqa: PLC0415

    for token in _ID_TOKENS:
        if value := token_value(notification, capture, token):
            return value
    return same_request(capture)


def _matches(notification: "Notification", capture: Capture) -> "list[Match | None]":
    """Return what the URL and the body say by their templates, None for one that is not as its template says."""
    from postback_conformance.judging.token_values import target_template  # noqa: PLC0415

    matches: list[Match | None] = []
    if (target := target_template(notification.url)) is not None:
        path, question_mark, query = capture.path, *capture.target.partition("?")[1:]
        matches.append(_match(target.match(f"{path}{question_mark}{query}".encode("latin-1"), context="url")))
    if notification.body is not None:
        matches.append(_match(notification.body.match(capture.body, context=notification.body_format)))
    return matches


def _match(found: object) -> "Match | None":
    from postback_sender.template.matching import Match  # noqa: PLC0415

    return found if isinstance(found, Match) else None
