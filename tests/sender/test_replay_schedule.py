"""When each request of a replay is due: the laws of the time line, and the lateness that is told at the end."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_sender import QuantityError
from postback_sender.replay.lateness import LatenessHistogram
from postback_sender.replay.schedule import Schedule, parse_speed, schedule_of

SECOND = 1_000_000_000

times = st.lists(st.integers(0, 10**16), max_size=12).map(sorted)
speeds = st.fractions(Fraction(1, 1000), 1000)
gaps = st.none() | st.integers(0, 10**13)
rounds = st.integers(1, 4)


def all_due(schedule: Schedule) -> list[int]:
    return [schedule.due_ns(index) for index in range(len(schedule))]


def capped(times_ns: Sequence[int], max_gap_ns: int | None) -> list[int]:
    recorded = [later - earlier for earlier, later in pairwise(times_ns)]
    return recorded if max_gap_ns is None else [min(gap, max_gap_ns) for gap in recorded]


@settings(max_examples=30)
@given(times, speeds, gaps, rounds)
def test_due_times_begin_at_zero_and_never_go_back(
    times_ns: list[int], speed: Fraction, max_gap_ns: int | None, rounds_: int
) -> None:
    due = all_due(schedule_of(times_ns, speed=speed, max_gap_ns=max_gap_ns, rounds=rounds_))
    assert len(due) == len(times_ns) * rounds_
    assert due[:1] in ([], [0])
    assert due == sorted(due)


@settings(max_examples=30)
@given(times, speeds, gaps)
def test_the_last_request_is_due_after_the_sum_of_the_capped_gaps(
    times_ns: list[int], speed: Fraction, max_gap_ns: int | None
) -> None:
    schedule = schedule_of(times_ns, speed=speed, max_gap_ns=max_gap_ns)
    assert schedule.duration_ns == int(sum(capped(times_ns, max_gap_ns)) / speed)


@settings(max_examples=30)
@given(times, speeds, gaps, rounds)
def test_every_round_is_the_first_one_shifted_and_rounding_never_adds_up(
    times_ns: list[int], speed: Fraction, max_gap_ns: int | None, rounds_: int
) -> None:
    recorded = capped(times_ns, max_gap_ns)
    schedule = schedule_of(times_ns, speed=speed, max_gap_ns=max_gap_ns, rounds=rounds_)
    round_ns = sum(recorded) + sum(recorded[-1:])
    for index, due_ns in enumerate(all_due(schedule)):
        number, place = divmod(index, len(times_ns))
        assert 0 <= (number * round_ns + sum(recorded[:place])) / speed - due_ns < 1


@settings(max_examples=30)
@given(times, gaps, rounds)
def test_at_full_speed_everything_is_due_at_once(times_ns: list[int], max_gap_ns: int | None, rounds_: int) -> None:
    schedule = schedule_of(times_ns, speed=None, max_gap_ns=max_gap_ns, rounds=rounds_)
    assert set(all_due(schedule)) <= {0}
    assert (schedule.duration_ns, schedule.busiest()) == (0, len(schedule))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5 * SECOND), max_size=12).map(sorted), speeds, rounds)
def test_the_busiest_second_is_the_one_with_most_requests(times_ns: list[int], speed: Fraction, rounds_: int) -> None:
    schedule = schedule_of(times_ns, speed=speed, rounds=rounds_)
    due = all_due(schedule)
    assert schedule.busiest() == max((sum(0 <= other - one < SECOND for other in due) for one in due), default=0)


@pytest.mark.parametrize(
    ("speed", "max_gap_ns", "due_s"),
    [
        (Fraction(1), None, [0, 60, 61, 62, 122, 123]),
        (Fraction(2), None, [0, 30, 30.5, 31, 61, 61.5]),
        (Fraction(2), 5 * SECOND, [0, 2.5, 3, 3.5, 6, 6.5]),
        (Fraction(1), 0, [0, 0, 0, 0, 0, 0]),
    ],
    ids=["as recorded", "twice as fast", "gaps are capped before the speed", "no gaps"],
)
def test_two_rounds_of_an_example(speed: Fraction, max_gap_ns: int | None, due_s: list[float]) -> None:
    # A minute, then a second: the second round begins a second after the first one ends.
    times_ns = [7 * SECOND, 67 * SECOND, 68 * SECOND]
    schedule = schedule_of(times_ns, speed=speed, max_gap_ns=max_gap_ns, rounds=2)
    assert all_due(schedule) == [int(second * SECOND) for second in due_s]


def test_times_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="sort them first"):
        schedule_of([2, 1])


@pytest.mark.parametrize(
    ("text", "speed"),
    [("2x", Fraction(2)), ("0.5x", Fraction(1, 2)), (" 1.25 x", Fraction(5, 4)), ("max", None)],
    ids=["whole", "decimal", "blanks", "max"],
)
def test_a_speed_is_a_factor_or_max(text: str, speed: Fraction | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "2", "x", "0x", "0.0x", "-1x", "1e3x", "maximum", "٣x", "9" * 100 + "x"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(QuantityError, match='expected a speed such as "2x"'):
        parse_speed(text)


@settings(max_examples=30)
@given(st.lists(st.integers(-1000, 10**11), min_size=1), st.floats(0.01, 1))
def test_quantiles_are_within_one_percent_and_the_largest_is_exact(values: list[int], share: float) -> None:
    lateness = LatenessHistogram()
    for value in values:
        lateness.add(value)
    ordered = sorted(max(0, value) for value in values)
    exact = next(value for place, value in enumerate(ordered, start=1) if place >= share * len(ordered))
    assert exact <= lateness.quantile_ns(share) <= exact * 1.01 + 1
    assert lateness.max_ns == ordered[-1]
    assert sum(count for _, count in lateness.rows()) == len(lateness) == len(values)


def test_rows_of_the_histogram_have_no_empty_ends() -> None:
    lateness = LatenessHistogram()
    for value_ns in (900_000, 2_000_000, 40_000_000_000):
        lateness.add(value_ns)
    rows = list(lateness.rows())
    assert (rows[0], rows[-1]) == ((1_000_000, 1), (None, 1))
    assert list(LatenessHistogram().rows()) == []
    assert LatenessHistogram().quantile_ns(0.5) == 0
