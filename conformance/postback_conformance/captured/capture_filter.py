"""Filters of captures: `status>=500`, `path~^/postback`, `header:X-Env!=test`, `is=malformed`.

    filter   := field operator value
    operator := '=' | '!=' | '~' | '!~' | '<' | '<=' | '>' | '>='
    field    := 'method' | 'target' | 'path' | 'endpoint' | 'status' | 'id' | 'body' | 'bytes' | 'received' | 'run'
              | 'connection' | 'remote' | 'fault' | 'malformed' | 'is' | 'text' | 'value'
              | 'header:' name | 'query:' name | 'form:' name

`=` holds when the field is exactly the value, `~` when a regular expression is found in it, `!=` and `!~` when not.
Bytes are compared, the value as UTF-8; `query:` and `form:` are decoded. `<` and the like compare `status`, `bytes` and
`received`, which is a time such as 2026-05-11 or 2026-05-11T08:00:00+02:00 (UTC without an offset). What a capture does
not have (an answer, a header) equals nothing and holds no match; of a header that repeats, one value is enough.

`is` says what is remarkable: `unmatched` (no endpoint took it), `unanswered`, `truncated`, `malformed`, `fault`, `tls`.
`text=abc de` is found anywhere where it starts a word, `value=x` as a whole word in target or body; both in any case,
and also where the value is written with the escapes of URLs, JSON or XML.
"""

import operator
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from postback_conformance.errors import FilterError
from postback_receiver import Capture
from postback_receiver.capture_query import CaptureQuery, wire_text
from postback_receiver.fields import form_values, query_values
from postback_sender.template.errors import excerpt

_OPERATOR = re.compile(r"!=|!~|<=|>=|=|~|<|>")
_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERS: Final = frozenset({"<", "<=", ">", ">="})
_WIRE: Final[dict[str, Callable[[Capture], str | None]]] = {
    "method": lambda capture: capture.method,
    "target": lambda capture: capture.target,
    "path": lambda capture: capture.path,
    "status": lambda capture: str(capture.answer.status) if capture.answer else None,
}
# Not text of the wire, one character for each byte, but text of ours.
_OWN: Final[dict[str, Callable[[Capture], str | None]]] = {
    "endpoint": lambda capture: capture.endpoint,
    "id": lambda capture: capture.id,
    "run": lambda capture: capture.run,
    "connection": lambda capture: capture.connection,
    "remote": lambda capture: capture.remote,
    "fault": lambda capture: capture.fault,
    "malformed": lambda capture: capture.malformed,
    "bytes": lambda capture: str(len(capture.body)),
}
_NUMBERS: Final[dict[str, Callable[[Capture], int | None]]] = {
    "status": lambda capture: capture.answer.status if capture.answer else None,
    "bytes": lambda capture: len(capture.body),
    "received": lambda capture: capture.received_at_ns,
}
_NAMED: Final[dict[str, Callable[[Capture, str], tuple[bytes, ...]]]] = {
    "header:": lambda capture, name: tuple(value.encode("latin-1", "replace") for value in capture.header(name)),
    "query:": lambda capture, name: tuple(map(_own_bytes, query_values(capture, name))),
    "form:": lambda capture, name: tuple(map(_own_bytes, form_values(capture, name))),
}
_MARKS: Final[dict[str, Callable[[Capture], bool]]] = {
    "unmatched": lambda capture: capture.endpoint is None,
    "unanswered": lambda capture: capture.answer is None,
    "truncated": lambda capture: capture.truncated,
    "malformed": lambda capture: capture.malformed is not None,
    "fault": lambda capture: capture.fault is not None,
    "tls": lambda capture: capture.tls is not None,
}
_STATUS: Final = re.compile("0|[1-9][0-9]{0,17}", re.ASCII)
_SEARCHES: Final = frozenset({"text", "value"})
_FIELDS: Final = (*_WIRE, *_OWN, "body", "received", "is", "text", "value")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CaptureFilter(msgspec.Struct, frozen=True):
    """One condition on captures; `source` is how it was written, `number` what it compares with."""

    source: str
    field: str
    operator: str
    value: bytes
    pattern: re.Pattern[bytes] | None = None
    number: int | None = None

    @property
    def text(self) -> str:
        """The value as it was written."""
        return self.value.decode("utf-8", "surrogatepass")

    def matches(self, capture: Capture) -> bool:
        """Tell whether it holds for a capture."""
        if self.field in _NUMBERS and self.number is not None:
            present = _NUMBERS[self.field](capture)
            if present is None:
                return self.operator == "!="
            return _COMPARISONS[self.operator](present, self.number)
        if self.field in _SEARCHES:
            return _search(self).matches(capture) == (self.operator == "=")
        values = _values(self.field, capture)
        if self.pattern is not None:
            return any(self.pattern.search(value) for value in values) == (self.operator == "~")
        return (self.value in values) == (self.operator == "=")


def parse_filter(text: str) -> CaptureFilter:
    """Return the filter of a text, or raise `FilterError` with the place in it."""
    found = _OPERATOR.search(text)
    if found is None:
        raise _error(text, len(text), "expected =, !=, ~, !~, <, <=, > or >= after a field, got the end")
    field = text[: found.start()].strip()
    _check_field(field, text, found)
    _check_operator(field, found[0], text, found.start())
    # A file name given on the command line may hold half characters; they equal nothing.
    value = text[found.end() :].encode("utf-8", "surrogatepass")
    if found[0] in {"~", "!~"}:
        return CaptureFilter(text, field, found[0], value, pattern=_pattern(value, text, found.end()))
    if field == "is" and value.decode("utf-8", "replace") not in _MARKS:
        raise _error(text, found.end(), f"expected one of {', '.join(_MARKS)}{_hint(text[found.end() :], _MARKS)}")
    number = None
    if field == "received":
        number = _instant_ns(text, found.end())
    elif found[0] in _ORDERS:
        number = _whole_number(text, found.end())
    return CaptureFilter(text, field, found[0], value, number=number)


