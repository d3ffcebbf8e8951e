"""The decoded view of a body shows what is in it, or says why not; it never takes more than it may."""

import gzip
import zlib
from collections.abc import Callable
from typing import cast

import brotli  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_receiver.content_coding import DecodedBody, decode_body

brotli_compress = cast("Callable[[bytes], bytes]", brotli.compress)  # pyright: ignore[reportUnknownMemberType]

TEXT = b'{"ActionId": "1000.4636.158133"}' * 20


def bare_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "X-Gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate ": bare_deflate,
    "br": brotli_compress,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", ENCODERS)
def test_each_coding_is_undone(coding: str) -> None:
    for body in (TEXT, b""):
        assert decode_body(ENCODERS[coding](body), [coding]) == DecodedBody(data=body)


def test_several_codings_are_undone_in_reverse() -> None:
    body = brotli_compress(gzip.compress(TEXT))
    assert decode_body(body, ["gzip, br"]) == decode_body(body, ["gzip", "identity", "br"]) == DecodedBody(data=TEXT)


def test_gzip_may_be_several_in_a_row() -> None:
    assert decode_body(gzip.compress(b"one") + gzip.compress(b"two"), ["gzip"]).data == b"onetwo"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_bomb_is_cut_at_the_limit(coding: str) -> None:
    decoded = decode_body(ENCODERS[coding](bytes(1_000_000)), [coding], max_bytes=1000)
    assert decoded == DecodedBody(data=bytes(1000), fault="it holds more than 1000 bytes; these are the first")


@pytest.mark.parametrize(
    ("body", "coding", "fault"),
    [
        (TEXT, "gzip", "it is not gzip"),
        (TEXT, "deflate", "it is not deflate"),
        (TEXT, "br", "it is not br"),
        (gzip.compress(TEXT)[:-4], "gzip", "the gzip data end before their end"),
        (zlib.compress(TEXT)[:-1], "deflate", "the deflate data end before their end"),
        (brotli_compress(TEXT)[:-1], "br", "the br data end before their end"),
        (b"", "gzip", "the gzip data end before their end"),
        (gzip.compress(TEXT) + b"more", "gzip", "what follows the gzip data is no more of it"),
        (zlib.compress(TEXT) + b"more", "deflate", "4 bytes follow the end of the deflate data"),
        (TEXT, "zstd", "its content coding is not one of gzip, deflate, br"),
        (TEXT, "gzip, " * 5, "it has 5 codings, of which 4 are undone at most"),
    ],
    ids=[
        *("text as gzip", "text as deflate", "text as br", "cut gzip", "cut deflate", "cut br", "nothing"),
        *("gzip and more", "deflate and more", "unknown", "many"),
    ],
)
def test_what_cannot_be_decoded_says_why_and_shows_what_there_is(body: bytes, coding: str, fault: str) -> None:
    decoded = decode_body(body, [coding])
    assert (decoded.fault or "").startswith(fault)
    assert decoded.data in {TEXT, body} or TEXT.startswith(decoded.data)


@given(st.binary(max_size=64), st.sampled_from(["gzip", "deflate", "br", "x, y", ""]))
def test_any_bytes_have_a_view(body: bytes, coding: str) -> None:
    assert len(decode_body(body, [coding], max_bytes=100).data) <= 100
