"""The lines of an order, and what they add up to."""

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.held_tokens import held_fields
from postback_conformance.judging.verdict import Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.judging.wire_money import UNITS, money_text, wire_money
from postback_conformance.rules.of_actions import no_tokens, untold, where_of
from postback_sender.notification import Notification


def items_sum(evidence: Evidence) -> Outcome | None:
    """Return whether the lines add up to the amount of the action, as totals or as prices of one piece."""
    told = evidence.figures
    if told.amount is None:
        return untold(evidence, "Amount")
    lines = _lines(evidence)
    if not isinstance(lines, list):
        return lines
    total = sum(lines)
    if total == told.amount or _by_piece(evidence, lines) == told.amount * UNITS:
        return None
    captures = (evidence.capture.id,)
    ours, theirs = evidence.value("Currency"), evidence.value("OriginalCurrency")
    if told.status == "REVERSED":
        return Inconclusive(why="no source tells what the lines of a reversed action say", captures=captures)
    if ours and theirs and theirs.text and ours.text != theirs.text:
        return Inconclusive(why="the lines may be in the currency of the order", captures=captures)
    return Fail(
        message=f"the lines of the order add up to {money_text(total)}, and {{Amount}} is {money_text(told.amount)}",
        expected=money_text(told.amount),
        actual=money_text(total),
        captures=captures,
        where=where_of(evidence, "Amount"),
    )


def _lines(evidence: Evidence) -> list[int] | Inconclusive | NotApplicable:
    """Return the amount of each line of the order, or why they cannot be told."""
    items, captures = evidence.item_texts, (evidence.capture.id,)
    if items is None:
        return Inconclusive(why="the items cannot be told from each other", captures=captures)
    if not items:
        return NotApplicable(why="no order had lines")
    amounts = [wire_money(item.get("amt", "")) for item in items]
    lines = [amount for amount in amounts if amount is not None]
    if len(lines) == len(amounts):
        return lines
    return Inconclusive(why=f"the amount of item {amounts.index(None) + 1} cannot be told", captures=captures)


def _by_piece(evidence: Evidence, lines: list[int]) -> int | None:
    """Return what the lines add up to if each amount is that of one piece; None when quantities cannot be told."""
    pieces = [wire_money(item.get("qty", "")) for item in evidence.item_texts or ()]
    products = [line * number for line, number in zip(lines, pieces, strict=True) if number is not None]
    return sum(products) if len(products) == len(lines) else None


def no_lines(notification: Notification) -> str:
    """Return why the lines of an order are not told, empty when they are."""
    if why := no_tokens("Amount")(notification):
        return why
    has_amounts = any(field.name == "amt" for field in held_fields(notification))
    return "" if has_amounts else "the template has no amounts of items"
