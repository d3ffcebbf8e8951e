"""Claims about captures: what matches, what is told of a difference, and that no secret is."""

import gzip
import json
import re
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from cpu_time import cpu_time
from postback_receiver import Answer, Capture, Difference, Matcher
from postback_receiver.matcher import (
    ANYTHING,
    body,
    body_contains,
    endpoint,
    form_field,
    header,
    json_field,
    method,
    path,
    query,
    satisfies,
    status,
)
from postback_receiver.matching import distance, nearest_miss, to_matcher

CAPTURE = Capture(
    id="1",
    endpoint="/postback",
    received_at_ns=0,
    connection="c1",
    connection_request=1,
    remote="127.0.0.1:5000",
    http_version="1.1",
    method="POST",
    target="/postback/a%20b?click=x+y&click=z&key=s3cret&empty=",
    headers=(("Host", "localhost"), ("X-Env", "one"), ("x-env", "two"), ("X-Key", "s3cret"), ("X-Name", "Ã©t\xe9")),
    body=b'{"id": "1000.1", "n": 1, "yes": true, "none": null, "items": [{"a/b": 1.50}], "token": "s3cret"}',
    answer=Answer(status=503),
)
FORM = replace(CAPTURE, body=b"Status=PENDING&Name=%C3%A9+e&password=s3cret&Status=APPROVED")

SHOWN_BODY = CAPTURE.body.decode().replace('"s3cret"', "[hidden]")


def is_post(capture: Capture) -> bool:
    return capture.method == "POST"


MATCHING = [
    (method("POST"), CAPTURE),
    (path("/postback/a%20b"), CAPTURE),
    (path(re.compile("^/post")), CAPTURE),
    (endpoint("/postback"), CAPTURE),
    (endpoint(None), replace(CAPTURE, endpoint=None)),
    (header("X-ENV", "two"), CAPTURE),
    (header("x-env", re.compile("^o")), CAPTURE),
    (header("X-Key"), CAPTURE),
    (header("X-Name", "é"), replace(CAPTURE, headers=(("X-Name", "Ã©"),))),
    (header("X-Name", "é"), replace(CAPTURE, headers=(("X-Name", "é"),))),
    (query("click", "x y"), CAPTURE),
    (query("click", "z"), CAPTURE),
    (query("empty", ""), CAPTURE),
    (form_field("Status", "APPROVED"), FORM),
    (form_field("Name", "é e"), FORM),
    (json_field("/id", "1000.1"), CAPTURE),
    (json_field("/id", re.compile(r"^1000\.")), CAPTURE),
    (json_field("/n", 1.0), CAPTURE),
    (json_field("/yes", True), CAPTURE),
    (json_field("/none", None), CAPTURE),
    (json_field("/none"), CAPTURE),
    (json_field("/none", ANYTHING), CAPTURE),
    (json_field("/items/0/a~1b", 1.5), CAPTURE),
    (json_field("/items", [{"a/b": 1.5}]), CAPTURE),
    (json_field("", json.loads(CAPTURE.body)), CAPTURE),
    (
        json_field("/id", "z"),
        replace(CAPTURE, body=gzip.compress(b'{"id": "z"}'), headers=(("content-encoding", "GZIP"),)),
    ),
    # Without zlib's frame, as many send it.
    (body("hello"), replace(CAPTURE, body=zlib.compress(b"hello")[2:-4], headers=(("Content-Encoding", "deflate"),))),
    (body(CAPTURE.body), CAPTURE),
    (body("é"), replace(CAPTURE, body="é".encode())),
    (body(re.compile(r'"n": \d')), CAPTURE),
    (body(re.compile(rb"\xff")), replace(CAPTURE, body=b"\xff\xfe")),
    (body_contains("1000"), CAPTURE),
    (body_contains(b"\xfe"), replace(CAPTURE, body=b"\xff\xfe")),
    (status(200, 503), CAPTURE),
    (status(), CAPTURE),
    (satisfies(is_post), CAPTURE),
    (is_post & path(CAPTURE.path) & is_post, CAPTURE),
    (is_post | path("/no") | is_post, CAPTURE),
    (path("/no") | path("/postback/a%20b"), CAPTURE),
    (to_matcher(None), CAPTURE),
]


