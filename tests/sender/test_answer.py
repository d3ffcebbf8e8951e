"""Answers as bytes: however they are cut into pieces, they mean the same, and any bytes are an answer or our error."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postback_sender.delivery.answer import (
    MAX_HEAD_BYTES,
    AnswerReader,
    BrokenAnswerError,
    parse_chunk_size,
    parse_head,
)
from postback_sender.matcher import MAX_ANSWER_BYTES

Outcome = tuple[int | None, bytes, bool, bool, str]


def outcome(pieces: list[bytes], method: str = "GET") -> Outcome:
    """Read pieces and then the end of the connection: status, body, cut, whether it may be used again, and error."""
    reader, error = AnswerReader(method), ""
    try:
        for piece in pieces:
            reader.feed(piece)
        if not reader.is_complete:
            reader.end()
    except BrokenAnswerError as broken:
        error = str(broken)
    status = reader.head.status if reader.head else None
    return status, reader.body, reader.is_cut, not error and reader.keeps_connection, error


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


def chunked(body: bytes, size: int) -> bytes:
    chunks = [body[begin : begin + size] for begin in range(0, len(body), size)]
    return b"".join(b"%x;e=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nX-Sum: 1\r\n\r\n"


bodies = st.binary(max_size=40) | st.sampled_from([b"x" * MAX_ANSWER_BYTES, b"x" * (MAX_ANSWER_BYTES + 1)])
interims = st.sampled_from([b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 2])
cuts = st.lists(st.integers(0, 10**6), max_size=12)
FRAMINGS = ("length", "chunks", "the end")


def framed(body: bytes, framing: str) -> bytes:
    match framing:
        case "length":
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        case "chunks":
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 1 + len(body) // 3)
        case _:
            return b"HTTP/1.1 200 OK\r\n\r\n" + body


@given(interims, bodies, st.sampled_from(FRAMINGS), cuts)
def test_an_answer_is_the_same_in_any_pieces(interim: bytes, body: bytes, framing: str, where: list[int]) -> None:
    data = interim + framed(body, framing)
    is_cut = len(body) > MAX_ANSWER_BYTES

    expected = (200, body[:MAX_ANSWER_BYTES], is_cut, framing != "the end" and not is_cut, "")
    assert outcome([data]) == expected
    assert outcome(pieces(data, where)) == expected


nearly_answers = st.lists(
    st.binary(max_size=12)
    | st.sampled_from(
        [
            *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 404\r\n", b"HTTP/1.1 100 \r\n\r\n", b"HTTP/1.1 204 x\r\n\r\n"),
            *(b"Content-Length: 3\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"X: y\n"),
            *(
                b"Connection: close\r\n",
                b" folded\r\n",
                b"\r\n",
                b"\n",
                b"\r\n\r\n",
                b"5\r\nhello\r\n",
                b"0\r\n",
                b"-1\r\n",
            ),
        ]
    ),
    max_size=10,
).map(b"".join)


@given(nearly_answers, cuts, st.sampled_from(["GET", "HEAD"]))
@example(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", [MAX_HEAD_BYTES + 2], "GET")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * MAX_HEAD_BYTES + b"\r\n", [99_999], "GET")
def test_any_bytes_are_an_answer_or_our_error_the_same_in_any_pieces(
    data: bytes, where: list[int], method: str
) -> None:
    whole = outcome([data] if data else [], method)

    assert outcome(pieces(data, where), method) == whole
    assert outcome(pieces(data, list(range(len(data) if len(data) < 200 else 0))), method) == whole
    assert (whole[4] == "") <= (whole[0] is not None)


@pytest.mark.parametrize("over", [0, 1])
def test_a_head_has_a_limit_wherever_it_is_cut(over: int) -> None:
    begin, end = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", b"\r\n\r\n"
    data = begin + b"x" * (MAX_HEAD_BYTES - len(begin) - len(end) + over) + end

    for cut in (0, len(data) - 1, len(data) - 4, MAX_HEAD_BYTES):
        status, *_, error = outcome(pieces(data, [cut]))
        assert (status, "a head of more than 65536 bytes" in error) == ((None, True) if over else (200, False))


@given(st.binary(max_size=60) | st.binary(max_size=40).map(b"HTTP/1.1 200 OK\r\n".__add__))
def test_any_bytes_are_the_head_of_an_answer_or_our_error(data: bytes) -> None:
    with contextlib.suppress(BrokenAnswerError):
        assert 100 <= parse_head(data, method="GET").status <= 999
    with contextlib.suppress(BrokenAnswerError):
        assert parse_chunk_size(data) >= 0


def test_what_a_server_sends_back_is_in_no_error() -> None:
    for answer in (b"POST /s3cret HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\ns3cret\r\n\r\n"):
        assert "s3cret" not in outcome([answer])[-1]
    assert "s3cret" not in outcome([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ns3cret\r\n"])[-1]


def test_a_length_that_is_empty_is_none() -> None:
    assert "Content-Length" in outcome([b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"])[-1]


def test_lone_line_feeds_end_a_head() -> None:
    assert outcome([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"])[:2] == (200, b"hi")


def test_a_connection_on_which_a_body_may_follow_where_none_belongs_is_not_kept() -> None:
    assert not outcome([b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n"])[3]
    assert outcome([b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"])[3]
