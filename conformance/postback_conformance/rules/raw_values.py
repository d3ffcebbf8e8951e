"""Values that stand in a request as they are, where they should have been escaped for their place.

Such a value breaks the text around it, so it is looked for only where a part of the request is not what its template
says: read with raw values, the same template may then fit, and shows the value that is to blame. What fits that way can
also be a text with more in it than the template has, so not every such value is one for sure.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.readings import JsonReading, XmlReading
from postback_conformance.judging.token_values import Reading, target_template, wire_target
from postback_conformance.rules.placed_values import placed_values
from postback_sender.template import Format, Template
from postback_sender.template.context import Context
from postback_sender.template.matching import Match

_JSON_VALUE = re.compile(rb'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*+')
_XML_VALUE = re.compile(rb"(?:[^<&]|&(?:amp|lt|gt|quot|apos|#[0-9]+|#[xX][0-9A-Fa-f]+);)*+")
_FORM_VALUE = re.compile(rb"[^&]*+")
# As far as a value is escaped in each place.
_ESCAPED: dict[Context, re.Pattern[bytes]] = {
    Context.JSON_STRING: _JSON_VALUE,
    Context.XML_TEXT: _XML_VALUE,
    Context.XML_ATTRIBUTE: _XML_VALUE,
    Context.URL_QUERY: _FORM_VALUE,
    Context.FORM_VALUE: _FORM_VALUE,
}
# What JSON has after a string. A quote before it may as well be one of the template's own.
_AFTER_STRING = re.compile(rb"\s*+(?:[,:}\]]|\Z)")


class RawValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value with a byte that should have been escaped, where that byte stands, and whether there is no other reading.

    `position` is in the content of the body, or in the target as it travels without a server.
    """

    token: str
    byte: bytes
    position: int
    in_target: bool
    is_certain: bool


@lru_cache(maxsize=1)
def raw_value_at_fault(evidence: Evidence) -> RawValue | None:
    """Return the first value that stands raw in a request which is not what its template says, or None."""
    notification, content = evidence.notification, evidence.content
    if notification.template.escaping == "raw":
        return None
    if notification.body is not None and isinstance(content, bytes) and _is_broken(evidence):
        for token, position in _raw_places(notification.body, notification.body_format, content):
            return RawValue(
                token=token,
                byte=content[position : position + 1],
                position=position,
                in_target=False,
                is_certain=_is_certain(evidence, content, position),
            )
    target = target_template(notification.url)
    if target is not None and not isinstance(evidence.target_reading, Reading):
        data = wire_target(evidence.capture)
        for token, position in _raw_places(target, "url", data):
            byte = data[position : position + 1]
            # An & that is part of a value, and one before another parameter, are the same byte.
            return RawValue(token=token, byte=byte, position=position, in_target=True, is_certain=False)
    return None


def _is_broken(evidence: Evidence) -> bool:
    reading = evidence.body_reading
    # A fault beside values that are plain is no fault of theirs.
    return not isinstance(reading, Reading) or (not reading.is_plain and _has_fault(evidence))


def _has_fault(evidence: Evidence) -> bool:
    reading = evidence.xml if evidence.notification.body_format == "xml" else evidence.json
    return isinstance(reading, JsonReading | XmlReading) and reading.fault is not None


def _is_certain(evidence: Evidence, content: bytes, position: int) -> bool:
    byte = content[position : position + 1]
    if not _has_fault(evidence) or byte == b"<":
        # A body that is well formed has more in it than its template, and so may one with one more element.
        return False
    return byte != b'"' or not _AFTER_STRING.match(content, position + 1)


def _raw_places(template: Template, text_format: Format, data: bytes) -> Iterator[tuple[str, int]]:
    """Yield the token and the place of each first byte that should have been escaped, in reading order."""
    match = _raw(template).match(data, context=text_format)
    if not isinstance(match, Match):
        return
    for found, placed in placed_values(template, text_format, match):
        escaped = _ESCAPED.get(placed.context)
        first, beyond = found.span
        if escaped is None or first == beyond:
            continue
        read = escaped.match(data, first, beyond)
        if read is not None and read.end() < beyond and data[first:beyond] != b"{%s}" % found.name.encode():
            yield found.name, read.end()


@lru_cache(maxsize=64)
def _raw(template: Template) -> Template:
    options = replace(template.options, escaping="raw")
    return Template(template.source, template.nodes, options=options, name=template.name)
