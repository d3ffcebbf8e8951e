"""What a full-text index holds of a capture, and what to ask it: a superset of what a query finds.

Beside the words of a capture the index holds *marks*, words of our own for its fields, so that one index serves every
condition of a query. Hits are candidates: `CaptureQuery.matches` has the last word.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate, takewhile
from typing import Final

from msgspec.structs import replace

from postback_receiver.capture import Capture
from postback_receiver.capture_query import CaptureQuery, content_text, fold, header_text, is_cut, wire_text, words

# From the private use area: no text that is sent means anything by it.
_MARK: Final = "\ue000"
_MOST_SEGMENTS: Final = 16
"""Path segments that are indexed; what lies deeper is told apart by reading."""
_LONGEST_PREFIX: Final = 1024
"""Characters of the longest path prefix that is indexed; what is longer is told apart by reading."""
_LONGEST_CACHED: Final = 1024

_LONGEST_ID: Final = 64
"""Characters of an id that are indexed; ids that begin with the same so many are told apart by reading."""
# Of ASCII only digits and small letters are in a word as they are.
_IN_ID: Final = {code: 0xE100 + code for code in range(0x80) if not chr(code).isalnum() or chr(code).isupper()}
# A longer question would not narrow anything down any further.
_MOST_WORDS: Final = 64
_MOST_PHRASES: Final = 32
_MOST_MARKS: Final = 32


def index_text(capture: Capture) -> str:
    """The text to index for a capture: what a search reads of it, and the marks of its fields."""
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
        _mark("cut", is_cut(capture)),
        _id_word(capture.id),
        *_path_marks(capture.path),
    ]
    for name, value in capture.headers:
        marks += _mark("name", name.lower()), _header_mark(name, value)
    return "\n".join(marks)


def match_expression(query: CaptureQuery) -> str | None:
    """What to ask the index for a query, in the language of FTS5; None when the index cannot narrow it down."""
    marks = [
        *(_mark(name, value) for name, value in _fields(query) if value is not None),
        *([] if query.path_prefix is None else _path_marks(query.path_prefix.rstrip("/"))[:1]),
        *(
            _mark("name", name.lower()) if value is None else _header_mark(name, wire_text(value))
            for name, value in query.headers
        ),
    ]
    phrases = [words(fold(value)) for value in query.values]
    asked = [f'"{" ".join(phrase[:_MOST_WORDS])}"' for phrase in phrases if phrase]
    if query.text is not None and (found := words(fold(query.text))):
        # The last word may go on beyond what was asked for, unless something stands behind it.
        is_open = fold(query.text).endswith(found[-1]) and len(found) <= _MOST_WORDS
        asked.append(f'"{" ".join(found[:_MOST_WORDS])}"{"*" if is_open else ""}')
    conditions = [f'"{mark}"' for mark in dict.fromkeys(marks[:_MOST_MARKS])]
    if query.status is not None:
        # What was indexed before its answer was known may have any by now.
        conditions.append(f'("{_mark("status", query.status)}" OR "{_mark("status", None)}")')
    return " AND ".join([*conditions, *dict.fromkeys(asked[:_MOST_PHRASES])]) or None


def cut_expression(query: CaptureQuery) -> str:
    """What to ask the index for the captures that `query.overlooks`, and perhaps more."""
    fields = match_expression(replace(query, text=None, values=()))
    return f'"{_mark("cut", value=True)}"' + (f" AND {fields}" if fields else "")


def id_expression(id_prefix: str) -> str:
    """What to ask the index for the captures whose ids begin like this, and perhaps more."""
    return f'"{_id_word(id_prefix)}"*'


def _fields(query: CaptureQuery) -> Iterator[tuple[str, str | int | None]]:
    for name in ("endpoint", "method", "fault", "malformed", "truncated", "unmatched"):
        yield name, getattr(query, name)


def _mark(name: str, value: str | int | None) -> str:
    # A target may be a megabyte: a cache of such would be a leak.
    is_long = isinstance(value, str) and len(value) > _LONGEST_CACHED
    return _new_mark(name, value) if is_long else cached_mark(name, value)


def _new_mark(name: str, value: str | int | None) -> str:
    return f"{_MARK}{name}{blake2b(repr(value).encode(), digest_size=8).hexdigest()}"


cached_mark: Final = lru_cache(maxsize=1024)(_new_mark)


def _header_mark(name: str, value: str) -> str:
    return _mark("header", f"{name.lower()}: {value}")


def _id_word(text: str) -> str:
    return f"{_MARK}id{text[:_LONGEST_ID].translate(_IN_ID)}"


def _path_marks(path: str) -> list[str]:
    """A mark for every prefix that a path lies under, the longest of those that are indexed first."""
    segments = path.split("/", _MOST_SEGMENTS + 1)[: _MOST_SEGMENTS + 1]
    prefixes = accumulate(segments, "{}/{}".format)
    return [_mark("path", prefix) for prefix in takewhile(_is_indexed_prefix, prefixes)][::-1]


def _is_indexed_prefix(prefix: str) -> bool:
    return len(prefix) <= _LONGEST_PREFIX
