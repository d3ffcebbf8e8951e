"""What an answer is made of."""

import pytest

from postback_receiver import Headers
from postback_receiver.answer_plan import Asked, answer_bytes

DATE = "Mon, 11 May 2026 00:07:27 GMT"
DATED, OCTETS = f"Date: {DATE}", "Content-Type: application/octet-stream"


@pytest.mark.parametrize(
    ("status", "headers", "asked", "lines", "sent"),
    [
        (200, (), Asked(), ["HTTP/1.1 200 OK", "Content-Length: 2", OCTETS, DATED], b"OK"),
        (299, (), Asked(), ["HTTP/1.1 299 ", "Content-Length: 2", OCTETS, DATED], b"OK"),
        (200, (), Asked(is_head=True), ["HTTP/1.1 200 OK", "Content-Length: 2", OCTETS, DATED], b""),
        (204, (), Asked(), ["HTTP/1.1 204 No Content", DATED], b""),
        (304, (), Asked(), ["HTTP/1.1 304 Not Modified", DATED], b""),
        (
            200,
            (),
            Asked((1, 0)),
            ["HTTP/1.0 200 OK", "Content-Length: 2", OCTETS, "Connection: keep-alive", DATED],
            b"OK",
        ),
        (
            200,
            (),
            Asked(keep_alive=False),
            ["HTTP/1.1 200 OK", "Content-Length: 2", OCTETS, "Connection: close", DATED],
            b"OK",
        ),
        (
            200,
            (("date", "now"), ("A", "1"), ("A", "2")),
            Asked(),
            ["HTTP/1.1 200 OK", "date: now", "A: 1", "A: 2", "Content-Length: 2", OCTETS],
            b"OK",
        ),
        (
            200,
            (("content-type", "a/b"), ("Connection", "close")),
            Asked(),
            ["HTTP/1.1 200 OK", "content-type: a/b", "Connection: close", "Content-Length: 2", DATED],
            b"OK",
        ),
    ],
    ids=["plain", "no phrase", "HEAD", "204", "304", "HTTP/1.0", "last", "own date", "own type"],
)
def test_an_answer_has_what_http_asks_for_and_nothing_twice(
    status: int, headers: Headers, asked: Asked, lines: list[str], sent: bytes
) -> None:
    head, body = answer_bytes(status, headers, b"OK", asked, date=DATE)
    assert (head.decode().split("\r\n"), body) == ([*lines, "", ""], sent)


@pytest.mark.parametrize(
    ("status", "headers", "body", "asked", "lines"),
    [
        (200, (("X", "\xe9\xff"),), b"OK", Asked(), ["HTTP/1.1 200 OK", "X: \xe9\xff", "Content-Length: 2", DATED]),
        (200, (("Content-Length", "9"),), b"", Asked(is_head=True), ["HTTP/1.1 200 OK", "Content-Length: 9", DATED]),
        (200, (), b"", Asked(is_head=True), ["HTTP/1.1 200 OK", DATED]),
        (304, (("Content-Length", "9"),), b"", Asked(), ["HTTP/1.1 304 Not Modified", "Content-Length: 9", DATED]),
        (999, (), b"", Asked(), ["HTTP/1.1 999 ", "Content-Length: 0", DATED]),
    ],
    ids=["obs-text and no type", "HEAD", "HEAD without a length", "304", "no such status"],
)
def test_nothing_is_guessed_about_an_answer_that_is_relayed(
    status: int, headers: Headers, body: bytes, asked: Asked, lines: list[str]
) -> None:
    head, sent = answer_bytes(status, headers, body, asked, date=DATE, is_relayed=True)
    assert (head.decode("latin-1").split("\r\n"), sent) == ([*lines, "", ""], body)
