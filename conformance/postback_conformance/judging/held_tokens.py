"""Which tokens of the catalogue the templates of a notification hold, and so which values can arrive."""

from postback_conformance.judging.readers import Readers
from postback_sender.notification import Notification
from postback_sender.tokens import Token

_ACTION_KINDS = ("action_lifecycle", "action_clearing")


def held_names(notification: Notification) -> frozenset[str]:
    """Return the tokens outside joins, as the catalogue spells them, known or not."""
    return _names(notification, of_items=False)


def held_tokens(notification: Notification) -> tuple[Token, ...]:
    """Return the known tokens outside joins, in the order of their names."""
    return _known(notification, of_items=False)


def held_fields(notification: Notification) -> tuple[Token, ...]:
    """Return the known fields of items that stand in joins, in the order of their names."""
    return _known(notification, of_items=True)


def tells_of_actions(notification: Notification) -> bool:
    """Tell whether its events are those of an action, in its life or at its clearing."""
    return notification.catalogue.kinds[notification.event].like in _ACTION_KINDS


def tells_lives(notification: Notification) -> bool:
    """Tell whether its events are the updates of an action: tracked, modified, reversed."""
    return notification.catalogue.kinds[notification.event].like == "action_lifecycle"


def _names(notification: Notification, *, of_items: bool) -> frozenset[str]:
    readers = Readers(notification)
    return readers.fields if of_items else readers.names


def _known(notification: Notification, *, of_items: bool) -> tuple[Token, ...]:
    catalogue = notification.catalogue
    found = (
        catalogue.find(notification.event, name, of_items=of_items)
        for name in sorted(_names(notification, of_items=of_items))
    )
    return tuple(token for token in found if token is not None)
