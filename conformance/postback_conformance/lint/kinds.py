"""Every kind of finding, with the slug it is known by and what it leads to in production."""

from typing import Final

from postback_conformance.lint.finding import FindingKind

_REFUSED = "no parser reads the body: your server refuses the postback, and the sale is not booked"
_LATER = "the postback breaks on the day such a value comes, not in your test"

WHITE_SPACE: Final = FindingKind(
    "template.white-space-in-token",
    "MUST",
    "impact.com may not know the token and send its text: an amount like that cannot be booked",
)
UNKNOWN_TOKEN: Final = FindingKind(
    "template.unknown-token", "MUST", "the field arrives empty, or with the braces and the name as its value"
)
HEARSAY_TOKEN: Final = FindingKind(
    "template.hearsay-token", "SHOULD", "if impact.com does not know it, the field arrives empty or unreplaced"
)
UNKNOWN_LIST: Final = FindingKind("template.unknown-list", "MUST", "no line of any order arrives")
NOT_CLOSED: Final = FindingKind(
    "template.token-not-closed", "MUST", "nothing is put in: the brace and the name arrive in place of the value"
)
BRACE: Final = FindingKind(
    "template.brace-not-escaped", "MUST", "impact.com may take it for the beginning of a token and send another body"
)
ADJACENT: Final = FindingKind(
    "template.adjacent-tokens",
    "SHOULD",
    "nobody can tell where one value ends and the next begins: 12 and 3 arrive like 1 and 23",
)

DOUBLE_BRACES: Final = FindingKind(
    "template.double-braces", "MUST", "the value arrives in braces: no id is found by it, and no amount can be read"
)
VARIABLE_IN_BODY: Final = FindingKind(
    "template.variable-in-body",
    "SHOULD",
    "the value arrives with a $ before it; a name that no token has arrives empty, or as it is written here",
)
FOREIGN_MACRO: Final = FindingKind(
    "template.foreign-macro", "MUST", "nothing is put in: this text arrives in place of the value, in every postback"
)
SYNTAX: Final = FindingKind("template.syntax", "MUST", "nothing can be sent, and what follows has not been looked at")

COMMENT: Final = FindingKind("json.comment", "MUST", _REFUSED)
UNQUOTED: Final = FindingKind(
    "json.token-unquoted",
    "MUST",
    f"{_LATER}: the kit's context escaping hides it by putting quotes around, impact.com most likely does not; "
    '[template] escaping = "raw" shows it',
)
TOKEN_AS_KEY: Final = FindingKind(
    "json.token-as-key", "MUST", "every postback has other keys, and two of them may become the same one"
)
KEY_WITHOUT_VALUE: Final = FindingKind("json.key-without-value", "MUST", _REFUSED)
MISSING_COLON: Final = FindingKind("json.missing-colon", "MUST", _REFUSED)
MISSING_COMMA: Final = FindingKind("json.missing-comma", "MUST", _REFUSED)
EXTRA_COMMA: Final = FindingKind("json.extra-comma", "MUST", _REFUSED)
WRONG_QUOTES: Final = FindingKind("json.wrong-quotes", "MUST", _REFUSED)
STRING_NOT_CLOSED: Final = FindingKind("json.string-not-closed", "MUST", _REFUSED)
CONTROL_CHARACTER: Final = FindingKind("json.control-character", "MUST", _REFUSED)
BAD_ESCAPE: Final = FindingKind("json.bad-escape", "MUST", _REFUSED)
BARE_WORD: Final = FindingKind("json.bare-word", "MUST", _REFUSED)
BRACKET_NOT_CLOSED: Final = FindingKind("json.bracket-not-closed", "MUST", _REFUSED)
UNEXPECTED: Final = FindingKind("json.unexpected-text", "MUST", _REFUSED)
DUPLICATE_KEY: Final = FindingKind(
    "json.duplicate-key", "MUST", "most parsers keep the last value and drop the first without a word"
)
JOIN_OUTSIDE_ARRAY: Final = FindingKind(
    "json.join-outside-array", "MUST", "orders of one line pass, all others are refused: the largest sales go missing"
)
JOIN_BESIDE_VALUES: Final = FindingKind(
    "json.join-beside-values", "MUST", "an order without lines leaves a comma behind, and the sale is refused"
)
JOIN_SEPARATOR: Final = FindingKind(
    "json.join-separator", "MUST", "orders of two lines and more are refused: the largest sales go missing"
)

