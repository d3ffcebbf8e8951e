"""The exchange format gives back every byte and every nanosecond, and refuses everything else with a line number."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from json_schema import Schema
from postback_receiver import (
    Capture,
    CaptureFormatError,
    capture_schema,
    capture_to_line,
    iso_to_ns,
    line_to_capture,
    ns_to_iso,
    read_captures,
)

PUBLISHED = Path(__file__).parents[2] / "docs" / "capture.schema.json"
SCHEMA = Schema(capture_schema())


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(PUBLISHED.read_text()) == json.loads(json.dumps(capture_schema())), "run `make docs`"


@given(data=st.data())
def test_a_capture_written_and_read_is_the_same_capture(
    any_capture: SearchStrategy[Capture], data: st.DataObject
) -> None:
    capture = data.draw(any_capture)
    line = capture_to_line(capture)
    assert b"\n" not in line
    assert line_to_capture(line) == capture
    SCHEMA.accept(json.loads(line))


@given(st.binary() | st.text().map(str.encode) | st.recursive(st.none(), st.lists).map(json.dumps).map(str.encode))
@example(b"[" * 100_000)
@example(b'{"x":' * 100_000)
@example(b'{"id": "\\ud800"}')
def test_any_bytes_are_a_capture_or_our_error(line: bytes) -> None:
    with pytest.raises(CaptureFormatError, match="Line 1 "):
        line_to_capture(line)


@given(data=st.data())
def test_a_damaged_line_is_a_capture_or_our_error(any_capture: SearchStrategy[Capture], data: st.DataObject) -> None:
    line = bytearray(capture_to_line(data.draw(any_capture)))
    line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CaptureFormatError):
        line_to_capture(bytes(line))


def test_a_line_looks_as_documented(new_capture: Callable[[str], Capture]) -> None:
    assert json.loads(capture_to_line(new_capture("7f"))) == {
        "format": "postback-capture/1",
        "id": "7f",
        "run": "",
        "endpoint": "/",
        "received_at": "2026-05-10T21:07:27.000000Z",
        "connected_ns": None,
        "monotonic_ns": None,
        "body_done_ns": None,
        "gone_ns": None,
        "lateness_ns": 0,
        "connection": "c1",
        "connection_request": 1,
        "remote": "127.0.0.1:5000",
        "tls": None,
        "http_version": "1.1",
        "method": "POST",
        "target": "/postback?click=x",
        "headers": [["Host", "localhost"]],
        "body": "{}",
        "trailers": [],
        "truncated": False,
        "malformed": None,
        "answer": {"status": 200, "headers": [], "body": "", "sent_at": None, "sent_ns": None},
        "fault": None,
    }


def test_a_body_that_is_not_utf8_travels_as_base64(new_capture: Callable[[str], Capture]) -> None:
    line = json.loads(capture_to_line(replace(new_capture("a"), body=b"\xff\x00")))
    assert line["body_base64"] == "/wA="
    assert "body" not in line


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"format": "postback-capture/2"}, "format", id="later format"),
        pytest.param({"format": None}, "format", id="no format"),
        pytest.param({"method": 1}, "method", id="number for text"),
        pytest.param({"body_base64": ""}, "both `body` and `body_base64`", id="two bodies"),
        pytest.param({"target": "/€"}, "target", id="character that is no byte"),
        pytest.param({"headers": [["Host"]]}, "headers", id="header without value"),
        pytest.param({"received_at": "2026-05-10T21:07:27+02:00"}, "received_at", id="not UTC"),
        pytest.param({"received_at": "2026-13-10T21:07:27Z"}, "received_at", id="month 13"),
        pytest.param({"received_at": "9999-01-01T00:00:00Z"}, "received_at", id="beyond 64 bits"),
        pytest.param({"connection_request": 2**70}, "connection_request", id="number beyond 64 bits"),
    ],
)
def test_the_error_names_what_is_wrong(
    new_capture: Callable[[str], Capture], changes: dict[str, Any], complaint: str
) -> None:
    line = json.loads(capture_to_line(new_capture("a"))) | changes
    with pytest.raises(CaptureFormatError, match=complaint):
        line_to_capture(json.dumps(line))
    # What a calendar knows, no schema does.
    assert SCHEMA.takes(line) == (complaint == "received_at" and changes["received_at"][-1:] == "Z")


def test_a_line_without_a_body_is_refused(new_capture: Callable[[str], Capture]) -> None:
    line = capture_to_line(new_capture("a")).replace(b'"body":"{}",', b"")
    with pytest.raises(CaptureFormatError, match="neither `body` nor `body_base64`"):
        line_to_capture(line)
    assert not SCHEMA.takes(json.loads(line))


def test_a_line_without_what_came_later_is_complete(new_capture: Callable[[str], Capture]) -> None:
    capture = new_capture("a")
    line = json.loads(capture_to_line(capture))
    later = ("run", "connected_ns", "body_done_ns", "gone_ns", "lateness_ns", "tls", "trailers", "malformed")
    old = {name: value for name, value in line.items() if name not in later}
    del old["answer"]["sent_ns"]
    assert line_to_capture(json.dumps(old)) == capture
    SCHEMA.accept(old)


def test_unknown_keys_of_a_later_version_are_passed_over(new_capture: Callable[[str], Capture]) -> None:
    capture = new_capture("a")
    line = json.loads(capture_to_line(capture)) | {"weather": {"rain": True}}
    assert line_to_capture(json.dumps(line)) == capture
    SCHEMA.accept(line)


def test_lines_are_counted_with_the_blank_ones(new_capture: Callable[[str], Capture]) -> None:
    first = new_capture("a")
    lines = read_captures([capture_to_line(first) + b"\n", "\n", "nonsense"])
    assert next(lines) == first
    with pytest.raises(CaptureFormatError, match="Line 3 ") as caught:
        next(lines)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_778_447_247_123_456_000, "2026-05-10T21:07:27.123456Z"),
        (1_778_447_247_123_456_789, "2026-05-10T21:07:27.123456789Z"),
    ],
)
def test_times_keep_their_nanoseconds(ns: int, text: str) -> None:
    assert ns_to_iso(ns) == text
    assert iso_to_ns(text) == ns


def test_a_time_may_have_fewer_decimals() -> None:
    assert iso_to_ns("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert iso_to_ns("1970-01-01T00:00:01Z") == 1_000_000_000
