"""What a partner's ledger must say after any postbacks, in any order and any number: only what is certain.

A postback has no number and no time of sending. It tells where its update began and where it ended in the plane of
payout and amount, so the updates of an action are moves of a walk from nothing (see `walks`). Where every walk that can
be made of them ends in the same point, the ledger must stand there. Asserted is this, and no more:

- the money, when it is certain where the walk ends; the status, when all updates that lead there tell the same one;
- the figures of an APPROVED action, which are final;
- where the money is certain, the texts that all its updates told alike: currency, date, sub ids.

Never asserted, because nobody can know it, or only who guesses well: whether an update that arrived twice was made
twice, when that decides where the walk ends (created, reversed, restored with the same figures); anything while an
update is missing in between; the status of an action whose money stays 0 when its updates tell different ones. Where
the template leaves the deltas out there are no moves, and only the order of arrival tells what is new: updates that
came in their order, none of them again after a later one.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from postback_conformance.judging.held_tokens import held_names, held_tokens
from postback_conformance.judging.walks import NOTHING, Move, Point, is_walk
from postback_conformance.judging.wire_money import UNITS, wire_money
from postback_sender.notification import Notification

T = TypeVar("T")

_MOST_UPDATES: Final = 64
"""Updates of one action that are weighed; more are left undecided, so that the time for it is bounded."""

MISSING: Final = "an update is missing that was made before one that arrived"
REPEATED: Final = "an update arrived more than once; whether it was also made more than once decides where it ends"
UNREADABLE: Final = "a figure cannot be read as money"
UNORDERED: Final = "the template leaves the deltas out, so nothing tells in which order the updates were made"
SAME_FIGURES: Final = "updates that lead to the same figures tell different ones"
TOO_MANY: Final = f"more than {_MOST_UPDATES} updates"
_KEPT: Final = ("Currency", "EventDate")
UNPLACED: Final = frozenset({MISSING, REPEATED, UNORDERED})
"""Why an endpoint may not be able to tell where an action stands."""
REFUSED: Final = "an update was answered with an error; whether it was recorded all the same is not known"


class Tells(msgspec.Struct, frozen=True, kw_only=True):
    """Which figures a notification's templates tell, and the names of the tokens that tell of texts and dates."""

    status: bool
    payout: bool
    amount: bool
    delta_payout: bool
    delta_amount: bool
    texts: tuple[str, ...] = ()

    @property
    def payout_moves(self) -> bool:
        return self.payout and self.delta_payout

    @property
    def amount_moves(self) -> bool:
        return self.amount and self.delta_amount

    @property
    def order(self) -> bool:
        """Whether the figures tell in which order updates were made."""
        return self.payout_moves or self.amount_moves

    @property
    def anything(self) -> bool:
        return self.status or self.payout or self.amount


def tells(notification: Notification) -> Tells:
    """Return which figures a notification's templates tell."""
    names = held_names(notification)
    return Tells(
        status="Status" in names,
        payout="Payout" in names,
        amount="Amount" in names,
        delta_payout="DeltaPayout" in names,
        delta_amount="DeltaAmount" in names,
        texts=tuple(
            token.name
            for token in held_tokens(notification)
            if token.name in _KEPT or (token.type == "text" and not token.values and not token.format)
        ),
    )


class Update(msgspec.Struct, frozen=True, gc=False):
    """What a postback tells of its action, money in ten-thousandths; None where it tells nothing, or nothing clear."""

    status: str | None
    payout: int | None
    amount: int | None
    start: Point | None
    """Where it began, 0 in what the template does not tell; None when that cannot be told."""
    end: Point | None


def update_of(values: Mapping[str, str], told: Tells) -> Update:
    """Return what the values of an event tell by templates that tell so much."""
    payout = wire_money(values.get("Payout", "")) if told.payout else None
    amount = wire_money(values.get("Amount", "")) if told.amount else None
    status = values.get("Status") or None if told.status else None
    start, end = [0, 0], [0, 0]
    moves = ((told.payout_moves, payout, "DeltaPayout"), (told.amount_moves, amount, "DeltaAmount"))
    for axis, (is_told, figure, delta_token) in enumerate(moves):
        if is_told:
            delta = wire_money(values.get(delta_token, ""))
            if figure is None or delta is None:
                return Update(status, payout, amount, None, None)
            start[axis], end[axis] = figure - delta, figure
    points = ((start[0], start[1]), (end[0], end[1])) if told.order else (None, None)
    return Update(status, payout, amount, *points)


def texts_of(values: Mapping[str, str], told: Tells) -> Mapping[str, str]:
    """Return the texts that the values of an event tell by templates that tell so much, without empty ones."""
    return {name: text for name in told.texts if (text := values.get(name))}


