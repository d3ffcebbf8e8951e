"""Filters choose captures by their fields, and a filter that cannot be read is told with its place."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.captured.capture_filter import all_match, parse_filter, parse_filters, query_of
from postback_conformance.errors import FilterError
from postback_conformance.rules.examples import capture
from postback_receiver import Answer
from postback_receiver.capture_query import CaptureQuery

CAPTURE = replace(
    capture(b'{"city": "Z\xc3\xbcrich"}\xff'),
    id="7f03",
    endpoint="/postback",
    method="POST",
    target="/postback/eu?click=a=b",
    headers=(("X-Env", "test"), ("x-env", "live"), ("Host", "h")),
    answer=Answer(status=503),
    fault="reset",
    received_at_ns=1_778_400_000_000_000_500,
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
        ("path!~^/eu", True),
        ("path!~^/post", False),
        ("query:click=a=b", True),
        ("query:none!=x", True),
        ("form:x=1", False),
        ("status>=503", True),
        ("status>503", False),
        ("status < 504", True),
        ("status<=502", False),
        ("bytes>18", True),
        ("bytes=20", True),
        ("received>2026-05-10", True),
        ("received<2026-05-10T08:00:00.000001Z", True),
        ("received>=2026-05-10T10:00:00+02:00", True),
        ("received<2026-05-10T08:00:00", False),
        ("fault=reset", True),
        ("fault~^re", True),
        ("malformed~", False),
        ("malformed!~", True),
        ("is=fault", True),
        ("is!=malformed", True),
        ("is=unmatched", False),
        ("text=cit", True),
        ("text=ity", False),
        ("text!=CITY", False),
        ("value=City", True),
        ("value=cit", False),
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
    assert not parse_filter("status<999").matches(unanswered)
    assert parse_filter("is=unanswered").matches(unanswered)
    assert parse_filter("is=unmatched").matches(unanswered)


@pytest.mark.parametrize(
    ("text", "message", "caret"),
    [
        ("", "expected =, !=, ~, !~, <, <=, > or >= after a field, got the end", 1),
        ("status", "expected =, !=, ~, !~, <, <=, > or >= after a field, got the end", 7),
        ("staus=503", "got 'staus'; did you mean status?", 1),
        ("  x=1", "expected one of method, target, path", 3),
        ("header:=1", "expected the name of a header", 8),
        ("path~a(b", "expected a regular expression", 7),
        ("body~é(", "expected a regular expression", 7),
        ("query: =1", "expected the name of a field", 8),
        ("path<3", "< compares status, bytes, received", 5),
        ("status>many", "expected a whole number, got 'many'", 8),
        ("received>soon", "expected a time such as 2026-05-11T08", 10),
        ("received~2026", "expected =, !=, <, <=, > or >= after received, got ~", 9),
        ("is=malfromed", "did you mean malformed?", 4),
        ("text~a", "expected = or != after text, got ~", 5),
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


_TEXTS = st.sampled_from(
    ["/", "/postback", "/postback/eu", "POST", "503", "0503", "test", "city", "7f03", "fault", "tls", "malformed", ""]
)
_FILTERS = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["method", "path", "endpoint", "status", "header:x-env", "text", "value"]),
        st.sampled_from(["=", "!="]),
        _TEXTS,
    ),
    st.builds(
        "is{}{}".format, st.sampled_from(["=", "!="]), st.sampled_from(["fault", "tls", "malformed", "unmatched"])
    ),
    st.builds("received{}2026-05-{}".format, st.sampled_from(["<", "<=", ">", ">=", "="]), st.integers(10, 11)),
    st.builds("header:{}~{}".format, st.sampled_from(["X-ENV", "x-none"]), st.sampled_from(["", "live"])),
)


@settings(max_examples=50)
@given(
    st.lists(_FILTERS, max_size=3),
    st.sampled_from([None, "/postback"]),
    st.sampled_from(["/", "/postback", "/postback/eu"]),
)
def test_what_all_filters_take_is_found_by_the_query_they_make(
    texts: list[str], endpoint: str | None, target: str
) -> None:
    filters = parse_filters(texts)
    one = replace(CAPTURE, endpoint=endpoint, target=target)
    assert query_of(filters).matches(one) or not all_match(filters, one)


def test_a_query_uses_what_a_store_has_an_index_for() -> None:
    filters = parse_filters(
        ["method=POST", "status=503", "is=fault", "received>=2026-05-10", "header:X=1", "body~x"], "zür"
    )
    assert query_of(filters) == CaptureQuery(
        method="POST", status=503, fault=True, since_ns=1_778_371_200_000_000_000, headers=(("X", "1"),), text="zür"
    )
