"""Secrets are found in compressed bodies and in bodies of several parts; what cannot be read is not shown at all."""

import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import brotli  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.captured.export import ExportCount, ExportFormat, exported
from postback_conformance.redaction import has_hidden, has_left_out, keyed_hashes, redacted
from postback_conformance.rules.examples import capture
from postback_receiver import Answer, Capture, line_to_capture, read_har
from postback_receiver.body_secrets import body_secrets
from postback_receiver.content_coding import MAX_DECODED_BYTES, decode_body, encode_body

JSON = ("Content-Type", "application/json")
PLAIN = b'{"token": "hunter2", "id": 1}'
SHOWN = b'{"token": "[hidden]", "id": 1}'

compress_br = cast("Callable[[bytes], bytes]", brotli.compress)  # pyright: ignore[reportUnknownMemberType]


def sent(body: bytes, *headers: tuple[str, str], **changes: Any) -> Capture:  # noqa: ANN401
    return replace(capture(body), headers=headers, **changes)


@pytest.mark.parametrize(
    ("codings", "body"),
    [
        (["gzip"], gzip.compress(PLAIN)),
        (["deflate"], zlib.compress(PLAIN)),
        (["br"], compress_br(PLAIN)),
        (["gzip, identity", "BR"], compress_br(gzip.compress(PLAIN))),
    ],
    ids=["gzip", "deflate", "br", "two"],
)
def test_a_compressed_body_is_compressed_again_with_its_secrets_hidden(codings: list[str], body: bytes) -> None:
    headers = [("Content-Encoding", coding) for coding in codings]
    one = sent(body, JSON, *headers, answer=Answer(status=200, headers=(JSON, *headers), body=body))
    shown = redacted(one)
    assert shown.answer
    for written in (shown.body, shown.answer.body):
        assert decode_body(written, codings) == decode_body(encode_body(SHOWN, codings), codings)
        assert decode_body(written, codings).data == SHOWN
    assert (shown.truncated, has_hidden(shown), has_left_out(shown)) == (False, True, False)
    assert redacted(shown) == shown


def test_a_compressed_body_without_secrets_stays_as_it_was_sent() -> None:
    one = sent(gzip.compress(b'{"id": 1}', compresslevel=1, mtime=7), JSON, ("Content-Encoding", "gzip"))
    assert redacted(one) == one


def test_a_secret_has_one_hash_compressed_or_not_and_in_a_part_of_a_body() -> None:
    hide = keyed_hashes(b"key")
    stand_in = hide(b"hunter2").encode()
    zipped = redacted(sent(gzip.compress(PLAIN), ("Content-Encoding", "gzip")), hide)
    parts = redacted(sent(form_data('name="token"', b"hunter2"), MULTIPART), hide)
    assert stand_in in decode_body(zipped.body, ["gzip"]).data
    assert stand_in in parts.body


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(PLAIN)[:-4]),
        ("gzip", gzip.compress(PLAIN)[1:]),
        ("gzip", gzip.compress(PLAIN) + PLAIN),
        ("gzip", gzip.compress(bytes(MAX_DECODED_BYTES) + PLAIN)),
        ("zstd", b"\x28\xb5\x2f\xfd" + PLAIN),
        ("deflate", b"\x01\x1d\x00\xe2\xff" + PLAIN),
        ("gzip, " * 5, gzip.compress(PLAIN)),
    ],
    ids=["cut", "headless", "more behind", "too much", "unknown", "stored and cut", "too many"],
)
def test_what_cannot_be_decompressed_whole_is_left_out_and_said_to_be(coding: str, body: bytes) -> None:
    header = ("Content-Encoding", coding)
    # Stored without an end, so that nobody can know that it was whole.
    body = body if coding != "deflate" else b"\0" + body[1:]
    one = sent(body, JSON, header, answer=Answer(status=200, headers=(header,), body=body))
    shown = redacted(one)
    assert shown.answer
    for written in (shown.body, shown.answer.body):
        assert written.startswith(f"[left out: {len(body)} compressed bytes, which cannot be looked through".encode())
        assert b"hunter2" not in written
    assert (shown.truncated, has_left_out(shown)) == (True, True)
    assert redacted(shown) == shown


def test_what_is_text_though_it_is_said_to_be_compressed_is_read_as_text() -> None:
    assert redacted(sent(PLAIN, JSON, ("Content-Encoding", "gzip"))).body == SHOWN


