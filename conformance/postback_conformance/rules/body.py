"""Bodies: well formed in the format the notification names."""

from postback_conformance.printable import printable
from postback_conformance.readings import (
    MAX_DEPTH,
    Fault,
    form_fault,
    read_json,
    utf8_fault,
    xml_document_type,
    xml_fault,
)
from postback_conformance.redaction import is_form, redacted_form
from postback_conformance.rule import Rule, Source, each_capture
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, XML_SETTINGS, capture, example
from postback_conformance.verdict import Fail, Inconclusive, NotApplicable, Outcome, Where
from postback_conformance.wanted_url import wanted_url
from postback_receiver import Capture
from postback_sender.notification import BodyFormat, Notification

_FORM_SETTINGS = QUERY_SETTINGS.replace("GET", "POST") + 'body = "id={ActionId}"\nbody_format = "query"\n'
_JSON_RFC = Source(document="RFC 8259", section="§2 and §8.1", date="2017-12-01")
_QUOTE_ADVICE = (
    "Give every key a value and put every token between quotes; `postback lint` shows the places in the template."
)


def _without(notification: Notification, capture: Capture, body_format: BodyFormat) -> Outcome | None:
    """Return why a body of that format cannot be judged here, or None when it can."""
    if notification.body is None or notification.body_format != body_format:
        return NotApplicable(why=f"the notification has no {body_format} body")
    return _unreadable(capture)


def _unreadable(capture: Capture) -> Inconclusive | None:
    """Return why nobody can tell what is in a body: it is cut, or it is encoded and kept as it was sent."""
    if capture.truncated:
        return Inconclusive(why="the body was not captured to its end", captures=(capture.id,))
    if encodings := [one for one in capture.header("Content-Encoding") if one.strip().lower() != "identity"]:
        return Inconclusive(why=f"the body is encoded: {', '.join(encodings)}", captures=(capture.id,))
    return None


def _failed(notification: Notification, capture: Capture, fault: Fault, what: str, expected: str) -> Fail:
    return Fail(
        message=f"{what}: {fault.reason}",
        expected=expected,
        actual=_around(notification, capture, fault.span),
        captures=(capture.id,),
        where=Where(span=fault.span),
    )


def _around(notification: Notification, capture: Capture, span: tuple[int, int] | None) -> str:
    """Return the bytes before and after a fault, as text that one line can hold; secret fields of a form are hidden."""
    start = span[0] if span else 0
    first, beyond = max(0, start - 24), start + 16
    is_one = is_form(capture) or (notification.body is not None and notification.body_format == "query")
    shown = redacted_form(capture.body, first, beyond) if is_one else capture.body[first:beyond]
    return printable(shown.decode("utf-8", "backslashreplace"))


def _empty_on_get(notification: Notification, capture: Capture) -> Outcome | None:
    if notification.method != "GET":
        return NotApplicable(why="the notification is not a GET")
    if not capture.body:
        return _unreadable(capture)
    return Fail(
        message=f"the {capture.method} came with a body of {len(capture.body)} bytes",
        expected="no body",
        actual=_around(notification, capture, None),
        captures=(capture.id,),
    )


def _utf8(notification: Notification, capture: Capture) -> Outcome | None:
    if notification.body is None:
        return NotApplicable(why="the notification has no body")
    if outcome := _unreadable(capture):
        return outcome
    fault = utf8_fault(capture.body)
    return None if fault is None else _failed(notification, capture, fault, "the body is not UTF-8", "UTF-8")


def _json_well_formed(notification: Notification, capture: Capture) -> Outcome | None:
    if outcome := _without(notification, capture, "json"):
        return outcome
    reading = read_json(capture.body)
    if reading.too_deep:
        return Inconclusive(why=f"the body is nested deeper than {MAX_DEPTH} levels", captures=(capture.id,))
    fault = reading.fault
    return None if fault is None else _failed(notification, capture, fault, "the body is not valid JSON", "valid JSON")


def _json_duplicate_key(notification: Notification, capture: Capture) -> Outcome | None:
    if outcome := _without(notification, capture, "json"):
        return outcome
    reading = read_json(capture.body)
    if reading.fault or reading.too_deep:
        return NotApplicable(why="the body is not JSON that can be read")
    if not reading.repeated_keys:
        return None
    keys = ", ".join(repr(key) for key in reading.repeated_keys)
    return Fail(
        message=f"one object holds {keys} more than once; parsers keep the first, the last, or refuse",
        expected="each key once",
        actual=keys,
        captures=(capture.id,),
    )


def _xml_well_formed(notification: Notification, capture: Capture) -> Outcome | None:
    if outcome := _without(notification, capture, "xml"):
        return outcome
    fault = xml_fault(capture.body)
    return (
        None
        if fault is None
        else _failed(notification, capture, fault, "the body is not well-formed XML", "well-formed XML")
    )


