"""Messages hide what exports hide: both ask the same functions."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from postback_receiver.body_secrets import body_kind, body_secrets
from postback_receiver.summary import without_secrets

_NAMES = st.sampled_from(["token", "api_key", "Pass\u0077ord", "keys[sig]", "id", "note", "é"])
_VALUES = st.text(st.sampled_from("abé😀 \"'\\<&;,=x1"), min_size=1, max_size=8)
_BODIES = st.one_of(
    st.dictionaries(_NAMES, _VALUES, max_size=3).map(json.dumps),
    st.lists(st.tuples(_NAMES, _VALUES), max_size=3).map(lambda pairs: "&".join("=".join(pair) for pair in pairs)),
    st.lists(st.tuples(_NAMES, _VALUES), max_size=3).map(
        lambda pairs: "<a>" + "".join(f"<{name}>{value}</{name}>" for name, value in pairs)
    ),
)


@settings(max_examples=30)
@given(_BODIES)
@example('{"api_\\u006bey": "zq", "é": "😀", "token": "zq\\"zq"}')
@example("api%5F%6Bey=zq&a=b")
def test_no_message_shows_what_an_export_would_hide(text: str) -> None:
    body = text.encode()
    # Each letter of a secret made one that stands nowhere else.
    marked = bytearray(body)
    for secret in body_secrets(body, body_kind(body, ())):
        for place in range(secret.first, secret.beyond):
            if body[place : place + 1].isalnum() and body[place - 1 : place] != b"\\":
                marked[place] = ord("Z")
    assert "Z" not in without_secrets(marked.decode())
