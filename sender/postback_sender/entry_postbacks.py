"""The postbacks of entries: rendered to be accepted, kept until they leave, and rendered again when it takes longer."""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain

from postback_sender.clock import Clock
from postback_sender.delivery.target import check_target
from postback_sender.errors import RenderError, SenderError
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.outbox.entry import Entry
from postback_sender.postback import Postback, render_postback
from postback_sender.subscription import histories, newest

# What was rendered to be accepted is kept for sending, up to here; the rest is rendered again.
_MOST_READY = 8192


class EntryPostbacks:
    """Renders what entries of an outbox send. `to` and `allowed_hosts` as for a `Sender`."""

    def __init__(
        self, notification: Notification, *, to: str | None, allowed_hosts: Collection[str], clock: Clock
    ) -> None:
        self._notification = notification
        self._to = to
        self._allowed_hosts = allowed_hosts
        self._clock = clock
        self._ready: dict[int, Postback] = {}
        # Where values are read when a postback leaves: what is known of each action by its key, and what leaves.
        self._histories: dict[str, list[Event]] = {}
        self._leaving: dict[int, Event] = {}

    def learn(self, events: Sequence[Event]) -> None:
        """Remember events whose values later postbacks may carry; raises as `render` does for each of them."""
        known = histories(self._notification, events)
        for event in chain.from_iterable(known.values()):
            self.render(event)
        for key, events_of_it in known.items():
            self._histories.setdefault(key, []).extend(events_of_it)

    def render(self, event: Event) -> Postback:
        """Return the postback of an event, or raise `RenderError`, or `TargetError` for one that may not be sent."""
        postback = render_postback(self._notification, event, to=self._to)
        check_target(postback.url, allowed_hosts=self._allowed_hosts)
        return postback

    def keep(self, entry_ids: Iterable[int], postbacks: Iterable[Postback]) -> None:
        """Keep what was just rendered for entries, as far as there is room."""
        if len(self._ready) < _MOST_READY:
            self._ready.update(zip(entry_ids, postbacks, strict=True))

    def forget(self) -> None:
        """Forget what is kept: the ids of entries that were not accepted come again for others."""
        self._ready.clear()

    def of(self, entry: Entry) -> Postback:
        """Return the postback of an entry as it stands, or raise `RenderError` when it can be sent no more."""
        newer = self._leaving.get(entry.id)
        if newer is None and (postback := self._ready.get(entry.id)):
            return postback
        try:
            return self.render(newer or entry.event)
        except SenderError as error:
            # The settings may have changed since it was accepted.
            raise RenderError(f"it cannot be sent with the settings as they are now: {error}") from None

    def newest(self, entry: Entry, postback: Postback) -> Postback:
        """Return what would leave for an entry now: its postback, or one with the newest values of its action.

        A resend repeats the bytes that left first.
        """
        history = None if entry.attempts else self._histories.get(entry.key)
        if history is None:
            return postback
        known = self._leaving.get(entry.id) or entry.event
        event = newest(known, history, self._clock.now_ns())
        if event is known:
            return postback
        self._leaving[entry.id] = event
        return self.render(event)

    def left(self, entry: Entry) -> None:
        """Take note that an entry leaves, as it is."""
        self._ready.pop(entry.id, None)

    def ended(self, entry: Entry) -> None:
        """Forget an entry that was delivered or given up."""
        self._leaving.pop(entry.id, None)
