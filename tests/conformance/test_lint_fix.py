"""Fixing writes what is certain and nothing else."""

import json
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lint_templates import EVENTS, RAW, SOUND, TWIN, body_of, is_well_formed, notification_of, rendered
from postback_conformance.demo import DOCUMENTED, demo_sources
from postback_conformance.lint import fix, lint
from postback_conformance.strategies import events
from postback_sender import Event, example_event, parse_notification

FIXED: Final = fix(parse_notification(demo_sources()[DOCUMENTED], None))


def test_nothing_is_left_of_the_wounds_of_the_documented_example() -> None:
    assert FIXED.findings == ()


@settings(max_examples=25, deadline=None)
@given(EVENTS)
def test_fixed_it_says_for_every_event_what_its_corrected_twin_says(event: Event) -> None:
    assert json.loads(rendered(FIXED.notification, event)) == json.loads(rendered(TWIN, event))


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
@pytest.mark.parametrize("escaping", ["context", "raw"])
def test_fixed_it_is_json_for_orders_of_any_length_with_and_without_values(count: int, escaping: str) -> None:
    notification = notification_of(body_of(FIXED.notification), more=f'[template]\nescaping = "{escaping}"')
    whole = example_event("action_lifecycle")
    nothing: dict[str, str] = {}
    for values, item in ((whole.values, {"sku": "APP-1"}), (nothing, nothing)):
        order = Event(kind=whole.kind, at=whole.at, values=values, items=(item,) * count)

        assert len(json.loads(rendered(notification, order))["items"]) == count


@settings(max_examples=25, deadline=None)
@given(events(kind="action_lifecycle", texts=st.sampled_from(("", "plain", "two words"))))
def test_fixed_it_needs_no_escaping_as_long_as_no_value_does(event: Event) -> None:
    assert is_well_formed(notification_of(body_of(FIXED.notification), more=RAW), event)


def test_the_corrected_examples_are_left_as_they_are() -> None:
    for body_format, body in SOUND.items():
        assert body_of(fix(notification_of(body, body_format)).notification) == body


@pytest.mark.parametrize(
    ("body", "fixed"),
    [
        ('{"event": 1, "x", "y"}', '{"event": 1, "event_2": "x", "event_3": "y"}'),
        (
            r'{"s": [{join(Items, i, "\{\"x\", \"s\": {i.SKU},\}")}]}',
            r'{"s": [{join(items, i, "\{\"event\": \"x\", \"s\": \"{i.sku}\"\}")}]}',
        ),
        ("{'a': {Payout, b: {subid1}x}", '{"a": {Payout}, "b": "{SubId1}x"}'),
        ('{"a": {Pay\nout, "b": {SubId1}}', '{"a": {Pay\nout, "b": "{SubId1}"}'),
        ('{"a": "{SubId}", "a": {Nope}}', '{"a": "{SubId}", "a": "{Nope}"}'),
        ('{"payout": "{Amount}", "x": "{SubId1}{SubId2}"}', '{"payout": "{Amount}", "x": "{SubId1}{SubId2}"}'),
        ('{"a": {SubId1}', '{"a": "{SubId1}"'),
        ('{"a": {{ payout }}, "b": "{{{SubId1}}}"}', '{"a": {Payout}, "b": "{SubId1}"}'),
        ('{"a": "{{Nope}}", "b": "\\{{SubId1}\\}"}', '{"a": "{{Nope}}", "b": "\\{{SubId1}\\}"}'),
        ('{"a": ${SubId1}, "b": "${{ActionId}}"}', '{"a": "{SubId1}", "b": "{ActionId}"}'),
        (
            '{"a": "${Payout}", "b": "${{Payout}}", "c": "${HOME}"}',
            '{"a": "${Payout}", "b": "${Payout}", "c": "${HOME}"}',
        ),
        ('{"a": "%Payout%"}', '{"a": "%Payout%"}'),
        ('{"a": 1, // "my" \'id\': {ActionId}, {\n"b": /* {join(items, i, "x")} */ 2,}', '{"a": 1,\n"b": 2}'),
        ('{"a": 1} /* not closed', '{"a": 1} /* not closed'),
        ('{"a": "http://x/", "b": "/* x */"}', '{"a": "http://x/", "b": "/* x */"}'),
        ("\ufeff{'a': 1}", '{"a": 1}'),
    ],
    ids=[
        "free keys",
        "in a join",
        "one after another",
        "a name in pieces",
        "names beyond case",
        "meaning",
        "as far as it is certain",
        "braces of other languages",
        "double braces without a token, and escaped ones",
        "variables in a body",
        "a dollar before money",
        "macros of other networks",
        "comments",
        "a comment without end",
        "slashes in strings",
        "a byte order mark",
    ],
)
def test_what_is_certain_is_written_and_what_is_not_is_left(body: str, fixed: str) -> None:
    assert body_of(fix(notification_of(body)).notification) == fixed


