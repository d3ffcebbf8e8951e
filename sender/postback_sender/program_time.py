"""Dates as impact.com writes them: in the program's time zone, whatever zone they came in.

An instant put into the zone keeps the offset that holds there and then, but no longer the zone itself: Python compares
and subtracts two dates of one zone by their clock faces, which goes wrong in the hour that the clocks show twice. A
clock face that the clocks skip is read by the offset before the gap; one that they show twice is the first, unless
`fold` says that it is the second.
"""

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo


def in_zone(when: datetime, zone: tzinfo) -> datetime:
    """Return the same instant as the clocks of the zone show it, with the offset that holds then.

    Raises `ValueError` for a naive date, a date that is out of Python's years there, and an offset with seconds: the
    wire cannot tell it, and no zone has had one since 1972.
    """
    if when.utcoffset() is None:
        raise ValueError(f"expected a date with an offset, got {when.isoformat()}")
    try:
        # By way of UTC: a date that names the zone already would keep even a clock face that the zone skips.
        there = when.astimezone(UTC).astimezone(zone)
    except OverflowError:
        raise ValueError(f"expected a date in the years 1 to 9999 in {zone}, got {when.isoformat()}") from None
    offset = there.utcoffset()
    if offset is None or offset % timedelta(minutes=1):
        raise ValueError(f"expected an offset of whole minutes, got {offset} in {zone} at {when.isoformat()}")
    return there.replace(tzinfo=timezone(offset), fold=0)


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the first moment of a day in the zone: midnight, or 01:00 on a day whose first hour the clocks skip.

    Raises `ValueError` as `in_zone` does.
    """
    return in_zone(datetime.combine(day, time(), tzinfo=zone), zone)


def wire_date(when: datetime) -> str:
    """Return the wire text of a date: ISO 8601 to the second, with a numeric offset; never Z, never a fraction."""
    return when.isoformat(timespec="seconds")
