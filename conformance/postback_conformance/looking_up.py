"""Captures looked up in traffic: the latest that some filters take, and the one that an id begins."""

from collections import deque
from collections.abc import Sequence

from postback_conformance.capture_filter import CaptureFilter, all_match, query_of
from postback_conformance.traffic import Traffic
from postback_receiver import Capture, CaptureLookupError, CaptureReader
from postback_receiver.errors import MAX_LISTED


def latest(traffic: Traffic, filters: Sequence[CaptureFilter], *, limit: int) -> tuple[list[Capture], bool]:
    """Return the latest captures that all filters take, in the order of arrival, and whether there are earlier ones."""
    if traffic.store is not None:
        found = _searched(traffic.store, filters, limit + 1)
    else:
        found = list(deque((one for one in traffic.read() if all_match(filters, one)), maxlen=limit + 1))
    return found[-limit:], len(found) > limit


def find(traffic: Traffic, id_prefix: str) -> Capture:
    """Return the capture whose id is this, or is the only one that starts with it; else `CaptureLookupError`."""
    if traffic.store is not None:
        return traffic.store.find(id_prefix)
    fitting = [capture for capture in traffic.read() if capture.id.startswith(id_prefix)]
    exact = [capture for capture in fitting if capture.id == id_prefix]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    raise CaptureLookupError(id_prefix=id_prefix, candidates=[one.id for one in fitting[: MAX_LISTED + 1]])


def _searched(store: CaptureReader, filters: Sequence[CaptureFilter], limit: int) -> list[Capture]:
    """Return the latest captures of a store, found page by page: an index may know more or less of what filters say."""
    found: list[Capture] = []
    query = query_of(filters)
    page = store.search(query, limit=limit)
    while True:
        found += (capture for capture in page.captures if all_match(filters, capture))
        if page.before is None or len(found) >= limit:
            return found[:limit][::-1]
        page = store.search(query, limit=limit, before=page.before)
