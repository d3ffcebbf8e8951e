"""Reading the body of a request as it arrives: so many bytes, or chunks (RFC 9112 §7.1), strictly and totally.

Both kinds are fed piece by piece until they are `is_done` or have a `fault`, and give back the bytes that are no longer
theirs. `data` is what came of the body without its framing. It is not kept beyond the most that is allowed and one byte
more, by which one can tell.
"""

import re
from typing import Final

from postback_receiver.capture import Headers
from postback_receiver.request_head import parse_trailers

MAX_CHUNK_LINE_BYTES: Final = 4096
"""For the line before a chunk: its size, and extensions that nobody uses."""

MAX_TRAILER_BYTES: Final = 64 * 1024
"""For all fields after the last chunk."""

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_SIZE_LINE_START: Final = re.compile(rb"[0-9A-Fa-f]{1,15}+[ \t]*+(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?\r?")
_CRLF: Final = b"\r\n"


class SizedBody:
    """A body of which the head said the length."""

    trailers: Final[Headers] = ()
    fault: Final[str | None] = None

    def __init__(self, length: int, *, max_bytes: int) -> None:
        self.data = bytearray()
        self._left = length
        self._room = max_bytes + 1

    @property
    def is_done(self) -> bool:
        """Whether all of it has come."""
        return not self._left

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes; returns those that are no longer of this body."""
        taken = piece[: self._left]
        self._left -= len(taken)
        self.data += taken[: self._room - len(self.data)]
        return piece[len(taken) :]


class ChunkedBody:
    """A body in chunks, each with its size before it, and fields after the last."""

    def __init__(self, *, max_bytes: int) -> None:
        self.data = bytearray()
        self.trailers: Headers = ()
        self.is_done = False
        self.fault: str | None = None
        self._room = max_bytes + 1
        self._left = 0  # of the present chunk
        self._line = bytearray()  # what has come of the line, or of the trailers, that is read now
        self._read = self._read_size
        self._number = 0

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes; returns those that are no longer of this body, or that no body can hold."""
        while piece and not self.is_done and self.fault is None:
            piece = self._read(piece)
        return piece

    def _read_size(self, piece: bytes) -> bytes:
        line, rest = self._line, self._take_line(piece)
        if not line.endswith(b"\n") and len(line) <= MAX_CHUNK_LINE_BYTES and _SIZE_LINE_START.fullmatch(line):
            return rest
        self._number += 1
        found = _SIZE_LINE.fullmatch(line)
        if found is None or len(line) > MAX_CHUNK_LINE_BYTES:
            return self._fail(f"chunk {self._number} does not begin with its size in hexadecimal and CR LF", rest)
        self._left = int(found[1], 16)
        self._read = self._read_data if self._left else self._read_trailers
        self._line = bytearray()
        return rest

    def _read_data(self, piece: bytes) -> bytes:
        taken = piece[: self._left]
        self._left -= len(taken)
        self.data += taken[: self._room - len(self.data)]
        if not self._left:
            self._read = self._read_end
        return piece[len(taken) :]

    def _read_end(self, piece: bytes) -> bytes:
        wanted = len(_CRLF) - len(self._line)
        self._line += piece[:wanted]
        rest = piece[wanted:]
        if not _CRLF.startswith(self._line):
            return self._fail(f"chunk {self._number} does not end where its size says", rest)
        if len(self._line) == len(_CRLF):
            self._read = self._read_size
            self._line = bytearray()
        return rest

    def _read_trailers(self, piece: bytes) -> bytes:
        section, rest = self._line, self._take_line(piece)
        if len(section) > MAX_TRAILER_BYTES:
            return self._fail(f"the trailers are longer than {MAX_TRAILER_BYTES} bytes", rest)
        # An empty line ends them, also when there are none.
        if not (section.startswith(_CRLF) or section.endswith((b"\n\r\n", b"\n\n"))):
            return rest
        trailers = parse_trailers(bytes(section[:-2]))
        if isinstance(trailers, str):
            return self._fail(trailers, rest)
        self.trailers = trailers
        self.is_done = True
        return rest

    def _take_line(self, piece: bytes) -> bytes:
        """Move what belongs to the present line from the piece into it; returns the rest."""
        end = piece.find(b"\n") + 1 or len(piece)
        self._line += piece[:end]
        return piece[end:]

    def _fail(self, fault: str, rest: bytes) -> bytes:
        """End it; returns everything from what no body can hold on."""
        self.fault = fault
        return bytes(self._line) + rest
