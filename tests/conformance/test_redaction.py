"""What is named like a secret is hidden, and nothing else changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_conformance.redaction import SHOWN, redacted_headers, redacted_target


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
