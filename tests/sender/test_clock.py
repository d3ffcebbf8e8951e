"""Clocks: a scaled one runs faster or slower, and like every clock it never wakes anybody early."""

import asyncio
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender.clock import Clock, ScaledClock, SystemClock

WALL_NS = 1_778_457_247_000_000_000
MONOTONIC_NS = 12_345_678_901

SCALES = st.fractions(min_value=Fraction(1, 1000), max_value=10_000, max_denominator=1000)
# A day, in either direction.
SPANS_NS = st.integers(-86_400 * 10**9, 86_400 * 10**9)


class HandClock:
    """A clock that moves when somebody sleeps, exactly as far as asked, or when it is set."""

    def __init__(self) -> None:
        self.wall_ns = WALL_NS
        self.mono_ns = MONOTONIC_NS

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.mono_ns

    async def sleep_until(self, monotonic_ns: int) -> None:
        ahead_ns = max(0, monotonic_ns - self.mono_ns)
        self.wall_ns += ahead_ns
        self.mono_ns += ahead_ns


def sleep(clock: Clock, until_ns: int) -> None:
    asyncio.run(clock.sleep_until(until_ns))


@pytest.mark.parametrize(
    ("scale", "takes_ns"),
    [(Fraction(60), 10**9), (Fraction(1), 60 * 10**9), (Fraction(1, 2), 120 * 10**9)],
    ids=["60x", "1x", "0.5x"],
)
def test_a_minute_takes_a_minute_divided_by_the_scale(scale: Fraction, takes_ns: int) -> None:
    inner = HandClock()
    clock = ScaledClock(inner, scale)

    sleep(clock, clock.monotonic_ns() + 60 * 10**9)

    assert inner.mono_ns - MONOTONIC_NS == takes_ns
    assert clock.now_ns() - WALL_NS == clock.monotonic_ns() - MONOTONIC_NS == 60 * 10**9


@given(scale=SCALES)
def test_both_times_start_where_the_other_clock_stands(scale: Fraction) -> None:
    clock = ScaledClock(HandClock(), scale)

    assert (clock.now_ns(), clock.monotonic_ns()) == (WALL_NS, MONOTONIC_NS)


@given(scale=SCALES, span_ns=SPANS_NS)
def test_it_wakes_at_the_first_nanosecond_that_is_not_early(scale: Fraction, span_ns: int) -> None:
    inner = HandClock()
    clock = ScaledClock(inner, scale)

    sleep(clock, MONOTONIC_NS + span_ns)

    assert clock.monotonic_ns() >= MONOTONIC_NS + span_ns
    if span_ns > 0:
        inner.mono_ns -= 1
        assert clock.monotonic_ns() < MONOTONIC_NS + span_ns
    else:
        assert inner.mono_ns == MONOTONIC_NS


@given(scale=SCALES, steps_ns=st.lists(st.integers(0, 10**12), max_size=20))
def test_it_never_goes_back_while_the_other_clock_does_not(scale: Fraction, steps_ns: list[int]) -> None:
    inner = HandClock()
    clock = ScaledClock(inner, scale)
    seen = [clock.monotonic_ns()]
    for step_ns in steps_ns:
        inner.mono_ns += step_ns
        seen.append(clock.monotonic_ns())

    assert seen == sorted(seen)
    # No drift: what was rounded off on the way does not add up.
    assert 0 <= sum(steps_ns) * scale - (seen[-1] - MONOTONIC_NS) < 1


@given(scale=SCALES, jump_ns=SPANS_NS)
def test_a_jump_of_the_wall_clock_leaves_the_monotonic_clock_alone(scale: Fraction, jump_ns: int) -> None:
    inner = HandClock()
    clock = ScaledClock(inner, scale)

    inner.wall_ns += jump_ns

    assert clock.monotonic_ns() == MONOTONIC_NS
    assert 0 <= jump_ns * scale - (clock.now_ns() - WALL_NS) < 1


def test_it_is_not_early_by_the_clock_of_this_machine_either() -> None:
    clock = ScaledClock(SystemClock(), Fraction(1000))
    until_ns = clock.monotonic_ns() + 10**9

    sleep(clock, until_ns)

    assert clock.monotonic_ns() >= until_ns


@pytest.mark.parametrize("scale", [Fraction(0), Fraction(-1)], ids=["stands still", "backwards"])
def test_time_neither_stands_still_nor_runs_backwards(scale: Fraction) -> None:
    with pytest.raises(ValueError, match="expected a scale of more than 0"):
        ScaledClock(HandClock(), scale)
