"""What is named like a secret is hidden, and nothing else changes."""

import json
from itertools import pairwise
from typing import Final, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from cpu_time import cpu_time
from postback_conformance.redaction import (
    SHOWN,
    SecretEnvironment,
    has_hidden,
    keyed_hashes,
    redacted,
    redacted_form,
    redacted_headers,
    redacted_target,
)
from postback_conformance.rules.examples import capture
from postback_receiver import Answer
from postback_receiver.body_secrets import BodyKind, body_secrets
from postback_receiver.secret_names import is_secret_parameter
from postback_sender import NotificationSource, parse_notification

KINDS: Final[tuple[BodyKind, ...]] = get_args(BodyKind)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "proxy-authorization", "X-Auth", "Cookie", "X-API-KEY", "X-Impact-Token", "X-Hub-Signature-256"],
)
def test_headers_that_carry_secrets_are_hidden(name: str) -> None:
    assert list(redacted_headers([("Host", "h"), (name, "hunter2"), (name, "hunter3")])) == [
        ("Host", "h"),
        (name, SHOWN),
        (name, SHOWN),
    ]


@pytest.mark.parametrize("name", ["Host", "Content-Type", "User-Agent", "X-Partner"])
def test_other_headers_are_shown(name: str) -> None:
    assert list(redacted_headers([(name, "value")])) == [(name, "value")]


def test_a_url_in_a_header_is_looked_into() -> None:
    assert list(redacted_headers([("Referer", "https://a/?token=abc&x=1")])) == [
        ("Referer", "https://a/?token=[hidden]&x=1")
    ]


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/p?token=hunter2", "/p?token=[hidden]"),
        ("/p?a=1&api_key=hunter2&b=2", "/p?a=1&api_key=[hidden]&b=2"),
        ("/p?apiKey=hunter2#top", "/p?apiKey=[hidden]#top"),
        ("/p?api%5Fk%65y=hunter2", "/p?api%5Fk%65y=[hidden]"),
        ("/p?PASSWORD=a=b", "/p?PASSWORD=[hidden]"),
        ("/p?sig=a&sig=b", "/p?sig=[hidden]&sig=[hidden]"),
        ("https://user:hunter2@example.com/p?x=1", "https://[hidden]@example.com/p?x=1"),
        ("/p?key=", "/p?key="),
        ("/p?author=me&key_visual=1&click=x", "/p?author=me&key_visual=1&click=x"),
        ("/token=visible/p", "/token=visible/p"),
        ("/p?mail=a:b@example.com", "/p?mail=a:b@example.com"),
        ("/p?to=https%3A%2F%2Fa%3Ftoken%3Dabc%26x%3D1", "/p?to=https%3A%2F%2Fa%3Ftoken%3D[hidden]%26x%3D1"),
    ],
)
def test_parameters_that_carry_secrets_are_hidden(target: str, shown: str) -> None:
    assert redacted_target(target) == shown


@given(st.text())
def test_any_target_can_be_redacted_and_redacting_twice_changes_nothing(target: str) -> None:
    once = redacted_target(target)
    assert redacted_target(once) == once


@pytest.mark.parametrize(
    ("secrets", "shown"),
    [
        pytest.param(["hook"], "http://h/[hidden]/a%20b?x=1&token=[hidden]", id="in the path"),
        pytest.param(["a b"], "http://h/hook/[hidden]?x=1&token=[hidden]", id="as it travels"),
        pytest.param(["hook/a", "a b"], "http://h/[hidden]?x=1&token=[hidden]", id="one into the other"),
        pytest.param(["unte"], "http://h/hook/a%20b?x=1&token=[hidden]", id="inside another"),
        pytest.param(["https://other/hook/a b#top"], "http://h[hidden]?x=1&token=[hidden]", id="behind another server"),
        pytest.param(["", "/", "nowhere"], "http://h/hook/a%20b?x=1&token=[hidden]", id="nothing"),
    ],
)
def test_what_the_environment_gave_is_hidden_wherever_it_stands(secrets: list[str], shown: str) -> None:
    assert redacted_target("http://h/hook/a%20b?x=1&token=hunter2", secrets) == shown


def test_the_longest_secret_in_a_header_is_hidden_whole() -> None:
    headers = [("X-A", "Bearer abcd"), ("X-B", "none")]
    assert list(redacted_headers(headers, ["ab", "abcd", ""])) == [("X-A", "Bearer [hidden]"), ("X-B", "none")]


