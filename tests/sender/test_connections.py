"""Connections: one request, one outcome, and every way in which an answer can be broken has its name."""

import asyncio
import socket

import pytest

from postback_sender.delivery.retry import Failure
from postback_sender.matcher import MAX_ANSWER_BYTES
from scripted_server import Script, answers_of, saying


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 503\r\ncontent-length: 0\r\n\r\n", 503, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n1\r\n!\r\n0\r\nT: t\r\n\r\n",
            200,
            b"hi!",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, b""),
    ],
    ids=["length", "no reason", "until the end", "chunks", "interim", "no body", "redirect"],
)
def test_an_answer_is_read_to_its_end(answer: bytes, status: int, body: bytes) -> None:
    [got] = answers_of(saying(answer))

    assert (got.failure, got.status, got.body, got.cut) == (None, status, body, False)
    assert got.sent_ns is not None
    assert got.sent_ns <= got.finished_ns


def test_an_answer_to_head_has_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"

    assert [one.status for one in answers_of(saying(head, head), 2, method="HEAD")] == [200, 200]


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


HUGE = b"x" * (MAX_ANSWER_BYTES + 10)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + HUGE), id="length"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n" + HUGE), id="chunks"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\n\r\n" + HUGE), id="until the end"),
        pytest.param(endless, id="without end"),
    ],
)
def test_of_a_huge_answer_the_beginning_is_kept(script: Script) -> None:
    [got] = answers_of(script)

    assert (got.failure, got.status, got.cut, got.body) == (None, 200, True, b"x" * MAX_ANSWER_BYTES)


@pytest.mark.parametrize(
    ("script", "failure", "status"),
    [
        pytest.param(saying(b""), Failure.CONNECTION, None, id="closed without an answer"),
        pytest.param(saying(b"HTTP/1.1 200"), Failure.BROKEN_ANSWER, None, id="closed in the status line"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\n"), Failure.BROKEN_ANSWER, None, id="half a head"),
        pytest.param(saying(b"\x16\x03\x01garbage\r\n\r\n"), Failure.BROKEN_ANSWER, None, id="garbage"),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nab"), Failure.BROKEN_ANSWER, 200, id="too short"
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"),
            Failure.BROKEN_ANSWER,
            200,
            id="half a chunk",
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n"),
            Failure.BROKEN_ANSWER,
            200,
            id="no size",
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab"), Failure.BROKEN_ANSWER, None, id="no length"
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            Failure.BROKEN_ANSWER,
            None,
            id="two lengths",
        ),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), Failure.BROKEN_ANSWER, None, id="no header"),
        pytest.param(saying(b"HTTP/1.1 100 Continue\r\n\r\n" * 20), Failure.BROKEN_ANSWER, None, id="interim for ever"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000), Failure.BROKEN_ANSWER, None, id="endless head"),
    ],
)
def test_a_broken_answer_has_a_name(script: Script, failure: Failure, status: int | None) -> None:
    [got] = answers_of(script)

    assert (got.failure, got.status) == (failure, status)
    assert got.detail
    assert got.detail.startswith("connection lost after the request was sent; ") == (failure is Failure.CONNECTION)


@pytest.mark.parametrize(
    "script",
    [saying(b"garbage\r\n\r\n"), saying(b""), saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")],
    ids=["garbage", "nothing", "no length"],
)
def test_no_detail_tells_the_url_which_may_hold_a_secret(script: Script) -> None:
    [got] = answers_of(script, path="/p?token=s3cret")

    assert got.failure
    assert got.detail
    assert "s3cret" not in got.detail


@pytest.mark.parametrize("length", [b"Content-Length: 10\r\n", b""], ids=["a body with a length", "a body to the end"])
def test_a_connection_that_is_reset_in_the_middle_of_an_answer_is_no_answer(length: bytes) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\nabc")
        await writer.drain()
        # Not before the client, in the same loop, has read what there is.
        for _ in range(10):
            await asyncio.sleep(0)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    assert answers_of(reset)[0].failure in {Failure.CONNECTION, Failure.BROKEN_ANSWER}
