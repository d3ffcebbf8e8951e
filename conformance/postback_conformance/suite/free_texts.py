"""Which tokens hold what people wrote: any text at all."""

from collections.abc import Collection
from typing import Final

from postback_sender import Notification
from postback_sender.tokens import Token

# The one form of a text that is none.
_AS_TYPED: Final = "as the brand typed it"


def free_texts(notification: Notification, names: Collection[str]) -> list[str]:
    """Return those of these names that are tokens of free text."""
    tokens = notification.catalogue.tokens(notification.event)
    return [token.name for token in tokens if token.name in names and _is_free(token)]


def _is_free(token: Token) -> bool:
    has_form = bool(token.format) and not token.format.startswith(_AS_TYPED)
    return token.type == "text" and not token.values and not has_form
