"""The views of a capture show what was sent and add nothing."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from postback_receiver import Capture


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/postback", "/postback", ""),
        ("/postback?", "/postback", ""),
        ("/postback?a=1?b=2", "/postback", "a=1?b=2"),
        ("/a%2Fb?x=%20+", "/a%2Fb", "x=%20+"),
        ("http://partner.example/a/b?x", "/a/b", "x"),
        ("http://partner.example", "/", ""),
        ("/redirect?to=http://x/y", "/redirect", "to=http://x/y"),
        ("/r/http://x/y", "/r/http://x/y", ""),
        ("*", "*", ""),
    ],
)
def test_path_and_query_are_the_raw_halves_of_the_target(
    new_capture: Callable[[str], Capture], target: str, path: str, query: str
) -> None:
    capture = replace(new_capture("a"), target=target)
    assert (capture.path, capture.query) == (path, query)


def test_header_gives_all_values_in_order_whatever_the_case(new_capture: Callable[[str], Capture]) -> None:
    capture = replace(new_capture("a"), headers=(("X-Key", "1"), ("Other", "-"), ("x-key", "2")))
    assert capture.header("X-KEY") == ("1", "2")
    assert capture.header("Absent") == ()
