"""Requests that are nothing of a notification: a favicon, a health check, a scanner. No sender is to blame for them."""

from postback_conformance.judging.wanted_url import names_of, wanted_url
from postback_receiver import Capture
from postback_sender.notification import Notification

# These ask about a resource, and bring nothing (RFC 9110 §9.3).
_ASKING = frozenset({"HEAD", "OPTIONS"})


def is_stray(notification: Notification, capture: Capture) -> bool:
    """Tell whether nothing of a request fits: not its path, no parameter, and not its method together with a body.

    So does nothing of one to its path that only asks whether anybody is there: a HEAD, a browser's OPTIONS.
    """
    wanted = wanted_url(notification.url)
    if wanted.fits(capture.path) or wanted.fits_but_for_slashes(capture.path):
        if capture.method not in _ASKING or capture.body or capture.truncated:
            return False
    elif notification.body is not None and capture.body and capture.method == notification.method:
        return False
    return not capture.query or not (
        wanted.hides_names or any(name in wanted.names for name in names_of(capture.query))
    )
