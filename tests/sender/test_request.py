"""A postback as bytes: what of its URL is said to whom, and what is not said at all."""

import pytest

from postback_sender import Postback, TargetError
from postback_sender.delivery.origin import Origin, split_url
from postback_sender.delivery.request import request_bytes


def postback(
    url: str, *, method: str = "GET", headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
) -> Postback:
    return Postback(method=method, url=url, headers=headers, body=body, key="")


@pytest.mark.parametrize(
    ("url", "origin", "authority", "target"),
    [
        ("http://h/p?q=1", ("http", "h", 80), "h", "/p?q=1"),
        ("HTTPS://H.example/", ("https", "h.example", 443), "H.example", "/"),
        ("http://h:8080", ("http", "h", 8080), "h:8080", "/"),
        ("http://h:0/x", ("http", "h", 0), "h:0", "/x"),
        ("http://h?q=http://other/#f", ("http", "h", 80), "h", "/?q=http://other/"),
        ("http://h#f/x?y", ("http", "h", 80), "h", "/"),
        ("http://h/a/../b//c?x=%zz&bare&?#f", ("http", "h", 80), "h", "/a/../b//c?x=%zz&bare&?"),
        ("http://[::1]:8080/x", ("http", "::1", 8080), "[::1]:8080", "/x"),
        ("http://[2001:db8::1]", ("http", "2001:db8::1", 80), "[2001:db8::1]", "/"),
    ],
    ids=[
        *("path and query", "capitals", "no path", "port 0", "empty path with query", "fragment only"),
        *("nothing is tidied up", "IPv6 with port", "IPv6"),
    ],
)
def test_a_url_is_a_server_and_what_it_is_asked_for(
    url: str, origin: tuple[str, str, int], authority: str, target: str
) -> None:
    scheme, host, port = origin
    server, found = split_url(url)

    assert server == (Origin(scheme=scheme, host=host, port=port), authority, None)
    assert found == target


@pytest.mark.parametrize(
    ("user", "authorization"),
    [
        ("user:pa%3Ass", "Basic dXNlcjpwYTpzcw=="),
        ("user:", "Basic dXNlcjo="),
        ("user", "Basic dXNlcjo="),
        ("%C3%BC:p@ss", "Basic w7w6cEBzcw=="),
    ],
    ids=["both", "empty password", "no password", "beyond ASCII, and an @"],
)
def test_a_user_and_password_become_a_header_and_are_in_nothing_else(user: str, authorization: str) -> None:
    (origin, authority, found), target = split_url(f"http://{user}@h:1/x")

    assert (origin.host, authority, target, found) == ("h", "h:1", "/x", authorization)


@pytest.mark.parametrize(
    "url", ["", "h/p", "ftp://h/", "http://", "http://:80/", "http://[::1", "http://u:s3cret@h:x/"]
)
def test_what_is_no_url_of_a_server_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(TargetError, match="expected a URL") as caught:
        split_url(url)
    assert "s3cret" not in str(caught.value)


def test_a_get_has_a_host_and_what_it_was_given() -> None:
    origin, data = request_bytes(postback("http://u:p@h:8080/x?y#f", headers=(("X-one", "1"), ("x-ONE", "é"))))

    assert origin == Origin(scheme="http", host="h", port=8080)
    assert data == (
        b"GET /x?y HTTP/1.1\r\nHost: h:8080\r\nX-one: 1\r\nx-ONE: \xc3\xa9\r\nAuthorization: Basic dTpw\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", b"", None), ("GET", b"\r\n\r\n", 4), ("POST", b"", 0), ("POST", b"ab", 2), ("PUT", b"ab", 2)],
)
def test_a_body_comes_with_its_length_and_a_post_always_says_one(method: str, body: bytes, length: int | None) -> None:
    _, data = request_bytes(postback("http://h/", method=method, body=body))

    head, _, sent = data.partition(b"\r\n\r\n")
    assert sent == body
    assert [int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")] == (
        [] if length is None else [length]
    )


def test_a_partner_may_name_the_host_and_the_authorization_in_other_words() -> None:
    """`to` brings a URL with user and password to settings that have an Authorization of their own."""
    headers = (("host", "shop.example"), ("AUTHORIZATION", "Bearer t"))
    _, data = request_bytes(postback("http://u:p@127.0.0.1/", headers=headers))

    assert data == b"GET / HTTP/1.1\r\nhost: shop.example\r\nAUTHORIZATION: Bearer t\r\n\r\n"
