"""Draws values from Hypothesis strategies outside a test, the same ones for the same seed."""

from collections.abc import Iterator
from hashlib import shake_256
from itertools import islice
from typing import Any, TypeVar, cast

from hypothesis import given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

# As many bytes as Hypothesis lets one value draw.
_BYTES_PER_VALUE = 8192
_MOST_MISSES = 1000


def generate(strategy: SearchStrategy[T], *, count: int, seed: int) -> list[T]:
    """Return exactly `count` values of the strategy, the first ones of `draw_endlessly`."""
    return list(islice(draw_endlessly(strategy, seed=seed), count))


def draw_endlessly(strategy: SearchStrategy[T], *, seed: int) -> Iterator[T]:
    """Yield values of the strategy for as long as somebody takes them.

    The same seed gives the same values in every process of one installation. Another version of Hypothesis, of Python
    or of a strategy may give others: keep the values, not the seed, where they must last. Raises `Unsatisfiable` when
    the strategy keeps rejecting what it draws. Inside a Hypothesis test, draw from the strategy instead.
    """
    # @seed would not do: to find bugs, Hypothesis sprinkles in constants from the source of whatever local modules are
    # loaded, so the same seed draws other values in a process that imported more. Fed with bytes of our own, through
    # the documented entry for external fuzzers, it has no choice. It also skips the engine, which stops early when it
    # believes to have seen every value. The bytes come from a hash, whose output no Python version will change.
    values: list[T] = []

    @settings(database=None)
    @given(strategy)
    def keep(value: T) -> None:
        values.append(value)

    draw_from = cast("Any", keep).hypothesis.fuzz_one_input
    attempt = misses = 0
    while True:
        # None: the bytes ran out, or the strategy rejected what they meant.
        rejected = draw_from(shake_256(f"{seed}/{attempt}".encode()).digest(_BYTES_PER_VALUE)) is None
        attempt += 1
        misses = misses + 1 if rejected else 0
        if misses == _MOST_MISSES:
            raise Unsatisfiable(f"{strategy!r} gave no value in {_MOST_MISSES} attempts; does it filter too much?")
        yield from values
        values.clear()
