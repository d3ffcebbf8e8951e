"""Events are read from JSON however it is laid out, and a fault is named with its place."""

import json
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender import event_file
from postback_sender.event import Event, EventFormatError, encode_event, example_event
from postback_sender.event_file import read_event_file
from postback_sender.tokens import EVENT_KINDS

EVENTS = [example_event(kind) for kind in EVENT_KINDS]
OBJECTS = [json.loads(encode_event(event)) for event in EVENTS]


def read(data: bytes) -> list[Event]:
    return list(read_event_file(BytesIO(data), source="events"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"".join(map(encode_event, EVENTS)), id="one a line"),
        pytest.param(b"\n \r\n" + b"\n\n".join(map(encode_event, EVENTS)).rstrip(), id="with blank lines"),
        pytest.param(json.dumps(OBJECTS).encode(), id="a list on one line"),
        pytest.param(b"\n\t[\n" + b",".join(map(encode_event, EVENTS)) + b"]\n", id="a list of lines"),
        pytest.param(json.dumps(OBJECTS, indent=4).encode(), id="a list over many lines"),
        pytest.param(b"\n".join(json.dumps(each, indent=1).encode() for each in OBJECTS), id="one after the other"),
    ],
)
def test_the_layout_of_the_file_does_not_matter(data: bytes) -> None:
    assert read(data) == EVENTS


@pytest.mark.parametrize("indent", [None, 2])
def test_one_event_is_a_file(indent: int | None) -> None:
    assert read(json.dumps(OBJECTS[0], indent=indent).encode()) == EVENTS[:1]


@pytest.mark.parametrize("data", [b"", b"\n \n", b"[]", b" [ ]\n"])
def test_a_file_can_hold_no_events(data: bytes) -> None:
    assert read(data) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[", "events, line 1, /0: expected JSON, got the end at column 2 (Expecting value)"),
        (b"\n[\n{}]", "events, line 3, /0: expected the key event, got only an empty object"),
        (b"[7]", "events, line 1, /0: expected an object with event, at and values, got the number 7"),
        (b'[{"event":\n "x", "at": 1, "values": {}}]', "events, line 1, /0/event: expected one of "),
        (b"[@GOOD,]", 'events, line 1, /1: expected JSON, got "]" at column '),
        (b"[@GOOD\n@GOOD]", "events, line 2: expected ',' before the next event, or ']', got \"{\""),
        (b"[@GOOD", "events, line 1: expected ',' before the next event, or ']', got the end of the file"),
        (b"[@GOOD]\n\n@GOOD", 'events, line 3: expected the end after the list, got "{"'),
        (b'[@GOOD,\n{"a":1,"a":2}]', "events, line 2, /1: expected each key once"),
        (b"[\n\xff]", "events, line 2: expected UTF-8, got the byte 0xff at offset 2"),
        (b"[" * 100_000, "events, line 1, /0: expected an event, got JSON nested too deeply to read"),
        (b'{"event":\n', "events, line 2: expected JSON, got the end at column 1 (Expecting value)"),
        (b"@GOOD\n{'a': 1}", 'events, line 2: expected one JSON object, got "\'" at column 2 ('),
        (
            b'@GOOD\n{"a',
            "events, line 2: expected one JSON object, got a text that does not end at column 2 (Unterminated",
        ),
    ],
)
def test_a_fault_is_named_with_its_line_and_pointer(data: bytes, message: str) -> None:
    with pytest.raises(EventFormatError) as caught:
        read(data.replace(b"@GOOD", encode_event(EVENTS[0]).rstrip()))

    assert str(caught.value).startswith(message)


@given(st.one_of(st.binary(), st.text('[]{},:" \nat1', max_size=20).map(str.encode)))
def test_any_bytes_are_events_or_one_message(data: bytes) -> None:
    with suppress(EventFormatError):
        assert all(isinstance(event, Event) for event in read(data))


def test_lines_are_read_as_they_come() -> None:
    """A file of events may be longer than the memory; and what comes before a fault has been handed out."""
    file = BytesIO(encode_event(EVENTS[0]) * 3 + b"broken")
    reader = read_event_file(file, source="events")

    assert next(reader) == EVENTS[0]
    assert file.tell() < 2 * len(encode_event(EVENTS[0])) + 1


@pytest.mark.parametrize(
    ("data", "place"),
    [
        pytest.param(b"\n" + b"{" * 101, "events, line 2", id="a line"),
        pytest.param(b"\n[\n" + b" " * 101, "events, line 2", id="a list"),
    ],
)
def test_what_has_to_be_read_as_a_whole_has_a_limit(data: bytes, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "MAX_BYTES", 100)

    with pytest.raises(EventFormatError, match=f"{place}: expected one event a line.*, got more than"):
        read(data)
