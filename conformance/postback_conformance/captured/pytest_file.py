"""Captures as a test file for pytest that sends them to an endpoint and asserts the recorded answers.

It needs pytest and nothing of ours, so that it can be handed to whoever runs the endpoint.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from postback_conformance.captured.home_server import ELSEWHERE
from postback_conformance.captured.replaying import plain_body, recorded_request
from postback_conformance.printable import printable
from postback_receiver import Answer, Capture
from postback_sender.replay.request import Destination, request_bytes

_LITERAL_BYTES: Final = 80
_HOST: Final = b"Host: "

_HEAD: Final = '''"""Recorded requests, sent to an endpoint again; it has to answer as it was recorded.

    POSTBACK_TO=http://127.0.0.1:8080 pytest {name}

Written by `postback export --format pytest`. Requests go out as they were, but for Host and what belongs to one
connection. Answers are compared by status and body.
"""

import gzip
import os
import socket
import ssl
from http.client import HTTPResponse
from urllib.parse import urlsplit

import pytest

TO = urlsplit(os.environ.get("POSTBACK_TO", {to!r}))
HOST = TO.netloc.encode()


def answer_to(request: bytes) -> tuple[int, bytes]:
    port = TO.port or {{"http": 80, "https": 443}}[TO.scheme]
    with socket.create_connection((TO.hostname, port), timeout=30) as connection:
        if TO.scheme == "https":
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=TO.hostname)
        connection.sendall(request)
        response = HTTPResponse(connection, method=request.partition(b" ")[0].decode())
        response.begin()
        body = response.read()
        connection.close()
        is_zipped = response.getheader("Content-Encoding") == "gzip"
        return response.status, gzip.decompress(body) if is_zipped else body


@pytest.mark.parametrize(
    ("request_bytes", "status", "body"),
    [
'''
_END: Final = """    ],
)
def test_the_answer_is_as_recorded(request_bytes: bytes, status: int, body: bytes) -> None:
    assert answer_to(request_bytes) == (status, body)
"""


def pytest_file(
    answered: Iterable[tuple[Capture, Answer]], *, to: Destination | None = None, name: str = "test_recorded.py"
) -> Iterator[bytes]:
    """Yield the pieces of the file; memory stays flat but for the ids."""
    default = ELSEWHERE if to is None else f"{to.origin.scheme}://{to.authority}"
    # The name of a file may be anything, and stands in a text.
    yield _HEAD.format(name=printable(name).replace("\\", "/").replace('"', "'"), to=default).encode()
    seen: set[str] = set()
    for capture, answer in answered:
        case_id, number = capture.id, 1
        while case_id in seen:
            number += 1
            case_id = f"{capture.id}-{number}"
        seen.add(case_id)
        yield _case(capture, answer, to or Destination.parse(default), case_id)
    yield _END.encode()


def _case(capture: Capture, answer: Answer, to: Destination, case_id: str) -> bytes:
    request = request_bytes(recorded_request(capture), to)
    head, _, body = request.partition(b"\r\n\r\n")
    sent = [*_head_lines(head, to), *_literals(body)]
    expected = [*_literals(plain_body(answer.body, answer.headers))] or ["b''"]
    rows = [*sent[:-1], f"{sent[-1]},", f"{answer.status},", *expected[:-1], f"{expected[-1]},", f"id={case_id!a},"]
    return "".join(("        pytest.param(\n", *(f"            {row}\n" for row in rows), "        ),\n")).encode()


def _head_lines(head: bytes, to: Destination) -> Iterator[str]:
    own = _HOST + to.authority.encode("latin-1")
    for line in head.split(b"\r\n"):
        if line == own:
            yield f"{_HOST!r} + HOST + b'\\r\\n'"
        else:
            yield from _literals(line + b"\r\n")
    yield "b'\\r\\n'"


def _literals(data: bytes) -> Iterator[str]:
    for line in data.splitlines(keepends=True):
        for start in range(0, len(line), _LITERAL_BYTES):
            yield repr(line[start : start + _LITERAL_BYTES])
