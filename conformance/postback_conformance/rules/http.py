"""Method and target: the request goes where, and how, the notification says."""

import re
import string
from urllib.parse import parse_qsl, quote

from postback_conformance.rule import Rule, Source, each_capture
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, capture, example
from postback_conformance.verdict import Fail, NotApplicable, Outcome
from postback_receiver import Capture
from postback_receiver.capture import path_of
from postback_sender.notification import Notification
from postback_sender.template.nodes import Text

# A letter no URL holds stands for the tokens of a template.
_TOKEN = "\0"

_SETUP = Source(
    document="help centre, Enable Action Clearing Events Notification", section="steps 4 and 5", date="2023-08-31"
)


def _method(notification: Notification, capture: Capture) -> Outcome | None:
    if capture.method == notification.method:
        return None
    return Fail(
        message=f"the request is a {capture.method}, the notification says {notification.method}",
        expected=notification.method,
        actual=capture.method,
        captures=(capture.id,),
    )


def _target(notification: Notification, capture: Capture) -> Outcome | None:
    expected, pattern = _path_pattern(notification)
    if not pattern.fullmatch(capture.path):
        return Fail(
            message=f"the request went to {capture.path}, the notification says {expected}",
            expected=expected,
            actual=capture.path,
            captures=(capture.id,),
        )
    wanted, actual = _parameters(notification), _names(capture.query)
    missing = [name for name in dict.fromkeys(wanted) if name not in actual]
    if not missing:
        return None
    return Fail(
        message=f"the query lacks {', '.join(missing)}",
        expected=", ".join(wanted),
        actual=", ".join(actual) or "no parameters",
        captures=(capture.id,),
    )


def _repeated(notification: Notification, capture: Capture) -> Outcome | None:
    if not capture.query:
        return NotApplicable(why="the request has no query")
    wanted, actual = _parameters(notification), _names(capture.query)
    repeated = [name for name in dict.fromkeys(actual) if actual.count(name) > max(1, wanted.count(name))]
    if not repeated:
        return None
    return Fail(
        message=f"the query repeats {', '.join(repeated)}; servers keep the first, the last, or all",
        expected="each parameter as often as the notification's URL names it",
        actual=", ".join(actual),
        captures=(capture.id,),
    )


def _parameters(notification: Notification) -> list[str]:
    """Return the names of the URL's parameters; one that holds a token can be any name and is left out."""
    return [name for name in _names(_skeleton(notification).partition("?")[2]) if _TOKEN not in name]


def _names(query: str) -> list[str]:
    return [name for name, _ in parse_qsl(query, keep_blank_values=True)]


def _skeleton(notification: Notification) -> str:
    """Return the URL with a mark for every token, and without a fragment, which stays at home."""
    url = "".join(node.text if isinstance(node, Text) else _TOKEN for node in notification.url.nodes)
    return url.partition("#")[0]


def _path_pattern(notification: Notification) -> tuple[str, re.Pattern[str]]:
    """Return the path as people read it, and as a pattern of what may stand on the request line."""
    path = path_of(_skeleton(notification))
    # Blanks and letters beyond ASCII travel percent-encoded.
    parts = (quote(part, safe=string.punctuation) for part in path.split(_TOKEN))
    return path.replace(_TOKEN, "{…}"), re.compile("[^/?]*".join(map(re.escape, parts)))


RULES = (
    Rule(
        id="http.method",
        level="MUST",
        requirement="The request uses the method of the notification.",
        needs="any capture",
        fix="Set the same HTTP method at impact.com and in the notification file.",
        sources=(_SETUP,),
        start=each_capture(_method),
        passing=example(JSON_SETTINGS, capture(b"{}")),
        failing=example(JSON_SETTINGS, capture(method="GET")),
    ),
    Rule(
        id="http.target",
        level="MUST",
        requirement="The request goes to the path of the notification's URL, with every parameter it names.",
        needs="any capture",
        fix="Compare the URL at impact.com with the notification file; proxies in front may rewrite paths.",
        sources=(_SETUP,),
        start=each_capture(_target),
        passing=example(JSON_SETTINGS, capture(b"{}")),
        failing=example(JSON_SETTINGS, capture(b"{}", target="/postbak")),
    ),
    Rule(
        id="http.repeated-parameter",
        level="MUST",
        requirement="No parameter comes more often than the notification's URL names it.",
        needs="a request with a query",
        fix="Compare the URL at impact.com with the notification file; an unencoded & or ? in a value adds parameters.",
        sources=(_SETUP, Source(document="captured calls", section="May 2026", certainty="third-party")),
        start=each_capture(_repeated),
        passing=example(QUERY_SETTINGS, capture(method="GET", target="/postback?id=1&sub=")),
        failing=example(QUERY_SETTINGS, capture(method="GET", target="/postback?id=1&sub=a&sub=b")),
    ),
)
