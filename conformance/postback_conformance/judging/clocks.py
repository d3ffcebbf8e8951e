"""Which times can be compared: monotonic stamps of one machine until it starts anew, and dates with an offset.

And how much of a time nobody measured: what a request or an answer took on its way.
"""

from functools import lru_cache
from typing import NamedTuple

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.wire_dates import instant
from postback_receiver import Capture
from postback_sender.quantities import NANOSECONDS_PER_SECOND

# How far a wall clock may be set between two captures of one machine. More looks like another machine, and then
# nothing is said for sure.
_LEEWAY_NS = NANOSECONDS_PER_SECOND

# Time from the sender's decision to the first byte here that nobody measured: a connection to open, a scheduler's
# slice. Measured on a busy two-core machine over loopback, doubled.
LOCAL_TRAVEL_NS = 50_000_000
# The same over a network: round trips for a connection and TLS, and a first packet that had to be sent again.
REMOTE_TRAVEL_NS = NANOSECONDS_PER_SECOND

# How far the wall clocks of two machines may disagree. Where they are set by NTP it is far less.
_CLOCK_SKEW_NS = 60 * NANOSECONDS_PER_SECOND

# What a proxy or a tunnel adds: whoever connects from here then is not who sent the request.
_PROXIED = frozenset({"x-forwarded-for", "forwarded", "via", "x-real-ip", "cf-connecting-ip"})
_LOOPBACK = ("127.", "[::1]", "::1", "[::ffff:127.")


class Instant(NamedTuple):
    """When something arrived, by the wall clock and by the monotonic clock of a run of a receiver."""

    run: str
    received_ns: int
    monotonic_ns: int | None


def instant_of(capture: Capture) -> Instant:
    """Return when a capture arrived."""
    return Instant(capture.run, capture.received_at_ns, capture.monotonic_ns)


def share_clock(one: Instant, other: Instant) -> bool:
    """Tell whether two stamps are of one monotonic clock.

    Within one run they are. Runs of one machine, as of several workers, are told by the distance of its two clocks.
    """
    if one.run == other.run or not one.run or not other.run:
        return True
    if one.monotonic_ns is None or other.monotonic_ns is None:
        return False
    distances_ns = one.received_ns - one.monotonic_ns, other.received_ns - other.monotonic_ns
    return abs(distances_ns[0] - distances_ns[1]) <= _LEEWAY_NS


# Two rules ask for the date of the same capture.
@lru_cache(maxsize=64)
def wall_ns(date: str) -> int | None:
    """Return when a date was, in nanoseconds since the epoch and whole seconds; None when it does not say."""
    moment = instant(date)
    return None if moment is None else int(moment.timestamp()) * NANOSECONDS_PER_SECOND


def is_local(evidence: Evidence) -> bool:
    """Tell whether its sender is on the receiver's machine: it came over loopback, and nobody says he passed it on."""
    return evidence.capture.remote.startswith(_LOOPBACK) and _PROXIED.isdisjoint(evidence.headers)


def skew_ns(evidence: Evidence) -> int:
    """Return how far the sender's wall clock may be from ours."""
    return 0 if is_local(evidence) else _CLOCK_SKEW_NS


def travel_ns(evidence: Evidence) -> int:
    """Return how long it, or its answer, may have been on its way."""
    return LOCAL_TRAVEL_NS if is_local(evidence) else REMOTE_TRAVEL_NS
