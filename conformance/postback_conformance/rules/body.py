"""Bodies of every format: their bytes, and whether they are what their template says."""

from postback_conformance.explaining.departure import departure
from postback_conformance.judging.evidence import OTHER_METHOD, Evidence
from postback_conformance.judging.hidden_literals import hidden_spans, holds_hidden, with_hidden
from postback_conformance.judging.readings import Fault, XmlReading, form_fault, utf8_fault
from postback_conformance.judging.rule import Rule, Source
from postback_conformance.judging.verdict import Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.judging.wanted_url import wanted_url
from postback_conformance.redaction import HIDDEN_BY_EXPORT
from postback_conformance.rules.applying import no_body, no_body_in, where_it_applies
from postback_conformance.rules.body_findings import around, where_in
from postback_conformance.rules.examples import JSON_BODY, JSON_SETTINGS, QUERY_SETTINGS, capture, example
from postback_conformance.rules.fact_sources import CAPTURED_CALLS, EXAMPLE_BODY, NOTIFICATIONS_API
from postback_conformance.rules.template_faults import RAW, TemplateFaults, of_its_template, raw_fits
from postback_sender.notification import Notification
from postback_sender.template import Template
from postback_sender.template.matching import Mismatch

_FORM_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "query"
body = "id={ActionId}&name={CampaignName}"
"""
_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_NAMED_SETTINGS = JSON_SETTINGS.replace("date", "name").replace("EventDate", "CampaignName")
_NAMED = '{"id": "1", "name": "Zürich"}'
_JSON_RFC = Source(document="RFC 8259", section="§8.1", date="2017-12")
_NO_GET = NotApplicable(why="it was no GET, of which http.method tells")
_UNREPLACED = NotApplicable(why="a token arrived unreplaced, of which value.unreplaced-token tells")
_MARK = b"\xef\xbb\xbf"


def _not_get(notification: Notification) -> str:
    return "" if notification.method == "GET" else "the notification is not a GET"


def _empty_on_get(evidence: Evidence) -> Outcome | None:
    capture = evidence.capture
    if capture.method != "GET":
        return _NO_GET
    if not capture.body:
        content = evidence.content
        return None if isinstance(content, bytes) else content
    return Fail(
        message=f"the GET came with a body of {len(capture.body)} bytes",
        expected="no body",
        actual=around(evidence, capture.body, None),
        captures=(capture.id,),
    )


def _utf8(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    content = evidence.content
    if not isinstance(content, bytes):
        return content
    if content.isascii() or (fault := utf8_fault(content)) is None:
        return None
    if isinstance(reading := evidence.xml, XmlReading) and reading.fault is None:
        return NotApplicable(why="the XML declares another encoding, which is its right")
    if not isinstance(evidence.form, NotApplicable) and evidence.notification.template.escaping != "raw":
        return NotApplicable(why="a form holds no such byte as it is, of which body.query.percent-encoding tells")
    return template.misplaced(evidence, fault, "the body is not UTF-8", "UTF-8")


def _bom(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    content = evidence.content
    if not isinstance(content, bytes):
        return content
    if not content.startswith(_MARK):
        return None
    fault = Fault(reason="its first three bytes are ef bb bf", span=(0, 3))
    return template.misplaced(evidence, fault, "the body begins with a byte order mark", "a body without one")


def _percent_encoding(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    notification = evidence.notification
    has_form = notification.body is not None and notification.body_format == "query"
    if not has_form and not evidence.capture.query:
        return NotApplicable(why="there is neither a query nor a form body")
    told = _encoded_query(evidence)
    return _encoded_form(evidence, template) if told is None and has_form else told


def _encoded_query(evidence: Evidence) -> Outcome | None:
    notification, capture = evidence.notification, evidence.capture
    query = capture.query.encode("latin-1")
    if form_fault(query) is None:
        return None
    if (fault := form_fault(_without_tokens(evidence, query))) is None:
        return _UNREPLACED
    if notification.template.escaping == "raw":
        why = f"the query is not percent-encoded ({fault.reason}); {RAW}"
        return Inconclusive(why=why, captures=(capture.id,))
    return Fail(
        message=f"the query is not percent-encoded: {fault.reason}",
        expected="a percent-encoded query",
        actual=wanted_url(notification.url).shown_query(capture.query)[:120],
        captures=(capture.id,),
    )


def _encoded_form(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    reading, content = evidence.form, evidence.content
    if isinstance(reading, NotApplicable | Inconclusive):
        return reading
    if reading.fault is None or not isinstance(content, bytes):
        return None
    if content.startswith(_MARK):
        return NotApplicable(why="the body begins with a byte order mark, of which body.bom tells")
    if (fault := form_fault(_without_tokens(evidence, content))) is None:
        return _UNREPLACED
    if evidence.notification.template.escaping == "raw":
        why = f"the body is not percent-encoded ({fault.reason}); {RAW}"
        return Inconclusive(why=why, captures=(evidence.capture.id,))
    return template.misplaced(evidence, fault, "the body is not percent-encoded", "percent-encoding")


def _without_tokens(evidence: Evidence, data: bytes) -> bytes:
    """Return a query with other letters for the braces of each token that nobody replaced."""
    for name, text in evidence.texts.items():
        if text == f"{{{name}}}":
            data = data.replace(text.encode(), b"_%s_" % name.encode())
    return data


def _always(_notification: Notification) -> str:
    return ""


def _told_elsewhere(evidence: Evidence) -> NotApplicable | None:
    if evidence.has_no_body:
        return OTHER_METHOD
    readings = (evidence.json, evidence.xml, evidence.form)
    has_fault = any(not isinstance(one, NotApplicable | Inconclusive) and one.fault is not None for one in readings)
    return NotApplicable(why="the body is not well formed, of which another rule tells") if has_fault else None


def _template_shape(evidence: Evidence) -> Outcome | None:
    template, content = evidence.notification.body, evidence.content
    if template is None:
        return None
    if not isinstance(content, bytes):
        return content
    read = evidence.body_reading
    reading = template.match(content, context=evidence.notification.body_format) if read is None else read
    if not isinstance(reading, Mismatch):
        return None
    if template.options.escaping == "raw" and raw_fits(template, content):
        # The shortest values did not fit, others do.
        return None
    return _told_elsewhere(evidence) or _departed(evidence, template, content, reading)


def _departed(evidence: Evidence, template: Template, content: bytes, reading: Mismatch) -> Outcome:
    if holds_hidden(content) and (hidden := with_hidden(template, evidence.notification.body_format)):
        template = hidden
    left = departure(template, content, reading, text_format=evidence.notification.body_format)
    if any(first - 1 <= left.position <= beyond for first, beyond in hidden_spans(content)):
        why = f"{HIDDEN_BY_EXPORT}, where the body leaves its template (byte {left.position})"
        return Inconclusive(why=why, captures=(evidence.capture.id,))
    hint = f"; {left.hint}" if left.hint else ""
    return Fail(
        message=f"the body leaves its template at byte {left.position} (line {left.line}, column {left.column}), where "
        f"line {left.template_line}, column {left.template_column} of the template stands{hint}",
        expected=left.expected,
        actual=left.got,
        captures=(evidence.capture.id,),
        where=where_in(evidence, (left.position, min(left.position + 1, len(content)))),
    )


RULES = (
    Rule(
        id="body.empty-on-get",
        level="MUST",
        lenient="SHOULD",
        requirement="A GET carries its values in the URL and nothing in the body.",
        needs="a notification with the method GET",
        fix="Check what stands between impact.com and your server; servers may refuse or ignore such a body.",
        sources=(
            NOTIFICATIONS_API(section="GET"),
            Source(document="RFC 9110", section="§9.3.1", date="2022-06"),
        ),
        start=where_it_applies(_not_get, _empty_on_get),
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
        start=of_its_template(no_body, _utf8),
        passing=example(_NAMED_SETTINGS, capture(_NAMED.encode())),
        failing=example(_NAMED_SETTINGS, capture(_NAMED.encode("latin-1"))),
    ),
    Rule(
        id="body.bom",
        level="MUST",
        requirement="A JSON or form body begins without a byte order mark.",
        needs="a notification with a JSON or form body, captured to its end",
        fix="Remove the mark from the body template (editors hide it), or skip these three bytes before parsing.",
        sources=(
            Source(document="RFC 8259", section="§8.1", date="2017-12"),
            Source(document="RFC 3986", section="§2.1 and §3.4: no such bytes in a form", date="2005-01"),
        ),
        start=of_its_template(no_body_in("json", "query"), _bom),
        passing=example(JSON_SETTINGS, capture(JSON_BODY)),
        failing=example(JSON_SETTINGS, capture(_MARK + JSON_BODY)),
    ),
    Rule(
        id="body.query.percent-encoding",
        level="MUST",
        requirement="Queries and form bodies are percent-encoded.",
        needs="a query in the target or a form body, captured to its end",
        fix="Values that hold & = % + or letters beyond ASCII are cut or garbled; report it with the capture.",
        sources=(
            Source(document="RFC 3986", section="§2.1 and §3.4", date="2005-01"),
            CAPTURED_CALLS(section="every value"),
        ),
        start=of_its_template(_always, _percent_encoding),
        passing=example(_FORM_SETTINGS, capture(b"id=1&name=100%25+Z%C3%BCrich%20AG", headers=(_FORM,))),
        failing=example(_FORM_SETTINGS, capture(b"id=1&name=100%", headers=(_FORM,))),
    ),
    Rule(
        id="body.template-shape",
        level="SHOULD",
        strict="MUST",
        lenient="INFO",
        requirement="A body is its template, with values in the places of the tokens.",
        needs="a notification with a body, captured to its end",
        fix="Compare the body at impact.com with the notification file; `postback match` shows both beside each other.",
        sources=(
            EXAMPLE_BODY(),
            CAPTURED_CALLS(section="parameters as set up"),
        ),
        start=where_it_applies(no_body, _template_shape),
        passing=example(JSON_SETTINGS, capture(JSON_BODY)),
        failing=example(JSON_SETTINGS, capture(b'{"id": "1", "day": "2026-05-11"}')),
    ),
)
