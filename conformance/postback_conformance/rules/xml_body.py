"""XML bodies: well formed, of legal characters, and without a document type."""

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.readings import XmlReading
from postback_conformance.judging.rule import Rule, Source
from postback_conformance.judging.verdict import NotApplicable, Outcome
from postback_conformance.rules.applying import no_body_in
from postback_conformance.rules.body_findings import NOT_UTF8, is_encoding
from postback_conformance.rules.examples import XML_SETTINGS, capture, example
from postback_conformance.rules.template_faults import TemplateFaults, of_its_template

_XML = ("Content-Type", "application/xml")


def _well_formed(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    reading = evidence.xml
    if not isinstance(reading, XmlReading):
        return reading
    if reading.fault is None:
        return None
    if reading.is_illegal:
        return NotApplicable(why="the body holds a character XML cannot carry, of which body.xml.illegal-char tells")
    if is_encoding(evidence, reading.fault):
        return NOT_UTF8
    return template.malformed(evidence, reading.fault, "the body is not well-formed XML", "well-formed XML")


def _no_dtd(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    reading = evidence.xml
    if not isinstance(reading, XmlReading):
        return reading
    if reading.document_type is None:
        return None
    expected = "no document type: it is how entities and outside files get in"
    return template.misplaced(evidence, reading.document_type, "the body carries more than its values", expected)


def _illegal_char(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    reading = evidence.xml
    if not isinstance(reading, XmlReading):
        return reading
    if reading.illegal is None:
        return None
    return template.misplaced(evidence, reading.illegal, "the body holds what XML cannot", "characters of XML 1.0 only")


RULES = (
    Rule(
        id="body.xml.well-formed",
        level="MUST",
        requirement="An XML body is well formed.",
        needs="a notification with an XML body, captured to its end",
        fix="Check for a proxy that cuts or changes bodies, and report it to the sender with the capture.",
        sources=(Source(document="XML 1.0", section="§2.1", date="2008-11-26"),),
        start=of_its_template(no_body_in("xml"), _well_formed),
        passing=example(XML_SETTINGS, capture(b"<a><id>1</id></a>", headers=(_XML,))),
        failing=example(XML_SETTINGS, capture(b"<a><id>1</a>")),
    ),
    Rule(
        id="body.xml.no-dtd",
        level="MUST",
        requirement="An XML body declares no document type.",
        needs="a notification with an XML body, captured to its end",
        fix="Refuse such a body: nothing in a postback needs it, and it can pull in files or grow without end.",
        sources=(Source(document="OWASP XML External Entity Prevention", date="2026-11-22", certainty="third-party"),),
        start=of_its_template(no_body_in("xml"), _no_dtd),
        passing=example(XML_SETTINGS, capture(b"<a><id>1</id></a>", headers=(_XML,))),
        failing=example(XML_SETTINGS, capture(b"<!DOCTYPE a><a><id>1</id></a>", headers=(_XML,))),
    ),
    Rule(
        id="body.xml.illegal-char",
        level="MUST",
        requirement="An XML body holds no character that XML 1.0 excludes, raw or as a reference.",
        needs="a notification with an XML body in UTF-8, captured to its end",
        fix="Report it with the capture: no parser takes such a body, so strip the character before parsing meanwhile.",
        sources=(Source(document="XML 1.0", section="§2.2 and §4.1, Legal Character", date="2008-11-26"),),
        start=of_its_template(no_body_in("xml"), _illegal_char),
        passing=example(XML_SETTINGS, capture("<a><id>1\t\N{BELL}&#233;</id></a>".encode(), headers=(_XML,))),
        failing=example(XML_SETTINGS, capture(b"<a><id>1\x00</id></a>")),
    ),
)
