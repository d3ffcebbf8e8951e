"""What a sender's outbox takes of a planned scenario."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from postback_conformance.scenario.planning import PlannedSend
from postback_sender.notification import Notification
from postback_sender.outbox.entry import Draft
from postback_sender.postback import event_key
from postback_sender.quantities import NANOSECONDS_PER_SECOND


def drafts(sends: Iterable[PlannedSend], notification: Notification, *, started_at: datetime) -> Iterator[Draft]:
    """Yield the postbacks of a planned scenario that a notification reports, in the order of their events.

    `started_at` is the instant that the scenario was planned for. A kind of the partner's own is told of the events of
    the kind that it is like. What is late or a duplicate has no key: with the key of its action it would wait for what
    happened before, and everything after would wait for it.
    """
    like = notification.catalogue.kinds[notification.event].like
    # In whole numbers: a float of an instant would round, and a delay could end early.
    started_ns = int(started_at.replace(microsecond=0).timestamp()) * NANOSECONDS_PER_SECOND
    earliest_ns = started_ns + started_at.microsecond * 1000 + notification.minimum_delay_ns
    for send in sends:
        if send.event.kind == like and (send.is_first or notification.level == "global"):
            event = replace(send.event, kind=notification.event)
            yield Draft(event=event, key=event_key(event) if send.in_order else "", due_ns=earliest_ns + send.offset_ns)
