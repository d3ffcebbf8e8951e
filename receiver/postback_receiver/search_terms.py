"""What a full-text index holds of a capture, and what to ask it: a superset of what a query finds.

Beside the words of a capture the index holds *marks*, words of our own for its fields, so that one index serves every
condition of a query. Hits are candidates: `CaptureQuery.matches` has the last word.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from postback_receiver.capture import Capture
from postback_receiver.capture_query import CaptureQuery, content_text, fold, header_text, words

# From the private use area: no text that is sent means anything by it.
_MARK: Final = "\ue000"
_MOST_SEGMENTS: Final = 16
"""Path segments that are indexed; what lies deeper is told apart by reading."""
# A longer question would not narrow anything down any further.
_MOST_WORDS: Final = 64
_MOST_PHRASES: Final = 32


def index_text(capture: Capture) -> str:
    """The text to index for a capture: what it says, and the marks of its fields."""
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
    return "\n".join([*marks, content_text(capture), header_text(capture)])


def match_expression(query: CaptureQuery) -> str | None:
    """What to ask the index for a query, in the language of FTS5; None when the index cannot narrow it down."""
    phrases = [
        *([_mark(name, value)] for name, value in _fields(query) if value is not None),
        *([mark] for mark in ([] if query.path_prefix is None else _path_marks(query.path_prefix.rstrip("/"))[:1])),
        *(words(fold(value)) for value in query.values),
        *(phrase for name, value in query.headers for phrase in _header_phrases(name, value)),
    ]
    asked = [f'"{" ".join(phrase[:_MOST_WORDS])}"' for phrase in phrases if phrase]
    if query.text is not None and (found := words(fold(query.text))):
        # The last word may go on beyond what was asked for, unless something stands behind it.
        is_open = fold(query.text).endswith(found[-1]) and len(found) <= _MOST_WORDS
        asked.append(f'"{" ".join(found[:_MOST_WORDS])}"{"*" if is_open else ""}')
    return " AND ".join(dict.fromkeys(asked[:_MOST_PHRASES])) or None


def _fields(query: CaptureQuery) -> Iterator[tuple[str, str | int | None]]:
    for name in ("endpoint", "method", "status", "fault", "malformed", "truncated", "unmatched"):
        yield name, getattr(query, name)


@lru_cache(maxsize=1024)
def _mark(name: str, value: str | int | None) -> str:
    return f"{_MARK}{name}{blake2b(repr(value).encode(), digest_size=8).hexdigest()}"


def _path_marks(path: str) -> list[str]:
    """A mark for every prefix that a path lies under, the longest of those that are indexed first."""
    segments = path.split("/", _MOST_SEGMENTS + 1)[: _MOST_SEGMENTS + 1]
    return [_mark("path", "/".join(segments[:length])) for length in range(len(segments), 0, -1)]


def _header_phrases(name: str, value: str | None) -> list[list[str]]:
    line = name if value is None else f"{name}: {value}"
    if line.isascii():
        return [words(line.lower())]
    # What is not ASCII may have been sent in any encoding: only the words between it are sure.
    return [[word.lower()] for word in words(line) if word.isascii()]
