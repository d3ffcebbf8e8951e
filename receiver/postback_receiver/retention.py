"""How long captures are kept, and what is remembered of those that were not."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from postback_receiver.capture import Capture, Headers


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """What a store may hold; None is no limit. The oldest captures go first.

    The age is reckoned from `received_at_ns` by the wall clock. Bytes are those of `capture_size`, not of a file. The
    limits on number and bytes leave the newest capture alone, however large it is.
    """

    max_age_ns: int | None = None
    max_captures: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, or None for no limit, not {limit}")

    @property
    def is_limited(self) -> bool:
        """Whether anything is ever evicted."""
        return self != _UNLIMITED


class Evictions(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has let go of so far: how many captures and bytes, and when the first and last of them had come."""

    captures: int = 0
    bytes: int = 0
    oldest_at_ns: int | None = None
    newest_at_ns: int | None = None


class Kept(NamedTuple):
    """A capture as far as retention goes: its size in bytes, and when it came."""

    size: int
    received_at_ns: int


_UNLIMITED = Retention()


def capture_size(capture: Capture, headers_size: int | None = None) -> int:
    """The bytes that a capture counts for: those of its target, headers, trailers and body, and not of its answer.

    Whoever knows the size of its headers saves counting it.
    """
    size = fields_size(capture.headers) if headers_size is None else headers_size
    return size + len(capture.target) + len(capture.body) + fields_size(capture.trailers)


def fields_size(fields: Headers) -> int:
    """The bytes of the names and values of header fields."""
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
    return size


def evict(retention: Retention, oldest_first: Iterable[Kept], *, captures: int, size: int, now_ns: int) -> Evictions:
    """What has to go so that the limits hold: so many of the oldest captures, told as what they add to the evictions.

    `captures` and `size` (in bytes) are the totals of the store. `oldest_first` may be cut short, to bound the work of
    one call.
    """
    gone = gone_size = 0
    oldest_at_ns = newest_at_ns = None
    for kept in oldest_first:
        left = captures - gone
        too_many = retention.max_captures is not None and left > retention.max_captures
        too_large = retention.max_bytes is not None and size - gone_size > retention.max_bytes
        too_old = retention.max_age_ns is not None and now_ns - kept.received_at_ns > retention.max_age_ns
        if not too_old and (left == 1 or not (too_many or too_large)):
            break
        gone += 1
        gone_size += kept.size
        at_ns = kept.received_at_ns
        oldest_at_ns = at_ns if oldest_at_ns is None else min(oldest_at_ns, at_ns)
        newest_at_ns = at_ns if newest_at_ns is None else max(newest_at_ns, at_ns)
    return Evictions(captures=gone, bytes=gone_size, oldest_at_ns=oldest_at_ns, newest_at_ns=newest_at_ns)


def add(one: Evictions, other: Evictions) -> Evictions:
    """Both together."""
    times = [one.oldest_at_ns, one.newest_at_ns, other.oldest_at_ns, other.newest_at_ns]
    known = [at_ns for at_ns in times if at_ns is not None]
    return Evictions(
        captures=one.captures + other.captures,
        bytes=one.bytes + other.bytes,
        oldest_at_ns=min(known, default=None),
        newest_at_ns=max(known, default=None),
    )
