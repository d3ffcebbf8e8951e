"""Reading the body of a request as it arrives: so many bytes, or chunks (RFC 9112 §7.1), strictly and totally.

Both kinds are fed piece by piece until they are `is_done` or have a `fault`, and say where in the piece begins what is
no longer theirs. No byte is copied or looked at more than a few times, however small the chunks are. `data` is what
came of the body without its framing. It is not kept beyond the most that is allowed and one byte more, by which one can
tell; what follows that byte is left unread.
"""

import re
from typing import Final

from postback_receiver.capture import Headers
from postback_receiver.request_head import parse_trailers

MAX_CHUNK_LINE_BYTES: Final = 4096
"""For the line before a chunk: its size, and extensions that nobody uses."""

MAX_TRAILER_BYTES: Final = 64 * 1024
"""For all fields after the last chunk."""

MAX_FRAMING_PER_BYTE: Final = 8
"""For all lines before chunks, together, as a multiple of the largest body: enough to send that body in
chunks of one byte, and too little to send extensions for ever."""

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*+(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?\r\n")
_SIZE_LINE_START: Final = re.compile(rb"[0-9A-Fa-f]{1,15}+[ \t]*+(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?\r?")
_CRLF: Final = b"\r\n"


class SizedBody:
    """A body of which the head said the length."""

    trailers: Final[Headers] = ()
    fault: Final[str | None] = None
    spoilt: Final = b""

    def __init__(self, length: int, *, max_bytes: int) -> None:
        self.data = bytearray()
        self._left = length
        self._room = max_bytes + 1

    @property
    def is_done(self) -> bool:
        """Whether all of it has come."""
        return not self._left

    def feed(self, piece: bytes, start: int = 0) -> int:
        """Take the bytes from `start` on; returns where those begin that are no longer of this body."""
        taken = min(self._left, len(piece) - start)
        self._left -= taken
        self.data += piece[start : start + min(taken, self._room - len(self.data))]
        return start + taken


class ChunkedBody:
    """A body in chunks, each with its size before it, and fields after the last."""

    def __init__(self, *, max_bytes: int) -> None:
        self.data = bytearray()
        self.trailers: Headers = ()
        self.is_done = False
        self.fault: str | None = None
        self.spoilt = b""
        """With a fault: the line that no body can hold, as far as it was read."""
        self._room = max_bytes + 1
        self._framing_left = max_bytes * MAX_FRAMING_PER_BYTE + MAX_TRAILER_BYTES
        self._left = 0  # of the present chunk
        self._line = bytearray()  # what has come of the line, or of the trailers, that is read now
        self._read = self._read_size
        self._number = 0

    def feed(self, piece: bytes, start: int = 0) -> int:
        """Take the bytes from `start` on; returns where those begin that are not of this body, or of none."""
        at, end = start, len(piece)
        while at < end and not self.is_done and self.fault is None and len(self.data) < self._room:
            at = self._read(piece, at)
        return at

    def _read_size(self, piece: bytes, at: int) -> int:
        if not self._line:
            at = self._read_small(piece, at)
            if at == len(piece) or self._read != self._read_size or self.fault or len(self.data) == self._room:
                return at
        at = self._take_line(piece, at, MAX_CHUNK_LINE_BYTES)
        line = self._line
        if not line.endswith(b"\n") and len(line) <= MAX_CHUNK_LINE_BYTES and _SIZE_LINE_START.fullmatch(line):
            return at
        found = _SIZE_LINE.fullmatch(line)
        if found is None or len(line) > MAX_CHUNK_LINE_BYTES:
            self._fail(f"chunk {self._number + 1} does not begin with its size in hexadecimal and CR LF")
            return at
        self._framing_left -= len(line)
        return self._begin_chunk(found, at)

    def _read_small(self, piece: bytes, at: int) -> int:
        """Read chunks of which all is here, of which there may be very many, and the size of one that goes on."""
        data, room = self.data, self._room
        while (found := _SIZE_LINE.match(piece, at, at + MAX_CHUNK_LINE_BYTES)) is not None:
            begin = found.end()
            size = int(found[1], 16)
            end = begin + size
            self._framing_left -= begin - at
            if not size or size > room - len(data) or self._framing_left < 0 or piece[end : end + 2] != _CRLF:
                return self._begin_chunk(found, begin)
            self._number += 1
            data += piece[begin:end]
            at = end + 2
        return at

    def _begin_chunk(self, line: re.Match[bytes], at: int) -> int:
        self._number += 1
        self._left = int(line[1], 16)
        if self._framing_left < 0:
            self._line = bytearray(line[0])
            self._fail(f"the lines before the first {self._number} chunks are too long together")
        else:
            self._read = self._read_data if self._left else self._read_trailers
            self._line = bytearray()
        return at

    def _read_data(self, piece: bytes, at: int) -> int:
        taken = min(self._left, len(piece) - at)
        self._left -= taken
        self.data += piece[at : at + min(taken, self._room - len(self.data))]
        if not self._left:
            self._read = self._read_end
        return at + taken

    def _read_end(self, piece: bytes, at: int) -> int:
        end = at + len(_CRLF) - len(self._line)
        self._line += piece[at:end]
        if not _CRLF.startswith(self._line):
            self._fail(f"chunk {self._number} does not end where its size says")
        elif len(self._line) == len(_CRLF):
            self._read = self._read_size
            self._line = bytearray()
        return min(end, len(piece))

    def _read_trailers(self, piece: bytes, at: int) -> int:
        at = self._take_line(piece, at, MAX_TRAILER_BYTES)
        section = self._line
        if len(section) > MAX_TRAILER_BYTES:
            self._fail(f"the trailers are longer than {MAX_TRAILER_BYTES} bytes")
        # An empty line ends them, also when there are none.
        elif section.startswith(_CRLF) or section.endswith((b"\n\r\n", b"\n\n")):
            trailers = parse_trailers(bytes(section[:-2]))
            if isinstance(trailers, str):
                self._fail(trailers)
            else:
                self.trailers = trailers
                self.is_done = True
        return at

    def _take_line(self, piece: bytes, at: int, most: int) -> int:
        """Move what belongs to the present line from the piece into it, up to one byte too many; returns the end."""
        limit = at + most + 1 - len(self._line)
        end = piece.find(b"\n", at, limit) + 1 or min(len(piece), limit)
        self._line += piece[at:end]
        return end

    def _fail(self, fault: str) -> None:
        self.fault = fault
        self.spoilt = bytes(self._line)
