"""A head is read as RFC 9112 has it, or refused with the reason; nothing in between."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_receiver.answer_plan import Asked, answer_bytes, ends_connection
from postback_receiver.request_head import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_TARGET_BYTES,
    Malformed,
    RequestHead,
    parse_head,
    unfinished_fault,
)

HOST = b"Host: a\r\n"


def head(*fields: bytes, line: bytes = b"POST /p HTTP/1.1") -> bytes:
    return line + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


@pytest.mark.parametrize(
    ("text", "length", "keep_alive", "expects_continue"),
    [
        (head(b"Host: a"), 0, True, False),
        (head(b"host:a", b"CONTENT-LENGTH: 12 "), 12, True, False),
        (head(b"Host: a", b"Transfer-Encoding: Chunked"), None, True, False),
        (head(b"Host: a", b"Connection: x, Close"), 0, False, False),
        (head(line=b"GET / HTTP/1.0"), 0, False, False),
        (head(b"Connection: Keep-Alive", line=b"GET / HTTP/1.0"), 0, True, False),
        (head(b"Host: a", b"Content-Length: 1", b"Expect: 100-Continue"), 1, True, True),
        (head(b"Host: a", b"Expect: 100-continue", line=b"GET / HTTP/1.0"), 0, False, False),
        (head(b"Host: a", line=b"CONNECT partner.example:443 HTTP/1.1"), 0, True, False),
        (head(b"Host: a", line=b"OPTIONS * HTTP/1.1"), 0, True, False),
    ],
)
def test_a_head_says_where_its_request_ends(
    *, text: bytes, length: int | None, keep_alive: bool, expects_continue: bool
) -> None:
    read = parse_head(text)
    assert isinstance(read, RequestHead)
    assert (read.length, read.keep_alive, read.expects_continue) == (length, keep_alive, expects_continue)


REFUSED = [
    (
        head(b"Host: a", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        400,
        "there are both Content-Length and",
    ),
    (head(b"Host: a", b"Content-Length: 1", b"Content-Length: 1"), 400, "there are several Content-Length fields"),
    (head(b"Host: a", b"Content-Length: 1, 1"), 400, "Content-Length is not one whole number"),
    (head(b"Host: a", b"Content-Length: +1"), 400, "Content-Length is not one whole number"),
    (head(b"Host: a", b"Transfer-Encoding: gzip, chunked"), 501, "Transfer-Encoding is not chunked"),
    (head(b"Transfer-Encoding: chunked", line=b"GET / HTTP/1.0"), 400, "HTTP/1.0 has no Transfer-Encoding"),
    (head(b"A: b"), 400, "there is no Host field"),
    (head(b"Host: a", b"Host: a"), 400, "there are several Host fields"),
    (head(b"Host: a", b" folded"), 400, "header field 2 begins with a blank"),
    (head(b"Host: a", b"Content-Length : 1"), 400, "header field 2 has a blank before its colon"),
    (head(b"Host: a", b"hunter2"), 400, "header field 2 is not a name, a colon and a value"),
    (head(b"Host: a", b": hunter2"), 400, "header field 2 is not a name, a colon and a value"),
    (head(b"Host: a", b"A: b\nC: d"), 400, "a line ends in a bare line feed"),
    (head(b"Host: a", b"A: b\rC: d"), 400, "there is a carriage return that no line feed follows"),
    (head(b"Host: a", b"A: b\0"), 400, "byte 31 is the control character 0x00"),
    (head(b"Host: a", b"A: " + b"v" * MAX_HEADER_BYTES), 431, "header field 2 is longer than 65536 bytes"),
    (head(b"Host: a", *[b"A: b"] * MAX_HEADERS), 431, "there are more than 256 header fields"),
    (head(line=b"GET /" + b"q" * MAX_TARGET_BYTES + b" HTTP/1.1"), 414, "the target is longer than 1048576 bytes"),
    (head(line=b"GET /hunter2 x HTTP/1.1"), 400, "there is a blank in the target"),
    (head(line=b"GET hunter2 HTTP/1.1"), 400, "the target is neither a path nor a URL"),
    (head(HOST[:-2], line=b"GET  HTTP/1.1"), 400, "the target is neither a path nor a URL"),
    (head(line=b"GET / HTTP/3.0"), 505, "the version is not HTTP/1.0 or HTTP/1.1"),
    (head(line=b"PRI * HTTP/2.0"), 505, "the peer speaks HTTP/2 unasked"),
    (head(line=b"GET /hunter2"), 400, "expected a first line such as GET /path HTTP/1.1"),
    (b"\x16\x03\x01\x02\0\r\n\r\n", 400, "byte 0 is the control character 0x16"),
]


@pytest.mark.parametrize(("text", "status", "reason"), REFUSED, ids=map(str, range(len(REFUSED))))
def test_what_two_readers_could_take_differently_is_refused_with_the_reason(
    text: bytes, status: int, reason: str
) -> None:
    read = parse_head(text)
    assert isinstance(read, Malformed)
    assert read.status == status
    assert read.reason.startswith(reason)
    assert "hunter2" not in read.reason


def test_what_could_be_read_of_a_malformed_head_is_told() -> None:
    read = parse_head(head(b"Host: a", b"X: \xff", b"bad name: x", line=b"GET /p?q HTTP/1.1"))
    assert isinstance(read, Malformed)
    assert (read.method, read.target, read.http_version) == ("GET", "/p?q", "1.1")
    assert read.headers == (("Host", "a"), ("X", "\xff"))


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"GET /p?q=1 HTTP/1.1\r\nHost: a\r", None),
        (b"GET", None),
        (b"", "expected a first line"),
        (b"hunter2\r", "expected a first line"),
        (b"\x16\x03\x01\x02", "the peer speaks TLS, and this port does not"),
        (b"GET / HTTP/1.1\n", "a line ends in a bare line feed"),
        (b"GET /" + b"q" * (MAX_TARGET_BYTES + 100), "the first line is longer than 1048576 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 400_000, "the head is longer than 2097152 bytes"),
    ],
    ids=["good", "short", "nothing", "no HTTP", "TLS", "bare line feed", "long line", "long head"],
)
def test_what_can_never_become_a_head_is_known_before_its_end(start: bytes, reason: str | None) -> None:
    fault = unfinished_fault(start)
    assert (fault.reason[: len(reason)] if fault and reason else fault) == reason


TOKENS = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=12)
VALUES = st.text(st.characters(max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=12)


@given(
    method=TOKENS,
    target=st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=20),
    fields=st.lists(st.tuples(TOKENS.map(lambda name: "x" + name), VALUES), max_size=5),
)
def test_every_good_head_comes_back_as_it_was_written(method: str, target: str, fields: list[tuple[str, str]]) -> None:
    lines = [f"{method} /{target} HTTP/1.1", "Host: a", *(f"{name}:{value}" for name, value in fields)]
    read = parse_head("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))
    assert isinstance(read, RequestHead)
    assert (read.method, read.target) == (method, f"/{target}")
    assert read.headers == (("Host", "a"), *((name, value.strip(" \t")) for name, value in fields))


SOUND = (
    "Host: a",
    "host: b",
    "Content-Length: 4",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "X: \xad\xff",
    "A:",
)
HOSTILE = (" folded", "no field", "A : b", ": c", "X: a\nb", "X: \0", "Expect: 100-continue")
LINES = st.sampled_from((*SOUND, *HOSTILE))


@given(
    first=st.sampled_from(["GET / HTTP/1.1", "GET / HTTP/1.0", "POST /\xad HTTP/1.1", "GET  / HTTP/1.1", "X"]),
    lines=st.lists(LINES, min_size=1, max_size=4),
)
def test_what_is_known_of_earlier_requests_changes_nothing(first: str, lines: list[str]) -> None:
    """Fields that are too long to be remembered, at the end, have the others read afresh."""
    longer = ("Long", "x" * 2000)
    remembered, known, afresh = (
        parse_head("".join(f"{line}\r\n" for line in [first, *lines, *more, ""]).encode("latin-1"))
        for more in ([], [], [": ".join(longer)])
    )
    fields = tuple(field for field in afresh.headers if field != longer)
    assert remembered == known == replace(afresh, headers=fields)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_a_head_or_malformed(junk: bytes, begun: bool) -> None:  # noqa: FBT001
    read = parse_head((b"GET / HTTP/1.1\r\n" if begun else b"") + junk + b"\r\n\r\n")
    assert isinstance(read, RequestHead | Malformed)


LONG = 1_000_000


def test_long_names_are_refused_and_those_of_answers_are_sent_and_neither_is_remembered() -> None:
    tracemalloc.start()
    try:
        for number in range(10):
            name = b"%d" % number + b"A" * LONG
            read = parse_head(head(b"Host: a", name + b": x"))
            assert isinstance(read, Malformed)
            assert read.reason == f"header field 2 is longer than {MAX_HEADER_BYTES} bytes"
            headers = ((name.decode(), "close"),)
            assert name in answer_bytes(200, headers, b"", Asked(), date="")[0]
            assert not ends_connection(headers)
            del name, read, headers
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One of them would be more, and nothing that anybody else keeps meanwhile comes near.
    assert kept < LONG
