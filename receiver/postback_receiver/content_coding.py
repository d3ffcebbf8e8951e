"""The decoded view of a compressed body. What is kept is what was on the wire; this is for looking at it.

Total on any bytes, and bounded: a few kilobytes can hold gigabytes of nothing.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, cast

import msgspec

try:
    import brotli  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
except ImportError:  # it is there for CPython only
    brotli = None

MAX_DECODED_BYTES: Final = 8 * 1024 * 1024
"""Eight times the longest body that is kept."""

_MAX_CODINGS: Final = 4
_NAMES: Final = {"x-gzip": "gzip", "x-compress": "compress"}


class DecodedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A body without its codings, as far as it could be decoded; `fault` says why that is not all of it."""

    data: bytes
    fault: str | None = None


def decode_body(body: bytes, content_encoding: Sequence[str], *, max_bytes: int = MAX_DECODED_BYTES) -> DecodedBody:
    """Undo the codings that the `Content-Encoding` fields name, the last one first: gzip, deflate, br."""
    codings = _codings(content_encoding)
    if len(codings) > _MAX_CODINGS:
        return DecodedBody(
            data=body, fault=f"it has {len(codings)} codings, of which {_MAX_CODINGS} are undone at most"
        )
    for coding in reversed(codings):
        decoded = bytearray()
        try:
            for piece in _pieces(coding, body, max_bytes + 1):
                decoded += piece
                if len(decoded) > max_bytes:
                    fault = f"it holds more than {max_bytes} bytes; these are the first"
                    return DecodedBody(data=bytes(decoded[:max_bytes]), fault=fault)
        except _UndecodableError as error:
            # What came out before is worth seeing, and is nothing if this is no such coding at all.
            return DecodedBody(data=bytes(decoded) or body, fault=str(error))
        body = bytes(decoded)
    return DecodedBody(data=body)


def encode_body(data: bytes, content_encoding: Sequence[str]) -> bytes:
    """Apply the codings that the `Content-Encoding` fields name, the first one first: what `decode_body` undoes whole.

    ValueError for one that cannot be applied here. The same bytes each time.
    """
    for coding in _codings(content_encoding):
        if coding == "gzip":
            data = gzip.compress(data, mtime=0)
        elif coding == "deflate":
            data = zlib.compress(data)
        elif coding == "br" and brotli is not None:
            data = cast(bytes, brotli.compress(data, quality=5))  # pyright: ignore[reportUnknownMemberType]
        else:
            raise ValueError(f"the coding {coding!r} cannot be applied")
    return data


def _codings(content_encoding: Sequence[str]) -> list[str]:
    names = [part.strip(" \t").lower() for value in content_encoding for part in value.split(",")]
    return [_NAMES.get(name, name) for name in names if name not in {"", "identity"}]


class _UndecodableError(Exception):
    """Says what is wrong with coded bytes."""


class _Unbrotli(Protocol):
    def process(self, data: bytes, *, output_buffer_limit: int) -> bytes: ...
    def is_finished(self) -> bool: ...
    def can_accept_more_data(self) -> bool: ...


def _pieces(coding: str, data: bytes, most: int) -> Iterator[bytes]:
    if coding == "gzip":
        return _gunzip(data, most)
    if coding == "deflate":
        return _inflate(data, most)
    if coding == "br":
        return _unbrotli(data, most)
    raise _UndecodableError("its content coding is not one of gzip, deflate, br")


def _gunzip(data: bytes, most: int) -> Iterator[bytes]:
    # A gzip body may be several in a row (RFC 1952 §2.2).
    start, number = data, 0
    while start or not number:
        number += 1
        unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            yield unzip.decompress(start, most)
        except zlib.error as error:
            what = "it is not gzip" if number == 1 else "what follows the gzip data is no more of it"
            raise _UndecodableError(f"{what} ({error})") from error
        _require_end("gzip", ended=unzip.eof or bool(unzip.unconsumed_tail))
        start = unzip.unused_data


def _inflate(data: bytes, most: int) -> Iterator[bytes]:
    # The name stands for zlib's format (RFC 9110 §8.4.1.2), and many send the bare stream.
    is_zlib = len(data) > 1 and data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    try:
        yield unzip.decompress(data, most)
    except zlib.error as error:
        raise _UndecodableError(f"it is not deflate ({error})") from error
    _require_end("deflate", ended=unzip.eof or bool(unzip.unconsumed_tail))
    if unzip.unused_data:
        raise _UndecodableError(f"{len(unzip.unused_data)} bytes follow the end of the deflate data")


def _require_end(name: str, *, ended: bool) -> None:
    # Input that is left over means that the limit ended it, and whoever counts the bytes says so.
    if not ended:
        raise _UndecodableError(f"the {name} data end before their end")


def _unbrotli(data: bytes, most: int) -> Iterator[bytes]:
    if brotli is None:
        raise _UndecodableError("the package brotli, which decodes br, is not installed here")
    unzip = cast(_Unbrotli, brotli.Decompressor())  # pyright: ignore[reportUnknownMemberType]
    failure = cast("type[Exception]", brotli.error)  # pyright: ignore[reportUnknownMemberType]
    try:
        yield unzip.process(data, output_buffer_limit=most)
        while not unzip.is_finished() and not unzip.can_accept_more_data():
            yield unzip.process(b"", output_buffer_limit=most)
    except failure as error:
        raise _UndecodableError(f"it is not br ({error})") from error
    if not unzip.is_finished():
        raise _UndecodableError("the br data end before their end")
