"""The knobs: each has a default that is written down, and each value of each does what the page says."""

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from postback_sender import RenderError, Template, TemplateOptions, TemplateSyntaxError

PAGE = Path(__file__).parents[2] / "docs" / "templates.md"
FIELDS = {field.name: field for field in msgspec.structs.fields(TemplateOptions)}
TYPES = get_type_hints(TemplateOptions)

# Knob, value, template, what it renders to, or what the error says. `values_at` is the sender's: see test_sender.py.
EFFECTS: list[tuple[str, str, str, str]] = [
    ("escaping", "context", '"{Payout}"', r'"1\"2"'),
    ("escaping", "raw", '"{Payout}"', '"1"2"'),
    ("unknown_token", "keep", "<{Nobody}>", "<{Nobody}>"),
    ("unknown_token", "empty", "<{Nobody}>", "<>"),
    ("unknown_token", "error", "<{Nobody}>", "error: unknown token {Nobody}"),
    ("join_separator", ",", '{join(items, i, "{i.qty}")}', "1,2"),
    ("join_separator", " | ", '{join(items, i, "{i.qty}")}', "1 | 2"),
    ("join_separator", " | ", '{join(items, i, "{i.qty}", "-")}', "1-2"),
    ("name_white_space", "ignore", '"{Pay\nout}"', r'"1\"2"'),
    ("name_white_space", "error", '"{Pay\nout}"', "error: without white space"),
    ("name_case", "exact", '"{payout}"', '"{payout}"'),
    ("name_case", "ignore", '"{payout}{join(items, i, "{I.qty}{i.QTY}")}"', r'"1\"2{I.qty}1,{I.qty}2"'),
    ("dangling_brace", "literal", '{"a": 1}', '{"a": 1}'),
    ("dangling_brace", "error", '{"a": 1}', "error: expected a token after '{'"),
]


@pytest.mark.parametrize(
    ("knob", "value", "source", "expected"),
    [pytest.param(*effect, id=f"{effect[0]}-{number}") for number, effect in enumerate(EFFECTS)],
)
def test_a_knob_does(knob: str, value: str, source: str, expected: str) -> None:
    options = msgspec.convert({knob: value}, TemplateOptions)
    try:
        got = Template.parse(source, options=options).render(
            {"Payout": '1"2'}, context="json", items=[{"qty": "1"}, {"qty": "2"}], known=["Payout", "*.qty"]
        )
    except (RenderError, TemplateSyntaxError) as error:
        assert expected.startswith("error: ")
        assert expected.removeprefix("error: ") in str(error)  # noqa: PT017
    else:
        assert got.decode() == expected


def test_every_value_of_every_knob_of_the_template_language_is_tried_above() -> None:
    tried = {(knob, value) for knob, value, _, _ in EFFECTS}
    wanted = {(knob, value) for knob in FIELDS for value in choices(knob)} - {
        ("values_at", "event"),
        ("values_at", "send"),
    }

    assert wanted <= tried
    assert "join_separator" in {knob for knob, _ in tried}


def test_the_page_lists_every_knob_with_its_values_and_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| `(.+?)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert {knob: default for knob, _, default in rows} == {name: field.default for name, field in FIELDS.items()}
    assert {knob: re.findall(r"`(\w+)`", values) for knob, values, _ in rows} == {
        knob: list(choices(knob)) for knob in FIELDS
    }


def choices(knob: str) -> tuple[Any, ...]:
    return get_args(TYPES[knob])
