"""Filters of captures: `status=503`, `path~^/postback`, `header:X-Env!=test`.

    filter   := field ('=' | '!=' | '~') value
    field    := 'method' | 'target' | 'path' | 'endpoint' | 'status' | 'id' | 'body' | 'header:' name

`=` holds when the field is exactly the value, `!=` when it is not, `~` when a regular expression is found in it. Bytes
are compared, the value as UTF-8. What a capture does not have (an answer, a header) equals nothing and holds no match;
of a header that repeats, one value is enough.
"""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches

import msgspec

from postback_conformance.errors import FilterError
from postback_receiver import Capture
from postback_sender.template.errors import excerpt

_HEADER = "header:"
_OPERATOR = re.compile(r"!=|=|~")
_FIELDS: dict[str, Callable[[Capture], str | None]] = {
    "method": lambda capture: capture.method,
    "target": lambda capture: capture.target,
    "path": lambda capture: capture.path,
    "endpoint": lambda capture: capture.endpoint,
    "status": lambda capture: str(capture.answer.status) if capture.answer else None,
    "id": lambda capture: capture.id,
}
# Not text of the wire, one character for each byte, but text of ours.
_OWN_TEXT = frozenset({"endpoint", "id"})


class CaptureFilter(msgspec.Struct, frozen=True):
    """One condition on captures; `source` is how it was written."""

    source: str
    field: str
    operator: str
    value: bytes
    pattern: re.Pattern[bytes] | None = None

    def matches(self, capture: Capture) -> bool:
        """Tell whether it holds for a capture."""
        values = _values(self.field, capture)
        if self.pattern is not None:
            return any(self.pattern.search(value) for value in values)
        return (self.value in values) == (self.operator == "=")


def parse_filter(text: str) -> CaptureFilter:
    """Return the filter of a text, or raise `FilterError` with the place in it."""
    found = _OPERATOR.search(text)
    if found is None:
        raise _error(text, len(text), "expected =, != or ~ after a field, got the end")
    field = text[: found.start()].strip()
    lead = len(text) - len(text.lstrip())
    if field.startswith(_HEADER):
        if not field.removeprefix(_HEADER).strip():
            raise _error(text, found.start(), "expected the name of a header, as in header:Content-Type")
    elif field not in {*_FIELDS, "body"}:
        names = [*_FIELDS, "body", "header:NAME"]
        near = get_close_matches(field, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise _error(text, lead, f"expected one of {', '.join(names)}, got {field!r}{hint}")
    # A file name given on the command line may hold half characters; they equal nothing.
    value = text[found.end() :].encode("utf-8", "surrogatepass")
    if found[0] != "~":
        return CaptureFilter(text, field, found[0], value)
    try:
        pattern = re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        place = getattr(error, "pos", None) or 0
        column = found.end() + len(value[:place].decode("utf-8", "replace"))
        raise _error(text, column, f"expected a regular expression: {error}") from None
    return CaptureFilter(text, field, found[0], value, pattern)


def all_match(filters: Iterable[CaptureFilter], capture: Capture) -> bool:
    """Tell whether every filter holds for a capture."""
    return all(each.matches(capture) for each in filters)


def _values(field: str, capture: Capture) -> tuple[bytes, ...]:
    if field == "body":
        return (capture.body,)
    if field.startswith(_HEADER):
        return tuple(value.encode("latin-1") for value in capture.header(field.removeprefix(_HEADER).strip()))
    value = _FIELDS[field](capture)
    return () if value is None else (value.encode("utf-8" if field in _OWN_TEXT else "latin-1", "replace"),)


def _error(text: str, position: int, message: str) -> FilterError:
    return FilterError(f"filter, column {position + 1}: {message}\n{excerpt(text, position + 1)}")
