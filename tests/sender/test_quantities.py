"""Durations, rates, sizes and factors as people write them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender.quantities import (
    QuantityError,
    Rate,
    format_duration,
    parse_duration,
    parse_factor,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("500ms", 500_000_000),
        ("2s", 2_000_000_000),
        ("1.5 s", 1_500_000_000),
        ("5m", 300_000_000_000),
        ("1h", 3_600_000_000_000),
        ("1d", 86_400_000_000_000),
        (2, 2_000_000_000),
        (0.1, 100_000_000),
        ("0", 0),
    ],
)
def test_a_duration_is_read_exactly(text: str | float, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "x", "2 weeks", "-1s", "1e3", "٣s", "9" * 18 + "d", float("nan"), float("inf")])
def test_what_is_no_duration_is_refused_with_examples(text: str | float) -> None:
    with pytest.raises(QuantityError, match='expected a duration such as "500ms"'):
        parse_duration(text)


@given(st.integers(0, 10**16))
def test_a_duration_survives_being_written_and_read(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5/s", Rate(count=5)), (5, Rate(count=5)), ("100 / m", Rate(count=100, window_ns=60_000_000_000))],
)
def test_a_rate_is_a_count_in_a_window(text: str | int, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "5", "0/s", "5/x", "-1/s", "1.5/s", 0])
def test_what_is_no_rate_is_refused_with_examples(text: str | int) -> None:
    with pytest.raises(QuantityError, match='expected a rate such as "5/s"'):
        parse_rate(text)


def test_sizes_count_bytes() -> None:
    assert [parse_size(text) for text in ("1MiB", "64KiB", "10B", 10)] == [1024**2, 64 * 1024, 10, 10]
    with pytest.raises(QuantityError, match="expected a size such as"):
        parse_size("1MB")


@pytest.mark.parametrize(
    ("text", "factor"),
    [("60x", Fraction(60)), ("0.5x", Fraction(1, 2)), (" 2 ", Fraction(2)), (60, Fraction(60)), (0.1, Fraction(1, 10))],
    ids=str,
)
def test_a_factor_is_read_exactly(text: str | float, factor: Fraction) -> None:
    assert parse_factor(text) == factor


@pytest.mark.parametrize("text", ["", "x", "0", "0.0x", "-1x", "1/2", "2xx", "60 s", "1e3", float("inf")], ids=repr)
def test_what_is_no_factor_is_refused_with_examples(text: str | float) -> None:
    with pytest.raises(QuantityError, match=r'expected a factor such as "60x" or "0\.5x", more than 0'):
        parse_factor(text)