@pytest.mark.parametrize("format_", list(ExportFormat))
def test_no_export_shows_what_was_compressed_or_sent_in_parts(format_: ExportFormat) -> None:
    encoded = ("Content-Encoding", "gzip")
    answer = Answer(status=200, headers=(encoded,), body=gzip.compress(PLAIN))
    captures = [
        sent(gzip.compress(PLAIN), JSON, encoded, id="zipped", answer=answer),
        sent(form_data('name="token"', b"hunter2"), MULTIPART, id="parts"),
        sent(gzip.compress(PLAIN)[:-1], encoded, id="cut"),
    ]
    count = ExportCount()
    written = b"".join(exported(captures, format_, hide=keyed_hashes(b"k"), count=count))
    assert b"hunter2" not in written
    assert gzip.compress(PLAIN)[10:-8] not in written
    whole = format_ in {ExportFormat.NDJSON, ExportFormat.HAR}
    assert (count.hidden, count.without_body, count.left_out.total()) == ((2, 1, 0) if whole else (2, 0, 1))
    if whole:
        again = read_har(written) if format_ is ExportFormat.HAR else list(map(line_to_capture, written.splitlines()))
        assert [one.truncated for one in again] == [False, False, True]
        assert b"hunter2" not in b"".join(decode_body(one.body, one.header("Content-Encoding")).data for one in again)


MULTIPART = ("Content-Type", 'multipart/form-data; charset=utf-8; boundary="-- a+b"')


def form_data(disposition: str, content: bytes, *, more: str = "", end: bytes = b"\r\n") -> bytes:
    """A secret between two fields that are none."""
    lines = [
        b"---- a+b",
        b'Content-Disposition: form-data; name="id"',
        b"",
        b"1",
        b"---- a+b",
        f"Content-Disposition: form-data; {disposition}{more}".encode(),
        b"",
        content,
        b"---- a+b",
        b'content-disposition: form-data; name="key_visual"; filename="token"',
        b"Content-Type: image/png",
        b"",
        b"\x89PNG token=x",
        b"---- a+b--",
        b"",
    ]
    return end.join(lines)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
@pytest.mark.parametrize(
    ("disposition", "more", "content", "shown"),
    [
        ('name="api_key"', "", b"hunter2", b"[hidden]"),
        ("name=api_key", "", b"hunter2", b"[hidden]"),
        ('filename="a"; name="auth[token]"', "", b"hun\r\n-ter2\n--x", b"[hidden]"),
        ("name*=utf-8''api%5Fkey", "", b"hunter2", b"[hidden]"),
        ('name="a\\"token"', "\r\nContent-Type: text/plain", b"hunter2", b"[hidden]"),
        ('name="event"', "\r\nContent-Type: application/json", PLAIN, SHOWN),
        ('name="event"; filename="e.xml"', "", b"<a><key>hunter2</key></a>", b"<a><key>[hidden]</key></a>"),
        ('name="event"', "\r\nContent-Transfer-Encoding: base64", b"aHVudGVyMg==", b"[hidden]"),
        ('name="event"', "\r\nX-Token: hunter2", b"x", b"x"),
        ('name="e"', "\r\nContent-Type: multipart/mixed; boundary=in", b"--in\nA: b\n\nkey=x\n--in--", None),
    ],
    ids=["quoted", "bare", "brackets", "extended", "escaped", "json", "xml", "coded", "header", "nested"],
)
def test_the_parts_of_a_body_are_read_one_by_one(
    disposition: str, more: str, content: bytes, shown: bytes | None, end: bytes
) -> None:
    more = more.replace("\r\n", end.decode())
    body = form_data(disposition, content, more=more, end=end)
    shown = content.replace(b"key=x", b"key=[hidden]") if shown is None else shown
    hidden = form_data(disposition, shown, more=more.replace("hunter2", "[hidden]"), end=end)
    assert redacted(sent(body, MULTIPART)).body == hidden


@pytest.mark.parametrize(
    "body",
    [
        form_data('name="token"', b"hunter2"),
        form_data('name="token"', b"hunter2" * 20)[:160],
        b"preamble\r\n" + form_data('name="token"', b"hunter2"),
        b"token=hunter2",
        b'{"token": "hunter2"}',
    ],
    ids=["other boundary", "cut", "preamble", "a form", "json"],
)
def test_a_body_in_parts_that_is_not_as_it_says_shows_nothing_either(body: bytes) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=other", MULTIPART[1]):
        assert b"hunter" not in redacted(sent(body, ("Content-Type", content_type))).body


@settings(max_examples=30)
@given(
    st.binary(max_size=40)
    | st.lists(
        st.sampled_from(
            ["--b", "\r\n", "\n", "--", 'Content-Disposition: form-data; name="key"', ": ", "x", "=", '"', " ", "--b--"]
        )
    ).map(lambda pieces: "".join(pieces).encode())
)
def test_any_bytes_can_be_read_as_parts(body: bytes) -> None:
    for boundary in (b"b", b""):
        spans = [(secret.first, secret.beyond) for secret in body_secrets(body, "multipart", boundary)]
        assert spans == sorted(spans)
        assert all(first < beyond <= later for (first, beyond), (later, _) in pairwise([*spans, (len(body), 0)]))
