"""Every rule there is. A family is a module; adding a rule touches that module only."""

from postback_conformance.rule import catalogue
from postback_conformance.rules import body, completeness, header, http, retries, timing, value

RULES = catalogue(body.RULES, completeness.RULES, header.RULES, http.RULES, retries.RULES, timing.RULES, value.RULES)

__all__ = ["RULES"]
