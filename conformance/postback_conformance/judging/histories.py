"""What is remembered of every action at one endpoint: bounded, and honest about what was forgotten."""

import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from postback_conformance.judging.held_tokens import held_names, tells_of_actions
from postback_conformance.judging.walks import NOTHING, Move, Point, is_walk
from postback_conformance.judging.wire_money import Figures, read_figures, wire_money
from postback_sender.notification import Notification

MAX_ACTIONS = 50_000
"""About 700 bytes are kept of each action, and 34 more for each update beyond the first."""
MAX_MOVES = 128
"""Different moves kept of one action; what lies beyond is counted as unknown."""

INTENDED = ("IntendedPayout", "IntendedAmount")
# What makes an action this action. No modification that the sources describe touches any of it.
IDENTITY = ("CampaignId", "ActionTrackerId", "MediaPartnerId", "AdId", "Currency", "EventDate", "RefClickId")
_CONSTANTS = (*INTENDED, *IDENTITY)

# From payout and amount to payout and amount, how often it arrived, and how often as APPROVED.
_MOVE = struct.Struct("<4q2B")
_MOST_ARRIVALS = 255
_BETWEEN = "\x1f"


class Change(msgspec.Struct, frozen=True, gc=False):
    """A value that should be the same in everything about an action, and is not."""

    token: str
    before: str
    now: str


class Story(msgspec.Struct, frozen=True, gc=False):
    """What is kept of one action; `begins` tells that the first capture may be of its creation."""

    action: str
    first_id: str
    latest_id: str
    constants: str
    begins: bool
    is_unclear: bool
    """The money of some capture could not be read, or there were more moves than are kept."""
    in_order: bool
    """Every update began where the one that arrived before it ended."""
    at_payout: int
    at_amount: int
    """Where the latest update that fitted in led."""
    moves: bytes
    approved_id: str
    approved_payout: int | None
    approved_amount: int | None
    first_status: str | None
    first_payout: int | None
    first_amount: int | None

    def updates(self) -> Iterator[Move]:
        """Yield the moves that arrived, each as often as it may have been made.

        Locking moves nothing: what an APPROVED action tells is its last update once more, or for the first time.
        """
        for *points, arrivals, approved in _MOVE.iter_unpack(self.moves):
            start, end = (points[0], points[1]), (points[2], points[3])
            open_ones = arrivals - approved
            yield Move(start, end, 1, open_ones) if open_ones else Move(start, end, 0, approved)

    def is_walk(self, *, end: Point | None = None) -> bool:
        """Tell whether some order of the updates leads from nothing on, and to `end` if it is given."""
        return is_walk(self.updates(), end=end)


class History(msgspec.Struct, frozen=True, gc=False):
    """What was known of an action when a capture of it arrived.

    `before` is what the captures before it told, None when it is the first; `now` is the same with this one, `figures`
    what this one says, and `changes` where it contradicts the first.
    """

    before: Story | None
    now: Story
    figures: Figures
    changes: tuple[Change, ...]
    memory: "Histories"


