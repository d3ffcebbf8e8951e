"""Which event a request is about is read out of it, and else its bytes tell."""

from collections.abc import Callable

import pytest

from postback_conformance.judging.event_keys import KeyKind, event_keys
from postback_receiver import Capture
from postback_sender import Notification

NOTIFICATION = r"""
url = "http://127.0.0.1:8080/postback?click={RefClickId}"
method = "POST"
body = '\{"action": "{ActionId}", "status": "{Status}"\}'
success_response = "OK"
error_response = "ERR"
"""

FIRST = ("/postback?click=1", b'{"action": "1", "status": "PENDING"}')


@pytest.mark.parametrize(
    ("target", "body", "alike"),
    [
        (*FIRST, {"event", "action", "request"}),
        ("http://other/postback?click=1", FIRST[1], {"event", "action"}),
        ("/postback?click=1", b'{"action": "1", "status": "APPROVED"}', {"action"}),
        ("/postback?click=2", FIRST[1], {"action"}),
        ("/postback?click=1", b'{"action": "2", "status": "PENDING"}', set[str]()),
        ("/postback?click=1", b"no such thing", set[str]()),
    ],
    ids=[
        "a resend",
        "through a tunnel",
        "another status",
        "another click",
        "another action",
        "not as the template says",
    ],
)
def test_two_requests_are_about_the_same_event_action_or_request(
    read_settings: Callable[[str], Notification],
    posted: Callable[[str, bytes], Capture],
    target: str,
    body: bytes,
    alike: set[str],
) -> None:
    notification = read_settings(NOTIFICATION)
    kinds: tuple[KeyKind, ...] = ("event", "action", "request")
    keys = {kind: event_keys(kind, notification) for kind in kinds}
    assert {kind for kind in kinds if keys[kind](posted(*FIRST)) == keys[kind](posted(target, body))} == alike


def test_without_a_notification_requests_are_told_apart_by_their_bytes(posted: Callable[[str, bytes], Capture]) -> None:
    key = event_keys("event", None)
    assert key(posted("/", b"1")) == key(posted("/", b"1")) != key(posted("/", b"2"))