def parse_filters(texts: Iterable[str], search: str | None = None) -> tuple[CaptureFilter, ...]:
    """Return the filters of several texts, and the one of a text that is to be found anywhere."""
    return (*map(parse_filter, texts), *([parse_filter(f"text={search}")] if search else []))


def all_match(filters: Iterable[CaptureFilter], capture: Capture) -> bool:
    """Tell whether every filter holds for a capture."""
    return all(each.matches(capture) for each in filters)


def query_of(filters: Iterable[CaptureFilter]) -> CaptureQuery:
    """Return what a store can look for by its indexes: it finds whatever all filters take, and perhaps more."""
    asked: dict[str, Any] = {}
    values: list[str] = []
    headers: list[tuple[str, str | None]] = []
    for each in filters:
        text = each.text
        match (each.field, each.operator):
            case ("endpoint" | "text") as field, "=" if text:
                asked.setdefault(field, text)
            case ("method" | "path") as field, "=" if text:
                asked.setdefault("path_prefix" if field == "path" else field, wire_text(text))
            case "status", "=" if _STATUS.fullmatch(text):
                asked.setdefault("status", int(text))
            case "value", "=":
                values.append(text)
            case "is", ("=" | "!=") as operator_ if text in CaptureQuery.__struct_fields__:
                asked.setdefault(text, operator_ == "=")
            case "received", (">" | ">=") as operator_ if each.number is not None:
                asked["since_ns"] = max(asked.get("since_ns", each.number), each.number + (operator_ == ">"))
            case "received", ("<" | "<=") as operator_ if each.number is not None:
                until_ns = each.number + (operator_ == "<=")
                asked["until_ns"] = min(asked.get("until_ns", until_ns), until_ns)
            case field, ("=" | "~") as operator_ if field.startswith("header:"):
                headers.append((_name_in(field), text if operator_ == "=" else None))
            case _:
                pass
    return CaptureQuery(values=tuple(values), headers=tuple(headers), **asked)


def _check_field(field: str, text: str, found: re.Match[str]) -> None:
    if lead := next((lead for lead in _NAMED if field.startswith(lead)), None):
        if not _name_in(field):
            example = "a header, as in header:Content-Type" if lead == "header:" else f"a field, as in {lead}SubId1"
            raise _error(text, found.start(), f"expected the name of {example}")
    elif field not in _FIELDS:
        names = [*_FIELDS, *(f"{lead}NAME" for lead in _NAMED)]
        place = len(text) - len(text.lstrip())
        raise _error(text, place, f"expected one of {', '.join(names)}, got {field!r}{_hint(field, names)}")


def _check_operator(field: str, sign: str, text: str, place: int) -> None:
    if sign in _ORDERS and field not in _NUMBERS:
        raise _error(text, place, f"{sign} compares {', '.join(_NUMBERS)}; expected =, !=, ~ or !~ after {field}")
    if sign in {"~", "!~"} and field in {"received", "is", *_SEARCHES}:
        instead = "=, !=, <, <=, > or >=" if field == "received" else "= or !="
        raise _error(text, place, f"expected {instead} after {field}, got {sign}")


def _hint(text: str, names: Iterable[str]) -> str:
    near = get_close_matches(text, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _pattern(value: bytes, text: str, start: int) -> re.Pattern[bytes]:
    try:
        return re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        place = getattr(error, "pos", None) or 0
        column = start + len(value[:place].decode("utf-8", "replace"))
        raise _error(text, column, f"expected a regular expression: {error}") from None


def _whole_number(text: str, start: int) -> int:
    value = text[start:].strip()
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise _error(text, start, f"expected a whole number, got {value!r}")
    return int(value)


def _instant_ns(text: str, start: int) -> int:
    value = text[start:].strip()
    try:
        moment = datetime.fromisoformat(value)
        since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        raise _error(text, start, f"expected a time such as 2026-05-11T08:00:00+02:00, got {value!r}") from None
    return since // timedelta(microseconds=1) * 1000


def _values(field: str, capture: Capture) -> tuple[bytes, ...]:
    if field == "body":
        return (capture.body,)
    if field == "is":
        return tuple(mark.encode() for mark, holds in _MARKS.items() if holds(capture))
    for lead, read in _NAMED.items():
        if field.startswith(lead):
            return read(capture, _name_in(field))
    if field in _OWN:
        own = _OWN[field](capture)
        return () if own is None else (_own_bytes(own),)
    value = _WIRE[field](capture)
    return () if value is None else (value.encode("latin-1", "replace"),)


def _search(condition: CaptureFilter) -> CaptureQuery:
    wanted = condition.text
    return CaptureQuery(text=wanted) if condition.field == "text" else CaptureQuery(values=(wanted,))


def _name_in(field: str) -> str:
    return field.partition(":")[2].strip()


def _own_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _error(text: str, position: int, message: str) -> FilterError:
    return FilterError(f"filter, column {position + 1}: {message}\n{excerpt(text, position + 1)}")
