"""Time zones for generated actions, each from its rule, so that a seed means the same on every machine.

A machine has its own edition of the time zone data, or none. A rule is what POSIX writes for a zone: names and offsets
in winter and summer, and when the clocks switch. It holds in every year, so these zones have no history.
"""

import io
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

# POSIX offsets count westwards. A switch is month.week.weekday, week 5 the last and weekday 0 a Sunday, then a clock
# face if it is not 02:00.
_RULES = {
    "Europe/London": "GMT0BST,M3.5.0/1,M10.5.0",
    "America/New_York": "EST5EDT,M3.2.0,M11.1.0",
    "America/Los_Angeles": "PST8PDT,M3.2.0,M11.1.0",
    "America/St_Johns": "NST3:30NDT,M3.2.0,M11.1.0",
    "Pacific/Pago_Pago": "SST11",
    "Europe/Berlin": "CET-1CEST,M3.5.0,M10.5.0/3",
    "Asia/Jerusalem": "IST-2IDT,M3.4.4/26,M10.5.0",
    "Asia/Kolkata": "IST-5:30",
    "Asia/Kathmandu": "<+0545>-5:45",
    "Asia/Singapore": "<+08>-8",
    # The clocks skip midnight; in Havana they also show it twice.
    "Africa/Cairo": "EET-2EEST,M4.5.5/0,M10.5.4/24",
    "America/Havana": "CST5CDT,M3.2.0/0,M11.1.0/1",
    # Half an hour, in a southern summer.
    "Australia/Lord_Howe": "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "Pacific/Chatham": "<+1245>-12:45<+1345>,M9.5.0/2:45,M4.1.0/3:45",
    "Pacific/Kiritimati": "<+14>-14",
}

# One half of a time zone file (RFC 9636) without a history: a header that counts one type and its name, then these.
_EMPTY_HISTORY = b"TZif2" + bytes(31) + b"\0\0\0\1\0\0\0\4" + bytes(6) + b"UTC\0"

_SECOND = timedelta(seconds=1)


class RuleZone(ZoneInfo):
    """A zone made from its rule alone; unlike other zones read from bytes, it can be copied and pickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return zone_named, (self.key,)


@cache
def zone_named(name: str) -> RuleZone:
    """Return the zone of one of the names above, the same object each time."""
    return RuleZone.from_file(io.BytesIO(_EMPTY_HISTORY * 2 + f"\n{_RULES[name]}\n".encode()), key=name)


ZONES = tuple(map(zone_named, _RULES))


@cache
def switches(zone: RuleZone, year: int) -> tuple[datetime, ...]:
    """Return the instants, in UTC, at which the zone's clocks switch to another offset: two a year, or none."""
    edges = [datetime(year, 1, 1, tzinfo=UTC), datetime(year, 7, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)]
    halves = [pair for pair in pairwise(edges) if _offset(zone, pair[0]) != _offset(zone, pair[1])]
    return tuple(_switch_between(zone, begin, end) for begin, end in halves)


def _switch_between(zone: RuleZone, begin: datetime, end: datetime) -> datetime:
    before = _offset(zone, begin)
    seconds = range((end - begin) // _SECOND)
    first = bisect_left(seconds, True, key=lambda second: _offset(zone, begin + second * _SECOND) != before)
    return begin + first * _SECOND


def _offset(zone: RuleZone, instant: datetime) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()
