"""Reads a body as it was before `Content-Encoding`, up to a limit: a few bytes can hold gigabytes."""

import zlib
from typing import Protocol, cast

try:
    import brotli  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
except ImportError:  # it is there for CPython only
    brotli = None


# Nobody means more of them, and each costs a pass.
_MOST_CODINGS = 4


class ContentCodingError(ValueError):
    """A body that is not what its `Content-Encoding` says; says what is wrong."""


def decoded(body: bytes, coding: str, *, limit: int) -> bytes:
    """Return at most `limit` bytes of what a body holds; one that is not coded, or in no way we know, as it is.

    Raises `ContentCodingError` when the bytes are not what the coding says. One that is cut gives what there is.
    """
    for name in reversed([part.strip().lower() for part in coding.split(",", _MOST_CODINGS)][:_MOST_CODINGS]):
        match name:
            case "gzip" | "x-gzip":
                body = _inflated(body, 16 + zlib.MAX_WBITS, limit)
            case "deflate":
                # Meant with zlib's wrapping (RFC 1950: its method is 8), and often sent without it.
                is_wrapped = body[:1] and body[0] & 0x0F == 8
                body = _inflated(body, zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS, limit)
            case "br":
                body = _unbrotlied(body, limit)
            case "" | "identity":
                pass
            case _:
                break
    return body[:limit]


def _inflated(body: bytes, bits: int, limit: int) -> bytes:
    data = bytearray()
    try:
        while len(data) < limit:
            inflate = zlib.decompressobj(bits)
            data += inflate.decompress(body, limit - len(data))
            # A gzip body may be several in a row (RFC 1952 §2.2); whatever else follows is nothing.
            body = inflate.unused_data
            if not body.startswith(b"\x1f\x8b"):
                break
    except zlib.error as error:
        raise ContentCodingError(str(error)) from None
    return bytes(data)


class _Unbrotli(Protocol):
    def process(self, data: bytes, *, output_buffer_limit: int) -> bytes: ...


def _unbrotlied(body: bytes, limit: int) -> bytes:
    if brotli is None:
        return body
    unbrotli = cast(_Unbrotli, brotli.Decompressor())  # pyright: ignore[reportUnknownMemberType]
    data = bytearray()
    try:
        more = unbrotli.process(body, output_buffer_limit=limit)
        while more and len(data) < limit:
            data += more
            more = unbrotli.process(b"", output_buffer_limit=limit)
    except cast(type[Exception], brotli.error) as error:  # pyright: ignore[reportUnknownMemberType]
        raise ContentCodingError(str(error)) from None
    return bytes(data)