@pytest.mark.parametrize(("matcher", "capture"), MATCHING, ids=range(len(MATCHING)))
def test_what_is_as_claimed_has_no_differences_and_its_negation_has_some(matcher: Matcher, capture: Capture) -> None:
    assert matcher.differences(capture) == ()
    assert (~matcher).differences(capture)


@pytest.mark.parametrize(
    ("matcher", "told"),
    [
        (method("GET"), ["method: expected 'GET', got 'POST'"]),
        (path("/postbak"), ["path: expected '/postbak', got '/postback/a%20b'"]),
        (path(re.compile("^/b$")), ["path: expected a match for /^/b$/, got '/postback/a%20b'"]),
        (endpoint("/a"), ["endpoint: expected /a, got /postback"]),
        (header("X-None", "1"), ["header X-None: expected '1', got none"]),
        (header("X-None"), ["header X-None: expected any value, got none"]),
        (header("X-Env", "ones"), ["header X-Env: expected 'ones', got 'one' (and 1 more)"]),
        (header("X-Key", "s3"), ["header X-Key: expected [hidden, 2 characters], got [hidden, 6 characters]"]),
        (header("Key", re.compile("^t")), ["header Key: expected a match for the given pattern, got none"]),
        (query("click", "Z"), ["query parameter click: expected 'Z', got 'x y' (and 1 more)"]),
        (query("key", "S"), ["query parameter key: expected [hidden, 1 character], got [hidden, 6 characters]"]),
        (form_field("a", "1"), ["form field a: expected '1', got none"]),
        (json_field("/n", "1"), ['JSON field /n: expected "1", got 1']),
        (json_field("/yes", 1), ["JSON field /yes: expected 1, got true"]),
        (json_field("/n", True), ["JSON field /n: expected true, got 1"]),
        (json_field("/items/00", 1), ["JSON field /items/00: expected 1, got none"]),
        (json_field("/items/9", 1), ["JSON field /items/9: expected 1, got none"]),
        (json_field("/id/x"), ["JSON field /id/x: expected any value, got none"]),
        (json_field("/token", "a"), ["JSON field /token: expected [hidden, 3 characters], got [hidden, 8 characters]"]),
        (json_field("/items", {}), ['JSON field /items: expected {}, got [{"a/b": 1.5}]']),
        (body("key=abc&x=1"), ["body: expected 'key=[hidden]&x=1', got '" + SHOWN_BODY + "'"]),
        (body_contains("zz"), ["body: expected one with 'zz' in it, got '" + SHOWN_BODY + "'"]),
        (status(200, 201), ["status answered: expected 200 or 201, got 503"]),
        (satisfies(is_post, "being sent with PUT") & ~satisfies(is_post), ["is_post: expected not true, got true"]),
        (to_matcher(lambda _capture: False), ["condition: expected true, got false"]),
        (~path("/postback/a%20b"), ["path: expected not '/postback/a%20b', got '/postback/a%20b'"]),
        (~header("X-Env"), ["header X-Env: expected not any value, got 'one' (and 1 more)"]),
        (~query("click", "z"), ["query parameter click: expected not 'z', got 'z'"]),
        (method("GET") & status(200), ["method: expected 'GET', got 'POST'", "status answered: expected 200, got 503"]),
        (path("/a") | path("/b"), ["path: expected '/a' or '/b', got '/postback/a%20b'"]),
        (path("/a") & method("GET") | status(500), ["status answered: expected 500, got 503"]),
        (~(method("POST") & status(503)), ["status answered: expected not 503, got 503"]),
        (~to_matcher(None), ["request: expected none at all, got one"]),
    ],
)  # fmt: skip
def test_a_difference_says_where_what_was_expected_and_what_came(matcher: Matcher, told: list[str]) -> None:
    assert [str(difference) for difference in matcher.differences(CAPTURE)] == told
    assert (~matcher).matches(CAPTURE)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "an empty body"),
        (b"{", "a body that is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"a": NaN}', "a body that is no JSON: NaN is no JSON number"),
        (b"[" * 100_000, "a body that is nested too deep"),
        (b"\xff\xff", "a body that is no JSON: "),
    ],
)
def test_a_body_that_is_no_json_is_told_as_that(data: bytes, told: str) -> None:
    [difference] = json_field("/a", 1).differences(replace(CAPTURE, body=data))
    assert difference.actual.startswith(told)


