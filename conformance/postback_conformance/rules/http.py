"""Method and target: the request goes where, and how, the notification says."""

from collections import Counter
from functools import lru_cache

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.rule import Rule, Source, each_capture
from postback_conformance.judging.strays import is_stray
from postback_conformance.judging.token_values import Reading
from postback_conformance.judging.verdict import Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.judging.wanted_url import names_of, wanted_url
from postback_conformance.rules.examples import JSON_BODY, JSON_SETTINGS, QUERY_SETTINGS, capture, example
from postback_conformance.rules.template_faults import RAW

_SETUP = Source(
    document="help centre, Enable Action Clearing Events Notification", section="steps 4 and 5", date="2023-08-31"
)
_SAME_PATH = Source(
    document="RFC 3986", section="§6.2.2: encodings that mean the same", date="2005-01", certainty="inferred"
)

# Two rules ask about the query of the same capture, one after the other.
_names_of = lru_cache(maxsize=2)(names_of)


def _method(evidence: Evidence) -> Outcome | None:
    notification, capture = evidence.notification, evidence.capture
    if capture.method == notification.method:
        return None
    return Fail(
        message=f"the method is {capture.method}, the notification says {notification.method}",
        expected=notification.method,
        actual=capture.method,
        captures=(capture.id,),
    )


def _target(evidence: Evidence) -> Outcome | None:
    # What reads by the template of the URL has its path and each of its parameters, once.
    if isinstance(evidence.target_reading, Reading):
        return None
    notification, capture = evidence.notification, evidence.capture
    wanted = wanted_url(notification.url)
    if is_stray(notification, capture):
        where = "without a body" if wanted.fits_but_for_slashes(capture.path) else "of another path"
        return Inconclusive(
            why=f"not a postback of this notification: {capture.method} {where}, with none of its parameters",
            captures=(capture.id,),
        )
    is_here = wanted.fits(capture.path)
    if not is_here and not wanted.fits_but_for_slashes(capture.path):
        shown = wanted.shown_path(capture)
        return Fail(
            message=f"the request went to {shown}, the notification says {wanted.path}",
            expected=wanted.path,
            actual=shown,
            captures=(capture.id,),
        )
    actual = _names_of(capture.query)
    present = frozenset(actual)
    missing = [name for name in dict.fromkeys(wanted.names) if name not in present]
    if not missing:
        return None if is_here else _other_slashes(evidence)
    if notification.template.escaping == "raw" and wanted.names[0] in present:
        why = f"the query lacks {', '.join(missing)}; {RAW} (a # ends a URL)"
        return Inconclusive(why=why, captures=(capture.id,))
    return Fail(
        message=f"the query lacks {', '.join(missing)}",
        expected=", ".join(wanted.names),
        actual=wanted.shown_names(actual) or "no parameters",
        captures=(capture.id,),
    )


def _other_slashes(evidence: Evidence) -> Inconclusive:
    wanted, capture = wanted_url(evidence.notification.url), evidence.capture
    return Inconclusive(
        why=f"the request went to {wanted.shown_path(capture)}, the notification says {wanted.path}: only slashes "
        "differ, which a proxy may have added or taken away",
        captures=(capture.id,),
    )


def _repeated(evidence: Evidence) -> Outcome | None:
    notification, capture = evidence.notification, evidence.capture
    if not capture.query:
        return NotApplicable(why="the request has no query")
    if isinstance(evidence.target_reading, Reading):
        return None
    wanted = wanted_url(notification.url)
    allowed, actual = Counter(wanted.names), Counter(_names_of(capture.query))
    repeated = [name for name, count in actual.items() if count > max(1, allowed[name])]
    if not repeated:
        return None
    if notification.template.escaping == "raw":
        why = f"the query repeats {wanted.shown_names(repeated)}; {RAW}"
        return Inconclusive(why=why, captures=(capture.id,))
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


def _unknown(evidence: Evidence) -> Outcome | None:
    notification, capture = evidence.notification, evidence.capture
    if not capture.query:
        return NotApplicable(why="the request has no query")
    if isinstance(evidence.target_reading, Reading):
        return None
    wanted = wanted_url(notification.url)
    named = frozenset(wanted.names)
    unknown = [name for name in dict.fromkeys(_names_of(capture.query)) if name not in named]
    if not unknown:
        return None
    what = f"the query holds {wanted.shown_names(unknown)}, which the notification's URL does not name"
    if notification.template.escaping == "raw":
        return Inconclusive(why=f"{what}; {RAW}", captures=(capture.id,))
    if wanted.hides_query:
        why = "the query holds a parameter that may come from a variable in the notification's URL"
        return Inconclusive(why=why, captures=(capture.id,))
    return Fail(
        message=f"{what}: added on the way, or what follows an unencoded & in a value",
        expected=", ".join(wanted.names) or "no parameters",
        actual=wanted.shown_names(_names_of(capture.query)),
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
        passing=example(JSON_SETTINGS, capture(JSON_BODY)),
        failing=example(JSON_SETTINGS, capture(method="GET")),
    ),
    Rule(
        id="http.target",
        level="MUST",
        requirement="The request goes to the path of the notification's URL, with every parameter it names.",
        needs="a request of this notification: to its path, with one of its parameters, or with its method and a body",
        fix="Compare the URL at impact.com with the notification file; proxies in front may rewrite paths.",
        sources=(_SETUP, _SAME_PATH),
        start=each_capture(_target),
        sees_strays=True,
        passing=example(JSON_SETTINGS, capture(JSON_BODY)),
        failing=example(JSON_SETTINGS, capture(b"{}", target="/postbak")),
    ),
    Rule(
        id="http.repeated-parameter",
        level="MUST",
        lenient="SHOULD",
        requirement="No parameter comes more often than the notification's URL names it.",
        needs="a request with a query",
        fix="Compare the URL at impact.com with the notification file; an unencoded & or ? in a value adds parameters.",
        sources=(
            _SETUP,
            Source(document="captured calls", section="every parameter once", date="2026-05", certainty="third-party"),
        ),
        start=each_capture(_repeated),
        passing=example(QUERY_SETTINGS, capture(method="GET", target="/postback?id=1&sub=")),
        failing=example(QUERY_SETTINGS, capture(method="GET", target="/postback?id=1&sub=a&sub=b")),
    ),
    Rule(
        id="http.unknown-parameter",
        level="SHOULD",
        lenient="INFO",
        requirement="The query holds no parameter that the notification's URL does not name.",
        needs="a request with a query",
        fix="Ignore parameters you do not know; find out whether a proxy adds them, or a value holds an unencoded &.",
        sources=(
            _SETUP,
            Source(document="captured calls", section="parameters as set up", date="2026-05", certainty="third-party"),
        ),
        start=each_capture(_unknown),
        passing=example(QUERY_SETTINGS, capture(method="GET", target="/postback?sub=&id=1")),
        failing=example(QUERY_SETTINGS, capture(method="GET", target="/postback?id=1&sub=a&utm_source=x")),
    ),
)
