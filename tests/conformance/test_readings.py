"""Reading is total: any bytes give a value or a fault with its place; nothing is expanded, fetched or recursed into."""

import json
from collections.abc import Callable
from urllib.parse import quote_plus
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postback_conformance.judging.readings import (
    MAX_DEPTH,
    Fault,
    decoded_body,
    form_fault,
    read_json,
    utf8_fault,
    xml_document_type,
    xml_fault,
)
from postback_conformance.printable import printable

Reading = Callable[[bytes], Fault | None]

DEEP = 100_000
ENTITY_BOMB = b"""<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;">]><a>&e;</a>"""
HOSTILE = {
    "nothing": b"",
    "deep lists": b"[" * DEEP,
    "deep lists, closed": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "deep elements": b"<a>" * DEEP,
    "deep elements, closed": b"<a>" * DEEP + b"</a>" * DEEP,
    "brackets that close nothing": b"]" * DEEP + b"[" * DEEP,
    "a string full of brackets": b'"' + b"[" * DEEP + b'"',
    "quotes and backslashes": b'"\\' * DEEP,
    "one key very often": b"{" + b'"a":1,' * DEEP + b'"a":1}',
    "many keys and one twice": b"{" + b"".join(b'"%d":1,' % number for number in range(DEEP)) + b'"7":1}',
    "a number beyond floats": b"1e400",
    "an integer beyond Python's limit of digits": b"9" * 5000,
    "NaN": b'{"a": NaN}',
    "half a surrogate pair": b'{"\\ud800": "\\udfff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a byte that is no UTF-8": b'{"a": "\xff"}',
    "NUL": b'"\x00"',
    "an entity bomb": ENTITY_BOMB,
    "an entity from a file": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a document type from a file": b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&b;</a>',
    "an encoding nobody knows": b'<?xml version="1.0" encoding="nothing"?><a/>',
    "an encoding of several bytes": b'<?xml version="1.0" encoding="gbk"?><a/>',
    "an encoding that is no encoding": b'<?xml version="1.0" encoding="hex"?><a/>',
    "an encoding that refuses": b'<?xml version="1.0" encoding="undefined"?><a/>',
    "another encoding": '<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>'.encode("latin-1"),
    "UTF-16": "<?xml version='1.0' encoding='utf-16'?><a>é</a>".encode("utf-16"),
    "many attributes": b"<a " + b" ".join(b'a%d="1"' % number for number in range(2000)) + b"/>",
    "percent signs": b"%" * DEEP,
}
CONTENT_TYPES = (
    "application/json",
    "text/xml",
    "application/x-www-form-urlencoded",
    "image/svg+xml",
    "text/plain",
    ";",
    "",
)

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda one: st.lists(one) | st.dictionaries(st.text(), one),
)
any_bytes = st.one_of(
    st.binary(),
    st.text().map(str.encode),
    st.text('{}[]":,\\ \nü019.eE-+truefalsn', max_size=30).map(str.encode),
    st.text("<>/!?[]CDATOYPE&;#x\"'= aü-", max_size=30).map(str.encode),
    any_json.map(json.dumps).map(str.encode),
)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_read_without_harm(body: bytes) -> None:
    check_every_reading(body)


@given(any_bytes)
def test_any_bytes_give_a_value_or_a_fault_inside_them(body: bytes) -> None:
    check_every_reading(body)


def check_every_reading(body: bytes) -> None:
    faults = [utf8_fault(body), read_json(body).fault, xml_fault(body), xml_document_type(body), form_fault(body)]
    for fault in faults:
        assert fault is None or fault.reason
        if fault and fault.span:
            first, beyond = fault.span
            assert 0 <= first <= beyond <= len(body) + 1
    for content_type in CONTENT_TYPES:
        # Whatever it lays out can be written to a terminal or a file.
        decoded_body(body, (content_type,)).encode()
    decoded_body(body, ())


