"""Which events a notification reports, and whose values their postbacks carry."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import event_key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


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


def happened_ns(event: Event) -> int:
    """Return the time of an event in nanoseconds since the epoch."""
    # In whole numbers: a float of this size would round, and a delay could end early.
    return (event.at - _EPOCH) // _MICROSECOND * 1000


def histories(notification: Notification, events: Iterable[Event]) -> dict[str, list[Event]]:
    """Return, for each action by its key, all events from which its postbacks may take their values.

    That includes events of the notification's kind which it does not report. There are none at all when each postback
    carries the values of its own event.
    """
    known: dict[str, list[Event]] = {}
    if notification.template.values_at == "send":
        for event in events:
            if event.kind == notification.event and (key := event_key(event)):
                known.setdefault(key, []).append(event)
    return known


def newest(event: Event, history: Sequence[Event], now_ns: int) -> Event:
    """Return the event whose values a postback carries that leaves now: the latest one that has happened by then.

    `now_ns` is wall time since the epoch. Of two at the same time the later one in the history counts; when nothing
    newer has happened, it is the postback's own event.
    """
    for other in history:
        if happened_ns(event) <= happened_ns(other) <= now_ns:
            event = other
    return event
