"""Method and target: the request goes where, and how, the notification says."""

from collections import Counter

from postback_conformance.rule import Rule, Source, each_capture
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, capture, example
from postback_conformance.verdict import Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.wanted_url import names_of, wanted_url
from postback_receiver import Capture
from postback_sender.notification import Notification

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
    wanted = wanted_url(notification.url)
    if not wanted.pattern.fullmatch(capture.path):
        shown = wanted.shown_path(capture)
        return Fail(
            message=f"the request went to {shown}, the notification says {wanted.path}",
            expected=wanted.path,
            actual=shown,
            captures=(capture.id,),
        )
    actual = names_of(capture.query)
    present = frozenset(actual)
    missing = [name for name in dict.fromkeys(wanted.names) if name not in present]
    if not missing:
        return None
    return Fail(
        message=f"the query lacks {', '.join(missing)}",
        expected=", ".join(wanted.names),
        actual=wanted.shown_names(actual) or "no parameters",
        captures=(capture.id,),
    )


def _repeated(notification: Notification, capture: Capture) -> Outcome | None:
    if not capture.query:
        return NotApplicable(why="the request has no query")
    wanted = wanted_url(notification.url)
    allowed, actual = Counter(wanted.names), Counter(names_of(capture.query))
    repeated = [name for name, count in actual.items() if count > max(1, allowed[name])]
    if not repeated:
        return None
    if wanted.hides_names:
        return Inconclusive(
            why="the query repeats a parameter; one of them may come from a variable in the notification's URL",
            captures=(capture.id,),
        )
    return Fail(
        message=f"the query repeats {wanted.shown_names(repeated)}; servers keep the first, the last, or all",
        expected="each parameter as often as the notification's URL names it",
        actual=", ".join(f"{wanted.shown_names([name])} {actual[name]} times" for name in repeated),
        captures=(capture.id,),
    )


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