def _xml_no_dtd(notification: Notification, capture: Capture) -> Outcome | None:
    if outcome := _without(notification, capture, "xml"):
        return outcome
    fault = xml_document_type(capture.body)
    expected = "no document type: it is how entities and outside files get in"
    return (
        None
        if fault is None
        else _failed(notification, capture, fault, "the body carries more than its values", expected)
    )


def _percent_encoding(notification: Notification, capture: Capture) -> Outcome | None:
    has_form = notification.body is not None and notification.body_format == "query"
    if not has_form and not capture.query:
        return NotApplicable(why="there is neither a query nor a form body")
    if fault := form_fault(capture.query.encode("latin-1")):
        return Fail(
            message=f"the query is not percent-encoded: {fault.reason}",
            expected="a percent-encoded query",
            actual=wanted_url(notification.url).shown_query(capture.query)[:120],
            captures=(capture.id,),
        )
    if not has_form:
        return None
    if outcome := _unreadable(capture):
        return outcome
    fault = form_fault(capture.body)
    return (
        None
        if fault is None
        else _failed(notification, capture, fault, "the body is not percent-encoded", "percent-encoding")
    )


RULES = (
    Rule(
        id="body.empty-on-get",
        level="MUST",
        requirement="A GET carries its values in the URL and nothing in the body.",
        needs="a notification with the method GET",
        fix="Check what stands between impact.com and your server; servers may refuse or ignore such a body.",
        sources=(Source(document="impact.com OpenAPI, event notifications v16", section="GET"),),
        start=each_capture(_empty_on_get),
        passing=example(QUERY_SETTINGS, capture(method="GET", target="/postback?id=1&sub=")),
        failing=example(QUERY_SETTINGS, capture(b"x", method="GET")),
    ),
    Rule(
        id="body.utf8",
        level="MUST",
        requirement="A body is UTF-8.",
        needs="a notification with a body, captured to its end",
        fix="Check for a proxy that changes encodings; JSON between systems is UTF-8.",
        sources=(_JSON_RFC,),
        start=each_capture(_utf8),
        passing=example(JSON_SETTINGS, capture('{"city": "Zürich"}'.encode())),
        failing=example(JSON_SETTINGS, capture('{"city": "Zürich"}'.encode("latin-1"))),
    ),
    Rule(
        id="body.json.well-formed",
        level="MUST",
        requirement="A JSON body is well formed.",
        needs="a notification with a JSON body, captured to its end",
        fix=_QUOTE_ADVICE,
        sources=(_JSON_RFC,),
        start=each_capture(_json_well_formed),
        passing=example(JSON_SETTINGS, capture(b'{"id": "1"}')),
        failing=example(JSON_SETTINGS, capture(b'{"id": }')),
    ),
    Rule(
        id="body.json.duplicate-key",
        level="SHOULD",
        requirement="No JSON object holds a key twice.",
        needs="a notification with a JSON body that can be read",
        fix="Rename one of the keys in the body template.",
        sources=(Source(document="RFC 8259", section="§4", date="2017-12-01"),),
        start=each_capture(_json_duplicate_key),
        passing=example(JSON_SETTINGS, capture(b'{"a": {"id": 1}, "id": 1}')),
        failing=example(JSON_SETTINGS, capture(b'{"id": 1, "id": 2}')),
    ),
    Rule(
        id="body.xml.well-formed",
        level="MUST",
        requirement="An XML body is well formed.",
        needs="a notification with an XML body, captured to its end",
        fix="Close every element and quote every attribute; `postback lint` shows the places in the template.",
        sources=(Source(document="XML 1.0", section="§2.1", date="2008-11-26"),),
        start=each_capture(_xml_well_formed),
        passing=example(XML_SETTINGS, capture(b"<a><id>1</id></a>")),
        failing=example(XML_SETTINGS, capture(b"<a><id>1</a>")),
    ),
    Rule(
        id="body.xml.no-dtd",
        level="MUST",
        requirement="An XML body declares no document type.",
        needs="a notification with an XML body, captured to its end",
        fix="Refuse such a body: nothing in a postback needs it, and it can pull in files or grow without end.",
        sources=(Source(document="OWASP XML External Entity Prevention", certainty="third-party"),),
        start=each_capture(_xml_no_dtd),
        passing=example(XML_SETTINGS, capture(b"<a/>")),
        failing=example(XML_SETTINGS, capture(b"<!DOCTYPE a><a/>")),
    ),
    Rule(
        id="body.query.percent-encoding",
        level="MUST",
        requirement="Queries and form bodies are percent-encoded.",
        needs="a query in the target or a form body, captured to its end",
        fix="Values that hold & = % + or letters beyond ASCII are cut or garbled; report it with the capture.",
        sources=(
            Source(document="RFC 3986", section="§2.1 and §3.4", date="2005-01-01"),
            Source(document="captured calls", section="May 2026", certainty="third-party"),
        ),
        start=each_capture(_percent_encoding),
        passing=example(_FORM_SETTINGS, capture(b"id=1%20a+b&date=2026-05-11T00%3A07%3A27%2B03%3A00")),
        failing=example(_FORM_SETTINGS, capture(b"id=100%")),
    ),
)
