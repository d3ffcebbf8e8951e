"""What is done to an endpoint, one step after the other, so that it can be told, kept in a file and done again."""

import msgspec

from postback_sender.event import Event


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """Send the postback of an event, `made` being the update's place among those of its action, from 0.

    With `lost` the answer is cut off on its way, so that the sender sends it again at once: accepted, then lost.
    `at_once` is how many times it is sent at the same moment.
    """

    event: Event
    made: int
    lost: bool = False
    at_once: int = 1


class Restart(msgspec.Struct, frozen=True):
    """Start the endpoint anew."""


Step = Send | Restart

MOST_AT_ONCE = 16
