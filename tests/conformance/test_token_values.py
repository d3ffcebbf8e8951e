"""A token's value is read back from what arrived, or not told at all; it is never a wrong one."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings

from postback_conformance.rules.examples import capture
from postback_conformance.strategies import wire_texts
from postback_conformance.token_values import token_value
from postback_receiver import Capture
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback

ReadSettings = Callable[[str], Notification]

BODIES = {
    "json": '{"first": "{SubId1}", "second": "{Text1}"}',
    "json over lines": '[\n"{SubId1}",\n"{Text1}"\n]',
    "query": "first={SubId1}&second={Text1}",
    "xml": "<a first='{SubId1}'><b>{Text1}</b></a>",
    "xml with CDATA": "<a><b><![CDATA[{SubId1}]]></b><c>{Text1}</c></a>",
}
FORMATS = {name: name.partition(" ")[0] for name in BODIES}


def settings_of(body_format: str, body: str) -> str:
    return f"url = 'http://127.0.0.1/p'\nmethod = 'POST'\nbody_format = '{body_format}'\nbody = '''{body}'''\n"


def sent(notification: Notification, values: dict[str, str]) -> Capture:
    """Return what arrives when a notification tells of an event with these values."""
    event = Event(kind="action_lifecycle", at=datetime(2026, 5, 11, tzinfo=UTC), values=values)
    postback = render_postback(notification, event)
    return capture(postback.body, method=postback.method, target=postback.url.removeprefix("http://127.0.0.1"))


@pytest.mark.parametrize("escaping", ["context", "raw"])
@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=60, deadline=None)
@given(first=wire_texts(max_size=30), second=wire_texts(max_size=30))
def test_a_value_in_a_body_is_the_one_that_was_sent_or_none(
    name: str, escaping: str, first: str, second: str, read_settings: ReadSettings
) -> None:
    text = settings_of(FORMATS[name], BODIES[name]) + f"[template]\nescaping = '{escaping}'\n"
    notification = read_settings(text)
    arrived = sent(notification, {"SubId1": first, "Text1": second})
    if escaping == "context":
        assert token_value(notification, arrived, "SubId1") in (first, None)
        assert token_value(notification, arrived, "Text1") in (second, None)
    else:
        # Raw values can imitate anything; being read must only do no harm.
        token_value(notification, arrived, "SubId1")


@settings(max_examples=60, deadline=None)
@given(first=wire_texts(max_size=30), last=wire_texts(max_size=30))
def test_a_value_in_a_url_is_the_one_that_was_sent(first: str, last: str, read_settings: ReadSettings) -> None:
    notification = read_settings("url = 'http://127.0.0.1/p?first={SubId1}&last={Text1}'")
    arrived = sent(notification, {"SubId1": first, "Text1": last})
    assert token_value(notification, arrived, "SubId1") == first
    assert token_value(notification, arrived, "Text1") == last


@pytest.mark.parametrize("name", BODIES)
def test_a_plain_value_is_found_wherever_it_stands(name: str, read_settings: ReadSettings) -> None:
    notification = read_settings(settings_of(FORMATS[name], BODIES[name]))
    arrived = sent(notification, {"SubId1": "2026-05-11T00:07:27+03:00", "Text1": "ü"})
    if name == "json over lines":
        assert token_value(notification, arrived, "SubId1") is None, "nothing but quotes around it"
    else:
        assert token_value(notification, arrived, "SubId1") == "2026-05-11T00:07:27+03:00"
        assert token_value(notification, arrived, "Text1") == "ü"


@pytest.mark.parametrize(
    ("body", "arrived", "value"),
    [
        ('{"a": "{SubId1}"}', b'{"a": "x\\"\\u00fc\\n"}', 'x"ü\n'),
        ('{"a": "{SubId1}"}', b'{"a": ""}', ""),
        ('{"a": "{SubId1}"}', b'{"a": "x', None),
        ('{"a": "{SubId1}"}', b'{ "a" : "x" }', None),
        ('{"a": "{SubId1}"}', b'{"a": "\xff"}', "\N{REPLACEMENT CHARACTER}"),
        ('{"a": "{SubId1}"}', b'{"a": "\xc3"}{"a": ""}', None),
        ('{"a": "{SubId1}"}', b'{"a": "' + b"x" * 5000 + b'"}', None),
        ("{SubId1}", b"x", None),
        ('{"a": "{Text1}{SubId1}"}', b'{"a": "xy"}', None),
        ('{"a": "{SubId1}{Text1}"}', b'{"a": "xy"}', None),
        ('{"a": "{Text1}"}', b'{"a": "x"}', None),
    ],
    ids=[
        "escapes are undone",
        "an empty value is a value",
        "a value without end",
        "laid out another way",
        "not UTF-8",
        "two places it may stand in",
        "longer than any value",
        "nothing before it",
        "another token before it",
        "another token after it",
        "not in the template",
    ],
)
def test_a_value_is_told_only_when_its_place_is_unmistakable(
    body: str, arrived: bytes, value: str | None, read_settings: ReadSettings
) -> None:
    assert token_value(read_settings(settings_of("json", body)), capture(arrived), "SubId1") == value
