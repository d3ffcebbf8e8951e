"""The laws of the template language, for generated templates of every format and generated events of every kind."""

import json
import re
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postback_conformance.generating.template_strategies import templates
from postback_conformance.judging.certainty import certainties
from postback_conformance.strategies import events
from postback_sender import Event, RenderError
from postback_sender.template import Format, Template, TemplateOptions, TemplateSyntaxError
from postback_sender.template.matching import Match, Mismatch
from postback_sender.template.nodes import Join, Node, Text
from postback_sender.template.places import placed_tokens
from postback_sender.template.printer import print_nodes
from postback_sender.tokens import CATALOGUE

KNOWN = frozenset(
    [token.name for token in CATALOGUE.tokens("action_lifecycle")]
    + [f"*.{field.name}" for field in CATALOGUE.item_fields("action_lifecycle")]
)
FORMATS: tuple[Format, ...] = ("json", "xml", "query", "url")
# Whatever Python can hold in a text: control characters, NUL, halves of characters.
anything = st.text(st.one_of(st.characters(), st.sampled_from('\0\x1f\x7f\ud800\udfff"\\<&]>\ufffe')), max_size=8)
rows = st.dictionaries(st.sampled_from(sorted(name.removeprefix("*.") for name in KNOWN)), anything, max_size=4)
# Templates and lives with orders of a thousand lines take their time to draw, more so on a busy machine.
slow = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
few = settings(slow, max_examples=10)
of_each_format = pytest.mark.parametrize("text_format", FORMATS)


def read_strictly(text_format: Format, data: bytes) -> object:
    """Read a rendered text with a parser that is not ours, which raises an error when it is ill formed."""
    text = data.decode()
    match text_format:
        case "json":
            return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
        case "xml":
            return ET.fromstring(text)  # noqa: S314  our own text
        case "query":
            assert re.fullmatch(r"[!-~]*", text), text
            assert not re.search("%(?![0-9A-F]{2})", text), text
            return parse_qsl(text, keep_blank_values=True, errors="strict")
        case "url":
            url = urlsplit(text)
            assert re.fullmatch(r"[!-~]*", text), text
            assert url.netloc == "127.0.0.1", text
            assert not url.fragment, text
            return parse_qsl(url.query, keep_blank_values=True, errors="strict")


@of_each_format
@few
@given(st.data())
def test_a_rendered_template_is_well_formed_whatever_the_event(text_format: Format, data: st.DataObject) -> None:
    template = data.draw(templates(text_format=text_format))
    event = data.draw(events(kind="action_lifecycle"))

    read_strictly(text_format, template.render(event.values, context=text_format, items=event.items, known=KNOWN))


@of_each_format
@slow
@given(st.data())
def test_whatever_a_value_holds_the_text_is_well_formed_or_refused(text_format: Format, data: st.DataObject) -> None:
    template = data.draw(templates(text_format=text_format))
    values, items = data.draw(rows), data.draw(st.lists(rows, max_size=2))
    try:
        rendered = template.render(values, context=text_format, items=items, known=KNOWN)
    except RenderError as error:
        assert re.search(r"the value of \{[\w.]+\}( of item \d+)? holds (the lone surrogate )?U\+", str(error))  # noqa: PT017
    else:
        read_strictly(text_format, rendered)


@of_each_format
@few
@given(st.data())
def test_what_a_match_reads_is_what_the_event_held(text_format: Format, data: st.DataObject) -> None:
    template = data.draw(templates(text_format=text_format))
    event: Event = data.draw(events(kind="action_lifecycle"))
    rendered = template.render(event.values, context=text_format, items=event.items, known=KNOWN)

    found = template.match(rendered, context=text_format)

    certain = certainties(template, text_format)
    if all(certain):
        assert isinstance(found, Match), found
        assert all(len(entries) == len(event.items) for entries in found.joins)
        joins = [node for node in template.nodes if isinstance(node, Join)]
        for join, entries in zip(joins, found.joins, strict=True):
            for entry, item in zip(entries, event.items, strict=True):
                scope = {**event.values, **{f"{join.variable}.{name}": text for name, text in item.items()}}
                assert all(value.value == scope.get(value.name, "") for value in entry)
    if isinstance(found, Match):
        outside = [
            sure
            for sure, placed in zip(certain, placed_tokens(template.nodes, text_format), strict=True)
            if not placed.join
        ]
        for value, sure in zip(found.values, outside, strict=True):
            assert not sure or value.value == event.values.get(value.name, "")


@of_each_format
@slow
@given(st.data())
def test_what_is_printed_parses_to_the_same_template(text_format: Format, data: st.DataObject) -> None:
    template = data.draw(templates(text_format=text_format))

    assert meaning(Template.parse(str(template)).nodes) == meaning(template.nodes)


pieces = st.sampled_from(
    ["{", "}", '"', "\\", r"\{", r"\}", r"\"", "{Payout}", '{join(items, i, "', '")}', '", "', "i.sku", "{i.sku}", ","]
)


@given(st.lists(pieces | st.text(max_size=2), max_size=12).map("".join))
def test_whatever_parses_prints_to_what_parses_to_the_same(source: str) -> None:
    try:
        template = Template.parse(source)
    except TemplateSyntaxError:
        return
    printed = print_nodes(template.nodes)

    assert meaning(Template.parse(printed).nodes) == meaning(template.nodes)
    assert print_nodes(Template.parse(printed).nodes) == printed


@given(
    st.lists(pieces | st.sampled_from(["<a>", "</a>", "<![CDATA[", "]]>", "&", ":", "[", "]"]), max_size=8).map(
        "".join
    ),
    st.sampled_from(FORMATS),
    st.sampled_from([TemplateOptions(), TemplateOptions(escaping="raw", unknown_token="empty", join_separator="")]),
    st.lists(
        st.sampled_from([b'"', b"\\", b"{", b"}", b"{Payout}", b",", b"a", b"]]>", b"%", b"&", b"<a>", b"\xff"])
    ).map(b"".join),
)
def test_any_bytes_match_any_template_or_are_told_where_they_leave_it(
    source: str, text_format: Format, options: TemplateOptions, data: bytes
) -> None:
    try:
        template = Template.parse(source, options=options)
    except TemplateSyntaxError:
        return
    found = template.match(data, context=text_format)

    if isinstance(found, Mismatch):
        assert 0 <= found.position <= len(data)
        assert 0 <= found.offset <= len(source)


def meaning(nodes: tuple[Node, ...]) -> list[object]:
    """Return the nodes without their places and spelling."""
    return [
        node.text
        if isinstance(node, Text)
        else (node.list_name, node.variable, meaning(node.body), node.separator)
        if isinstance(node, Join)
        else ("token", node.name)
        for node in nodes
    ]
