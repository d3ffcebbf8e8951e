"""A template run backwards: what was put in comes out again, and a stray text is told where it strays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_conformance.demo import NAMES, demo_sources
from postback_conformance.strategies import events
from postback_sender import Event, Notification, parse_notification
from postback_sender.template import Format, Template, TemplateOptions
from postback_sender.template.matcher import Matcher
from postback_sender.template.matching import Match, Mismatch, Told

NOTIFICATIONS = {name: parse_notification(source, {}) for name, source in demo_sources().items()}
KNOWN = ["A", "B", "*.a", "*.b"]
texts = st.text(st.characters(codec="utf-8"), max_size=20)
rows = st.lists(st.fixed_dictionaries({"a": texts, "b": texts}), max_size=4)

LIST = '[{join(items, i, "\\"{i.a}\\"")}]'

# Each value is held between marks that cannot stand inside it, so that there is one reading only.
UNAMBIGUOUS: list[tuple[Format, str]] = [
    ("json", '{"a": "{A}", "b": {B}}'),
    ("json", '{"a": "{A}", "i": [{join(items, x, "\\{\\"a\\": \\"{x.a}\\", \\"b\\": {x.b}\\}")}], "b": "{B}"}'),
    ("json", '[{join(items, x, "\\"{x.a}\\"", ",")}]{A}'),
    ("query", "a={A}&b={B}"),
    ("query", 'a={A}&{join(items, x, "i={x.a}&j={x.b}", "&")}&b={B}&'),
    ("url", "http://h/p/{A}/q?a={B}&b={A}"),
    ("xml", '<r a="{A}" b=\'{B}\'>{join(items, x, "<i>{x.a}</i><j k=\\"{x.b}\\"/>", "")}</r>'),
    ("xml", "<r><![CDATA[{A}]]></r><s>{B}</s>"),
]


def as_xml_can_carry(text: str) -> str:
    """Characters XML has no place for were replaced when they were written."""
    allowed = (letter for letter in text if letter in "\t\n\r" or (letter >= "\x20" and letter not in "\ufffe\uffff"))
    return "".join(allowed)


# And some in which what belongs to which value can only be guessed.
OTHERS: list[tuple[Format, str]] = [
    ("json", '"{A}{B}-{A}"'),
    ("json", "{A}{B}"),
    ("json", '{join(items, x, "{x.a}", "")}"{A}"'),
    ("json", r"""{join(items, x, "\"{x.a}\"", "")}"x\n{A}" """),
    ("query", 'a={A}{join(items, x, "&i={x.a}", "")}&i={B}'),
    ("url", "/{A}/{B}-{A}?{B}"),
    ("xml", '<r><![CDATA[{A}]]>{join(items, x, "<![CDATA[{x.a}]]>", "")}</r>'),
    ("xml", '<r a="{A}{B}" b="{A}-"/>{B}'),
]


@given(
    st.sampled_from([*UNAMBIGUOUS, *OTHERS]),
    st.lists(st.text(st.sampled_from("a-/,]>&;\"'\\n%20+{}<é\x00 "), max_size=4), min_size=6, max_size=6),
    st.integers(0, 3),
)
def test_plain_values_are_read_as_all_values_are(template: tuple[Format, str], values: list[str], items: int) -> None:
    text_format, source = template
    parsed = Template.parse(source)
    matcher = Matcher(parsed.nodes, text_format=text_format, options=parsed.options, source=source)
    # Unescaped, so that much of it is no rendering of the template, or one of other values.
    row = [{"a": values[2 + number], "b": values[5 - number]} for number in range(items)]
    raw = Template.parse(source, options=TemplateOptions(escaping="raw"))
    data = raw.render({"A": values[0], "B": values[1]}, items=row, context=text_format, known=KNOWN)
    quick, full = matcher.read_plain(data), matcher.read_escaped(data)
    if quick is not None:
        assert isinstance(full, Told)
        told = [
            [[(list(row.texts), list(row.spans)) for row in rows] for rows in [one.rows, *one.joins]]
            for one in (quick, full)
        ]
        assert told[0] == told[1]


@given(st.sampled_from(UNAMBIGUOUS), texts, texts, rows)
def test_what_was_put_in_comes_out_again(
    template: tuple[Format, str], a: str, b: str, items: list[dict[str, str]]
) -> None:
    context, source = template
    if context == "xml":
        a, b = as_xml_can_carry(a), as_xml_can_carry(b)
        items = [{name: as_xml_can_carry(text) for name, text in item.items()} for item in items]
    parsed = Template.parse(source)
    data = parsed.render({"A": a, "B": b}, context=context, items=items, known=KNOWN)

    found = parsed.match(data, context=context)

    assert isinstance(found, Match)
    assert found.texts() == {name: text for name, text in {"A": a, "B": b}.items() if name in parsed.names}
    if "join" in source:
        fields = [{name.partition(".")[2] for name in parsed.names if "." in name}] * len(items)
        assert list(found.item_texts()) == [
            {name: text for name, text in item.items() if name in wanted}
            for item, wanted in zip(items, fields, strict=True)
        ]


@given(st.sampled_from(NAMES), events(kind="action_lifecycle"))
def test_a_rendered_postback_gives_back_the_values_of_its_event(name: str, event: Event) -> None:
    notification: Notification = NOTIFICATIONS[name]
    template = notification.body or notification.url
    context: Format = notification.body_format if notification.body else "url"
    data = template.render(event.values, context=context, items=event.items, known=notification.known_tokens)

    found = template.match(data, context=context)

    assert isinstance(found, Match)
    assert found.texts() == {token: event.values.get(token, "") for token in found.texts()}
    assert len(found.item_texts()) in {0, len(event.items)}
    for read, item in zip(found.item_texts(), event.items, strict=False):
        assert read == {field: item.get(field, "") for field in read}


def test_every_value_names_the_bytes_it_was_read_from() -> None:
    data = '{"a": "Zür\\"ich", "b": 1.50}'.encode()

    found = Template.parse('{"a": "{A}", "b": {B}}').match(data, context="json")

    assert isinstance(found, Match)
    assert [(one.name, one.value, data[slice(*one.span)]) for one in found.values] == [
        ("A", 'Zür"ich', 'Zür\\"ich'.encode()),
        ("B", "1.50", b"1.50"),
    ]


@pytest.mark.parametrize(
    ("source", "context", "data", "message"),
    [
        pytest.param('{"a": "{A}"}', "json", b'{"b": "1"}', "byte 2: expected 'a\": \"', got", id="another key"),
        pytest.param('{"a": "{A}"}', "json", b'{"a": "1', "byte 8: expected '\"}', got the end", id="cut short"),
        pytest.param(
            '{"a": "{A}"}', "json", b'{"a": "1"}x', "byte 10: expected the end, got 'x'", id="something after it"
        ),
        pytest.param('{"a": "{A}"}', "json", b'{"a": "x"y"}', "byte 9: expected '}', got 'y", id="a quote unescaped"),
        pytest.param("a={A}&b=1", "query", b"a=%zz&b=1", "byte 2: expected '&b=1', got '%zz", id="a stray percent"),
        pytest.param("{A}", "query", b"%ff", "byte 0: expected a value of {A}, got the byte 0xff", id="not UTF-8"),
        pytest.param("plain", "json", b"plan", "byte 3: expected 'in', got 'n'", id="no tokens"),
        pytest.param("", "json", b"x", "byte 0: expected the end, got 'x'", id="an empty template"),
    ],
)
def test_a_stray_text_is_told_where_it_strays(source: str, context: Format, data: bytes, message: str) -> None:
    found = Template.parse(source).match(data, context=context)

    assert isinstance(found, Mismatch)
    assert str(found).startswith(message)


@pytest.mark.parametrize(
    ("source", "context", "data", "values"),
    [
        pytest.param('"{A}"', "json", b'"\\u00e9\\/"', {"A": "é/"}, id="JSON escapes we would not write"),
        pytest.param("a={A}", "query", b"a=x/y:z+%2B", {"A": "x/y:z +"}, id="letters we would encode"),
        pytest.param("<a>{A}</a>", "xml", b"<a>&quot;&#x41;&#65;&apos;</a>", {"A": "\"AA'"}, id="XML references"),
        pytest.param("{A}-{B}", "query", b"1-2-3", {"A": "1", "B": "2-3"}, id="the shortest, where nobody can tell"),
        pytest.param("{A}{B}", "query", b"12", {"A": "", "B": "12"}, id="neighbours: all goes to the last"),
    ],
)
def test_other_senders_are_understood_too(source: str, context: Format, data: bytes, values: dict[str, str]) -> None:
    found = Template.parse(source).match(data, context=context)

    assert isinstance(found, Match)
    assert found.texts() == values


@pytest.mark.parametrize(
    ("source", "data", "place", "message"),
    [
        pytest.param('{"a": "{A}", "b": 1}', '{"a": "x", "c": 1}', '", "|b": 1}', "12: expected 'b\": 1}'", id="a key"),
        pytest.param('\\{"ä\\"\\}{A}\\},x', '{"ä"}1},y', "\\},|x", "9: expected 'x', got 'y'", id="after escapes"),
        pytest.param("{A}", "\xff", "|{A}", "0: expected a value of {A}", id="a value"),
        pytest.param("a", "ab", "a|", "1: expected the end", id="the end"),
        pytest.param(LIST, '["1","2!', '{i.a}|\\"")', "8: expected '\"', got the end", id="inside an item"),
        pytest.param(LIST, '["1","2"!', '")}|]', "8: expected ']', got '!'", id="after an item"),
        pytest.param(LIST, '["1",!', '"|\\"{i.a}', "5: expected '\"', got '!'", id="instead of an item"),
        pytest.param(LIST, "[!", '"|\\"{i.a}', "1: expected '\"', got '!'", id="instead of all items"),
    ],
)
def test_a_mismatch_names_its_place_in_the_template_too(source: str, data: str, place: str, message: str) -> None:
    found = Template.parse(source).match(data.encode("latin-1" if data == "\xff" else "utf-8"), context="json")

    assert isinstance(found, Mismatch)
    assert str(found).startswith(f"byte {message}")
    before, _, after = place.partition("|")
    assert source[: found.offset].endswith(before)
    assert source[found.offset :].startswith(after)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        pytest.param('x{join(items, i, "&a={i.a}&b={i.b}", "")}&c=', "x&a=1&b=2&a=3&b=4&c=", id="no separator"),
        pytest.param(
            'x={join(items, i, "{i.a}", ",")}&y={join(items, i, "{i.b}", ",")}', "x=1,3&y=2,4", id="bare lists"
        ),
        pytest.param(
            '{join(items, i, "&a={i.a}")}!{join(items, j, "&b={j.b}")}', "&a=1,&a=3!&b=2,&b=4", id="two joins"
        ),
    ],
)
def test_items_are_put_together_from_every_join(source: str, data: str) -> None:
    found = Template.parse(source).match(data.encode(), context="query")

    assert isinstance(found, Match)
    assert found.item_texts() == ({"a": "1", "b": "2"}, {"a": "3", "b": "4"})


@pytest.mark.parametrize("skus", [["A", "", "C"], ["", "B"], ["A", ""], ["", "", ""], []], ids=repr)
@pytest.mark.parametrize(
    ("source", "context"),
    [('s={join(items, i, "{i.sku}", ",")}', "query"), ('"{join(items, i, "{i.sku}", "|")}"', "json")],
    ids=["query", "json"],
)
def test_items_without_a_value_are_items_all_the_same(source: str, context: Format, skus: list[str]) -> None:
    template = Template.parse(source)

    found = template.match(template.render({}, context=context, items=[{"sku": sku} for sku in skus]), context=context)

    assert isinstance(found, Match)
    assert [item["sku"] for item in found.item_texts()] == skus


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"<a>&#1;</a>", "&#1; stands for a character that XML 1.0 cannot carry"),
        (b"<a>&#xD800;</a>", "&#xD800; stands for a character that XML 1.0 cannot carry"),
        (b"<a>&#x110000;</a>", "&#x110000; stands for a character that XML 1.0 cannot carry"),
        (b"<a>&bogus;</a>", "&bogus; stands for nothing"),
        (b"<a>\xff</a>", "the byte 0xff, which is not UTF-8"),
    ],
    ids=["control", "surrogate", "beyond Unicode", "name", "bytes"],
)
def test_a_reference_that_stands_for_nothing_is_no_value(data: bytes, got: str) -> None:
    found = Template.parse("<a>{A}</a>").match(data, context="xml")

    assert str(found) == f"byte 3: expected a value of {{A}}, got {got}"


def test_a_mismatch_is_false_and_a_match_is_true() -> None:
    template = Template.parse("a={A}")

    assert not template.match(b"b=1", context="query")
    assert template.match(b"a=1", context="query")


@pytest.mark.parametrize("source", ["\ud800{A}", '{join(items, i, "{i.a}", "\udfff")}x'], ids=["text", "separator"])
def test_a_template_that_no_bytes_can_be_matches_none(source: str) -> None:
    assert not Template.parse(source).match(b"x,y", context="json")


def test_an_unknown_token_left_in_a_bare_place_is_read_as_it_stands() -> None:
    template = Template.parse('{"n": {Nope}, "x": {A}}')
    found = template.match(template.render({"A": "1"}, context="json", known=KNOWN), context="json")

    assert isinstance(found, Match)
    assert found.texts() == {"Nope": "{Nope}", "A": "1"}


def test_raw_values_are_read_as_they_are() -> None:
    template = Template.parse('{"a": "{A}", "b": 1}', options=TemplateOptions(escaping="raw"))
    found = template.match(b'{"a": "say "hi"\\", "b": 1}', context="json")

    assert isinstance(found, Match)
    assert found.texts() == {"A": 'say "hi"\\'}


@given(st.sampled_from(UNAMBIGUOUS), st.binary(max_size=60))
def test_any_bytes_match_or_are_told_where_they_do_not(template: tuple[Format, str], data: bytes) -> None:
    context, source = template
    found = Template.parse(source).match(data, context=context)

    assert isinstance(found, Match) or 0 <= found.position <= len(data)


@pytest.mark.parametrize("hostile", [b'"', b"\\", b"a", b"]]>", b"]]><![CDATA[", b"%41", b"&amp;", b","])
def test_hostile_data_is_read_in_one_go(hostile: bytes) -> None:
    # A pattern that went back on itself would take longer than anybody's patience here.
    for context, source in UNAMBIGUOUS:
        template = Template.parse(source)
        lead = template.source.partition("{A}")[0].encode()
        template.match(lead + hostile * 50_000, context=context)
