"""Bodies in a content coding: what was packed comes out again, never more than asked for, and garbage is our error."""

import contextlib
import gzip
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender.delivery.content_coding import ContentCodingError, decoded

LIMIT = 64 * 1024


def unwrapped_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


# It comes without types.
packed_by_brotli = cast(Callable[[bytes], bytes], import_module("brotli").compress)

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "X-GZIP": gzip.compress,
    "deflate": zlib.compress,
    " Deflate ": unwrapped_deflate,
    "br": packed_by_brotli,
    "identity": bytes,
    "": bytes,
}


@given(st.binary(max_size=200), st.lists(st.sampled_from(sorted(PACKERS)), max_size=3))
def test_what_was_packed_comes_out_again(body: bytes, codings: list[str]) -> None:
    """Codings are listed in the order in which they were applied (RFC 9110 §8.4)."""
    packed = body
    for coding in codings:
        packed = PACKERS[coding](packed)

    assert decoded(packed, ",".join(codings), limit=LIMIT) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate", " Deflate ", "br"], ids=["gzip", "deflate", "unwrapped", "br"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_of_a_bomb_no_more_than_the_limit_comes_out(coding: str, times: int) -> None:
    bomb = b"\0" * 3_000_000
    for _ in range(times):
        bomb = PACKERS[coding](bomb)

    assert decoded(bomb, ",".join([coding] * times), limit=LIMIT) == b"\0" * LIMIT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_body_that_is_cut_gives_what_there_is(coding: str) -> None:
    body = bytes(range(256)) * 400
    packed = PACKERS[coding](body)

    found = decoded(packed[: len(packed) // 2], coding, limit=LIMIT)

    assert body.startswith(found)
    assert decoded(b"", coding, limit=LIMIT) == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_body_that_is_not_what_its_coding_says_is_our_error(coding: str) -> None:
    with pytest.raises(ContentCodingError, match=r"."):
        decoded(b"\xff no such thing", coding, limit=LIMIT)


@given(st.binary(max_size=60), st.sampled_from(["gzip", "deflate", "br", "br, gzip"]))
def test_any_bytes_are_a_body_or_our_error(body: bytes, coding: str) -> None:
    with contextlib.suppress(ContentCodingError):
        assert len(decoded(body, coding, limit=100)) <= 100


def test_a_body_in_a_coding_that_nobody_knows_is_left_as_it_is() -> None:
    assert decoded(b"zzz", "zstd", limit=2) == b"zz"
