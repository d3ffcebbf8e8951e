"""Whether updates can be the life of one action: a walk of moves, from nothing, in the plane of payout and amount.

A postback tells from where to where its update led, and not when; so the question is whether any order of the moves
makes a walk. Euler's answer: every point is left as often as it is entered, but for the two ends, and all moves hang
together. A move that arrived more than once may have been made once (a resend) or more often (an action that came back
and went again); nobody can know, so any number up to that of its arrivals will do.
"""

from collections import defaultdict, deque
from collections.abc import Iterable

import msgspec

Point = tuple[int, int]
"""Payout and amount."""

NOTHING: Point = (0, 0)


class Move(msgspec.Struct, frozen=True, gc=False):
    """One update, from a point to a point, at least `least` times and at most `most` times."""

    start: Point
    end: Point
    least: int
    most: int


def is_walk(moves: Iterable[Move], *, end: Point | None = None) -> bool:
    """Tell whether some order of the moves leads from nothing, each to where the next begins, to `end` if it is given.

    Moves that need not be made at all are taken to connect the others, so that a doubt never becomes a no.
    """
    moves = [move for move in moves if move.most]
    return _hang_together(moves) and _can_be_balanced(moves, end)


def _hang_together(moves: list[Move]) -> bool:
    neighbours: dict[Point, set[Point]] = defaultdict(set)
    for move in moves:
        neighbours[move.start].add(move.end)
        neighbours[move.end].add(move.start)
    reached, waiting = {NOTHING}, [NOTHING]
    while waiting:
        for point in neighbours[waiting.pop()] - reached:
            reached.add(point)
            waiting.append(point)
    return all(move.start in reached for move in moves if move.least)


def _can_be_balanced(moves: list[Move], end: Point | None) -> bool:
    """Tell whether moves that may be made again can make up for every point that is left more often than entered."""
    surplus: dict[Point, int] = defaultdict(int)
    surplus[NOTHING] += 1
    room: dict[Point, dict[Point, int]] = defaultdict(lambda: defaultdict(int))
    for move in moves:
        surplus[move.end] += move.least
        surplus[move.start] -= move.least
        room[move.start][move.end] += move.most - move.least
    if end is not None:
        surplus[end] -= 1
    # Without a given end one surplus remains, and where it remains is the end.
    wanting = [point for point, number in surplus.items() for _ in range(-number)]
    return all(_moved_to(point, surplus, room) for point in wanting)


def _moved_to(target: Point, surplus: dict[Point, int], room: dict[Point, dict[Point, int]]) -> bool:
    """Move one surplus to a point over moves that have room for one more; undoing an earlier such move counts."""
    came_from: dict[Point, Point | None] = {point: None for point, number in surplus.items() if number > 0}
    waiting = deque(came_from)
    while waiting and target not in came_from:
        point = waiting.popleft()
        for beyond, free in room[point].items():
            if free and beyond not in came_from:
                came_from[beyond] = point
                waiting.append(beyond)
    if target not in came_from:
        return False
    surplus[target] += 1
    point = target
    while (before := came_from[point]) is not None:
        room[before][point] -= 1
        room[point][before] += 1
        point = before
    surplus[point] -= 1
    return True
