"""Whether moves make a walk is the same question as whether trying every order finds one."""

from collections.abc import Iterator, Sequence
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.judging.walks import NOTHING, Move, Point, is_walk

POINTS: tuple[Point, ...] = (NOTHING, (1, 10), (2, 10), (1, 8))
points = st.sampled_from(POINTS)
counts = st.sampled_from([(1, 1), (1, 1), (1, 2), (0, 1)])


def counted(start: Point, end: Point, count: tuple[int, int]) -> Move:
    return Move(start, end, *count)


moves = st.builds(counted, points, points, counts)


def walks(moves: Sequence[Move]) -> Iterator[Point]:
    """Yield where each walk ends that is made of these moves, by trying all of them."""
    for numbers in product(*(range(move.least, move.most + 1) for move in moves)):
        made = [move for move, number in zip(moves, numbers, strict=True) for _ in range(number)]
        for order in permutations(made):
            at = NOTHING
            for move in order:
                if move.start != at:
                    break
                at = move.end
            else:
                yield at


@settings(max_examples=30, deadline=None)
@given(moves=st.lists(moves, max_size=4))
def test_what_some_order_explains_is_a_walk(moves: list[Move]) -> None:
    ends = set(walks(moves))
    # Moves that need not be made may connect others, so a yes may be one too many; a no never is.
    assert is_walk(moves) or not ends
    for end in POINTS:
        assert is_walk(moves, end=end) or end not in ends


@settings(max_examples=30, deadline=None)
@given(moves=st.lists(moves.filter(lambda move: move.least == 1), max_size=4))
def test_what_no_order_explains_is_none(moves: list[Move]) -> None:
    ends = set(walks(moves))
    assert is_walk(moves) == bool(ends)
    assert {end for end in POINTS if is_walk(moves, end=end)} == ends


def move(start: Point, end: Point, most: int = 1) -> Move:
    return Move(start, end, 1, most)


@pytest.mark.parametrize(
    ("moves", "end", "answer"),
    [
        ([], None, True),
        ([], (1, 10), False),
        ([move((1, 10), NOTHING), move(NOTHING, (1, 10))], NOTHING, True),
        ([move((1, 10), NOTHING), move(NOTHING, (1, 10))], (1, 10), False),
        ([move((1, 10), NOTHING), move(NOTHING, (1, 10), 2)], (1, 10), True),
        ([move((1, 10), (1, 10))], None, False),
        ([move(NOTHING, (1, 10)), move(NOTHING, (1, 8))], None, False),
        ([move(NOTHING, (1, 10)), move((1, 8), (2, 10)), move((2, 10), (1, 8))], None, False),
    ],
    ids=[
        "nothing happened",
        "nothing happened, yet it ended elsewhere",
        "reversed, and that arrived first",
        "reversed is not the end at 10",
        "unless it was restored with the same bytes",
        "a change without a change, of what never came to be",
        "created twice",
        "a circle by itself",
    ],
)
def test_what_an_order_can_explain(moves: list[Move], end: Point | None, *, answer: bool) -> None:
    assert is_walk(moves, end=end) is answer


def test_hundreds_of_repeats_are_weighed_in_a_moment() -> None:
    """Every move of a long life came several times, and the way back has to be made of repeats."""
    there = [move((number, 0), (number + 1, 0), 100) for number in range(64)]
    back = [move((number + 1, 0), (number, 0), 100) for number in range(64)]
    assert is_walk([*there, *back], end=(64, 0))
    assert not is_walk([*there, *back[1:], move((70, 0), (71, 0))])
