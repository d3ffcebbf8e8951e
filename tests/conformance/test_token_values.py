"""A token's value is read back from what arrived, or not told at all; it is never a wrong one."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings

from postback_conformance.demo import NAMES, demo_sources
from postback_conformance.generating.generation import generate
from postback_conformance.judging.token_values import token_value
from postback_conformance.rules.examples import capture
from postback_conformance.strategies import events, wire_texts
from postback_receiver import Capture
from postback_sender.event import Event
from postback_sender.notification import Notification, parse_notification
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
@settings(max_examples=20, deadline=None)
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
        # Raw values can imitate anything.
        assert token_value(notification, arrived, "SubId1") is None


@settings(max_examples=40, deadline=None)
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
    assert token_value(notification, arrived, "SubId1") == "2026-05-11T00:07:27+03:00"
    assert token_value(notification, arrived, "Text1") == "ü"


@pytest.mark.parametrize(
    ("body", "arrived", "value"),
    [
        ('{"a": "{SubId1}"}', b'{"a": "x\\"\\u00fc\\n"}', 'x"ü\n'),
        ('{"a": "{SubId1}"}', b'{"a": ""}', ""),
        ('{"a": "{SubId1}"}', b'{"a": "x', None),
        ('{"a": "{SubId1}"}', b'{ "a" : "x" }', None),
        ('{"a": "{SubId1}"}', b'{"a": "\xff"}', None),
        ('{"a": "{SubId1}"}', b'{"a": "\xc3"}{"a": ""}', None),
        ('{"a": "{SubId1}"}', b'{"a": "' + b"x" * 5000 + b'"}', "x" * 5000),
        ("{SubId1}", b"x", "x"),
        ('{"a": "{Text1}{SubId1}"}', b'{"a": "xy"}', None),
        ('{"a": "{SubId1}{Text1}"}', b'{"a": "xy"}', None),
        ('{"a": "{Text1}-{SubId1}"}', b'{"a": "x-y"}', None),
        ('{"a": "{SubId1} {Text1}"}', b'{"a": "x y"}', None),
        ('{"a": "{Text1}-{Text1}", "b": "{SubId1}"}', b'{"a": "x-y", "b": "z"}', "z"),
        ('{"a": "{SubId1}", "b": "{SubId1}"}', b'{"a": "x", "b": "x"}', "x"),
        ('{"a": "{SubId1}", "b": "{SubId1}"}', b'{"a": "x", "b": "y"}', None),
        ('{"a": {SubId1}}', b'{"a": 5}', "5"),
        ('{"a": "{Text1}"}', b'{"a": "x"}', None),
    ],
    ids=[
        "escapes are undone",
        "an empty value is a value",
        "a value without end",
        "laid out another way",
        "not UTF-8",
        "two places it may stand in",
        "long",
        "nothing around it",
        "another token before it",
        "another token after it",
        "a mark between two that either may hold, before it",
        "a mark between two that either may hold, after it",
        "others may run into each other",
        "the same at both places",
        "something else at either place",
        "without quotes",
        "not in the template",
    ],
)
def test_a_value_is_told_only_when_its_place_is_unmistakable(
    body: str, arrived: bytes, value: str | None, read_settings: ReadSettings
) -> None:
    assert token_value(read_settings(settings_of("json", body)), capture(arrived), "SubId1") == value


@pytest.mark.parametrize(
    ("url", "target", "value"),
    [
        ("http://127.0.0.1/p/{SubId1}/x", "/p/a%20b/x", "a b"),
        ("http://127.0.0.1?a={SubId1}", "/?a=1", "1"),
        ("http://127.0.0.1/pöst back?ä={SubId1}#top", "/p%C3%B6st%20back?%C3%A4=1", "1"),
        ("http://127.0.0.1/p?a={SubId1}#{Text1}", "/p?a=1", "1"),
        ("http://127.0.0.1/p?a={SubId1}", "http://proxy.example/p?a=1", "1"),
        ("http://127.0.0.1/${HOOK}?key=${PARTNER_KEY}&a={SubId1}", "/hunter2?key=hunter3&a=1", "1"),
        ("http://${HOST}/p?a={SubId1}", "/p?a=1", "1"),
        ("http://{Text1}/p?a={SubId1}", "/p?a=1", None),
        ("http://{SubId1}/p", "/p", None),
        ("http://127.0.0.1/p?a={SubId1}", "/p?a=1&b=2", None),
        ("http://127.0.0.1/p?a={SubId1}", "/p?b=2&a=1", None),
        ("http://127.0.0.1/p?a={SubId1}", "/p?a=%ff", None),
    ],
    ids=[
        "in the path",
        "without a path",
        "literal text travels percent-encoded",
        "a fragment stays at home",
        "a target in absolute form",
        "variables of the environment can be anything",
        "a host from the environment",
        "another token in the host",
        "in the host",
        "a parameter added",
        "a parameter before it",
        "not UTF-8",
    ],
)
def test_a_value_in_a_url_is_told_whatever_the_environment_holds(
    url: str, target: str, value: str | None, read_settings: ReadSettings
) -> None:
    assert token_value(read_settings(f"url = '{url}'"), capture(method="GET", target=target), "SubId1") == value


@pytest.mark.parametrize(
    ("arrived", "value"),
    [
        (capture(b"x"), "x"),
        (capture(b"x", truncated=True), None),
        (capture(b"x", headers=(("Content-Encoding", "gzip"),)), None),
        (capture(b"x", headers=(("Content-Encoding", "identity"),)), "x"),
    ],
    ids=["whole", "cut off", "encoded", "as it is"],
)
def test_a_body_that_is_not_all_there_or_not_plain_tells_nothing(
    arrived: Capture, value: str | None, read_settings: ReadSettings
) -> None:
    assert token_value(read_settings(settings_of("json", "{SubId1}")), arrived, "SubId1") == value


@pytest.fixture(scope="module")
def some_events() -> list[Event]:
    return generate(events(kind="action_lifecycle"), count=30, seed=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_action_of_every_demo_postback_can_be_read(name: str, some_events: list[Event]) -> None:
    notification = parse_notification(demo_sources()[name], {})
    for event in some_events:
        postback = render_postback(notification, event)
        arrived = capture(postback.body, method=postback.method, target="/" + postback.url.split("/", 3)[3])
        assert token_value(notification, arrived, "ActionId") == event.values.get("ActionId", "")
