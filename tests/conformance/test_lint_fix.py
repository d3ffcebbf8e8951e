"""Fixing writes what is certain and nothing else; fixing twice is fixing once."""

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from postback_conformance.demo import DOCUMENTED, demo_sources
from postback_conformance.judging.readings import form_fault, read_json, xml_fault
from postback_conformance.lint import fix, lint
from postback_conformance.strategies import events, lifecycles
from postback_sender import Event, NotificationSource, SenderError, example_event, parse_notification
from postback_sender.notification import BodyFormat, Notification

URL: Final = "http://127.0.0.1/p?action={ActionId}&status={Status}&delta={DeltaPayout}"
RAW: Final = '[template]\nescaping = "raw"'


def notification_of(body: str, body_format: BodyFormat = "json", *, url: str = URL, more: str = "") -> Notification:
    lines = [
        f"url = {quoted(url)}",
        'method = "POST"',
        f'body_format = "{body_format}"',
        f"body = {quoted(body)}",
        more,
    ]
    return parse_notification(NotificationSource(name="any.toml", text="\n".join(lines)), None)


def quoted(text: str) -> str:
    """Write a text as TOML; JSON's strings are TOML's, but for two ways to write a letter."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def body_of(notification: Notification) -> str:
    assert notification.body is not None
    return notification.body.source


def rendered(notification: Notification, event: Event) -> bytes:
    assert notification.body is not None
    known = notification.known_tokens
    return notification.body.render(event.values, context=notification.body_format, items=event.items, known=known)


def is_well_formed(notification: Notification, event: Event) -> bool:
    body = rendered(notification, event)
    match notification.body_format:
        case "json":
            return read_json(body).fault is None
        case "xml":
            return xml_fault(body) is None
        case "query":
            return form_fault(body) is None


FIXED: Final = fix(parse_notification(demo_sources()[DOCUMENTED], None))
TWIN: Final = parse_notification(demo_sources()["corrected"], None)
SOUND: Final[dict[BodyFormat, str]] = {
    "json": body_of(TWIN),
    "xml": body_of(parse_notification(demo_sources()["xml"], None)),
    "query": body_of(parse_notification(demo_sources()["query"], None)),
}
EVENTS: Final = st.one_of(
    events(kind="action_lifecycle"), lifecycles(max_items=3, max_updates=2).flatmap(st.sampled_from)
)


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


class Wound(NamedTuple):
    """A slip of the pen: wherever the pattern is found, it may have been written like this instead."""

    name: str
    body_format: BodyFormat
    pattern: str
    written: str | Callable[[re.Match[str]], str]


ALWAYS_NUMBERS: Final = "CampaignId|ActionTrackerId|MediaPartnerId|(?:Delta|Intended)?(?:Payout|Amount)"


def in_lower_case(found: re.Match[str]) -> str:
    return found[0].lower()


# All of them are mended completely. Without quotes, tokens that are always numbers are no wound.
CERTAIN = (
    Wound(
        "quotes of a token dropped",
        "json",
        r'(\\?")(\{(?!CampaignId|ActionTrackerId|MediaPartnerId|(?:Delta|Intended)?(?:Payout|Amount))[\w.]+\})\1',
        r"\2",
    ),
    Wound("first quote of a token dropped", "json", r'(: ?)\\?"(\{[\w.]+\})', r"\1\2"),
    Wound("last quote of a token dropped", "json", r'(: ?\\?"\{[\w.]+\})\\?"', r"\1"),
    Wound("line break in a name", "json", r"\{(\w\w)(\w+)\}", "{\\1\n\\2}"),
    Wound("blank in a name", "json", r"\{([\w.]+)\}", r"{ \1}"),
    Wound("name in lower case", "json", r"\{([A-Z]\w+)\}", in_lower_case),
    Wound("token not closed", "json", r"(\{[\w.]+)\}", r"\1"),
    Wound("opening brace not escaped", "json", r"\\\{", "{"),
    Wound("comma dropped", "json", r'(?<!i),(?=\n\\?")', ""),
    Wound("comma doubled", "json", r'(?<!i),(?=\n\\?")', ",,"),
    Wound("comma after the last member", "json", r"(?=\\\})", ","),
    Wound("colon dropped", "json", r'(?<="):', " "),
    Wound("comma for a colon", "json", r'(?<="):(?= ?\\?"\{)', ","),
    Wound(
        "curly quotes",
        "json",
        r'\\?"([{}\w.]+)\\?"',
        "\N{LEFT DOUBLE QUOTATION MARK}\\1\N{RIGHT DOUBLE QUOTATION MARK}",
    ),
    Wound("key dropped", "json", r'"event": ', ""),
    Wound("tab in a string", "json", r"Action Life", "Action\tLife"),
    Wound("white space before the declaration", "xml", r"\A", "\n "),
    Wound("ampersand as it is", "xml", r"(?<=>)(?=\{)", "a & b "),
    Wound("less-than as it is", "xml", r"(?<=>)(?=\{)", "1 < 2 "),
    Wound("attribute without quotes", "xml", r'="(\{\w+\})"', r"=\1"),
    Wound("token not closed", "xml", r'(\{\w+)\}(?=["<])', r"\1"),
    Wound("blank", "query", r"=", "= "),
    Wound("line break between pairs", "query", r"&", "&\n  "),
    Wound("letter beyond ASCII", "query", r"=", "=\N{LATIN SMALL LETTER U WITH DIAERESIS}"),
    Wound("percent sign", "query", r"=", "=5%"),
    Wound("line break at the end", "query", r"\Z", "\n"),
)
SUGGESTED = (
    Wound("key doubled", "json", r'"sub_id1"', '"sub_id2"'),
    Wound("bracket dropped", "json", r"\]", ""),
    Wound("brace dropped", "json", r"\\\}", ""),
    Wound("value dropped", "json", r': "\{\w+\}"', ": "),
    Wound("join outside an array", "json", r"\[(\{join.*\)\})\]", r"\1"),
    Wound("quote in a string", "json", r"Action Life", 'Action "Life'),
    Wound("tag not closed", "xml", r"</\w+>", ""),
    Wound("token in a tag", "xml", r"<(?=\w)", "<{Status}"),
    Wound("parameter doubled", "query", r"\Z", "&action=1"),
)


def sites(wound: Wound) -> list[re.Match[str]]:
    return list(re.finditer(wound.pattern, SOUND[wound.body_format], re.DOTALL))


def wounded(body: str, found: re.Match[str], wound: Wound) -> str:
    written = wound.written(found) if callable(wound.written) else found.expand(wound.written)
    return f"{body[: found.start()]}{written}{body[found.end() :]}"


@pytest.mark.parametrize("wound", CERTAIN, ids=lambda wound: f"{wound.body_format}: {wound.name}")
def test_each_of_these_wounds_is_found_and_mended(wound: Wound) -> None:
    """At every eighth place where it could be, and at the last: those inside the join come late."""
    event = example_event("action_lifecycle")
    said = json.loads(rendered(TWIN, event))
    for found in {*sites(wound)[::8], sites(wound)[-1]}:
        hurt = notification_of(wounded(SOUND[wound.body_format], found, wound), wound.body_format)
        assert lint(hurt)
        mended = fix(hurt)
        assert mended.findings == (), found
        assert is_well_formed(mended.notification, event)
        if wound.body_format == "json" and "tab" not in wound.name:
            assert json.loads(rendered(mended.notification, event)) == said, found


@st.composite
def wounded_bodies(draw: DrawFn) -> tuple[str, BodyFormat]:
    """Sound templates with some slips of the pen, those included that only a person can mend."""
    body_format = draw(st.sampled_from(tuple(SOUND)))
    body = SOUND[body_format]
    wounds = [wound for wound in (*CERTAIN, *SUGGESTED) if wound.body_format == body_format]
    for wound in draw(st.lists(st.sampled_from(wounds), min_size=1, max_size=6)):
        if places := list(re.finditer(wound.pattern, body, re.DOTALL)):
            body = wounded(body, draw(st.sampled_from(places)), wound)
    return body, body_format


@settings(max_examples=30, deadline=None)
@given(wounded_bodies(), EVENTS)
def test_a_wounded_template_of_which_nothing_is_left_to_mend_is_well_formed_for_every_event(
    wounds: tuple[str, BodyFormat], event: Event
) -> None:
    try:
        notification = notification_of(*wounds)
    except SenderError:
        return
    fixed = fix(notification)
    if not any(finding.level == "MUST" for finding in fixed.findings):
        assert is_well_formed(fixed.notification, event)


@settings(max_examples=30, deadline=None)
@given(wounded_bodies())
def test_fixing_a_wounded_template_twice_is_fixing_it_once(wounds: tuple[str, BodyFormat]) -> None:
    assert_fixed_twice_is_fixed_once(*wounds, url=URL)


HOSTILE_TEXT = st.lists(
    st.sampled_from(
        (
            *("{", "}", "[", "]", '"', "'", ":", ",", "\\", "\\{", "\\}", '\\"', "\n", "\t", " ", "&", "=", "%", "#"),
            *(
                "<",
                ">",
                "/",
                "!--",
                "-->",
                "<?xml",
                "?>",
                "<![CDATA[",
                "]]>",
                "&amp;",
                "a",
                "1",
                "true",
                "\x00",
                "\x7f",
            ),
            *(
                "{Payout}",
                "{payout}",
                "{SubId1",
                "{Sub Id1}",
                "{i.sku}",
                "{Nope}",
                "{{Payout}}",
                "{{ sub_id",
                "}}",
                "${SubId1}",
                "[Payout]",
                "%Payout%",
                '{join(items, i, "',
                '{join(items, i, "")}',
                '{join(items, i, "{i.sku}", "&#")}',
                '")}',
                "// ",
                "/*",
                "*/",
                "<!DOCTYPE a [<!ENTITY b 'c'>]>",
                "&b;",
                "api_key",
                "\ufeff",
                ', "',
                "$",
            ),
            *(
                "\N{LEFT DOUBLE QUOTATION MARK}",
                "\N{RIGHT DOUBLE QUOTATION MARK}",
                "\ue000",
                "\ue001",
                "\ue002",
                "\U0001f600",
            ),
        )
    ),
    max_size=25,
).map("".join)


@settings(max_examples=30, deadline=None)
@given(
    body=st.one_of(HOSTILE_TEXT, st.text(max_size=40)),
    url=HOSTILE_TEXT,
    body_format=st.sampled_from(tuple(SOUND)),
    more=st.sampled_from(("", RAW, '[template]\nunknown_token = "error"')),
)
def test_any_template_can_be_linted_and_fixed_and_fixing_it_twice_is_fixing_it_once(
    body: str, url: str, body_format: BodyFormat, more: str
) -> None:
    assert_fixed_twice_is_fixed_once(body, body_format, url=f"http://h/{url}", more=more)


def assert_fixed_twice_is_fixed_once(body: str, body_format: BodyFormat, *, url: str, more: str = "") -> None:
    try:
        notification = notification_of(body, body_format, url=url, more=more)
    except SenderError:
        return
    once = fix(notification)
    twice = fix(once.notification)
    assert body_of(twice.notification) == body_of(once.notification)
    assert twice.notification.url.source == once.notification.url.source
    assert twice.findings == once.findings


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


@settings(max_examples=30, deadline=None)
@given(body=HOSTILE_TEXT, body_format=st.sampled_from(tuple(SOUND)))
def test_nothing_is_written_that_has_more_findings_than_before(body: str, body_format: BodyFormat) -> None:
    try:
        notification = notification_of(body, body_format)
    except SenderError:
        return
    assert len(fix(notification).findings) <= len(lint(notification))