def test_a_matcher_describes_itself_without_secrets() -> None:
    matcher = method("POST") & (path("/a") | ~query("token", "abc")) & header("X-Key", re.compile("abc"))
    assert str(matcher) == (
        "method 'POST' and (path '/a' or not query parameter token [hidden, 3 characters])"
        " and header X-Key a match for the given pattern"
    )
    assert str(path("/a") | path("/b") | path("/c")) == "(path '/a' or path '/b' or path '/c')"


def test_and_or_and_not_are_refused_since_they_would_drop_a_part_silently() -> None:
    with pytest.raises(TypeError, match=re.escape("combine matchers with &, | and ~, not with and, or, not")):
        bool(path("/a"))


def test_what_is_no_matcher_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="a matcher such as path"):
        to_matcher("/postback")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="starts with /"):
        json_field("items")


@pytest.mark.parametrize(
    ("build", "given"),
    [
        *((path, [wrong]) for wrong in (5, b"/a", re.compile(b"/a"))),
        *((header, [5]), (query, ["a", 5]), (form_field, ["a", 5]), (json_field, [5]), (endpoint, [5])),
        *((body, [5]), (body_contains, [5]), (status, ["200"])),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value),
)
def test_what_nothing_could_be_equal_to_is_refused(build: Callable[..., Matcher], given: list[object]) -> None:
    with pytest.raises(TypeError, match=re.escape(f"got {given[-1]!r}")):
        build(*given)


LEAVES = [matcher for matcher, _ in MATCHING] + [query("a", "b"), form_field("a"), path("/a"), json_field("/0", "")]


@pytest.fixture(scope="module")
def any_matcher() -> SearchStrategy[Matcher]:
    return st.recursive(
        st.sampled_from(LEAVES),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
            st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
            inner.map(lambda one: ~one),
        ),
        max_leaves=6,
    )


def test_the_algebra_is_the_usual_one(
    any_matcher: SearchStrategy[Matcher], any_capture: SearchStrategy[Capture]
) -> None:
    captures = any_capture | st.sampled_from([CAPTURE, FORM])

    @settings(max_examples=30)
    @given(one=any_matcher, other=any_matcher, capture=captures)
    def holds(one: Matcher, other: Matcher, capture: Capture) -> None:
        first, second = one.matches(capture), other.matches(capture)
        assert first is (not one.differences(capture))
        assert (distance(one.differences(capture)) == 0) is first
        assert (~one).matches(capture) is not first
        assert (one & other).matches(capture) is (first and second)
        assert (one | other).matches(capture) is (first or second)
        assert (~(one & other)).differences(capture) == (~one | ~other).differences(capture)
        assert all(len(str(each)) < 1000 for each in one.differences(capture))

    holds()


def test_the_nearest_miss_differs_least_and_latest(new_capture: Callable[[str], Capture]) -> None:
    wanted = path("/postback") & method("POST") & query("click", "y")
    far, near, same = (
        replace(new_capture(name), target=target)
        for name, target in (("far", "/other"), ("near", "/postback?click=x"), ("same", "/postback?click=x"))
    )
    miss = nearest_miss(wanted, [far, near, same, far])
    assert miss is not None
    assert miss.capture.id == "same"
    assert str(miss) == "POST /postback?click=x (2 bytes, answered 200)\n  query parameter click: expected 'y', got 'x'"
    assert nearest_miss(path("/postback"), [near]) is None


def test_a_hostile_capture_costs_little_and_is_told_in_bounds() -> None:
    size = 300_000
    for target, data in (("/?" + "?" * size, b"key " * (size // 4)), ("://" + ":" * size, b"&" * size)):
        capture = replace(CAPTURE, target=target, headers=(("X-A", "\x1b[2J" * 1000),), body=data)
        wanted = (
            header("X-A", "b")
            & body("token" * 1000)
            & query("a", "\n")
            & path("/b")
            & form_field("a")
            & json_field("/a")
        )
        with cpu_time() as spent:
            shown = str(nearest_miss(wanted, [capture]))
        assert spent.seconds < 5
        assert len(shown) < 3000
        assert shown.replace("\n", "").isprintable()


def test_a_difference_is_told_where_the_values_part() -> None:
    long = "x" * 500
    [difference] = body(long + "a" + long).differences(replace(CAPTURE, body=(long + "b" + long).encode()))
    assert difference.expected.count("a") == 1
    assert difference == Difference(
        "body", difference.expected, difference.expected.replace("a", "b"), difference.weight
    )