class Arrival(msgspec.Struct, frozen=True):
    """An update that was taken. `made` is its place among the updates of its action as they were made, from 0.

    `texts` are those it told, by token; see `texts_of`.
    """

    update: Update
    made: int
    texts: Mapping[str, str] = {}


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger must say of an action: it must be there, and None is what nobody can know, as `why` says.

    `texts` holds texts by token, the date of the event among them.
    """

    status: str | None = None
    payout: Decimal | None = None
    amount: Decimal | None = None
    texts: Mapping[str, str] = {}
    why: tuple[str, ...] = ()

    @property
    def says_anything(self) -> bool:
        """Whether anything but the action's being there is certain."""
        return (self.status, self.payout, self.amount) != (None, None, None)


def expected(arrivals: Sequence[Arrival], told: Tells) -> Expected:
    """Return what is certain of an action after these arrivals, at least one, in the order in which they were taken."""
    if len(arrivals) > _MOST_UPDATES:
        return Expected(why=(TOO_MANY,))
    last = _last(arrivals, told)
    if isinstance(last, str):
        return Expected(why=(last,))
    why: set[str] = set()
    return Expected(
        status=_agreed([one.status for one in last], why) if told.status else None,
        payout=_money(_agreed([one.payout for one in last], why)) if told.payout else None,
        amount=_money(_agreed([one.amount for one in last], why)) if told.amount else None,
        texts=_agreed_texts(arrivals),
        why=tuple(sorted(why)),
    )


def _last(arrivals: Sequence[Arrival], told: Tells) -> list[Update] | str:
    """Return the updates of which one is the last for certain, or why that cannot be told."""
    updates = [arrival.update for arrival in arrivals]
    approved = [update for update in updates if update.status == "APPROVED"]
    if approved and len(approved) == len(updates):
        # Clearing events come alone: no lives are told, and what is approved does not change.
        return approved
    if not told.order:
        return approved or _newest(arrivals)
    if len({arrival.made for arrival in arrivals}) <= max(arrival.made for arrival in arrivals):
        # What came may look complete without: reversed and restored in between, with the same figures.
        return MISSING
    moves = _moves(updates)
    if moves is None:
        return UNREADABLE
    ends = {update.end for update in approved} or {NOTHING, *(move.end for move in moves)}
    possible = [end for end in ends if is_walk(moves, end=end)]
    # Who takes equal updates for one must come to the same end as who can tell that there were two.
    once = [Move(move.start, move.end, move.least, 1) for move in moves]
    if len(possible) == 1 and is_walk(once, end=possible[0]):
        return approved or [update for update in updates if update.end == possible[0]]
    return REPEATED if possible else MISSING


def _newest(arrivals: Sequence[Arrival]) -> list[Update] | str:
    """Return the newest update by the order of arrival, where that is the order in which they were made."""
    if len({arrival.update for arrival in arrivals}) == 1:
        return [arrivals[0].update]
    made = [arrival.made for arrival in arrivals]
    if made != sorted(made):
        return UNORDERED
    seen: list[Update] = []
    for arrival in arrivals:
        if not seen or arrival.update != seen[-1]:
            if arrival.update in seen:
                return REPEATED
            seen.append(arrival.update)
    return [seen[-1]]


def _moves(updates: Iterable[Update]) -> list[Move] | None:
    """Return what arrived as moves, each as often as it may have been made; None when one cannot be read.

    Locking moves nothing: what an APPROVED action tells is its last update once more, or for the first time.
    """
    arrivals: dict[tuple[Point, Point], list[int]] = {}
    for update in updates:
        if update.start is None or update.end is None:
            return None
        counts = arrivals.setdefault((update.start, update.end), [0, 0])
        counts[update.status == "APPROVED"] += 1
    return [
        Move(start, end, 1, open_ones) if open_ones else Move(start, end, 0, approved)
        for (start, end), (open_ones, approved) in arrivals.items()
    ]


def _agreed(values: Sequence[T | None], why: set[str]) -> T | None:
    """Return what all updates tell alike, None when they do not."""
    if len(set(values)) > 1:
        why.add(SAME_FIGURES)
        return None
    if values[0] is None:
        why.add(UNREADABLE)
    return values[0]


def _agreed_texts(arrivals: Sequence[Arrival]) -> dict[str, str]:
    """Return the texts that all updates tell alike: where they differ, nobody knows which one is the newest."""
    first, *others = (arrival.texts for arrival in arrivals)
    return {name: text for name, text in first.items() if all(other.get(name) == text for other in others)}


def _money(units: int | None) -> Decimal | None:
    return None if units is None else Decimal(units) / UNITS