@pytest.mark.parametrize(
    ("url", "fixed"),
    [
        ("http://h/a b?c=\N{LATIN SMALL LETTER U WITH DIAERESIS}&d=5%", "http://h/a%20b?c=%C3%BC&d=5%25"),
        ("http://h/?t=${TOKEN}&a={actionid}", "http://h/?t=${TOKEN}&a={ActionId}"),
        ("http://h/?token=hunter2&a={ActionId}{Status}", None),
        ("http://h/{{SubId1}}?a=${{actionid}}&b={{ Status }}", "http://h/{SubId1}?a={ActionId}&b={Status}"),
        ("http://h/?a=%Payout%&b=[Status]&c=<Amount>", None),
        (
            'http://h/?k={join(items, i, "{i.sku}", "# 5%ü")}',
            'http://h/?k={join(items, i, "{i.sku}", "%23%205%25%C3%BC")}',
        ),
        ('http://h/?k={join(items, i, "{i.sku}", "&")}', None),
        ('http://h/?k={join(items, i, "{i.sku}", "&k=")}', None),
        ('http://h/?{join(items, i, "k={i.sku}", "&\n")}', 'http://h/?{join(items, i, "k={i.sku}", "&")}'),
    ],
)
def test_a_url_is_fixed_like_a_body(url: str, fixed: str | None) -> None:
    assert fix(notification_of("1", url=url)).notification.url.source == (fixed or url)


def test_a_correction_that_would_break_what_is_well_formed_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(source: str, _edits: object) -> str:
        return f"{source}}}"

    monkeypatch.setattr("postback_conformance.lint.fixing.apply_edits", spoil)
    notification = notification_of('{"a": "{actionid}"}')

    assert body_of(fix(notification).notification) == '{"a": "{actionid}"}'


def test_a_separator_of_the_settings_is_written_out_where_a_query_cannot_hold_it() -> None:
    notification = notification_of('k={join(items, i, "")}', "query", more='[template]\njoin_separator = "#"')

    assert body_of(fix(notification).notification) == 'k={join(items, i, "", "%23")}'


@pytest.mark.parametrize(
    ("body", "fixed"),
    [
        ("<a>{SubId1} &co; x & y</a>", "<a>{SubId1} &amp;co; x &amp; y</a>"),
        ('<!DOCTYPE a SYSTEM "a.dtd"><a>{SubId1} &co; &</a>', '<!DOCTYPE a SYSTEM "a.dtd"><a>{SubId1} &co; &amp;</a>'),
        ("<!DOCTYPE a [<!ENTITY co 'x'>]><a>{SubId1} &co;</a>", "<!DOCTYPE a [<!ENTITY co 'x'>]><a>{SubId1} &co;</a>"),
    ],
    ids=["without a document type", "with one elsewhere", "declared here"],
)
def test_a_name_that_a_document_type_may_declare_is_left_alone(body: str, fixed: str) -> None:
    assert body_of(fix(notification_of(body, "xml")).notification) == fixed


def test_what_was_mended_is_told_in_the_order_of_its_rounds() -> None:
    fixed = fix(notification_of('{"a": {subid1}}'))

    assert [[one.slug for one in mended] for _, mended in fixed.rounds] == [
        ["template.unknown-token"],
        ["json.token-unquoted"],
    ]
    assert [body_of(before) for before, _ in fixed.rounds] == ['{"a": {subid1}}', '{"a": {SubId1}}']


def test_what_was_reached_when_the_rounds_are_over_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postback_conformance.lint.fixing._ROUNDS", 1)

    assert body_of(fix(notification_of('{"a": {subid1}}')).notification) == '{"a": {SubId1}}'


def test_a_correction_after_which_more_is_to_be_said_is_not_made() -> None:
    """The & is mended at once, and then the tag shows, and that the values are not safe."""
    body = "<a>& {CampaignName}</b>"

    assert [one.slug for one in lint(notification_of(body, "xml", more=RAW))] == ["xml.unescaped-markup"]
    assert body_of(fix(notification_of(body, "xml", more=RAW)).notification) == body
    assert body_of(fix(notification_of(body, "xml")).notification) == "<a>&amp; {CampaignName}</b>"
