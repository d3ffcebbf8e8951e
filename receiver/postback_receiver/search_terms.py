"""What a full-text index holds of a capture, and what to ask it: a superset of what a query finds.

Beside the words of a capture the index holds *marks*, words of our own for its fields, so that one index serves every
condition of a query. Hits are candidates: `CaptureQuery.matches` has the last word.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate, takewhile
from typing import Final

from postback_receiver.capture import Capture
from postback_receiver.capture_query import CaptureQuery, content_text, fold, header_text, words
from postback_receiver.retention import capture_size

# From the private use area: no text that is sent means anything by it.
_MARK: Final = "\ue000"
_MOST_SEGMENTS: Final = 16
"""Path segments that are indexed; what lies deeper is told apart by reading."""
_LONGEST_PREFIX: Final = 1024
"""Characters of the longest path prefix that is indexed; what is longer is told apart by reading."""
_LONGEST_CACHED: Final = 1024

MAX_INDEXED_BYTES: Final = 64 * 1024
"""The largest capture whose text is indexed. Of a larger one only the fields are; its text is read at each search, and
is found wherever it stands."""
# A longer question would not narrow anything down any further.
_MOST_WORDS: Final = 64
_MOST_PHRASES: Final = 32


def index_text(capture: Capture) -> str:
    """The text to index for a capture: what it says, unless that is too much, and the marks of its fields."""
    if capture_size(capture) > MAX_INDEXED_BYTES:
        return f"{index_marks(capture)}\n{_mark('unread', value=True)}"
    return "\n".join([index_marks(capture), content_text(capture), header_text(capture)])


def index_marks(capture: Capture) -> str:
    """The marks of a capture's fields, without which no condition finds it."""
    status = None if capture.answer is None else capture.answer.status
    marks = [
        _mark("endpoint", capture.endpoint),
        _mark("method", capture.method),
        _mark("status", status),
        _mark("fault", capture.fault is not None),
        _mark("malformed", capture.malformed is not None),
        _mark("truncated", capture.truncated),
        _mark("unmatched", capture.endpoint is None),
        *_path_marks(capture.path),
    ]
    return "\n".join(marks)


def match_expression(query: CaptureQuery) -> str | None:
    """What to ask the index for a query, in the language of FTS5; None when the index cannot narrow it down."""
    marks = [
        *(_mark(name, value) for name, value in _fields(query) if value is not None),
        *([] if query.path_prefix is None else _path_marks(query.path_prefix.rstrip("/"))[:1]),
    ]
    phrases = [
        *(words(fold(value)) for value in query.values),
        *(phrase for name, value in query.headers for phrase in _header_phrases(name, value)),
    ]
    asked = [f'"{" ".join(phrase[:_MOST_WORDS])}"' for phrase in phrases if phrase]
    if query.text is not None and (found := words(fold(query.text))):
        # The last word may go on beyond what was asked for, unless something stands behind it.
        is_open = fold(query.text).endswith(found[-1]) and len(found) <= _MOST_WORDS
        asked.append(f'"{" ".join(found[:_MOST_WORDS])}"{"*" if is_open else ""}')
    asked = asked[:_MOST_PHRASES]
    conditions = [f'"{mark}"' for mark in marks]
    if asked:
        conditions.append(f'("{_mark("unread", value=True)}" OR ({" AND ".join(dict.fromkeys(asked))}))')
    return " AND ".join(conditions) or None


def _fields(query: CaptureQuery) -> Iterator[tuple[str, str | int | None]]:
    for name in ("endpoint", "method", "status", "fault", "malformed", "truncated", "unmatched"):
        yield name, getattr(query, name)


def _mark(name: str, value: str | int | None) -> str:
    # A target may be a megabyte: a cache of such would be a leak.
    is_long = isinstance(value, str) and len(value) > _LONGEST_CACHED
    return _new_mark(name, value) if is_long else cached_mark(name, value)


def _new_mark(name: str, value: str | int | None) -> str:
    return f"{_MARK}{name}{blake2b(repr(value).encode(), digest_size=8).hexdigest()}"


cached_mark: Final = lru_cache(maxsize=1024)(_new_mark)


def _path_marks(path: str) -> list[str]:
    """A mark for every prefix that a path lies under, the longest of those that are indexed first."""
    segments = path.split("/", _MOST_SEGMENTS + 1)[: _MOST_SEGMENTS + 1]
    prefixes = accumulate(segments, "{}/{}".format)
    return [_mark("path", prefix) for prefix in takewhile(_is_indexed_prefix, prefixes)][::-1]


def _is_indexed_prefix(prefix: str) -> bool:
    return len(prefix) <= _LONGEST_PREFIX


def _header_phrases(name: str, value: str | None) -> list[list[str]]:
    line = name if value is None else f"{name}: {value}"
    if line.isascii():
        return [words(line.lower())]
    # What is not ASCII may have been sent in any encoding: only the words between it are sure.
    return [[word.lower()] for word in words(line) if word.isascii()]
