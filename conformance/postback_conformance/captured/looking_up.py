"""Captures looked up in traffic: the latest that some filters take, and the one that an id begins."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from postback_conformance.captured.capture_filter import CaptureFilter, all_match, query_of
from postback_conformance.captured.traffic import Traffic
from postback_receiver import Capture, CaptureLookupError, CaptureReader
from postback_receiver.errors import MAX_LISTED


class Found(NamedTuple):
    """What was found, in the order of arrival: whether there are earlier ones, and whether some may be overlooked.

    A search for a text looks into the first `MAX_SEARCHED_BYTES` of a body, and no further.
    """

    captures: list[Capture]
    are_more: bool
    overlooked: bool


def latest(traffic: Traffic, filters: Sequence[CaptureFilter], *, limit: int) -> Found:
    """Return the latest captures that all filters take."""
    if traffic.store is not None:
        found, overlooked = _searched(traffic.store, filters, limit + 1)
    else:
        query = query_of(filters)
        kept: deque[Capture] = deque(maxlen=limit + 1)
        overlooked = False
        for capture in traffic.read():
            if all_match(filters, capture):
                kept.append(capture)
            overlooked = overlooked or query.overlooks(capture)
        found = list(kept)
    return Found(found[-limit:], len(found) > limit, overlooked)


def find(traffic: Traffic, id_prefix: str) -> Capture:
    """Return the capture whose id is this, or is the only one that starts with it; else `CaptureLookupError`."""
    if traffic.store is not None:
        return traffic.store.find(id_prefix)
    fitting = [capture for capture in traffic.read() if capture.id.startswith(id_prefix)]
    exact = [capture for capture in fitting if capture.id == id_prefix]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    raise CaptureLookupError(id_prefix=id_prefix, candidates=[one.id for one in fitting[: MAX_LISTED + 1]])


def _searched(store: CaptureReader, filters: Sequence[CaptureFilter], limit: int) -> tuple[list[Capture], bool]:
    """Return the latest captures of a store, found page by page: an index may know more or less of what filters say."""
    found: list[Capture] = []
    query = query_of(filters)
    page = store.search(query, limit=limit)
    overlooked = False
    while True:
        overlooked = overlooked or page.overlooked
        found += (capture for capture in page.captures if all_match(filters, capture))
        if page.before is None or len(found) >= limit:
            return found[:limit][::-1], overlooked
        page = store.search(query, limit=limit, before=page.before)
