"""Searching a store with its full-text index, or by reading where there is none.

Captures that are not indexed yet are found by reading them. The segments of the index are asked newest first, and what
one of them finds are candidates: the query itself has the last word.
"""

import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Final

from postback_receiver import sqlite_rows as rows
from postback_receiver.capture_query import CaptureQuery
from postback_receiver.search_terms import cut_expression, id_expression, match_expression
from postback_receiver.sqlite_index import INT64_MAX, can_index, evicted_to, indexed_to, segment_of, words_table
from postback_receiver.store import Numbered

READ_FIRST: Final = 256
"""Captures that are read before the index is asked. What many captures have is found among them at once, and it is just
the questions about such that the index takes long to answer."""

_FIND_WORDS: Final = "SELECT rowid FROM {0} WHERE {0} MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC"
_STRETCHES: Final = """
    SELECT first_seq, last_seq FROM indexed
    WHERE newest_at_ns >= ? AND oldest_at_ns <= ? AND first_seq <= ? ORDER BY first_seq DESC
"""


def find(connection: sqlite3.Connection, version: int, query: CaptureQuery, before: int | None) -> Iterator[Numbered]:
    """What a query finds, newest first; RowError at a row that is not a capture. Needs one transaction throughout."""
    stop = INT64_MAX if before is None else before - 1
    for start, end in _places(connection, version, query, stop):
        for numbered in _read(connection, version, query, start, end):
            if query.matches(numbered.capture):
                yield numbered


def overlooks(connection: sqlite3.Connection, version: int, query: CaptureQuery, start: int, stop: int) -> bool:
    """Whether a search for texts among these captures may have overlooked one."""
    if not query.values and query.text is None:
        return False
    read_from = 1
    if _has_index(connection, version):
        # Words of what was evicted may still be there for a while.
        start = max(start, evicted_to(connection) + 1)
        read_from = indexed_to(connection) + 1
        for first, last in _spans(connection, query, min(stop, read_from - 1)):
            if last >= start and any(_candidates(connection, cut_expression(query), max(first, start), last)):
                return True
    unread = _read(connection, version, query, max(start, read_from), stop)
    return any(query.overlooks(capture) for _, capture in unread)


def ids_like(connection: sqlite3.Connection, version: int, id_prefix: str, limit: int) -> list[str]:
    """The ids that begin like this, those of the newest captures first."""
    read_from = indexed_to(connection) + 1 if _has_index(connection, version) else 1
    values = {"start": id_prefix, "first": read_from, "limit": limit}
    found = [capture_id for [capture_id] in connection.execute(rows.SELECT_IDS, values)]
    if read_from > 1:
        seqs = (
            seq
            for first, last in _spans(connection, CaptureQuery(), read_from - 1)
            for seq in _candidates(connection, id_expression(id_prefix), first, last)
        )
        ids = (capture_id for seq in seqs for [capture_id] in connection.execute(rows.SELECT_ID, (seq,)))
        found += islice((each for each in ids if each.startswith(id_prefix)), limit - len(found))
    return found


def is_encodable(text: str) -> bool:
    """Whether SQLite takes this text: whether it is free of half characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_index(connection: sqlite3.Connection, version: int) -> bool:
    return version == rows.VERSION and can_index(connection)


def _places(connection: sqlite3.Connection, version: int, query: CaptureQuery, stop: int) -> Iterator[tuple[int, int]]:
    """Where to look, newest first: the first and the last seq of each place."""
    if not _has_index(connection, version):
        yield 1, stop
        return
    read_from = max(min(indexed_to(connection), stop) - READ_FIRST, 0) + 1
    yield read_from, stop
    expression = match_expression(query)
    for first, last in _spans(connection, query, read_from - 1):
        if expression is None:
            yield first, last
        else:
            for seq in _candidates(connection, expression, first, last):
                yield seq, seq


def _spans(connection: sqlite3.Connection, query: CaptureQuery, stop: int) -> Iterator[tuple[int, int]]:
    """What is indexed and may have come at the time asked for: stretches, joined within a segment."""
    open_first = open_last = 0
    for first, last in connection.execute(_STRETCHES, (*_times(query), stop)):
        if last + 1 == open_first and segment_of(first) == segment_of(open_first):
            open_first = first
            continue
        if open_first:
            yield open_first, open_last
        open_first, open_last = first, min(last, stop)
    if open_first:
        yield open_first, open_last


def _candidates(connection: sqlite3.Connection, expression: str, first: int, last: int) -> Iterator[int]:
    """What a segment has for an expression between two captures of it, newest first."""
    statement = _FIND_WORDS.format(words_table(segment_of(first)))
    return (seq for [seq] in connection.execute(statement, (expression, first, last)))


def _read(
    connection: sqlite3.Connection, version: int, query: CaptureQuery, start: int, stop: int
) -> Iterator[Numbered]:
    """The captures between two that hold what can be asked of columns, newest first."""
    since, until = _times(query)
    conditions: dict[str, rows.SqlValue] = {
        "start": start,
        "stop": stop,
        "since": since,
        "until": until,
        "endpoint": _if_encodable(query.endpoint),
        "method": _if_encodable(query.method),
        "status": None if query.status is None else _within_64_bits(query.status),
        "fault": query.fault,
        "truncated": query.truncated,
        "unmatched": query.unmatched,
    }
    return map(rows.row_to_capture, connection.execute(rows.SELECT_BACKWARDS[version], conditions))


def _times(query: CaptureQuery) -> tuple[int, int]:
    since = -INT64_MAX - 1 if query.since_ns is None else _within_64_bits(query.since_ns)
    until = INT64_MAX if query.until_ns is None else _within_64_bits(query.until_ns)
    return since, until


def _within_64_bits(value: int) -> int:
    return max(-INT64_MAX - 1, min(value, INT64_MAX))


def _if_encodable(text: str | None) -> str | None:
    # Without this condition all are read, and none found.
    return text if text is not None and is_encodable(text) else None