JSON_FAULTS = {
    "a value is missing": (b'{"a": }', 6, "Expecting value, got '}' at byte 6 (line 1, column 7)"),
    "a key without a value": (b'{"a",\n"b": 1}', 4, "Expecting ':' delimiter, got ',' at byte 4 (line 1, column 5)"),
    "after two bytes for one letter": ('{"ü": }'.encode(), 7, "Expecting value, got '}' at byte 7 (line 1, column 7)"),
    "after four bytes for one letter": ('["\N{GRINNING FACE}" x'.encode(), 8, "Expecting ',' delimiter, got 'x'"),
    "on the second line": ('{"é":\n1 2}'.encode(), 9, "Expecting ',' delimiter, got '2' at byte 9 (line 2, column 3)"),
    "a letter of three bytes": ("[€]".encode(), 1, "Expecting value, got '€' at byte 1 (line 1, column 2)"),
    "a second value": (b"{} {}", 3, "Extra data, got '{' at byte 3"),
    "a line feed in a string": (b'"a\nb"', 2, r"Invalid control character, got '\n' at byte 2"),
    "a string without end": (b'["abc', 1, "Unterminated string, got '\"' at byte 1"),
    "the end comes too soon": (b"[1", 2, "Expecting ',' delimiter, got the end at byte 2"),
    "nothing at all": (b"", 0, "Expecting value, got the end at byte 0"),
    "a byte order mark": (b"\xef\xbb\xbf{}", 0, "Unexpected UTF-8 BOM"),
    "a leading zero": (b"[01]", 2, "Expecting ',' delimiter, got '1' at byte 2"),
    "NaN": ('{"ü": "NaN", "b": NaN}'.encode(), 19, "NaN is not JSON (RFC 8259 §6), at byte 19"),
    "minus infinity": (rb'["\"Infinity", -Infinity, Infinity]', 15, "-Infinity is not JSON (RFC 8259 §6), at byte 15"),
    "a byte that is no UTF-8": (b'{"\xc3\xbc": "\xff"}', 8, "byte 8 (0xff) is not UTF-8: invalid start byte"),
}


@pytest.mark.parametrize(("body", "start", "reason"), JSON_FAULTS.values(), ids=JSON_FAULTS.keys())
def test_a_fault_in_json_is_named_with_its_byte(body: bytes, start: int, reason: str) -> None:
    fault = read_json(body).fault
    assert fault is not None
    assert fault.span is not None
    assert (fault.span[0], fault.reason[: len(reason)]) == (start, reason)


def test_the_span_of_a_fault_covers_the_whole_letter() -> None:
    fault = read_json("[€]".encode()).fault
    assert fault is not None
    assert fault.span == (1, 4)


XML_FAULTS = {
    "an element that is not closed": (b"<a><b></a>", 8, "mismatched tag at byte 8 (line 1, column 9)"),
    "after two bytes for one letter": ("<a>ü&</a>".encode(), 6, "not well-formed (invalid token) at byte 6"),
    "text after the root": (b"<a/>\nx", 5, "junk after document element at byte 5 (line 2, column 1)"),
    "nothing at all": (b"", 0, "no element found at byte 0"),
    "a character XML has not": (b"<a>\x01</a>", 3, "not well-formed (invalid token) at byte 3"),
    "an attribute twice": (b'<a b="" b=""/>', 8, "duplicate attribute at byte 8"),
    "an entity": (ENTITY_BOMB, 13, "declares an entity at byte 13; it was not read further"),
}


@pytest.mark.parametrize(("body", "start", "reason"), XML_FAULTS.values(), ids=XML_FAULTS.keys())
def test_a_fault_in_xml_is_named_with_its_byte(body: bytes, start: int, reason: str) -> None:
    fault = xml_fault(body)
    assert fault is not None
    assert fault.span is not None
    assert (fault.span[0], fault.reason[: len(reason)]) == (start, reason)


def test_an_encoding_that_cannot_be_read_is_a_fault_of_the_body() -> None:
    fault = xml_fault(HOSTILE["an encoding nobody knows"])
    assert fault == Fault(reason="declares an encoding that cannot be read: unknown encoding: nothing")


