"""What a notification tells and leaves out: swapped money, tokens one cannot do without, values run together."""

from collections.abc import Iterable, Iterator, Sequence

from postback_conformance.lint import kinds
from postback_conformance.lint.fields import Field, words
from postback_conformance.lint.finding import Finding, FindingKind, finding_of
from postback_conformance.lint.flat import JOIN_END, TOKEN, FlatText
from postback_conformance.lint.spelling import Spelling
from postback_sender.notification import Notification
from postback_sender.template.nodes import TokenNode, separator_of

# Two questions about money: whose it is, and as of when. A key answers them by its words, a token by its name.
_PAYOUT_WORDS = frozenset({"payout", "payouts", "commission", "commissions", "earning", "earnings", "cashback"})
_AMOUNT_WORDS = frozenset({"amount", "sale", "sales", "revenue", "price", "subtotal", "turnover", "basket"})
_DELTA_WORDS = frozenset({"delta", "change", "changed", "difference", "diff"})
_FIRST_WORDS = frozenset({"intended", "initial", "original", "first"})
_MONEY: dict[str, tuple[str, str]] = {
    "Payout": ("payout", "now"),
    "DeltaPayout": ("payout", "delta"),
    "IntendedPayout": ("payout", "first"),
    "Amount": ("amount", "now"),
    "DeltaAmount": ("amount", "delta"),
    "IntendedAmount": ("amount", "first"),
    # In the currency of the order, at whatever time.
    "OriginalAmount": ("amount", ""),
}
_ITEM_MONEY = frozenset({"amt", "cartamt"})
_BY_MEANING = {meaning: name for name, meaning in reversed(_MONEY.items())}
_WHOSE = {"payout": "commission", "amount": "the sale amount"}
_WHEN = {
    "now": "the sum as it is now",
    "delta": "the change since the last update",
    "first": "the sum as it was at first",
}
_MISSED: tuple[tuple[FindingKind, str, str], ...] = (
    (kinds.NO_ACTION_ID, "ActionId", "nothing ties a modification or reversal to its action"),
    (kinds.NO_STATUS, "Status", "a reversal looks like a sale"),
)
_DELTAS = frozenset({"DeltaPayout", "DeltaAmount"})
_SUMS = frozenset({"Payout", "Amount"})


def money_findings(flat: FlatText, fields: Iterable[Field]) -> Iterator[Finding]:
    """Find keys that promise other money than their token brings; all that are swapped are one finding."""
    swapped: list[tuple[TokenNode, str, str]] = []
    for field in fields:
        said_whose, said_when = _promised(field)
        for token in field.tokens:
            whose, when = _brought(token)
            if whose and said_whose and said_whose != whose:
                message = f'"{field.name}" says {_WHOSE[said_whose]}, but {{{token.name}}} is {_WHOSE[whose]}'
                instead = _BY_MEANING.get((said_whose, said_when or when)) if when else None
                advice = f"write {{{instead}}}" if instead else f"find out what your side books under {field.name}"
                swapped.append((token, message, advice))
            elif when and (said_whose or said_when) and (said_when or "now") != when:
                yield flat.finding_at(
                    kinds.WRONG_MONEY,
                    token.start,
                    message=f'"{field.name}" says {_WHEN[said_when or "now"]}, but {{{token.name}}} is {_WHEN[when]}',
                    advice=f"write {{{_BY_MEANING[whose, said_when or 'now']}}}, or another name for the key",
                )
    if swapped:
        yield flat.finding_at(
            kinds.SWAPPED,
            swapped[0][0].start,
            message="; ".join(message for _, message, _ in swapped),
            advice="; ".join(advice for _, _, advice in swapped),
        )


def _brought(token: TokenNode) -> tuple[str, str]:
    """Return what a token brings: payout or amount, and now, delta or first; empty when it is no money, or apart."""
    _, dot, field = token.name.rpartition(".")
    if dot:
        return ("amount", "") if field in _ITEM_MONEY else ("", "")
    return _MONEY.get(field, ("", ""))


def _promised(field: Field) -> tuple[str, str]:
    """Return what a field's name says: payout or amount, and now, delta or first; empty where it does not say."""
    own = words(field.name)
    when = "delta" if own & _DELTA_WORDS else "first" if own & _FIRST_WORDS else ""
    for name in (own, words(field.parent)):
        # Commission on a sale is commission.
        if name & _PAYOUT_WORDS:
            return "payout", when
        if name & _AMOUNT_WORDS:
            return "amount", when
    return "", when


def adjacent_findings(flat: FlatText) -> Iterator[Finding]:
    """Find tokens with nothing between them, in a value or from one round of a join to the next."""
    for place, node in flat.tokens.items():
        if flat.text[place - 1 : place] == TOKEN:
            before = flat.tokens[place - 1]
            yield flat.finding_at(
                kinds.ADJACENT,
                node.start,
                message=f"nothing stands between {{{before.name}}} and {{{node.name}}}",
                advice=f"write something that neither holds between them, {{{before.name}}}|{{{node.name}}}, "
                "or give each a field of its own",
            )
    for place, join in flat.joins.items():
        begins_with_token = isinstance(join.body[0] if join.body else None, TokenNode)
        is_run_together = begins_with_token and flat.text[place - 1 : place] == TOKEN
        if flat.text[place] == JOIN_END and is_run_together and not separator_of(join, flat.template.options):
            yield flat.finding_at(
                kinds.ADJACENT,
                join.start,
                message=f"nothing stands between the {join.list_name} of this join",
                advice='name a separator that no value holds, {join(items, i, "…", "|")}',
            )


def missing_findings(notification: Notification, flats: Sequence[FlatText], spelling: Spelling) -> Iterator[Finding]:
    """Find what no template of the notification tells, although impact.com would."""
    names = {
        token.name
        for flat in flats
        for place, node in flat.tokens.items()
        if (token := spelling.token(node.name, flat.join_around(place)))
    }
    if notification.level == "event" and spelling.exact("Status"):
        yield finding_of(
            kinds.EVENT_LEVEL,
            notification.name,
            message="an event-level notification never reports modifications or reversals",
            advice='set up a global one, level = "global", or ask the Actions API for updates',
        )
        return
    for kind, name, consequence in _MISSED:
        if name not in names and spelling.exact(name):
            yield finding_of(kind, notification.name, message=f"no {{{name}}}: {consequence}", advice=f"add {{{name}}}")
    if names & _SUMS and not names & _DELTAS and spelling.exact("DeltaPayout"):
        yield finding_of(
            kinds.NO_DELTA,
            notification.name,
            message="no {DeltaPayout} and no {DeltaAmount}: the order of updates cannot be told",
            advice="add {DeltaPayout}, or {DeltaAmount} where you book amounts",
        )
