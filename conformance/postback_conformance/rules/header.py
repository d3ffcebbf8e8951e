"""Headers: the ones the partner asked for, the type of the body, and what HTTP needs to find its end and its host."""

import re

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.rule import Rule, Source, each_capture
from postback_conformance.judging.verdict import Fail, Inconclusive, NotApplicable, Outcome, Where
from postback_conformance.redaction import (
    HIDDEN_BY_EXPORT,
    LEFT_OUT_BY_EXPORT,
    has_hidden,
    has_left_out,
    has_stand_in,
)
from postback_conformance.rules.applying import no_body, where_it_applies
from postback_conformance.rules.examples import JSON_BODY, JSON_SETTINGS, capture, example
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

# RFC 9112 §3.2 and RFC 3986 §3.2.2: a name, an IPv4 address, or an IPv6 address in brackets; then maybe a port.
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.vV]+\])(?::[0-9]*)?")
# More digits no length in bytes has that anybody could send.
_LENGTH = re.compile(r"[0-9]{1,18}")
_HTTP_1_1 = "1.1"
# What frames and routes a request by fields of its head; later versions of HTTP do it otherwise.
_WITH_FIELDS = ("1.0", _HTTP_1_1)


def _no_headers(notification: Notification) -> str:
    return "" if notification.headers else "the notification sets no header"


def _content_type(evidence: Evidence) -> Outcome | None:
    body_format = evidence.notification.body_format
    accepted, values = _ACCEPTED[body_format], evidence.header("content-type")
    actual = values[0].partition(";")[0].strip().lower() if len(values) == 1 else ""
    if actual in accepted:
        return None
    if not values and not evidence.capture.body:
        return NotApplicable(why="there is no body that could have a type")
    if not values and evidence.is_of_archive:
        return _not_recorded(evidence, "Content-Type")
    return Fail(
        message=f"the body is {body_format}, the Content-Type is {' and '.join(values) or 'missing'}",
        expected=" or ".join(accepted),
        actual=", ".join(values) or "no Content-Type",
        captures=(evidence.capture.id,),
        where=Where(header="Content-Type"),
    )


def _custom_header(evidence: Evidence) -> Outcome | None:
    for name, value in evidence.notification.headers:
        actual = evidence.header(name.lower())
        # A value that still reads ${NAME} came from an environment that is not here, and a hidden one was exported
        # without --reveal: only its presence can be told.
        if _as_captured(value) in actual or (actual and ("${" in value or any(map(has_stand_in, actual)))):
            continue
        if not actual and evidence.is_of_archive:
            return _not_recorded(evidence, name)
        # The value may be a secret: a report must not repeat it.
        what = "has another value" if actual else "is missing"
        return Fail(
            message=f"the header {name} {what}",
            expected=f"{name} with the value of the notification",
            actual=f"{name} {what}",
            captures=(evidence.capture.id,),
            where=Where(header=name),
        )
    return None


def _not_recorded(evidence: Evidence, name: str) -> Inconclusive:
    return Inconclusive(
        why=f"the header {name} is missing from an archive, which need not hold every header",
        captures=(evidence.capture.id,),
    )


def _as_captured(value: str) -> str:
    """Return a header value as it reads in a capture: UTF-8, one character for each byte, no blanks around it."""
    return value.encode().decode("latin-1").strip(" \t")


def _content_length(evidence: Evidence) -> Outcome | None:
    capture, lengths = evidence.capture, evidence.header("content-length")
    if capture.http_version not in _WITH_FIELDS:
        return NotApplicable(why=f"HTTP/{capture.http_version} needs no Content-Length")
    if evidence.header("transfer-encoding"):
        both = "there are both Content-Length and Transfer-Encoding: two servers may read two requests"
        return _wrong_length(evidence, both, "one of the two") if lengths else None
    if not lengths and not capture.body and (evidence.notification.body is None or evidence.has_no_body):
        return NotApplicable(why="there is no body that could have a length")
    if not lengths and evidence.is_of_archive:
        return _not_recorded(evidence, "Content-Length")
    if len(set(lengths)) != 1 or not _LENGTH.fullmatch(lengths[0]):
        what = f"the Content-Length is {' and '.join(lengths)[:80]}" if lengths else "nothing says how long the body is"
        return _wrong_length(evidence, what, "one whole number")
    return _compared_length(evidence, int(lengths[0]))


