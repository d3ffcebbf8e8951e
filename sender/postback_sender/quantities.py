"""Durations, rates, sizes and factors as people write them: `500ms`, `30s`, `5m`, `5/s`, `1MiB`, `60x`."""

import re
from fractions import Fraction

import msgspec

from postback_sender.errors import SenderError

NANOSECONDS_PER_SECOND = 1_000_000_000

_DURATION_UNITS = {
    "ms": NANOSECONDS_PER_SECOND // 1000,
    "s": NANOSECONDS_PER_SECOND,
    "m": 60 * NANOSECONDS_PER_SECOND,
    "h": 3600 * NANOSECONDS_PER_SECOND,
    "d": 86_400 * NANOSECONDS_PER_SECOND,
}
_SIZE_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
# A century in seconds: beyond it a text is a slip of the pen, and nanoseconds would leave a signed 64-bit integer.
_LONGEST_NS = 100 * 365 * 86_400 * NANOSECONDS_PER_SECOND
_NUMBER_AND_UNIT = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", re.ASCII)
_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(ms|s|m|h|d)\s*", re.ASCII)
_FACTOR = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*x?\s*", re.ASCII)


class QuantityError(SenderError):
    """A duration, rate, size or factor that cannot be read; says what was expected and what came."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """At most `count` things in any window of `window_ns` nanoseconds."""

    count: int
    window_ns: int = NANOSECONDS_PER_SECOND

    def __str__(self) -> str:
        unit = next(unit for unit, ns in _DURATION_UNITS.items() if ns == self.window_ns)
        return f"{self.count}/{unit}"


def parse_duration(value: str | float) -> int:
    """Return the nanoseconds of a duration: text with a unit (`"2s"`), or a number of seconds."""
    expected = 'a duration such as "500ms", "30s", "5m", "2h" or a number of seconds'
    # A bare number is seconds; str() of a number gives the decimal the writer typed, without binary residue.
    found = _NUMBER_AND_UNIT.fullmatch(str(value))
    unit = (found[2] or "s") if found else ""
    if found is None or unit not in _DURATION_UNITS:
        raise QuantityError(f"expected {expected}, got {value!r}")
    nanoseconds = int(Fraction(found[1]) * _DURATION_UNITS[unit])
    if nanoseconds > _LONGEST_NS:
        raise QuantityError(f"expected {expected} of at most a century, got {value!r}")
    return nanoseconds


def parse_rate(value: str | float) -> Rate:
    """Return the rate of a text such as `"5/s"`, or of a bare whole number per second."""
    expected = 'a rate such as "5/s" or "100/m", at least 1'
    text = f"{value}/s" if isinstance(value, int) else str(value)
    found = _RATE.fullmatch(text)
    if found is None or int(found[1]) < 1:
        raise QuantityError(f"expected {expected}, got {value!r}")
    return Rate(count=int(found[1]), window_ns=_DURATION_UNITS[found[2]])


def parse_size(value: str | int) -> int:
    """Return the bytes of a size such as `"1MiB"`, or of a bare whole number of bytes."""
    found = _NUMBER_AND_UNIT.fullmatch(str(value))
    unit = (found[2] or "B") if found else ""
    if found is None or unit not in _SIZE_UNITS:
        raise QuantityError(f'expected a size such as "64KiB" or "1MiB", got {value!r}')
    return int(Fraction(found[1]) * _SIZE_UNITS[unit])


def parse_factor(value: str | float) -> Fraction:
    """Return how many times as fast, exactly: text such as `"60x"` or `"0.5x"`, or a number; more than 0."""
    found = _FACTOR.fullmatch(str(value))
    factor = Fraction(found[1]) if found else Fraction(0)
    if not factor:
        raise QuantityError(f'expected a factor such as "60x" or "0.5x", more than 0, got {value!r}')
    return factor


def format_duration(nanoseconds: int) -> str:
    """Return the shortest exact text for a duration, such as `2s`, `1.5s` or `5m`."""
    for unit in ("d", "h", "m", "s"):
        if nanoseconds and nanoseconds % _DURATION_UNITS[unit] == 0:
            return f"{nanoseconds // _DURATION_UNITS[unit]}{unit}"
    if nanoseconds < NANOSECONDS_PER_SECOND:
        return f"{_decimal(nanoseconds, _DURATION_UNITS['ms'])}ms"
    return f"{_decimal(nanoseconds, NANOSECONDS_PER_SECOND)}s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