class Histories:
    """The actions of one endpoint, the latest `most` of them by their last capture."""

    def __init__(self, notification: Notification, *, most: int = MAX_ACTIONS) -> None:
        self._most = most
        self._stories: OrderedDict[str, Story] = OrderedDict()
        self.forgotten = 0
        """Actions that had to make room."""
        self.untold = 0
        """Captures of which nobody can tell the action they are about."""
        names = held_names(notification)
        self._is_of_actions = tells_of_actions(notification)
        self.has_payouts = names >= {"Payout", "DeltaPayout"}
        self.has_amounts = names >= {"Amount", "DeltaAmount"}
        self._constants = tuple(token for token in _CONSTANTS if token in names)

    def see(self, capture_id: str, texts: Mapping[str, str]) -> History | None:
        """Take in the next capture, by the values that it tells.

        Returns what is known of its action, or None when no action can be told.
        """
        if not self._is_of_actions:
            return None
        action = texts.get("ActionId")
        if not action:
            self.untold += 1
            return None
        said = read_figures(texts)
        constants = _BETWEEN.join([texts.get(token, "") for token in self._constants])
        before = self._stories.pop(action, None)
        if before is None:
            now = self._first(action, capture_id, constants, said)
            changes: tuple[Change, ...] = ()
        else:
            now = self._next(before, capture_id, said)
            changes = () if before.constants == constants else tuple(self._changes(before.constants, constants))
        self._stories[action] = now
        if len(self._stories) > self._most:
            self._stories.popitem(last=False)
            self.forgotten += 1
        return History(before, now, said, changes, self)

    def stories(self) -> Iterable[Story]:
        """Return what is remembered of each action, the one that was told of last at the end."""
        return self._stories.values()

    def approved_at(self, story: Story) -> Point | None:
        """Return where the walk of an action must end; None when it was not approved, or nobody can tell where."""
        payout = story.approved_payout if self.has_payouts else 0
        amount = story.approved_amount if self.has_amounts else 0
        return None if not story.approved_id or payout is None or amount is None else (payout, amount)

    def _first(self, action: str, capture_id: str, constants: str, said: Figures) -> Story:
        move = self._move(said)
        is_approved = said.status == "APPROVED"
        return Story(
            action,
            capture_id,
            capture_id,
            constants,
            said.is_creation,
            move is None,
            move is not None and move[0] == NOTHING,
            0 if move is None else move[1][0],
            0 if move is None else move[1][1],
            b"" if move is None else _MOVE.pack(*move[0], *move[1], 1, is_approved),
            capture_id if is_approved else "",
            said.payout if is_approved else None,
            said.amount if is_approved else None,
            said.status,
            said.payout,
            said.amount,
        )

    def _next(self, before: Story, capture_id: str, said: Figures) -> Story:
        move = self._move(said)
        is_approved = said.status == "APPROVED"
        moves = before.moves if move is None else _with_move(before.moves, *move, is_approved=is_approved)
        is_new = len(moves) > len(before.moves)
        here = (before.at_payout, before.at_amount)
        # What had arrived already is a repeat, or a return: it leads nowhere new, and needs no place in the order.
        goes_on = move is not None and is_new and move[0] == here
        there = move[1] if goes_on and move is not None else here
        first_approved = is_approved and not before.approved_id
        return Story(
            before.action,
            before.first_id,
            capture_id,
            before.constants,
            before.begins,
            before.is_unclear or move is None or (not is_new and moves is before.moves),
            before.in_order and (goes_on or not is_new),
            *there,
            moves,
            capture_id if first_approved else before.approved_id,
            said.payout if first_approved else before.approved_payout,
            said.amount if first_approved else before.approved_amount,
            before.first_status,
            before.first_payout,
            before.first_amount,
        )

    def _move(self, said: Figures) -> tuple[Point, Point] | None:
        """Return from where to where an update led, by what the template tells; money it does not tell stays 0."""
        payout, amount, before_payout, before_amount = 0, 0, 0, 0
        if self.has_payouts:
            if said.payout is None or said.delta_payout is None:
                return None
            payout, before_payout = said.payout, said.payout - said.delta_payout
        if self.has_amounts:
            if said.amount is None or said.delta_amount is None:
                return None
            amount, before_amount = said.amount, said.amount - said.delta_amount
        return (before_payout, before_amount), (payout, amount)

    def _changes(self, before: str, now: str) -> Iterator[Change]:
        earlier, later = before.split(_BETWEEN), now.split(_BETWEEN)
        if len(earlier) != len(self._constants) or len(later) != len(self._constants):
            # A value holds the separator itself: then nothing is told apart for sure.
            return
        for token, one, other in zip(self._constants, earlier, later, strict=True):
            if one and other and one != other and _differ(token, one, other):
                yield Change(token, one, other)


def _differ(token: str, one: str, other: str) -> bool:
    """Tell whether two different texts mean different things."""
    if token in INTENDED:
        before, now = wire_money(one), wire_money(other)
        # What is no money is the business of the rule for that.
        return before is not None and now is not None and before != now
    if token == "EventDate":
        try:
            instants = datetime.fromisoformat(one), datetime.fromisoformat(other)
            return instants[0] != instants[1]
        except ValueError:
            return False
    return True


def _with_move(moves: bytes, start: Point, end: Point, *, is_approved: bool) -> bytes:
    """Return the moves with one arrival more; unchanged when there is no room for it."""
    wanted = struct.pack("<4q", *start, *end)
    for first in range(0, len(moves), _MOVE.size):
        if moves.startswith(wanted, first):
            *_, arrivals, approved = _MOVE.unpack_from(moves, first)
            if arrivals == _MOST_ARRIVALS:
                return moves
            counted = _MOVE.pack(*start, *end, arrivals + 1, approved + is_approved)
            return moves[:first] + counted + moves[first + _MOVE.size :]
    return moves + wanted + bytes((1, is_approved)) if len(moves) < MAX_MOVES * _MOVE.size else moves
