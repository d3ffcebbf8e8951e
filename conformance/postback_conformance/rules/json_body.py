"""JSON bodies: well formed, and without what parsers differ on."""

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.readings import MAX_DEPTH, Fault, JsonReading
from postback_conformance.judging.rule import Rule, Source
from postback_conformance.judging.token_values import Reading
from postback_conformance.judging.verdict import Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.rules.applying import no_body_in, where_it_applies
from postback_conformance.rules.body_findings import NOT_UTF8, is_encoding
from postback_conformance.rules.examples import JSON_BODY, JSON_SETTINGS, capture, example
from postback_conformance.rules.template_faults import TemplateFaults, by_template, of_its_template

_LEAD = JSON_SETTINGS.partition("body = ")[0]
_NESTED = _LEAD + """body = '{"a": {"id": "{ActionId}"}, "id": "{ActionId}"}'\n"""
_UNQUOTED = _LEAD + """body = '{"amount": {Amount}, "note": "NaN"}'\n"""
_SHOWN_KEYS = 10
_SHOWN_LETTERS = 200


def _well_formed(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    reading = evidence.json
    if not isinstance(reading, JsonReading):
        return reading
    if reading.too_deep and reading.fault is None:
        return _too_deep(evidence)
    if reading.fault is None:
        return None
    return _told_elsewhere(evidence, reading, reading.fault) or template.malformed(
        evidence, reading.fault, "the body is not valid JSON", "valid JSON"
    )


def _told_elsewhere(evidence: Evidence, reading: JsonReading, fault: Fault) -> NotApplicable | None:
    if reading.is_mark:
        return NotApplicable(why="the body begins with a byte order mark, of which body.bom tells")
    if reading.is_constant:
        return NotApplicable(why="the body holds NaN or Infinity, of which body.json.non-finite tells")
    return NOT_UTF8 if is_encoding(evidence, fault) else None


def _too_deep(evidence: Evidence) -> Inconclusive:
    return Inconclusive(why=f"the body is nested deeper than {MAX_DEPTH} levels", captures=(evidence.capture.id,))


def _duplicate_key(evidence: Evidence) -> Outcome | None:
    reading = evidence.json
    if not isinstance(reading, JsonReading):
        return reading
    if reading.fault or reading.too_deep:
        return NotApplicable(why="the body is not JSON that can be read")
    if not reading.repeated_keys:
        return None
    shown = ", ".join(repr(key[:_SHOWN_LETTERS]) for key in reading.repeated_keys[:_SHOWN_KEYS])
    more = len(reading.repeated_keys) - _SHOWN_KEYS
    keys = f"{shown} and {more} more" if more > 0 else shown
    is_template = isinstance(evidence.body_reading, Reading)
    template = "; the notification's own template has it so" if is_template else ""
    fail = Fail(
        message=f"one object holds {keys} more than once; parsers keep the first, the last, or refuse{template}",
        expected="each key once",
        actual=keys,
        captures=(evidence.capture.id,),
    )
    return by_template(fail) if is_template else fail


def _non_finite(evidence: Evidence, template: TemplateFaults) -> Outcome | None:
    reading = evidence.json
    if not isinstance(reading, JsonReading):
        return reading
    if reading.too_deep and reading.fault is None:
        return _too_deep(evidence)
    if reading.fault:
        if reading.is_constant:
            return template.misplaced(
                evidence, reading.fault, "the body holds a number that is none", "a finite number"
            )
        return NotApplicable(why="the body is not JSON that can be read")
    if reading.huge:
        return Inconclusive(
            why=f"{reading.huge} is JSON, and more than a double holds: many parsers make it Infinity",
            captures=(evidence.capture.id,),
        )
    return None


RULES = (
    Rule(
        id="body.json.well-formed",
        level="MUST",
        requirement="A JSON body is well formed.",
        needs="a notification with a JSON body, captured to its end",
        fix="Check for a proxy that cuts or changes bodies, and report it to the sender with the capture.",
        sources=(Source(document="RFC 8259", section="§2", date="2017-12"),),
        start=of_its_template(no_body_in("json"), _well_formed),
        passing=example(JSON_SETTINGS, capture(JSON_BODY)),
        failing=example(JSON_SETTINGS, capture(b'{"id": }')),
    ),
    Rule(
        id="body.json.duplicate-key",
        level="SHOULD",
        strict="MUST",
        lenient="INFO",
        requirement="No JSON object holds a key twice.",
        needs="a notification with a JSON body that can be read",
        fix="Rename one of the keys if the body template holds both; otherwise look for a proxy that adds fields.",
        sources=(Source(document="RFC 8259", section="§4", date="2017-12"),),
        start=where_it_applies(no_body_in("json"), _duplicate_key),
        passing=example(_NESTED, capture(b'{"a": {"id": "1"}, "id": "1"}')),
        failing=example(JSON_SETTINGS, capture(b'{"id": 1, "id": 2}')),
    ),
    Rule(
        id="body.json.non-finite",
        level="MUST",
        requirement="A JSON body holds neither NaN nor Infinity.",
        needs="a notification with a JSON body that can be read",
        fix="Put the token between quotes in the body template, and read the text with a decimal type.",
        sources=(Source(document="RFC 8259", section="§6", date="2017-12"),),
        start=of_its_template(no_body_in("json"), _non_finite),
        passing=example(_UNQUOTED, capture(b'{"amount": 12.50, "note": "NaN"}')),
        failing=example(_UNQUOTED, capture(b'{"amount": NaN, "note": "NaN"}')),
    ),
)