@pytest.mark.parametrize(
    ("body", "span"),
    [
        (b"<!DOCTYPE a><a/>", (0, 9)),
        ("<!-- ü <!DOCTYPE --><!DOCTYPE a [<!ELEMENT a ANY>]><a/>".encode(), (21, 30)),
        (b"<a>&lt;!DOCTYPE a></a>", None),
        (b"<a><![CDATA[<!DOCTYPE a>]]></a>", None),
        (b"<a/><!DOCTYPE a>", None),
    ],
)
def test_a_document_type_is_found_where_it_is_declared(body: bytes, span: tuple[int, int] | None) -> None:
    """Letters in a comment, in a text or after the document are no declaration."""
    fault = xml_document_type(body)
    assert (fault and fault.span) == span


@pytest.mark.parametrize(
    ("data", "span"),
    [
        (b"a=1%20b+c&d=%C3%BC&e[0]=/?:@!$'()*,;~.-_", None),
        (b"", None),
        (b"a=100%", (5, 6)),
        (b"a=%2", (2, 3)),
        (b"a=%zz", (2, 3)),
        (b"a= ", (2, 3)),
        ("a=ü%".encode(), (2, 3)),
        (b"a=%25#b", (5, 6)),
        (b'a="', (2, 3)),
        (b"a={Token}", (2, 3)),
    ],
)
def test_the_first_byte_a_query_cannot_hold_is_named(data: bytes, span: tuple[int, int] | None) -> None:
    fault = form_fault(data)
    assert (fault and fault.span) == span


@given(st.text())
def test_a_query_that_was_encoded_has_no_fault(text: str) -> None:
    assert form_fault(quote_plus(text, errors="replace").encode()) is None


@given(any_json.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)))
@example("\ud800")
def test_what_python_writes_as_json_has_no_fault(value: object) -> None:
    reading = read_json(json.dumps(value).encode())
    assert (reading.fault, reading.repeated_keys, reading.too_deep) == (None, (), False)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Co"], exclude_characters="\ufffe\uffff")))
def test_a_text_that_was_escaped_for_xml_has_no_fault(text: str) -> None:
    assert xml_fault(f"<a b={quoteattr(text)}/>".encode()) is None


@pytest.mark.parametrize("body", [b"1e400", b"-1E+9999", b"9" * 5000, b"0." + b"1" * 5000], ids=len)
def test_a_number_of_any_size_is_json(body: bytes) -> None:
    """What a reader makes of it is for the reader; RFC 8259 sets no limit."""
    assert read_json(body).fault is None
    assert decoded_body(body, ("application/json",)) == body.decode()


def test_keys_held_twice_are_named_once_from_any_depth() -> None:
    reading = read_json(b'{"c": 1, "a": [{"b": 1, "b": 2, "b": 3}, {"b": 1, "b": 2}], "a": 2, "d": {"c": 1}}')
    assert (reading.fault, reading.repeated_keys) == (None, ("b", "a"))


def test_depth_is_read_up_to_its_limit() -> None:
    assert not read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH).too_deep
    assert read_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)).too_deep


def test_brackets_in_a_string_are_no_depth() -> None:
    assert not read_json(b'"\\"' + b"[" * 1000 + b'"').too_deep


@pytest.mark.parametrize(
    ("body", "content_types", "decoded"),
    [
        (
            b'{"a":[1.10,"\\u00fc"],"a":{}}',
            ("application/json; charset=utf-8",),
            '{\n  "a": [\n    1.10,\n    "\\u00fc"\n  ],\n  "a": {}\n}',
        ),
        (b'{"a": }', ("application/json",), '{"a": }'),
        (b'<a x="1"><b>\xc3\xbc</b></a>', ("TEXT/XML",), '{\n  "a": {\n    "@x": "1",\n    "b": "ü"\n  }\n}'),
        (b"<a>", ("application/xml",), "<a>"),
        (b"a=%C3%BC+1&b=&c", ("application/x-www-form-urlencoded",), "a = ü 1\nb = \nc = "),
        (b"a\xff", ("text/plain",), "a\\xff"),
        (b"[1]", (), "[1]"),
    ],
    ids=["json as written", "broken json", "xml", "broken xml", "form", "not UTF-8", "no content type"],
)
def test_a_body_is_laid_out_by_its_content_type(body: bytes, content_types: tuple[str, ...], decoded: str) -> None:
    """Numbers, escapes and repeated keys stay as they came: the reader wants to see what was sent."""
    assert decoded_body(body, content_types) == decoded


@given(st.text())
def test_printable_text_moves_no_cursor(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