def test_an_environment_remembers_what_settings_took_out_of_it() -> None:
    environment = SecretEnvironment({"HOOK": "hunter2", "KEY": "hunter3", "HOME": "/root"})
    text = "url = 'http://127.0.0.1/${HOOK}'\nbody = '${HOME}'\n[headers]\nX-A = 'a ${KEY}'"
    parse_notification(NotificationSource(name="n.toml", text=text), environment)
    assert environment.secrets == {"hunter2", "hunter3"}


@given(st.text(st.characters(codec="latin-1", exclude_characters="&#")).filter(bool))
def test_no_value_of_a_secret_parameter_survives(value: str) -> None:
    assert redacted_target(f"/p?token={value}&x=1") == "/p?token=[hidden]&x=1"


FORM = (("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),)


def test_the_fields_of_a_form_are_hidden_by_the_rule_of_parameters() -> None:
    body = b"id=1&token=hunter2&api%5Fk%65y=hunter3&key=&author=me&PASSWORD=hunter=4"
    shown = redacted(capture(body, headers=FORM))
    assert shown.body == b"id=1&token=[hidden]&api%5Fk%65y=[hidden]&key=&author=me&PASSWORD=[hidden]"


def test_bodies_that_are_no_forms_stay_as_they_are() -> None:
    for body in (b"the token=x", b"a b=c&token=x", b"&token=x"):
        assert redacted(capture(body, headers=())).body == body
    assert redacted(capture(b"token=x", headers=(("Content-Type", "image/png"),))).body == b"token=x"


@pytest.mark.parametrize("headers", [(), (("Content-Type", "text/plain; charset=utf-8"),)], ids=["none", "text"])
def test_a_form_that_does_not_say_so_is_told_by_how_it_begins(headers: tuple[tuple[str, str], ...]) -> None:
    assert redacted(capture(b"a=b&api_key=x&c", headers=headers)).body == b"a=b&api_key=[hidden]&c"
    assert redacted(capture(b"password=x y", headers=headers)).body == b"password=[hidden]"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(
            b'{"id": 1, "api_key" : "a\\"b", "x": "y"}', b'{"id": 1, "api_key" : "[hidden]", "x": "y"}', id="text"
        ),
        pytest.param(b'{"pin_key": -1.5e3,"key_pin": 2}', b'{"pin_key": "[hidden]","key_pin": 2}', id="number"),
        pytest.param(
            b'{"token": null, "secret": true, "key": ""}', b'{"token": null, "secret": true, "key": ""}', id="words"
        ),
        pytest.param(b'{"api\\u005fkey": "a"}', b'{"api\\u005fkey": "[hidden]"}', id="escaped name"),
        pytest.param(
            b'[{"key": {"id": "a", "all": [1, "b"]}, "z": 3}]',
            b'[{"key": {"id": "[hidden]", "all": ["[hidden]", "[hidden]"]}, "z": 3}]',
            id="all of an object",
        ),
        pytest.param(
            b'{"name": "5" screen", "token": "a", }',
            b'{"name": "5" screen", "token": "[hidden]", }',
            id="broken before",
        ),
        pytest.param(b'{"id": , "token": "a\\', b'{"id": , "token": "[hidden]', id="cut"),
        pytest.param(
            b'{"note": "the token: x", "a": "token"}', b'{"note": "the token: x", "a": "token"}', id="no names"
        ),
        pytest.param(b"<a><Token> x y </Token><b>z</b></a>", b"<a><Token> [hidden] </Token><b>z</b></a>", id="element"),
        pytest.param(
            b"<a><n:key><![CDATA[x]y]]></n:key></a>", b"<a><n:key><![CDATA[[hidden]]]></n:key></a>", id="CDATA"
        ),
        pytest.param(
            b'<a key=\'x\' id="1" api_key = "y"/>',
            b'<a key=\'[hidden]\' id="1" api_key = "[hidden]"/>',
            id="attributes",
        ),
        pytest.param(
            b"<a><key><u>x</u><!-- c -->y</key></a>",
            b"<a><key><u>[hidden]</u><!-- c -->[hidden]</key></a>",
            id="inside",
        ),
        pytest.param(b"<a><key/>x<token>y", b"<a><key/>x<token>[hidden]", id="empty and cut"),
    ],
)
def test_what_is_named_like_a_secret_in_json_and_xml_is_hidden_and_nothing_else(body: bytes, shown: bytes) -> None:
    assert redacted(capture(body, headers=())).body == shown
    assert redacted(capture(shown, headers=())).body == shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"u": "https://h/p?a=1&token=s3cret&b=2#c"}', b'{"u": "https://h/p?a=1&token=[hidden]&b=2#c"}'),
        (rb'{"u": "https:\/\/h?token=s3cret\/s\u0026b=2"}', rb'{"u": "https:\/\/h?token=[hidden]\u0026b=2"}'),
        (b'{"u": "http://me:s3cret@h/"}', b'{"u": "http://[hidden]@h/"}'),
        (b"<a b='http://h?key=s3cret'>http://h/?a=1&amp;key=s3cret</a>", None),
        (
            b"u=http%3A%2F%2Fh%3Fa%3D1%26key%3Ds3cret%26b%3D2&c=1",
            b"u=http%3A%2F%2Fh%3Fa%3D1%26key%3D[hidden]%26b%3D2&c=1",
        ),
        (
            b'{"u": "https://h/?u=https%3A%2F%2Fi%3Fkey%3Ds3cret"}',
            b'{"u": "https://h/?u=https%3A%2F%2Fi%3Fkey%3D[hidden]"}',
        ),
        (b"at https://h/?key=s3cret.", b"at https://h/?key=[hidden]"),
        (b'{"key": "https://h/?key=s3cret"}', b'{"key": "[hidden]"}'),
        (b'{"u": "https://h/?key_visual=1", "a": "?key=1"}', b'{"u": "https://h/?key_visual=1", "a": "?key=1"}'),
    ],
    ids=["json", "escaped json", "password", "xml", "form", "url in a url", "text", "in a secret", "no secret"],
)
def test_a_url_in_a_body_is_looked_into(body: bytes, shown: bytes | None) -> None:
    hidden_ones = redacted(capture(body, headers=()))
    assert b"s3cret" not in hidden_ones.body
    assert hidden_ones.body == (body.replace(b"s3cret", b"[hidden]") if shown is None else shown)
    assert redacted(hidden_ones) == hidden_ones


