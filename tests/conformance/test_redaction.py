"""What is named like a secret is hidden, and nothing else changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_conformance.redaction import SHOWN, redacted, redacted_form, redacted_headers, redacted_target
from postback_conformance.rules.examples import capture


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
