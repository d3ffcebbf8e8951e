"""Which reply comes next: a sequence that each event walks through on its own, and cases that go before it."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, get_args

from postback_receiver.capture import Capture
from postback_receiver.matching import Match, to_matcher
from postback_receiver.reply import GiveBack, Replies, Reply, same_request, text_reply

End: TypeAlias = Literal["last", "cycle", "error"]
"""What follows the last reply of a script: that reply again, the first one again, or a 500 that says so."""

MAX_KEYS = 100_000
"""Events whose place in a script is remembered, about 20 MB at most. One test run sees far fewer; a receiver left
listening for weeks must not grow for ever. The event heard of longest ago is forgotten first, and then starts anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A reply for some requests only: those that `when` matches, and of each event the attempts in the range.

    Attempts count from 1, the first time an event arrives; the last one None means no end.
    """

    reply: Reply
    when: Match | None = None
    attempts: tuple[int, int | None] = (1, None)

    def __post_init__(self) -> None:
        check_reply(self.reply)
        to_matcher(self.when)
        first, last = self.attempts
        if first < 1 or (last is not None and last < first):
            raise ValueError(f"attempts are a range from 1 up, such as (1, 2), not {self.attempts}")

    def holds(self, capture: Capture, attempt: int) -> bool:
        """Whether this is the reply to a capture that is the event's so-many-th attempt."""
        first, last = self.attempts
        in_range = first <= attempt and (last is None or attempt <= last)
        return in_range and to_matcher(self.when).matches(capture)


def check_reply(reply: object) -> None:
    """Raise TypeError for what is no reply."""
    if not isinstance(reply, Reply):
        raise TypeError(f"expected a reply such as Reply(status=503), got {reply!r:.100}")


def always(reply: Reply) -> Replies:
    """Every request gets this reply."""
    check_reply(reply)
    return (lambda _capture: reply) if reply.is_settled else ReplyScript([reply])


class ReplyScript:
    """A sequence of replies that each event walks through on its own.

    `key` names the event a request is about, so that the second reply goes to the second request about *that* event,
    and other events in between do not use it up. The first of `cases` that holds answers instead, and leaves the
    sequence where it was. With cases only, all else is answered 200.
    """

    def __init__(
        self,
        replies: Sequence[Reply],
        *,
        key: Callable[[Capture], str] = same_request,
        end: End = "last",
        cases: Sequence[Case] = (),
        max_keys: int = MAX_KEYS,
    ) -> None:
        if not (replies or cases):
            raise ValueError("a reply script needs at least one reply")
        if end not in get_args(End):
            raise ValueError(f"a reply script ends with one of {', '.join(get_args(End))}, not {end!r}")
        for reply in replies:
            check_reply(reply)
        self._replies = tuple(replies) or (Reply(),)
        self._key = key
        self._end = end
        self._cases = tuple(cases)
        self._max_keys = max_keys
        # Of each event: its attempts so far, and how many of them the sequence has answered.
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __call__(self, capture: Capture) -> Reply:
        """The next reply for the event this capture is about."""
        return self.take(capture)[0]

    def take(self, capture: Capture) -> tuple[Reply, GiveBack]:
        """The same, and what gives the turn back when the request could not be recorded."""
        key = self._key(capture)
        attempts, turn = self._seen.pop(key, (0, 0))
        case = next((case for case in self._cases if case.holds(capture, attempts + 1)), None)
        self._seen[key] = (attempts + 1, turn if case else turn + 1)
        if len(self._seen) > self._max_keys:
            self._seen.popitem(last=False)
        reply = (case.reply if case else self._at(turn)).settled(key, attempts)
        return reply, partial(self._give_back, key, 0 if case else 1)

    def _give_back(self, key: str, turns: int) -> None:
        # An event that was forgotten meanwhile starts anew anyway.
        if key in self._seen:
            attempts, turn = self._seen[key]
            self._seen[key] = (attempts - 1, turn - turns)

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
