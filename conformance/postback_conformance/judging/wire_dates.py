"""Dates on the wire as instants."""

from datetime import datetime
from functools import lru_cache


# The same dates come in several rules, and with every update of an action.
@lru_cache(maxsize=4096)
def instant(text: str) -> datetime | None:
    """Return the instant of a date with an offset, in any of the ways ISO 8601 has; None for any other text."""
    try:
        when = datetime.fromisoformat(text)
        return when if when.utcoffset() is not None else None
    except ValueError:
        return None
