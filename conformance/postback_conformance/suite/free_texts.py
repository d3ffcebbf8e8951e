"""Which tokens hold what people wrote: any text at all, such as these."""

from collections.abc import Collection, Mapping
from typing import Final

from postback_sender import Notification
from postback_sender.tokens import Token

# The one form of a text that is none.
_AS_TYPED: Final = "as the brand typed it"

LEGAL_TEXTS: Final[Mapping[str, str]] = {
    "quotes": "Say \"hi\", it's 'fine'",
    "a backslash": "C:\\new\\table",
    "markup": "<b>A & B</b> ]]> &amp; -->",
    "what means something in a query": "50%+tax=a&b;c#d?e",
    "line ends and tabs": "first\nsecond\tthird",
    "blanks around": "  kept  ",
    "accents, whole and combining": "Crème brûlée, Cafe\u0301",
    "text from right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202eabc\u202c",
    "Chinese and Japanese": "\u4f60\u597d \u6771\u4eac",
    "characters of four bytes": "\U0001d54f \U00020000",
    "emoji joined from several": "\U0001f469\u200d\U0001f4bb \U0001f1ee\U0001f1f1 \U0001f600",
    "braces": "{SubId1} ${HOME} %s %(x)s {{x}}",
    "words that mean something": "null NaN true None undefined",
    "SQL": "Robert'); DROP TABLE actions;--",
    "separators of lines": "a\u2028b\u2029c\u0085d",
}
"""Legal texts, by what is special about each."""


def free_texts(notification: Notification, names: Collection[str]) -> list[str]:
    """Return those of these names that are tokens of free text."""
    tokens = notification.catalogue.tokens(notification.event)
    return [token.name for token in tokens if token.name in names and _is_free(token)]


def _is_free(token: Token) -> bool:
    has_form = bool(token.format) and not token.format.startswith(_AS_TYPED)
    return token.type == "text" and not token.values and not has_form
