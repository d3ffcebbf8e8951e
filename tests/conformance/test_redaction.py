"""What is named like a secret is hidden, and nothing else changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_conformance.redaction import (
    SHOWN,
    SecretEnvironment,
    redacted,
    redacted_form,
    redacted_headers,
    redacted_target,
)
from postback_conformance.rules.examples import capture
from postback_sender import NotificationSource, parse_notification


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
    assert redacted(capture(b"token=x")).body == b"token=x"
    assert redacted(capture(b"token=x", headers=())).body == b"token=x"


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
