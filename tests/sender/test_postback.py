"""One request from settings and an event: exactly what goes on the wire."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender import Notification, NotificationSource, RenderError, parse_notification, render_postback
from postback_sender.event import Event, example_event
from postback_sender.postback import event_key, redirect
from postback_sender.subscription import reported
from postback_sender.template.matching import Match

EVENT = example_event("action_lifecycle")


@pytest.mark.parametrize(
    ("body_format", "content_type"),
    [("json", "application/json"), ("xml", "application/xml"), ("query", "application/x-www-form-urlencoded")],
)
def test_a_post_has_the_content_type_of_its_format(
    settings: Callable[..., Notification], body_format: str, content_type: str
) -> None:
    postback = render_postback(settings(f'body = "x"\nbody_format = "{body_format}"'), EVENT)

    assert ("Content-Type", content_type) in postback.headers
    assert postback.method == "POST"


def test_a_get_has_neither_body_nor_content_type(settings: Callable[..., Notification]) -> None:
    postback = render_postback(settings('url = "http://127.0.0.1/?id={ActionId}"'), EVENT)

    assert postback.body == b""
    assert [name for name, _ in postback.headers] == ["User-Agent", "Accept-Encoding"]
    assert postback.url == f"http://127.0.0.1/?id={EVENT.values['ActionId']}"
    assert postback.key == EVENT.values["ActionId"]


def test_custom_headers_come_last_in_their_order(settings: Callable[..., Notification]) -> None:
    postback = render_postback(settings('[headers]\nX-B = "1"\nX-A = "2"'), EVENT)

    assert postback.headers[-2:] == (("X-B", "1"), ("X-A", "2"))


@given(st.text(st.characters(codec="utf-8")))
def test_a_raw_value_cannot_break_out_of_the_request_line(value: str) -> None:
    source = NotificationSource(name="n.toml", text='url = "http://127.0.0.1/?a={Text1}"\n[template]\nescaping = "raw"')
    notification = parse_notification(source, {})
    event = example_event("action_lifecycle")
    url = render_postback(notification, type(event)(kind=event.kind, at=event.at, values={"Text1": value})).url

    assert all("!" <= letter <= "~" for letter in url)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("http://h:1", "http://h:1/p?a=1"),
        ("http://h:1/", "http://h:1/p?a=1"),
        ("https://h/other", "https://h/other?a=1"),
        ("http://h/other?b=2", "http://h/other?b=2"),
    ],
)
def test_redirecting_keeps_what_the_new_target_leaves_open(to: str, expected: str) -> None:
    assert redirect("http://127.0.0.1:8080/p?a=1", to) == expected


@pytest.mark.parametrize("to", ["", "localhost:8080", "ftp://h/", "http://[::1"])
def test_a_target_that_is_no_url_is_refused(to: str) -> None:
    with pytest.raises(RenderError, match="URL"):
        redirect("http://127.0.0.1/", to)


def test_a_notification_reports_its_own_kind_only(settings: Callable[..., Notification]) -> None:
    events = [EVENT, example_event("action_clearing"), example_event("job_completion")]

    assert list(reported(settings('event = "action_clearing"'), events)) == [events[1]]


def test_at_event_level_only_the_first_event_of_an_action_is_reported(settings: Callable[..., Notification]) -> None:
    assert len(list(reported(settings('level = "event"'), [EVENT, EVENT]))) == 1
    assert len(list(reported(settings(), [EVENT, EVENT]))) == 2


def test_picked_fields_are_sent_and_read_back_like_any_url_template(settings: Callable[..., Notification]) -> None:
    notification = settings('event = "action_inquiry"\nquery_fields = ["Id", "CampaignName", "ActionId"]')
    event = example_event("action_inquiry")

    postback = render_postback(notification, event)

    assert postback.url == "http://127.0.0.1:8080/?Id=48213&CampaignName=Acme%20Sports%20&ActionId="
    assert (postback.method, postback.body) == ("GET", b"")
    found = notification.url.match(postback.url.encode(), context="url")
    assert isinstance(found, Match)
    assert found.texts() == {"Id": "48213", "CampaignName": "Acme Sports ", "ActionId": ""}


def test_events_of_an_own_kind_are_told_by_the_notification_that_declares_it(
    settings: Callable[..., Notification],
) -> None:
    notification = settings(
        'event = "credited"\nurl = "http://h/?a={ActionId}&t={Tier}"\nlevel = "event"\n'
        '[kinds.credited]\nlike = "action_lifecycle"\n[tokens.Tier]\nexample = "GOLD"'
    )
    event = example_event(notification.event, notification.catalogue)

    assert render_postback(notification, event).url == f"http://h/?a={event.values['ActionId']}&t=GOLD"
    assert list(reported(notification, [EVENT, event, event])) == [event]


@pytest.mark.parametrize(
    ("values", "key"), [({"ActionId": "1", "Id": "2"}, "1"), ({"ActionId": "", "Id": "2"}, "2"), ({"Oid": "3"}, "")]
)
def test_events_of_any_kind_are_tied_together_by_the_action_or_else_the_id(values: dict[str, str], key: str) -> None:
    event = Event(kind="credited", at=EVENT.at, values=values)

    assert event_key(event) == key
