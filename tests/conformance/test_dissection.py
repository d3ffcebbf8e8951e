"""A text taken apart says what was put into it, or where it is not what the template says."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.explaining.departure import Departure
from postback_conformance.explaining.dissection import Dissection, dissect, event_of
from postback_conformance.explaining.explanation import Part, explain
from postback_conformance.strategies import events, wire_texts
from postback_sender import Event, Notification, render_postback

ReadSettings = Callable[[str], Notification]

BODIES = {
    "json": (
        '{"a": {Payout}, "b": "{SubId1}",\n'
        '"c": [{join(items, i, "[{i.qty},\\"{i.sku}\\", \\"{Payout}\\"]")}], "d": "{SubId2}"}'
    ),
    "query": 'a={SubId1}&b={Payout}&{join(items, i, "sku={i.sku}&n={i.name}", "&")}&c={SubId2}',
    "xml": (
        '<a b=\'{SubId1}\'>{Payout}<c><![CDATA[{Text1}]]></c>{join(items, j, "<i>{j.sku}</i>", "")}<d>{SubId2}</d></a>'
    ),
}
AMBIGUOUS = {
    "json": '"{SubId1}{SubId2}-{Text1}"[{join(items, i, "{i.qty}{i.amt}", ";")}]{join(items, i, "{i.name}")}',
    "query": 'a={SubId1}{SubId2};{join(items, i, "{i.sku}", "")}{Text1}',
    "xml": '{SubId1}{SubId2}{join(items, i, "{i.sku}/{i.name}")}/{Text1}',
}
NOW = datetime(2026, 5, 11, tzinfo=UTC)


def notification_text(body_format: str, body: str) -> str:
    url = "http://127.0.0.1/{ActionId}?a={SubId1}&b={SubId2}"
    return f"url = '{url}'\nmethod = 'POST'\nbody_format = '{body_format}'\nbody = '''{body}'''\n"


some_events = events(kind="action_lifecycle", texts=wire_texts(max_size=40))


@pytest.mark.parametrize("body_format", BODIES)
@settings(max_examples=15, deadline=None)
@given(event=some_events)
def test_what_is_read_is_what_was_written_at_the_same_bytes(
    body_format: str, event: Event, read_settings: ReadSettings
) -> None:
    notification = read_settings(notification_text(body_format, BODIES[body_format]))
    postback = render_postback(notification, event)
    parts: dict[Part, bytes] = {"url": postback.url.encode(), "body": postback.body}

    for part, data in parts.items():
        found = dissect(notification, data, part)
        assert isinstance(found, Dissection)
        read = {value.span: value for item in (found.values, *found.items) for value in item}
        written = {value.span: value for value in explain(notification, event) if value.part == part}
        assert {(span, value.token, value.value, value.context) for span, value in read.items()} == {
            (span, value.token, value.value, value.context) for span, value in written.items()
        }
        assert all(value.certain for value in read.values())
        assert len(found.items) == (len(event.items) if part == "body" else 0)


@pytest.mark.parametrize("body_format", AMBIGUOUS)
@settings(max_examples=15, deadline=None)
@given(event=some_events)
def test_what_is_certain_is_true_also_where_the_rest_is_a_guess(
    body_format: str, event: Event, read_settings: ReadSettings
) -> None:
    notification = read_settings(notification_text(body_format, AMBIGUOUS[body_format]))
    found = dissect(notification, render_postback(notification, event).body, "body")
    written = {value.span: value.value for value in explain(notification, event) if value.part == "body"}

    if isinstance(found, Dissection):
        for value in (value for values in (found.values, *found.items) for value in values if value.certain):
            assert written[value.span] == value.value
        assert not all(value.certain for value in found.values)


@pytest.mark.parametrize("body_format", BODIES)
@settings(max_examples=15, deadline=None)
@given(event=some_events)
def test_an_event_made_of_it_makes_the_same_body(body_format: str, event: Event, read_settings: ReadSettings) -> None:
    notification = read_settings(notification_text(body_format, BODIES[body_format]))
    body = render_postback(notification, event).body
    found = dissect(notification, body, "body")
    assert isinstance(found, Dissection)

    made, _notes = event_of(found, notification, now=NOW)

    assert made.at == NOW
    assert render_postback(notification, made).body == body


@st.composite
def damaged(draw: st.DrawFn) -> tuple[int, int, bytes]:
    return draw(st.integers(0, 400)), draw(st.integers(0, 5)), draw(st.binary(max_size=5))


@pytest.mark.parametrize("body_format", BODIES)
@settings(max_examples=15, deadline=None)
@given(event=some_events, damage=damaged())
def test_where_a_damaged_body_leaves_the_template_lies_in_the_body(
    body_format: str, event: Event, damage: tuple[int, int, bytes], read_settings: ReadSettings
) -> None:
    notification = read_settings(notification_text(body_format, BODIES[body_format]))
    body = render_postback(notification, event).body
    start, length, instead = damage
    data = body[:start] + instead + body[start + length :]

    found = dissect(notification, data, "body")

    if isinstance(found, Departure):
        lines = data.split(b"\n")
        assert 0 <= found.position <= len(data)
        assert 1 <= found.line <= len(lines)
        assert found.column <= len(lines[found.line - 1]) + 1
        assert found.template_line in {1, 2}


@pytest.mark.parametrize("part", ["url", "body"])
@pytest.mark.parametrize("bodies", [BODIES, AMBIGUOUS], ids=["certain", "ambiguous"])
@pytest.mark.parametrize("body_format", BODIES)
@settings(max_examples=15, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_taken_apart_or_refused(
    part: Part, bodies: dict[str, str], body_format: str, data: bytes, read_settings: ReadSettings
) -> None:
    notification = read_settings(notification_text(body_format, bodies[body_format]))

    assert isinstance(dissect(notification, data, part), Dissection | Departure)


def test_two_joins_go_over_the_same_items(read_settings: ReadSettings) -> None:
    body = '[{join(items, i, "\\"{i.sku}\\"")}], [{join(items, j, "{j.qty}")}]'
    notification = read_settings(notification_text("json", body))

    found = dissect(notification, b'["A","B"], [1,2]', "body")

    assert isinstance(found, Dissection)
    assert event_of(found, notification, now=NOW)[0].items == ({"sku": "A", "qty": "1"}, {"sku": "B", "qty": "2"})


def test_a_template_of_one_token_can_hold_a_line_end(read_settings: ReadSettings) -> None:
    """But not the one that ends the file."""
    found = dissect(read_settings(notification_text("xml", "{Text1}")), b"a\nb\n", "body")

    assert isinstance(found, Dissection)
    assert [value.value for value in found.values] == ["a\nb"]


def test_names_are_spelled_as_the_catalogue_has_them_where_case_does_not_count(read_settings: ReadSettings) -> None:
    text = notification_text("json", '["{payout}", {join(items, i, "\\"{i.SKU}\\"")}]')
    notification = read_settings(f"{text}[template]\nname_case = 'ignore'\n")

    found = dissect(notification, b'["1.00", "A"]', "body")

    assert isinstance(found, Dissection)
    event, _notes = event_of(found, notification, now=NOW)
    assert (event.values, event.items) == ({"Payout": "1.00"}, ({"sku": "A"},))


@pytest.mark.parametrize(
    ("body_format", "template", "body"),
    [
        pytest.param("query", "a=1&token={SubId1}&b=2", b"a=1&token=hunter2&c=2", id="form"),
        pytest.param("json", '{"api_key": "{SubId1}", "b": 2}', b'{"api_key": "hunter2", "c": 2}', id="JSON"),
        pytest.param("xml", "<a><key>{SubId1}</key><b/></a>", b"<a><key>hunter2</key><c/></a>", id="XML"),
        pytest.param("json", '{"key": "abc"}', b'{"key": "hunter2"}', id="itself"),
    ],
)
def test_a_departure_of_a_body_quotes_no_secret_unless_asked_to(
    read_settings: ReadSettings, body_format: str, template: str, body: bytes
) -> None:
    notification = read_settings(notification_text(body_format, template))
    assert "hunter2" not in repr(dissect(notification, body, "body"))
    assert "hunter2" in repr(dissect(notification, body, "body", reveal=True))
