"""Escaping by context: whatever a value holds, the request stays well formed and the value comes back whole."""

import json
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postback_sender.errors import RenderError
from postback_sender.template import Format, Template, TemplateOptions
from postback_sender.template.matching import Match

texts = st.text(st.characters(codec="utf-8"), max_size=40)
# XML 1.0 §2.2: the characters a document can carry at all.
xml_texts = st.text(
    st.one_of(
        st.sampled_from("\t\n\r<>&\"'];!-[CDATA"),
        st.characters(min_codepoint=0x20, codec="utf-8", exclude_characters="\ufffe\uffff"),
    ),
    max_size=40,
)


def rendered(source: str, context: Format, value: str, **options: str) -> str:
    template = Template.parse(source, options=TemplateOptions(**options))  # type: ignore[arg-type]  # checked at run time
    return template.render({"Text1": value}, context=context, known=["Text1"]).decode()


@given(texts)
@example('quote " backslash \\ newline \n')
def test_a_json_string_comes_back_whole(value: str) -> None:
    assert json.loads(rendered('{"a": ["{Text1}", "x"]}', "json", value)) == {"a": [value, "x"]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.50", "1.50"),
        ("-3", "-3"),
        ("true", "true"),
        ("", '""'),
        ("a", '"a"'),
        ("1,2", '"1,2"'),
        ("01", '"01"'),
        ("1\n", '"1\\n"'),
    ],
)
def test_a_bare_json_place_takes_numbers_as_they_are_and_quotes_the_rest(value: str, expected: str) -> None:
    assert rendered("{Text1}", "json", value) == expected


@given(xml_texts)
@example("]]>")
@example(">")
@example("]")
def test_xml_text_attribute_and_cdata_come_back_whole(value: str) -> None:
    source = "<a b=\"{Text1}\" c='{Text1}'><d>{Text1}</d><e>x]]<![CDATA[y]]{Text1}]]></e></a>"
    root = ET.fromstring(rendered(source, "xml", value))  # noqa: S314  our own text

    assert root.get("b") == value
    assert root.get("c") == value
    assert (root.findtext("d") or "") == value
    # Inside CDATA nothing can be escaped, so a parser's line-end rule (XML 1.0 §2.11) applies to carriage returns.
    assert root.findtext("e") == "x]]y]]" + value.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("source", ["<a b='{Text1}'/>", "<a>{Text1}</a>", "<a><![CDATA[{Text1}]]></a>"])
@given(letter=st.characters(codec="utf-8"))
@example(letter="\0")
@example(letter="\ufffe")
def test_what_xml_cannot_carry_is_refused_by_name_and_nothing_else_is(source: str, letter: str) -> None:
    try:
        text = rendered(source, "xml", letter)
    except RenderError as error:
        code = f"U+{ord(letter):04X}"
        assert str(error).startswith(f"template: the value of {{Text1}} holds {code}, which XML 1.0 cannot carry")  # noqa: PT017
        with pytest.raises(ET.ParseError):
            ET.fromstring(source.replace("{Text1}", letter))  # noqa: S314  our own text
    else:
        ET.fromstring(text)  # noqa: S314  our own text


def test_in_raw_mode_even_what_xml_cannot_carry_is_sent() -> None:
    assert rendered("<a>{Text1}</a>", "xml", "\0", escaping="raw") == "<a>\0</a>"


@given(texts)
def test_url_path_and_query_values_come_back_whole(value: str) -> None:
    url = urlsplit(rendered("http://h/p/{Text1}/x?a={Text1}&b=2", "url", value))

    assert unquote(url.path) == f"/p/{value}/x"
    assert url.path.count("/") == 3
    assert parse_qsl(url.query, keep_blank_values=True) == [("a", value), ("b", "2")]


@given(texts)
def test_a_form_value_comes_back_whole(value: str) -> None:
    assert parse_qsl(rendered("a={Text1}&b=2", "query", value), keep_blank_values=True) == [("a", value), ("b", "2")]


def test_a_join_escapes_for_the_place_inside_its_text() -> None:
    template = Template.parse('[{join(items, i, "\\{\\"s\\": \\"{i.sku}\\", \\"q\\": {i.qty}\\}")}]')
    items = [{"sku": 'a"b', "qty": "1"}, {"sku": "\\", "qty": "2.5"}]

    body = template.render({}, context="json", items=items, known=["*.sku", "*.qty"])

    assert json.loads(body) == [{"s": 'a"b', "q": 1}, {"s": "\\", "q": 2.5}]


@pytest.mark.parametrize("context", ["url", "query", "json", "xml"])
def test_raw_mode_shows_what_a_value_breaks(context: Format) -> None:
    nasty = '"&<]]>\\'
    assert rendered("x={Text1}", context, nasty, escaping="raw") == f"x={nasty}"


@pytest.mark.parametrize("context", ["url", "query", "json", "xml"])
def test_a_lone_surrogate_is_refused_with_the_token_and_the_item_it_came_from(context: Format) -> None:
    template = Template.parse('{Text1}{join(items, i, "{i.sku}")}')
    items = [{"sku": "fine"}, {"sku": "x\udfff"}]

    with pytest.raises(RenderError, match=r"value of \{Text1\} holds the lone surrogate U\+D800, which UTF-8 cannot"):
        template.render({"Text1": "\ud800"}, context=context, known=["Text1", "*.sku"])
    with pytest.raises(RenderError, match=r"value of \{i\.sku\} of item 2 holds the lone surrogate U\+DFFF"):
        template.render({"Text1": "x"}, context=context, items=items, known=["Text1", "*.sku"])


@pytest.mark.parametrize("context", ["url", "query", "json", "xml"])
def test_huge_values_and_ten_thousand_items_come_back_whole(context: Format) -> None:
    template = Template.parse('a={Text1}&{join(items, i, "[{i.sku}]", "&")}&<')
    long = '\U0001f600"&<%' * 20_000
    items = [{"sku": f"{number} &"} for number in range(10_000)]

    data = template.render({"Text1": long}, context=context, items=items, known=["Text1", "*.sku"])
    found = template.match(data, context=context)

    assert isinstance(found, Match)
    assert (found.texts(), len(found.items)) == ({"Text1": long}, 10_000)
    assert found.item_texts() == tuple(items)


def test_an_unknown_token_can_be_emptied_or_refused() -> None:
    assert rendered("{Txet1}", "json", "x", unknown_token="empty") == ""
    with pytest.raises(RenderError, match=r"line 1, column 3: unknown token \{Txet1\}"):
        rendered("a {Txet1}", "json", "x", unknown_token="error")