MARKUP: Final = FindingKind("xml.unescaped-markup", "MUST", _REFUSED)
DECLARATION: Final = FindingKind("xml.declaration-not-first", "MUST", _REFUSED)
TOKEN_IN_TAG: Final = FindingKind(
    "xml.token-in-tag", "MUST", f"no escape makes a value safe there, and an empty one is no XML: {_LATER}"
)
TOKEN_IN_COMMENT: Final = FindingKind(
    "xml.token-in-comment", "MUST", f"no escape exists there, and a value with -- ends the comment: {_LATER}"
)
DUPLICATE_ATTRIBUTE: Final = FindingKind("xml.duplicate-attribute", "MUST", _REFUSED)

RAW_CHARACTER: Final = FindingKind(
    "query.raw-character", "MUST", "servers cut the request there, read another text, or answer 400"
)
BAD_PERCENT: Final = FindingKind(
    "query.bad-percent", "MUST", "servers read other letters than you wrote, or answer 400"
)
DUPLICATE_PARAMETER: Final = FindingKind(
    "query.duplicate-parameter", "SHOULD", "some servers read the first, some the last, some a list of both"
)
TOKEN_AS_NAME: Final = FindingKind(
    "query.token-as-name", "SHOULD", "every postback has other parameters, so none can be asked for by name"
)
QUERY_SEPARATOR: Final = FindingKind(
    "query.join-separator",
    "MUST",
    "orders of one line pass, in longer ones lines are lost: the largest sales are cut short",
)
IN_AUTHORITY: Final = FindingKind(
    "url.token-in-authority", "MUST", "the value decides which server gets the sale, and an empty one leaves no URL"
)
IN_FRAGMENT: Final = FindingKind("url.token-in-fragment", "MUST", "what follows # is never sent")

FORMAT_MISMATCH: Final = FindingKind(
    "body.format-mismatch",
    "MUST",
    "the content type says one thing and the body is another, and values are escaped for the wrong one",
)
BYTE_ORDER_MARK: Final = FindingKind(
    "body.byte-order-mark", "MUST", "strict parsers refuse the body, others take the mark for a part of the first name"
)
NOT_WELL_FORMED: Final = FindingKind("body.not-well-formed", "MUST", _REFUSED)
RAW_VALUES: Final = FindingKind(
    "body.raw-values",
    "SHOULD",
    f"{_LATER}: one campaign renamed with a quote, and every sale of it is refused until somebody looks",
)

SWAPPED: Final = FindingKind(
    "money.swapped",
    "SHOULD",
    "commission is booked as revenue, or revenue as commission: reports that were off by a factor of five began so",
)
WRONG_MONEY: Final = FindingKind(
    "money.wrong-token",
    "SHOULD",
    "a change is booked as the whole sum, or the sum before all changes as the present one: reversals are paid out",
)
NO_ACTION_ID: Final = FindingKind(
    "missing.action-id", "SHOULD", "each update of an action counts as a new sale, and a resend counts twice"
)
NO_STATUS: Final = FindingKind(
    "missing.status", "SHOULD", "reversals are lost: commission is paid to your users for sales that were taken back"
)
NO_DELTA: Final = FindingKind(
    "missing.delta",
    "INFO",
    "when two updates of an action arrive in the wrong order, nothing in them tells which sum is the newer one",
)
EVENT_LEVEL: Final = FindingKind(
    "notification.event-level", "INFO", "every sale keeps its first sum for good, also those taken back"
)
SECRET_IN_URL: Final = FindingKind(
    "secret.in-url", "SHOULD", "it stands in this file, in access logs and in reports; who reads it can book sales"
)
SECRET_IN_HEADER: Final = FindingKind(
    "secret.in-header", "SHOULD", "it stands in this file and wherever the file is kept; who reads it can book sales"
)

KINDS: Final[tuple[FindingKind, ...]] = tuple(kind for kind in globals().values() if isinstance(kind, FindingKind))
"""All of them, in the order above."""
