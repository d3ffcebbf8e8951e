"""Events in a file: one object a line, or JSON laid out any other way. The content decides, not the file's name.

Lines are read as they come, so such a file may be of any length. Any other JSON, a list of events or events over
several lines, is read as a whole and has a limit.
"""

import json
from collections.abc import Collection, Iterator
from typing import Protocol

import msgspec

from postback_sender.event import Event, EventFormatError, decode_event, what_came
from postback_sender.tokens import EVENT_KINDS

# What can be held several times over in the memory of a small machine: the bytes, the text, and one event at a time.
MAX_BYTES = 64 * 1024 * 1024
_WHITE_SPACE = " \t\r\n"


class ByteLines(Protocol):
    """A file opened for reading bytes; all that is asked of it."""

    def readline(self, size: int, /) -> bytes: ...

    def read(self, size: int, /) -> bytes: ...


class _EventText(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of one event: its bytes, the line (from 1) it begins on, and its JSON pointer in the file."""

    data: bytes
    line: int
    pointer: str = ""


def read_event_file(file: ByteLines, *, source: str, kinds: Collection[str] = EVENT_KINDS) -> Iterator[Event]:
    """Yield the events of a file; `source` is what errors call it, `kinds` are the kinds of event there are.

    Raises `EventFormatError` at the first thing that is no event, and for a line, or JSON over several lines, that is
    longer than `MAX_BYTES`.
    """
    for text in _event_texts(file, source):
        yield decode_event(text.data, number=text.line, source=source, kinds=kinds, pointer=text.pointer)


def _event_texts(file: ByteLines, source: str) -> Iterator[_EventText]:
    number, line = 0, b"\n"
    while line and not line.strip():
        number, line = number + 1, _line(file, source, number + 1)
    if _goes_on(line):
        data = line + file.read(MAX_BYTES + 1 - len(line))
        if len(data) > MAX_BYTES:
            raise _too_long(source, number, "one event a line, which may go on without end")
        yield from _Document(data, source, number).events()
        return
    while line:
        if line.strip():
            yield _EventText(data=line, line=number)
        number, line = number + 1, _line(file, source, number + 1)


def _line(file: ByteLines, source: str, number: int) -> bytes:
    line = file.readline(MAX_BYTES + 1)
    if len(line) > MAX_BYTES:
        raise _too_long(source, number, "one event a line")
    return line


def _too_long(source: str, line: int, expected: str) -> EventFormatError:
    got = f"more than {MAX_BYTES >> 20} MiB without an end"
    return EventFormatError(source=source, line=line, pointer="", expected=expected, got=got)


def _goes_on(line: bytes) -> bool:
    """Tell whether a first line is a list, or the beginning of an object that goes on in the next line."""
    if line.lstrip().startswith(b"["):
        return True
    try:
        json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        return error.pos >= len(error.doc) > 0
    except (RecursionError, ValueError):
        # Whoever reads the line will say what is wrong with it.
        pass
    return False


class _Document:
    """JSON over any number of lines: a list of events, or events one after the other."""

    def __init__(self, data: bytes, source: str, first_line: int) -> None:
        self._source = source
        self._first_line = first_line
        try:
            self._text = data.decode()
        except UnicodeDecodeError as error:
            line = first_line + data.count(b"\n", 0, error.start)
            got = f"the byte 0x{data[error.start]:02x} at offset {error.start}"
            raise self._error(line, "UTF-8", got) from None
        self._decoder = json.JSONDecoder(parse_int=len, parse_float=len)
        self._position = 0
        self._line = first_line
        self._counted = 0

    def events(self) -> Iterator[_EventText]:
        if self._next_letter() == "[":
            yield from self._listed()
        else:
            while self._next_letter():
                yield self._event("")

    def _listed(self) -> Iterator[_EventText]:
        self._position += 1
        index = 0
        while (letter := self._next_letter()) != "]" or index:
            yield self._event(f"/{index}")
            index += 1
            letter = self._next_letter()
            if letter == "]":
                break
            if letter != ",":
                raise self._fault("',' before the next event, or ']'", letter)
            self._position += 1
        self._position += 1
        if letter := self._next_letter():
            raise self._fault("the end after the list", letter)

    def _event(self, pointer: str) -> _EventText:
        self._next_letter()
        start, line = self._position, self._line_here()
        try:
            _, self._position = self._decoder.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            self._position = min(error.pos, len(self._text))
            raise self._error(self._line_here(), "JSON", what_came(error), pointer) from None
        except RecursionError:
            raise self._error(line, "an event", "JSON nested too deeply to read", pointer) from None
        return _EventText(data=self._text[start : self._position].encode(), line=line, pointer=pointer)

    def _next_letter(self) -> str:
        """Skip white space and return the letter after it, empty at the end."""
        while (letter := self._text[self._position : self._position + 1]) and letter in _WHITE_SPACE:
            self._position += 1
        return letter

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._line

    def _fault(self, expected: str, letter: str) -> EventFormatError:
        got = json.dumps(letter) if letter else "the end of the file"
        return self._error(self._line_here(), expected, got)

    def _error(self, line: int, expected: str, got: str, pointer: str = "") -> EventFormatError:
        return EventFormatError(source=self._source, line=line, pointer=pointer, expected=expected, got=got)
