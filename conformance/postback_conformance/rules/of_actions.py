"""What rules about actions share: when they do not apply, and why nothing can be said."""

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.held_tokens import held_names, tells_of_actions
from postback_conformance.judging.verdict import Inconclusive, NotApplicable, Where
from postback_conformance.judging.wire_money import wire_money
from postback_conformance.rules.applying import WhyNot
from postback_sender.notification import Notification

NEGATIVE = NotApplicable(why="a figure that is no change is negative, of which field.money-sign tells")


def no_tokens(*names: str) -> WhyNot:
    """Return what tells why a rule about an action that takes all of these tokens does not apply."""

    def why_not(notification: Notification) -> str:
        if why := no_action(notification):
            return why
        missing = [name for name in names if name not in held_names(notification)]
        return f"the template has no {{{missing[0]}}}" if missing else ""

    return why_not


def no_action(notification: Notification) -> str:
    """Return why a rule about actions does not apply, empty when it does."""
    return "" if tells_of_actions(notification) else f"{notification.event} is not about an action"


def untold(evidence: Evidence, *names: str) -> Inconclusive | NotApplicable:
    """Return why nothing can be said that takes figures of these tokens."""
    for name in names:
        value = evidence.value(name)
        if value is None:
            return evidence.without(name)
        if value.text and wire_money(value.text) is None:
            why = f"{{{name}}} is {value.text[:60]!r}, which is not money"
            return Inconclusive(why=why, captures=(evidence.capture.id,))
    return NotApplicable(why=f"{' or '.join(f'{{{name}}}' for name in names)} is empty")


def where_of(evidence: Evidence, name: str) -> Where:
    """Return where the value of a token stands; nowhere when it cannot be told."""
    value = evidence.value(name)
    return value.where if value is not None else Where()
