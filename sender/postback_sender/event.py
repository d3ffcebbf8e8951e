"""`Event`: something that happened at impact.com, and the NDJSON line that carries it between programs.

One line is one JSON object: `{"event": kind, "at": time, "values": {token: text}, "items": [{field: text}]}`. Values
are the texts a postback would carry, so an amount is `"0.88"`, never `0.88`; a token that is absent is empty. Tokens
outside the catalogue are welcome: brands have tokens that no public list names. A kind that impact.com does not
document has to be named in the settings of a notification.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import cast

import msgspec

from postback_sender.errors import SenderError
from postback_sender.settings_table import did_you_mean
from postback_sender.tokens import CATALOGUE, EVENT_KINDS, Catalogue, Token

_KEYS = ("event", "at", "values", "items")
_LONGEST_QUOTE = 60


class EventFormatError(SenderError):
    """An event line that cannot be read.

    `source` and `line` (from 1) say where; `pointer` is the JSON pointer of the offending value, empty for the whole
    line; `expected` and `got` say what is wrong.
    """

    def __init__(self, *, source: str, line: int, pointer: str, expected: str, got: str, advice: str = "") -> None:
        self.source = source
        self.line = line
        self.pointer = pointer
        self.expected = expected
        self.got = got
        place = f"{source}, line {line}" + (f", {pointer}" if pointer else "")
        super().__init__(f"{place}: expected {expected}, got {got}{advice}")


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event: what happened, when, and the texts by which a postback tells about it.

    `at` is aware. `values` holds wire texts by token name; `items` has, for each line of the order, those by field.
    """

    kind: str
    at: datetime
    values: Mapping[str, str]
    items: tuple[Mapping[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a time without an offset: it could not be written as an instant."""
        if self.at.utcoffset() is None:
            raise ValueError(f"an event needs a time with an offset, got {self.at.isoformat()}")


def encode_event(event: Event) -> bytes:
    r"""Return the event as one NDJSON line, ended by its line feed.

    Raises `UnicodeEncodeError` for a lone surrogate, which no UTF-8 line can carry.
    """
    # isoformat, not msgspec's own date format: that one rounds offsets to minutes and writes UTC as Z.
    line = {"event": event.kind, "at": event.at.isoformat(), "values": event.values, "items": event.items}
    return msgspec.json.encode(line) + b"\n"


def decode_event(
    line: bytes, *, number: int, source: str, kinds: Collection[str] = EVENT_KINDS, pointer: str = ""
) -> Event:
    """Return the event of one line, or raise `EventFormatError`; `number`, `source` and `pointer` are for its message.

    `pointer` is the JSON pointer of the event itself, for one that stands inside other JSON.
    `kinds` are the kinds of event there are: those of a notification's catalogue, or the documented ones.
    """
    place = _Place(source=source, line=number, pointer=pointer)
    fields = _object(_json(line, place), place, "an object with event, at and values")
    for key in fields:
        if key not in _KEYS:
            raise place.inside(key).error(
                "one of the keys event, at, values and items", _quoted(key), did_you_mean(key, _KEYS)
            )
    for key in ("event", "at", "values"):
        if key not in fields:
            raise place.error(f"the key {key}", f"only {', '.join(fields) or 'an empty object'}")
    return Event(
        kind=_kind(fields["event"], place.inside("event"), kinds),
        at=_instant(fields["at"], place.inside("at")),
        values=_texts(fields["values"], place.inside("values")),
        items=_items(fields.get("items", []), place.inside("items")),
    )


def read_events(lines: Iterable[bytes], *, source: str, kinds: Collection[str] = EVENT_KINDS) -> Iterator[Event]:
    """Yield the event of each line, blank lines skipped; the first bad line raises `EventFormatError`.

    `kinds` as for `decode_event`.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield decode_event(line, number=number, source=source, kinds=kinds)


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the file we are, so that whoever finds something wrong can say so."""

    source: str
    line: int
    pointer: str = ""

    def inside(self, key: str | int) -> "_Place":
        # RFC 6901 escapes; a lone surrogate in a key must not make the message itself unprintable.
        step = str(key).replace("~", "~0").replace("/", "~1").encode(errors="backslashreplace").decode()
        return msgspec.structs.replace(self, pointer=f"{self.pointer}/{step}")

    def error(self, expected: str, got: str, advice: str = "") -> EventFormatError:
        return EventFormatError(
            source=self.source, line=self.line, pointer=self.pointer, expected=expected, got=got, advice=advice
        )


class _Number(msgspec.Struct, frozen=True):
    """A JSON number as it was written; no number is welcome, and the message should show the writer's own."""

    text: str


class _RepeatedKeyError(Exception):
    """A JSON object that gives one key twice; most readers would drop the first value without a word."""


def _json(line: bytes, place: _Place) -> object:
    # The standard library reads here, not msgspec: it can report repeated keys, and it lets lone surrogates through, so
    # that the message can name the value that holds one.
    try:
        return cast(
            "object",
            json.loads(
                line.decode(),
                object_pairs_hook=_without_repeats,
                parse_int=_Number,
                parse_float=_Number,
                parse_constant=_Number,
            ),
        )
    except UnicodeDecodeError as error:
        raise place.error("UTF-8", f"the byte 0x{line[error.start]:02x} at offset {error.start}") from None
    except _RepeatedKeyError as error:
        raise place.error("each key once", f"{_quoted(str(error))} twice in one object") from None
    except RecursionError:
        raise place.error("an event", "JSON nested too deeply to read") from None
    except json.JSONDecodeError as error:
        raise place.error("one JSON object", what_came(error)) from None


def what_came(error: json.JSONDecodeError) -> str:
    """Say what stands where JSON could not be read on, and in which column of its line."""
    letter = error.doc[error.pos : error.pos + 1].strip("\r\n")
    if error.msg.startswith("Unterminated string"):
        came = "a text that does not end"
    else:
        came = json.dumps(letter) if letter else "the end"
    return f"{came} at column {error.colno} ({error.msg.removesuffix(' at')})"


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return fields


def _object(value: object, place: _Place, expected: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise place.error(expected, _described(value))
    return cast("dict[str, object]", value)


def _kind(value: object, place: _Place, kinds: Collection[str]) -> str:
    if isinstance(value, str) and value in kinds:
        return value
    hint = did_you_mean(value, kinds) if isinstance(value, str) else ""
    raise place.error(f"one of {', '.join(kinds)}", _described(value), hint)


def _instant(value: object, place: _Place) -> datetime:
    expected = "an ISO 8601 time with an offset, such as 2026-05-11T00:07:27+03:00"
    if not isinstance(value, str):
        raise place.error(expected, _described(value))
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise place.error(expected, _described(value)) from None
    if instant.tzinfo is None:
        raise place.error(expected, _described(value), "; add the offset, such as +00:00")
    return instant


def _texts(value: object, place: _Place) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, text in _object(value, place, "an object of texts").items():
        if not isinstance(text, str):
            advice = f'; write it in quotes: "{text.text}"' if isinstance(text, _Number) else ""
            raise place.inside(name).error("a text in quotes", _described(text), advice)
        if surrogate := _lone_surrogate(name) or _lone_surrogate(text):
            got = f"half a character, the lone surrogate U+{ord(surrogate):04X}"
            advice = "; write both halves of the pair, or the character itself"
            raise place.inside(name).error("text that UTF-8 can carry", got, advice)
        texts[name] = text
    return texts


def _items(value: object, place: _Place) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list):
        raise place.error("a list of objects", _described(value))
    return tuple(_texts(item, place.inside(index)) for index, item in enumerate(cast("list[object]", value)))


def _lone_surrogate(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return text[error.start]
    return None


def _described(value: object) -> str:
    """Say in words what a JSON value is, short enough for one line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _Number(text):
            return f"the number {_shortened(text)}"
        case str():
            return _quoted(value)
        case list():
            return "a list"
        case _:
            return "an object"


def _quoted(text: str) -> str:
    # json.dumps keeps the message printable, whatever the text holds.
    return _shortened(json.dumps(text))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


# Lines that add up to the example amount; the first one is the catalogue's.
_MORE_EXAMPLE_ITEMS = (
    {"sku": "APP-0021", "amt": "6.00", "cat": "Sports", "qty": "3", "cartamt": "6.00", "rbt": "0.00", "name": "Grip"},
    {"sku": "BAG-7", "amt": "4.00", "cat": "Bags", "qty": "2", "cartamt": "4.00", "rbt": "0.00", "name": "Shoe bag"},
)
_EXAMPLE_AT = datetime.fromisoformat("2026-05-11T00:08:02+03:00")
_EXAMPLE_CLEARED_AT = datetime.fromisoformat("2026-07-01T06:00:00+03:00")


def example_event(kind: str, catalogue: Catalogue = CATALOGUE) -> Event:
    """Return one event of this kind, told with the examples of the catalogue; action kinds have three items.

    An own token overrides the story that the examples of the documented ones tell.
    """
    like = catalogue.kinds[kind].like
    values = _examples(catalogue.tokens(kind))
    fields = _examples(catalogue.item_fields(kind))
    own_values, own_fields = (
        _examples(token for token in tokens if token.certainty == "own")
        for tokens in (catalogue.tokens(kind), catalogue.item_fields(kind))
    )
    more = _MORE_EXAMPLE_ITEMS if like in {"action_lifecycle", "action_clearing"} else ()
    items = (fields, *(item | own_fields for item in more)) if fields else ()
    if like != "action_clearing":
        return Event(kind=kind, at=_EXAMPLE_AT, values=values, items=items)
    # The catalogue tells of a fresh action; before it clears, time has passed.
    later = {"Status": "APPROVED", "StatusDetail": "Payment Pending", "ClearedDate": _EXAMPLE_CLEARED_AT.isoformat()}
    return Event(kind=kind, at=_EXAMPLE_CLEARED_AT, values=values | later | own_values, items=items)


def _examples(tokens: Iterable[Token]) -> dict[str, str]:
    return {token.name: token.example for token in tokens if token.example}
