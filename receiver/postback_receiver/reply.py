"""What an endpoint answers: one reply always, or a script of replies for each event."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from postback_receiver.capture import Capture, Headers

End: TypeAlias = Literal["last", "cycle", "error"]
"""What follows the last reply of a script: that reply again, the first one again, or a 500 that says so."""

MAX_KEYS = 100_000
"""Events whose place in a script is remembered, about 20 MB at most. One test run sees far fewer; a receiver left
listening for weeks must not grow for ever. The event heard of longest ago is forgotten first, and then starts anew."""

_FORBIDDEN_IN_HEADER = frozenset("\r\n\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. Header text is ASCII; `Content-Length`, `Date` and `Content-Type` are added when missing."""

    status: int = 200
    headers: Headers = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"a reply's status is 200 to 599, not {self.status}")
        for name, value in self.headers:
            text = name + value
            if not name or not text.isascii() or _FORBIDDEN_IN_HEADER.intersection(text):
                raise ValueError(f"a reply's header is ASCII text without line breaks, not {name!r}: {value!r}")


Replies: TypeAlias = Callable[[Capture], Reply]
"""Chooses the reply to a capture. It runs on the event loop, before the capture is stored, and so must be quick."""


def always(reply: Reply) -> Replies:
    """Every request gets this reply."""
    return lambda _capture: reply


def text_reply(status: int, text: str) -> Reply:
    """A reply that says in plain words what happened; `text` ends up as one line of UTF-8."""
    return Reply(status=status, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=text.encode() + b"\n")


def same_request(capture: Capture) -> str:
    """An event key that needs no settings: the same method, target and body are about one event, as resends are."""
    return f"{capture.method} {capture.target} {hashlib.sha256(capture.body).hexdigest()}"


class ReplyScript:
    """A sequence of replies that each event walks through on its own.

    `key` names the event a request is about, so that the second reply goes to the second request about *that* event,
    and other events in between do not use it up.
    """

    def __init__(
        self,
        replies: Sequence[Reply],
        *,
        key: Callable[[Capture], str],
        end: End = "last",
        max_keys: int = MAX_KEYS,
    ) -> None:
        if not replies:
            raise ValueError("a reply script needs at least one reply")
        if end not in get_args(End):
            raise ValueError(f"a reply script ends with one of {', '.join(get_args(End))}, not {end!r}")
        self._replies = tuple(replies)
        self._key = key
        self._end = end
        self._max_keys = max_keys
        self._seen: OrderedDict[str, int] = OrderedDict()

    def __call__(self, capture: Capture) -> Reply:
        """The next reply for the event this capture is about."""
        key = self._key(capture)
        turn = self._seen.pop(key, 0)
        self._seen[key] = turn + 1
        if len(self._seen) > self._max_keys:
            self._seen.popitem(last=False)
        return self._at(turn)

    def _at(self, turn: int) -> Reply:
        count = len(self._replies)
        if turn < count:
            return self._replies[turn]
        if self._end == "last":
            return self._replies[-1]
        if self._end == "cycle":
            return self._replies[turn % count]
        return text_reply(
            500, f"This reply script had {count} replies for each event, and this event has had them all."
        )