def _compared_length(evidence: Evidence, length: int) -> Outcome | None:
    capture, size = evidence.capture, len(evidence.capture.body)
    if length == size:
        return None
    if has_left_out(capture):
        return Inconclusive(why=LEFT_OUT_BY_EXPORT, captures=(capture.id,))
    if capture.truncated:
        return Inconclusive(why="the body was not captured to its end", captures=(capture.id,))
    if has_hidden(capture):
        return Inconclusive(why=f"{HIDDEN_BY_EXPORT}, which changed its length", captures=(capture.id,))
    return _wrong_length(evidence, f"the Content-Length is {length}, the body has {size} bytes", str(size))


def _wrong_length(evidence: Evidence, message: str, expected: str) -> Fail:
    return Fail(
        message=message,
        expected=expected,
        actual=", ".join(evidence.header("content-length"))[:80] or "no Content-Length",
        captures=(evidence.capture.id,),
        where=Where(header="Content-Length"),
    )


def _host(evidence: Evidence) -> Outcome | None:
    if evidence.capture.http_version != _HTTP_1_1:
        return NotApplicable(why=f"HTTP/{evidence.capture.http_version} needs no Host")
    hosts = evidence.header("host")
    if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
        return None
    what = "is missing" if not hosts else "is there more than once" if len(hosts) > 1 else "names no host"
    return Fail(
        message=f"the header Host {what}",
        expected="one Host with the name or address of the server",
        actual=", ".join(hosts)[:80] or "no Host",
        captures=(evidence.capture.id,),
        where=Where(header="Host"),
    )


RULES = (
    Rule(
        id="header.content-type",
        level="SHOULD",
        strict="MUST",
        lenient="INFO",
        requirement="A body comes with the content type of its format.",
        needs="a notification with a body",
        fix="Do not rely on the content type to choose a parser; read the body by the format you configured.",
        sources=(
            Source(
                document="help centre, Enable Action Clearing Events Notification",
                section="step 5: a body format, no content type",
                date="2023-08-31",
            ),
            Source(
                document="RFC 8259, RFC 7303, WHATWG URL", section="media types", date="2017-12", certainty="inferred"
            ),
        ),
        start=where_it_applies(no_body, _content_type),
        passing=example(
            JSON_SETTINGS, capture(JSON_BODY, headers=(("content-type", "application/json; charset=utf-8"),))
        ),
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
        start=where_it_applies(_no_headers, _custom_header),
        passing=example(_WITH_HEADER, capture(JSON_BODY, headers=(_JSON, ("x-api-key", "secret")))),
        failing=example(_WITH_HEADER, capture(b"{}", headers=(_JSON, ("X-Api-Key", "other")))),
    ),
    Rule(
        id="header.content-length",
        level="SHOULD",
        strict="MUST",
        lenient="INFO",
        requirement="The head of a request says in one way, and rightly, how long its body is.",
        needs="a request over HTTP/1 with a body, captured to its end",
        fix="Look at what stands between impact.com and you: a proxy that changes a body has to change this, too.",
        sources=(
            Source(document="RFC 9112", section="§6.1, §6.2 and §6.3", date="2022-06"),
            Source(document="RFC 9110", section="§8.6", date="2022-06"),
        ),
        start=each_capture(_content_length),
        passing=example(JSON_SETTINGS, capture(JSON_BODY, headers=(_JSON, ("Content-Length", str(len(JSON_BODY)))))),
        failing=example(JSON_SETTINGS, capture(b"{}", headers=(_JSON, ("Content-Length", "3")))),
    ),
    Rule(
        id="header.host",
        level="MUST",
        lenient="SHOULD",
        requirement="A request over HTTP/1.1 names its host, once.",
        needs="a request over HTTP/1.1",
        fix="Look at what stands between impact.com and you: a proxy must name a host to the server behind it.",
        sources=(Source(document="RFC 9112", section="§3.2", date="2022-06"),),
        start=each_capture(_host),
        passing=example(JSON_SETTINGS, capture(JSON_BODY, headers=(_JSON, ("Host", "partner.example:8443")))),
        failing=example(JSON_SETTINGS, capture(b"{}", headers=(("Host", "one"), ("Host", "two"), _JSON))),
    ),
)
