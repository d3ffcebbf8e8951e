"""The longest prefix takes a request, cut at whole path segments."""

import pytest

from postback_receiver import Endpoint, EndpointTable


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/", "/"),
        ("/x", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a/x", "/a"),
        ("/ab", "/"),
        ("/a/b", "/a/b/"),
        ("/a/b/", "/a/b/"),
        ("/a/b/c", "/a/b/"),
        ("/a/bc", "/a"),
        ("/A", "/"),
        ("/%61", "/"),
        ("*", None),
    ],
)
def test_the_longest_prefix_takes_the_path(path: str, prefix: str | None) -> None:
    table = EndpointTable([Endpoint(prefix="/"), Endpoint(prefix="/a/b/"), Endpoint(prefix="/a")])
    endpoint = table.match(path)
    assert (endpoint.prefix if endpoint else None) == prefix


def test_without_a_catch_all_a_path_may_belong_to_nobody() -> None:
    assert EndpointTable([Endpoint(prefix="/a")]).match("/b") is None


@pytest.mark.parametrize("prefix", ["", "a", "/a?b"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="starts with /"):
        Endpoint(prefix=prefix)


def test_two_endpoints_may_not_share_a_prefix() -> None:
    with pytest.raises(ValueError, match="share the prefix"):
        EndpointTable([Endpoint(prefix="/a"), Endpoint(prefix="/a/")])
