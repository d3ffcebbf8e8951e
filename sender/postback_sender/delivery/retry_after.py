"""Reads the `Retry-After` of an answer: seconds, or a date (RFC 9110 §10.2.3)."""

import re
from email.utils import parsedate_to_datetime

from postback_sender.quantities import NANOSECONDS_PER_SECOND

# Whole seconds by the standard; fractions are seen in the wild. Longer numbers are no wait anybody means.
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)


def parse_retry_after(value: str, *, now_ns: int) -> int | None:
    """Return for how many nanoseconds an answer asks to be left alone, or None when it cannot be read.

    `now_ns` is the wall clock, for dates; one in the past asks for no wait.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * NANOSECONDS_PER_SECOND + int(fraction.ljust(9, "0") or 0)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    try:
        return max(0, int(until.timestamp()) * NANOSECONDS_PER_SECOND - now_ns)
    except (ValueError, OverflowError, OSError):
        return None