def test_a_secret_of_a_url_in_a_body_has_the_hash_it_has_elsewhere() -> None:
    hide = keyed_hashes(b"key")
    shown = redacted(capture(b'{"u": "http://h?token=a%2Fb"}', target="/?token=a%2fb"), hide)
    assert shown.target.removeprefix("/?token=").encode() in shown.body


_MEMBERS = st.dictionaries(st.text() | st.sampled_from(["token", "api_key", "Password"]), st.text(), max_size=5)


@given(_MEMBERS, st.booleans())
def test_json_stays_json_with_the_same_keys_and_other_values(members: dict[str, str], ascii_only: bool) -> None:  # noqa: FBT001
    body = json.dumps(members, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    read = json.loads(redacted(capture(body)).body)
    assert read == {
        name: SHOWN if value and is_secret_parameter(name.strip()) else value for name, value in members.items()
    }


@given(st.binary() | st.text(st.sampled_from("\"\\:{}[],<>/=&?' \r\nkeytoken1")).map(str.encode))
@example(b"<key>&#" + b"1" * 4301 + b";</key>")
def test_any_bytes_can_be_redacted_as_any_kind_of_body(body: bytes) -> None:
    for malformed in (None, "why"):
        redacted(replace(capture(body, headers=()), malformed=malformed))
    for kind in KINDS:
        spans = [(secret.first, secret.beyond) for secret in body_secrets(body, kind)]
        assert spans == sorted(spans)
        assert all(first < beyond <= later for (first, beyond), (later, _) in pairwise([*spans, (len(body), 0)]))


@pytest.mark.parametrize(
    "piece",
    [
        b'"',
        b'"key":',
        b'"key":[',
        b'"key":{"',
        b'\\"',
        b"<key>",
        b"<key ",
        b" key=",
        b"<![CDATA[",
        b"key=&",
        b"key:\n",
        b"key:\n ",
        b"key:\r \t",
        b"?key=a HTTP/1",
        b"http://a:",
        b"http://?key=",
        b"https%3a%2f%2f%3fkey%3d",
        b"\r\n",
        b"\n",
        b" ",
    ],
)
def test_hostile_bodies_are_looked_through_in_no_time(piece: bytes) -> None:
    body = b"<key>" + piece * (60_000 // len(piece))
    with cpu_time() as spent:
        for kind in KINDS:
            for _ in body_secrets(body, kind):
                pass
    assert spent.seconds < 30


def test_answers_trailers_and_what_was_no_http_are_redacted_too() -> None:
    shown = redacted(
        replace(
            capture(
                b"GET /?token=s3cret&a=1 HTTP/9\r\nAuthorization: Bearer s3cret\r\nX: y\r\n\r\n"
                b'key=s3cret&b=2 "key": "s3cret"'
            ),
            malformed="unexpected byte in 'GET /?token=s3cret'",
            trailers=(("X-Signature", "s3cret"), ("X-Sum", "1")),
            answer=Answer(status=200, headers=(("Set-Cookie", "s3cret"),), body=b'{"token": "s3cret"}'),
        )
    )
    assert "s3cret" not in repr(shown)
    assert shown.body == (
        b'GET /?token=[hidden]&a=1 HTTP/9\r\nAuthorization: [hidden]\r\nX: y\r\n\r\nkey=[hidden]&b=2 "key": "[hidden]"'
    )
    assert shown.trailers == (("X-Signature", SHOWN), ("X-Sum", "1"))


@pytest.mark.parametrize(
    ("request_bytes", "shown"),
    [
        (b"GET / HTTP/1.1\r\nAuthorization:\r\n Bearer s3cret\r\nA: b", b"Authorization:\r\n [hidden]\r\nA: b"),
        (b"GET / HTTP/1.1\r\nCookie: a=b;\r\n\tc=s3cret\r\nA: b", b"Cookie: [hidden]\r\nA: b"),
        (b"GET / HTTP/1.1\r\nAuthorization : s3cret\r\nA: b", b"Authorization : [hidden]\r\nA: b"),
        (b"GET / HTTP/1.1\r\n Authorization: s3cret\r\nA: b", b" Authorization: [hidden]\r\nA: b"),
        (b"GET / HTTP/1.1\r\nX Api Key: s3cret\r\nA: b", b"X Api Key: [hidden]\r\nA: b"),
        (b"GET / HTTP/1.1\r\nAuthorization Bearer s3cret\r\nA: b", b"Authorization [hidden]\r\nA: b"),
        (b"GET / HTTP/1.1\rAuthorization: s3cret\r\r\n\r\n", b"Authorization: [hidden]\r\r\n\r\n"),
        (b"GET /?a=1&token=SEC s3cret HTTP/1.1\r\nA: b", b"GET /?a=1&token=[hidden] HTTP/1.1\r\nA: b"),
        (b"GET /?token=SEC#s3cret\r\nA: b", b"GET /?token=[hidden]\r\nA: b"),
        (b"\r\n<a><key>s3cret</key></a>", b"<a><key>[hidden]</key></a>"),
    ],
    ids=repr,
)
def test_secrets_of_a_malformed_request_are_hidden_however_they_are_written(request_bytes: bytes, shown: bytes) -> None:
    body = redacted(replace(capture(request_bytes, headers=()), malformed="why")).body
    assert b"s3cret" not in body
    assert body.endswith(shown)


def test_keyed_hashes_tell_equal_secrets_from_others_and_are_left_alone() -> None:
    hide = keyed_hashes(b"key")
    assert hide(b"a") == hide(b"a") != hide(b"b")
    assert hide(b"a") != keyed_hashes(b"other")(b"a")
    once = redacted(capture(b'{"key": "a"}', target="/?key=a", headers=(("X-Key", "a"),)), hide)
    assert redacted(once, keyed_hashes(b"other")) == once
    assert (once.target, once.body.decode()) == (f"/?key={hide(b'a')}", f'{{"key": "{hide(b"a")}"}}')
    assert has_hidden(once)
    assert not has_hidden(capture(b"[secret:]"))


@given(
    value=st.binary(min_size=1).filter(lambda value: b"&" not in value), cut=st.tuples(st.integers(0), st.integers(0))
)
def test_no_cut_through_a_form_shows_a_part_of_a_secret(value: bytes, cut: tuple[int, int]) -> None:
    body = b"a=1&token=" + value + b"&b=2"
    first, beyond = sorted(number % (len(body) + 1) for number in cut)
    secret = range(10, 10 + len(value))
    before, after = body[first : min(beyond, 10)], body[max(first, secret.stop) : beyond]
    is_shown = max(first, secret.start) < min(beyond, secret.stop)
    assert redacted_form(body, first, beyond) == before + (SHOWN.encode() if is_shown else b"") + after
