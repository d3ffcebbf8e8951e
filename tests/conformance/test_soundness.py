"""What reads by a sound template need not be parsed: it is well formed, and nothing about it is odd."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.judging.readings import PLAIN_JSON, PLAIN_XML, read_json, read_xml
from postback_conformance.judging.soundness import is_sound
from postback_conformance.judging.token_values import Reading, value_reader
from postback_sender.template import Format, Template

ITEM = r"""{join(items, i, "\{\"a\": \"{i.a}\"\}")}"""
SOUND: dict[str, tuple[Format, str]] = {
    "strings": ("json", '{"a": "{A}", "b": ["x{B}y", "{A}{B}"]}'),
    "items": ("json", f'{{"a": "{{A}}", "i": [{ITEM}], "b": "{{B}}"}}'),
    "elements and attributes": ("xml", "<r a='{A}'>{B}<b>]{A}</b></r>"),
    "CDATA": ("xml", "<r><![CDATA[{A}]]></r>"),
    "a declaration": ("xml", '<?xml version="1.0" encoding="UTF-8"?><r>{A}</r>'),
}
UNSOUND: dict[str, tuple[Format, str]] = {
    "without quotes": ("json", '{"a": {A}}'),
    "a key": ("json", '{"{A}": 1, "{B}": 2}'),
    "a key twice": ("json", '{"a": "{A}", "a": "{B}"}'),
    "a key for each item": ("json", r"""\{"x": 1{join(items, i, ", \"a\": \"{i.a}\"", "")}\}"""),
    "half an escape": ("json", r'{"a": "\u00{A}"}'),
    "two items without a comma": ("json", r"""[{join(items, i, "\{\"a\": \"{i.a}\"\}", "")}]"""),
    "a number too large": ("json", '{"a": "{A}", "b": 1e999}'),
    "the end of a section": ("xml", "<r>{A}></r>"),
    "a reference": ("xml", "<r>&{A};</r>"),
    "a comment": ("xml", "<r><!-- {A} --></r>"),
    "a name": ("xml", "<r{A}/>"),
    "a document type": ("xml", "<!DOCTYPE r><r>{A}</r>"),
    "a form": ("query", "a={A}"),
}
KNOWN = frozenset({"A", "B", "*.a"})
texts = st.text(st.sampled_from("ab]>[<&;\"'\\{}-x0\t\n\x00\x1f é\ufffe\U0001f600"), max_size=5)


@pytest.mark.parametrize(("text_format", "source"), SOUND.values(), ids=SOUND.keys())
def test_a_template_is_sound_that_cannot_be_broken_by_plain_values(text_format: Format, source: str) -> None:
    assert is_sound(Template.parse(source), text_format)


@pytest.mark.parametrize(("text_format", "source"), UNSOUND.values(), ids=UNSOUND.keys())
def test_a_template_is_not_sound_where_some_values_might_break_it(text_format: Format, source: str) -> None:
    assert not is_sound(Template.parse(source), text_format)


@pytest.mark.parametrize(("text_format", "source"), SOUND.values(), ids=SOUND.keys())
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_whatever_reads_as_sound_is_found_to_be_well_formed(
    text_format: Format, source: str, data: st.DataObject
) -> None:
    # Values as they come, escaped or not.
    parts = [part.partition("}") for part in source.replace(ITEM, "{}").replace("\\{", "{").split("{A}")]
    body = data.draw(texts).join("".join(part) for part in parts).replace("{B}", data.draw(texts)).replace("{}", "")
    content = body.encode()
    reading = value_reader(Template.parse(source), text_format, KNOWN).read(content)
    if isinstance(reading, Reading) and reading.is_sound:
        reads: dict[str, Callable[[], bool]] = {
            "json": lambda: read_json(content) is PLAIN_JSON,
            "xml": lambda: not content.isascii() or read_xml(content) is PLAIN_XML,
        }
        assert reads[text_format]()
