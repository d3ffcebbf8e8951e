"""Whose fault a broken body is: where the notification's own template breaks it, no sender is to blame."""

from collections.abc import Callable
from functools import cached_property

from msgspec.structs import replace

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.readings import Fault
from postback_conformance.judging.rule import Check, EachCapture
from postback_conformance.judging.verdict import Fail, Inconclusive, Outcome
from postback_conformance.lint.probing import form_findings, origin
from postback_conformance.lint.spelling import Spelling
from postback_conformance.rules.applying import NothingToTest, WhyNot
from postback_conformance.rules.body_findings import body_fault
from postback_conformance.rules.placed_values import placed_values
from postback_conformance.rules.raw_values import raw_value_at_fault
from postback_sender.notification import Notification
from postback_sender.template import Template
from postback_sender.template.context import Context
from postback_sender.template.errors import locate
from postback_sender.template.matching import Match, TokenValue
from postback_sender.template.nodes import Text
from postback_sender.template.places import PlacedToken, placed_tokens

RAW = 'the settings say [template] escaping = "raw": values are expected as they are, and one may hold such a byte'
"""Why nobody is blamed for what escaping would have prevented."""


_MEND = (
    "The sender did what the notification says: mend your own template, in the file and at impact.com; `postback lint` "
    "shows all such places, and `--fix` mends what is certain."
)

_Placed = tuple[TokenValue, PlacedToken]

TemplateTest = Callable[[Evidence, "TemplateFaults"], Outcome | tuple[Outcome, ...] | None]
"""Tests one capture, and may ask what of it is the template's fault."""


class TemplateFaults:
    """What the body template of one notification breaks by itself."""

    def __init__(self, notification: Notification) -> None:
        self._notification = notification

    def malformed(self, evidence: Evidence, fault: Fault, what: str, expected: str) -> Fail | Inconclusive:
        """Return what a body that cannot be parsed tells: the template's fault, that of nobody, or the sender's."""
        template, content = self._notification.body, evidence.content
        if template is None or not isinstance(content, bytes):
            return body_fault(evidence, fault, what, expected)
        if told := self._by_template(template, content, fault):
            what = f"{what}, and the notification's own template is why ({told})"
            return by_template(body_fault(evidence, fault, what, expected))
        if template.options.escaping == "raw" and raw_fits(template, content):
            where = f", byte {fault.span[0]}" if fault.span else ""
            return Inconclusive(why=f"{what} ({fault.reason}{where}); {RAW}", captures=(evidence.capture.id,))
        fail, raw = body_fault(evidence, fault, what, expected), raw_value_at_fault(evidence)
        if raw is None or not raw.is_certain:
            return fail
        # Nobody is to look for a proxy.
        return replace(fail, fix=f"The value of {{{raw.token}}} was not escaped: see value.unescaped about it.")

    def misplaced(self, evidence: Evidence, fault: Fault, what: str, expected: str) -> Fail:
        """Return the finding about bytes that a body may not hold; in the template's own text, they are its fault."""
        template, content = self._notification.body, evidence.content
        if template is not None and isinstance(content, bytes) and fault.span is not None:
            match = template.match(content, context=self._notification.body_format)
            if isinstance(match, Match) and _around(self._values(template, match), fault) is None:
                what = f"{what}, and the notification's own template holds it{self._at(content, fault)}"
                return by_template(body_fault(evidence, fault, what, expected))
        return body_fault(evidence, fault, what, expected)

    def _by_template(self, template: Template, content: bytes, fault: Fault) -> str:
        """Return how the template breaks the body, empty when it does not."""
        match = template.match(content, context=self._notification.body_format)
        if not isinstance(match, Match):
            # Up to where a body leaves its template, it is what the template says.
            if fault.span is not None and fault.span[0] < match.position:
                return self._wound
            return self._unquoted_before(template, match.offset)
        values = self._values(template, match)
        if (bare := _empty_bare(values, content, fault)) is not None:
            return f"{_unquoted(template, bare)}, and without a value"
        around = _around(values, fault)
        return self._wound if around is None else self._unquoted_before(template, around.node.start)

    def _values(self, template: Template, match: Match) -> list[_Placed]:
        return list(placed_values(template, self._notification.body_format, match))

    def _unquoted_before(self, template: Template, offset: int) -> str:
        """Tell of a token without quotes, which is not always a number, at or right before a place in the template."""
        for placed in placed_tokens(template.nodes, self._notification.body_format):
            node, context, join = placed
            if context is Context.JSON_BARE and offset in {node.start, node.end}:
                is_number = Spelling(self._notification).is_number(node, join)
                return "" if is_number else f"{_unquoted(template, placed)}, which is not always a number"
        return ""

    @cached_property
    def _wound(self) -> str:
        """The first place where the template by itself makes no well-formed body, empty when there is none."""
        notification = self._notification
        if notification.body is None:
            return ""
        finding = next(form_findings(notification, notification.body, Spelling(notification)), None)
        if finding is None:
            return ""
        return finding.place if finding.line is not None else finding.message

    def _at(self, content: bytes, fault: Fault) -> str:
        template = self._notification.body
        offset = None if template is None else origin(self._notification, template, content, fault)
        if template is None or offset is None:
            return ""
        line, column, _ = locate(template.source, offset)
        return f" at line {line}, column {column}"


def by_template(fail: Fail, why: str = "") -> Fail:
    """Return a finding as one that the notification's own template is to blame for, and not its sender."""
    message = f"{fail.message}, the notification's own: {why}" if why else fail.message
    return replace(fail, message=message, cause="notification", fix=_MEND)


def of_its_template(why_not: WhyNot, test: TemplateTest) -> Callable[[Notification], Check]:
    """Return the check that tests every capture by itself, and knows what the notification's template breaks."""

    def start(notification: Notification) -> Check:
        if why := why_not(notification):
            return NothingToTest(why)
        faults = TemplateFaults(notification)
        return EachCapture(lambda evidence: test(evidence, faults))

    return start


def raw_fits(template: Template, data: bytes) -> bool:
    """Tell whether some values, put in as they are, make these bytes of a template; whatever its joins hold."""
    literals: list[str] = [""]
    for node in template.nodes:
        if isinstance(node, Text):
            literals[-1] += node.text
        else:
            literals.append("")
    first, *inner = [literal.encode(errors="surrogatepass") for literal in literals]
    if not inner:
        return data == first
    last = inner.pop()
    position, end = len(first), len(data) - len(last)
    if end < position or not data.startswith(first) or not data.endswith(last):
        return False
    for literal in inner:
        found = data.find(literal, position, end)
        if found < 0:
            return False
        position = found + len(literal)
    return True


def _around(values: list[_Placed], fault: Fault) -> PlacedToken | None:
    position = -1 if fault.span is None else fault.span[0]
    return next((placed for value, placed in values if value.span[0] <= position < value.span[1]), None)


def _empty_bare(values: list[_Placed], content: bytes, fault: Fault) -> PlacedToken | None:
    """Return the token without a value, and without quotes, at which a fault shows."""
    position = -1 if fault.span is None else fault.span[0]
    for value, placed in values:
        first, beyond = value.span
        is_there = placed.context is Context.JSON_BARE and first == beyond <= position
        if is_there and not content[beyond:position].strip():
            return placed
    return None


def _unquoted(template: Template, placed: PlacedToken) -> str:
    line, column, _ = locate(template.source, placed.node.start)
    return f"{placed.node.source} without quotes at line {line}, column {column}"
