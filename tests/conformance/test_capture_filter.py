"""Filters choose captures by their fields, and a filter that cannot be read is told with its place."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.capture_filter import all_match, parse_filter
from postback_conformance.errors import FilterError
from postback_conformance.rules.examples import capture
from postback_receiver import Answer

CAPTURE = replace(
    capture(b'{"city": "Z\xc3\xbcrich"}\xff'),
    id="7f03",
    endpoint="/postback",
    method="POST",
    target="/postback/eu?click=a=b",
    headers=(("X-Env", "test"), ("x-env", "live"), ("Host", "h")),
    answer=Answer(status=503),
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("method=POST", True),
        ("method=post", False),
        ("method!=GET", True),
        (" path = /postback/eu", False),
        ("path=/postback/eu", True),
        ("path~^/post", True),
        ("path~^/eu", False),
        ("target=/postback/eu?click=a=b", True),
        ("target~click=", True),
        ("endpoint=/postback", True),
        ("status=503", True),
        ("status~^5", True),
        ("status!=503", False),
        ("id~^7f", True),
        ("header:X-ENV=test", True),
        ("header:x-env=live", True),
        ("header:x-env!=live", False),
        ("header:x-env~^pro", False),
        ("header:x-none!=a", True),
        ("header:x-none=", False),
        ("header:x-none~", False),
        ("header:host~", True),
        ("body~Zürich", True),
        ("body~\\xff$", True),
        ("body=", False),
    ],
)
def test_a_filter_holds_for_what_it_says(text: str, holds: bool) -> None:  # noqa: FBT001
    assert parse_filter(text).matches(CAPTURE) is holds
    assert all_match([parse_filter("method=POST"), parse_filter(text)], CAPTURE) is holds


def test_what_was_not_answered_has_no_status() -> None:
    unanswered = replace(CAPTURE, answer=None, endpoint=None)
    assert not parse_filter("status~").matches(unanswered)
    assert parse_filter("status!=200").matches(unanswered)
    assert not parse_filter("endpoint~").matches(unanswered)


@pytest.mark.parametrize(
    ("text", "message", "caret"),
    [
        ("", "expected =, != or ~ after a field, got the end", 1),
        ("status", "expected =, != or ~ after a field, got the end", 7),
        ("staus=503", "got 'staus'; did you mean status?", 1),
        ("  x=1", "expected one of method, target, path", 3),
        ("header:=1", "expected the name of a header", 8),
        ("path~a(b", "expected a regular expression", 7),
        ("body~é(", "expected a regular expression", 7),
    ],
)
def test_a_filter_that_cannot_be_read_is_told_with_its_place(text: str, message: str, caret: int) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    first, _, drawing = str(caught.value).split("\n")
    assert message in first
    assert first.startswith(f"filter, column {caret}: ")
    assert drawing == " " * (4 + caret - 1) + "^"


@given(st.text() | st.text().map("path~".__add__) | st.text().map("header:".__add__))
def test_any_text_is_a_filter_or_our_error(text: str) -> None:
    with contextlib.suppress(FilterError):
        assert parse_filter(text).matches(CAPTURE) in {True, False}
