"""Slips of the pen in sound templates: those of which only one thing can be meant are mended completely."""

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from lint_templates import (
    EVENTS,
    SOUND,
    TWIN,
    URL,
    assert_fixed_twice_is_fixed_once,
    is_well_formed,
    notification_of,
    rendered,
)
from postback_conformance.lint import fix, lint
from postback_sender import Event, SenderError, example_event
from postback_sender.notification import BodyFormat


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
