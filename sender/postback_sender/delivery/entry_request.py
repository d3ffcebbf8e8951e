"""What leaves for an entry of an outbox: rendered when it is its turn, and noted as begun in the moment it leaves."""

from collections.abc import Callable
from typing import Protocol

from postback_sender.delivery.departures import Request
from postback_sender.delivery.origin import Origin
from postback_sender.delivery.request import request_bytes
from postback_sender.errors import SenderError
from postback_sender.outbox.entry import Begun, Entry
from postback_sender.postback import Postback


class Postbacks(Protocol):
    """What entries send."""

    def of(self, entry: Entry) -> Postback:
        """Return the postback of an entry; raises `SenderError` when there is none."""
        ...

    def newest(self, entry: Entry, postback: Postback) -> Postback:
        """Return what would leave for an entry now: its postback, or that with newer values."""
        ...

    def left(self, entry: Entry) -> None:
        """Take note that an entry leaves, as it is."""
        ...

    def ended(self, entry: Entry) -> None:
        """Take note that an entry was delivered or given up."""
        ...


class EntryRequest:
    """The next request of an entry. `postback` is what it carries, `left_ns` when it left, monotonic, None before.

    Whoever makes one gets `SenderError` when there is nothing to send. `begin` notes an attempt; it raises when that
    cannot be, and then nothing leaves.
    """

    def __init__(
        self, entry: Entry, postbacks: Postbacks, begin: Callable[[Begun], None], *, wall_offset_ns: int
    ) -> None:
        self.entry = entry
        self.postback = postbacks.of(entry)
        self.left_ns: int | None = None
        self._postbacks = postbacks
        self._begin = begin
        self._wall_offset_ns = wall_offset_ns
        self._origin, self._data = request_bytes(self.postback)

    @property
    def number(self) -> int:
        """Which attempt of its round this is."""
        return self.entry.attempts + 1

    def request(self) -> Request:
        """Return it as what departs."""
        return Request(self.postback.method, self.number > 1, self._aim, self._leave)

    def _aim(self) -> Origin:
        newest = self._postbacks.newest(self.entry, self.postback)
        if newest is not self.postback:
            self.postback = newest
            self._origin, self._data = request_bytes(newest)
        return self._origin

    def _leave(self, started_ns: int) -> bytes:
        entry = self.entry
        self._begin(Begun(entry.id, entry.round, self.number, started_ns + self._wall_offset_ns))
        self.left_ns = started_ns
        self._postbacks.left(entry)
        return self._data


def postback_of(entry: Entry, postbacks: Postbacks) -> Postback:
    """Return what an entry sends, without method and URL when it cannot be rendered."""
    try:
        return postbacks.of(entry)
    except SenderError:
        return Postback(method="", url="", headers=(), body=b"", key=entry.key)
