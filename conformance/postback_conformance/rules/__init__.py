"""Every rule there is. A family is a module; adding a rule touches that module only."""

from postback_conformance.judging.rule import catalogue
from postback_conformance.rules import (
    action,
    body,
    completeness,
    field,
    header,
    http,
    json_body,
    latency,
    lifecycle,
    retries,
    timing,
    value,
    xml_body,
)

RULES = catalogue(
    action.RULES,
    body.RULES,
    completeness.RULES,
    field.RULES,
    header.RULES,
    http.RULES,
    json_body.RULES,
    latency.RULES,
    lifecycle.RULES,
    retries.RULES,
    timing.RULES,
    value.RULES,
    xml_body.RULES,
)

__all__ = ["RULES"]
