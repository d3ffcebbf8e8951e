"""Which events a notification reports."""

from collections.abc import Iterable, Iterator

from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import event_key


def reported(notification: Notification, events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events that lead to a postback, in their order.

    A notification reports one kind. At event level it reports the first event of each action only: modifications and
    reversals are for global ones (help centre, "Set up Action Lifecycle postbacks"). An event that names no action is
    the first of its own.
    """
    told: set[str] = set()
    for event in events:
        key = event_key(event)
        if event.kind != notification.event or (notification.level == "event" and key in told):
            continue
        if key:
            told.add(key)
        yield event
