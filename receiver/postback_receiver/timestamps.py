"""Wall-clock nanoseconds as ISO-8601 text in UTC, and back without loss."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_S = 1_000_000_000
_ISO = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?Z", re.ASCII)


def ns_to_iso(ns: int) -> str:
    """Nanoseconds since the epoch as `2026-05-11T00:07:27.123456Z`; nine decimals if six would lose something."""
    seconds, fraction = divmod(ns, _NS_PER_S)
    digits = f"{fraction:09d}"
    if digits.endswith("000"):
        digits = digits[:6]
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{digits}Z"


def iso_to_ns(text: str) -> int:
    """The inverse of `ns_to_iso`, for up to nine fractional digits; ValueError for any other text."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(_expected(text))
    try:
        moment = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(_expected(text)) from error
    whole = (moment - _EPOCH) // timedelta(seconds=1)
    return whole * _NS_PER_S + int((match[2] or "").ljust(9, "0"))


def _expected(text: str) -> str:
    return f"expected a time in UTC like 2026-05-11T00:07:27.123456Z, got {text!r}"
