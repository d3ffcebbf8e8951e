"""Values: what stands in the places of the tokens, and whether it was written there as it should be."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from postback_conformance.judging.evidence import Evidence, Value
from postback_conformance.judging.places import place_of
from postback_conformance.judging.readers import Readers
from postback_conformance.judging.readings import CONSTANTS, JsonReading
from postback_conformance.judging.rule import Check, EachCapture, Rule
from postback_conformance.judging.token_values import Reading
from postback_conformance.judging.verdict import Fail, Inconclusive, NotApplicable, Outcome, Where
from postback_conformance.printable import printable
from postback_conformance.rules.applying import NothingToTest, where_it_applies
from postback_conformance.rules.body_findings import around, where_in
from postback_conformance.rules.encodings import (
    ESCAPE,
    came_with_plus,
    encoded_twice,
    lacks_its_plus,
    read_again,
    with_its_plus,
)
from postback_conformance.rules.examples import JSON_BODY, JSON_SETTINGS, QUERY_SETTINGS, capture, example
from postback_conformance.rules.fact_sources import CAPTURED_CALLS, EXAMPLE_BODY, SAMPLE_CALL, TRACKER_PRESET
from postback_conformance.rules.null_words import NULL_WORDS, is_null_word
from postback_conformance.rules.raw_values import RawValue, raw_value_at_fault
from postback_conformance.rules.unreplaced import unreplaced_token
from postback_conformance.rules.usual_values import usual_values
from postback_sender.notification import Notification
from postback_sender.template.matching import Mismatch
from postback_sender.tokens import Catalogue, TokenType

_MARKED_NULL_WORD = re.compile(f"\0(?:{'|'.join(map(re.escape, sorted(NULL_WORDS)))})\0")
# UTF-8 that was taken for Latin-1 and written as UTF-8 once more: "Ã¼" for "ü".
_TWICE_UTF8 = re.compile("[\u00c2-\u00f4][\u0080-\u00bf]")
_URL_BEGINNINGS = ("https://", "http://")
_SHOWN_LETTERS = 80
_READ_AS_PLUS = "Report it with the capture; meanwhile read a blank before the offset of a date as the + that was sent."

_ENCODED_DATE = "2026-05-11T00%3A07%3A27%2B03%3A00"


ValueTest = Callable[[Evidence, Value, TokenType], Outcome | None]


class _Types(NamedTuple):
    """What the values of a notification are: the types of its tokens and of the fields of its items, and its URLs."""

    tokens: Mapping[str, TokenType]
    fields: Mapping[str, TokenType]
    urls: frozenset[str]


def _each_suspect(is_suspicious: Callable[[str], bool], test: ValueTest) -> Callable[[Notification], Check]:
    """Return the check that asks `test` about each URL, and about the others if all their texts are suspicious."""

    def start(notification: Notification) -> Check:
        types = _types(notification.catalogue, notification.event)
        usual = usual_values(notification)

        def see(evidence: Evidence) -> Outcome | tuple[Outcome, ...] | None:
            told = evidence.texts
            if not told and not evidence.item_texts:
                return _untold(evidence)
            if usual.latest is not evidence:
                usual.look_at(evidence)
            if usual.are_bland:
                return None
            suspects: list[tuple[Value, TokenType]] = []
            if is_suspicious(_texts(evidence, types.urls)):
                suspects = list(_typed_values(evidence, types))
            else:
                for name in types.urls:
                    # What begins as a URL does is neither encoded there nor a word.
                    if (text := told.get(name)) and not text.startswith(_URL_BEGINNINGS):
                        suspects.append((evidence.values[name], "url"))
            outcomes = [outcome for value, kind in suspects if (outcome := test(evidence, value, kind)) is not None]
            # Of an order with a thousand lines, one for each field.
            fails = {place_of(one.where): one for one in reversed(outcomes) if isinstance(one, Fail)}
            return (*reversed(fails.values()),) or (outcomes[0] if outcomes else None)

        return EachCapture(see)

    return start


# Two rules ask about the values of the same capture, one after the other.
@lru_cache(maxsize=1)
def _texts(evidence: Evidence, urls: frozenset[str]) -> str:
    """Return the values but for URLs, a NUL before and after each, to look for something in all of them at once."""
    texts = [text for name, text in evidence.texts.items() if name not in urls]
    for item in evidence.item_texts or ():
        texts += item.values()
    return "\0".join(("", *texts, ""))


def _typed_values(evidence: Evidence, types: _Types) -> Iterator[tuple[Value, TokenType]]:
    for name, value in evidence.values.items():
        yield value, types.tokens.get(name, "text")
    for item in evidence.items or ():
        for field, value in item.items():
            yield value, types.fields.get(field, "text")


def _untold(evidence: Evidence) -> Outcome:
    """Return why there is no value to test."""
    body = evidence.notification.body
    names = sorted(evidence.notification.url.names | (body.names if body else frozenset[str]()))
    return evidence.without(names[0]) if names else NotApplicable(why="the template has no token")


@lru_cache(maxsize=16)
def _types(catalogue: Catalogue, event: str) -> _Types:
    tokens: dict[str, TokenType] = {token.name: token.type for token in catalogue.tokens(event)}
    fields: dict[str, TokenType] = {token.name: token.type for token in catalogue.item_fields(event)}
    return _Types(tokens, fields, frozenset(name for name, kind in tokens.items() if kind == "url"))


def _may_hold_escapes(text: str) -> bool:
    # A search for single characters costs next to nothing, and most values have none of them.
    if ("%" in text or "\\" in text or "&" in text) and ESCAPE.search(text):
        return True
    return not text.isascii() and _TWICE_UTF8.search(text) is not None


def _double_encoded(evidence: Evidence, value: Value, token_type: TokenType) -> Outcome | None:
    text = value.text
    if held := encoded_twice(text, token_type):
        where = "where a URL begins" if token_type == "url" else f"where no {token_type} has one"
        return _encoded_twice(evidence, value, f"{held} {where}")
    escape = None if token_type == "url" else ESCAPE.search(text) or _TWICE_UTF8.search(text)
    if escape is None:
        return None
    return Inconclusive(
        why=f"{_called(value)} holds '{printable(escape[0])}': encoded twice, or the value itself says so",
        captures=(evidence.capture.id,),
    )


def _called(value: Value) -> str:
    return f"the {value.name} of an item" if value.of_item else f"the value of {{{value.name}}}"


def _encoded_twice(evidence: Evidence, value: Value, what: str) -> Fail:
    shown = value.text[:_SHOWN_LETTERS]
    return Fail(
        message=f"{_called(value)} was encoded twice: read once, it still holds {what}",
        expected=printable(read_again(shown)),
        actual=printable(shown),
        captures=(evidence.capture.id,),
        where=value.where,
    )


def _may_hold_null(text: str) -> bool:
    return _MARKED_NULL_WORD.search(text.lower()) is not None


def _null_word(evidence: Evidence, value: Value, token_type: TokenType) -> Outcome | None:
    text = value.text
    if not is_null_word(text):
        return None
    if isinstance(reading := evidence.json, JsonReading) and reading.is_constant and text in CONSTANTS:
        return NotApplicable(why="NaN stands where JSON has none, of which body.json.non-finite tells")
    if token_type == "text":
        return Inconclusive(
            why=f"{_called(value)} is {text!r}: a word for nothing, or a text that says so",
            captures=(evidence.capture.id,),
        )
    return Fail(
        message=f"{_called(value)} is {text!r}, a program's word for nothing",
        expected=f"a value ({token_type}), or nothing at all",
        actual=text,
        captures=(evidence.capture.id,),
        where=value.where,
    )


def _unescaped(evidence: Evidence) -> Outcome | tuple[Outcome, ...] | None:
    told: list[Outcome] = []
    if not evidence.is_as_its_templates and (raw := raw_value_at_fault(evidence)):
        told.append(_told(evidence, raw))
    if "+" in evidence.capture.target or evidence.notification.body_format == "query":
        suspects = [evidence.values[name] for name, text in evidence.texts.items() if lacks_its_plus(text)]
        told += [_lost_plus(evidence, value) for value in suspects if came_with_plus(evidence, value)]
    return tuple(told) or _held_or_untold(evidence)


def _lost_plus(evidence: Evidence, value: Value) -> Fail:
    return Fail(
        message=f"the + in {{{value.name}}} is not encoded: in a query it stands for a blank",
        expected=with_its_plus(value.text).replace("+", "%2B"),
        actual=value.text,
        captures=(evidence.capture.id,),
        where=value.where,
        fix=_READ_AS_PLUS,
    )


def _held_or_untold(evidence: Evidence) -> Outcome | None:
    """Return None when values were read by a template, or could have been, though no place in it is unmistakable."""
    readings = (evidence.target_reading, evidence.body_reading)
    if any(isinstance(one, Reading) and one.texts for one in readings):
        return None
    unread = next((one for one in readings if isinstance(one, Inconclusive)), None)
    return unread or (_untold(evidence) if any(isinstance(one, Mismatch) for one in readings) else None)


def _told(evidence: Evidence, raw: RawValue) -> Outcome:
    byte = printable(raw.byte.decode("latin-1"))
    place = f"{'the target' if raw.in_target else 'the body'}, at byte {raw.position}"
    if not raw.is_certain:
        return Inconclusive(
            why=f"{byte!r} in {place}, is not escaped if it is part of {{{raw.token}}}; nobody can tell whether it is",
            captures=(evidence.capture.id,),
        )
    content = evidence.content
    return Fail(
        message=f"the value of {{{raw.token}}} holds {byte!r} as it is in {place}",
        expected=f"{byte!r} escaped",
        actual=around(evidence, content if isinstance(content, bytes) else b"", (raw.position, raw.position + 1)),
        captures=(evidence.capture.id,),
        where=where_in(evidence, (raw.position, raw.position + 1), raw.token),
    )


def _is_raw(notification: Notification) -> str:
    return "the settings say that values are not escaped" if notification.template.escaping == "raw" else ""


def _one_value(notification: Notification) -> Check:
    twice = Readers(notification).twice

    def test(evidence: Evidence) -> Outcome | tuple[Outcome, ...] | None:
        texts = evidence.texts
        # Of what has two values none is told.
        if all(name in texts for name in twice):
            return None
        odd = evidence.odd_texts()
        fails = tuple(_two_values(evidence, name, *odd[name]) for name in sorted(odd))
        return fails or evidence.without(min(twice - texts.keys()))

    return EachCapture(test) if twice else NothingToTest("no token stands in two unmistakable places of the templates")


def _two_values(evidence: Evidence, name: str, one: str, other: str) -> Fail:
    shown, also = printable(one[:_SHOWN_LETTERS]), printable(other[:_SHOWN_LETTERS])
    return Fail(
        message=f"{{{name}}} has two values in one postback: {shown!r} and {also!r}",
        expected=shown,
        actual=also,
        captures=(evidence.capture.id,),
        where=Where(token=name),
    )


_WITH_NAME = JSON_SETTINGS.replace("}'", ', "name": "{CampaignName}"}\'')
_TWICE = JSON_SETTINGS.replace('/postback"', '/postback?id={ActionId}"')
_WITH_MONEY = JSON_SETTINGS.replace("}'", ', "payout": "{Payout}"}\'')


def _dated(last: str) -> bytes:
    """Return the body of an action with one more key."""
    return JSON_BODY[:-1] + f", {last}}}".encode()


_WITH_DATE = QUERY_SETTINGS.replace("{SubId1}", "{SubId1}&date={EventDate}")

RULES = (
    Rule(
        id="value.unreplaced-token",
        level="MUST",
        requirement="No token of the template arrives unreplaced.",
        needs="any capture",
        fix="Check the spelling of the token; `postback lint` names the nearest that exists.",
        sources=(EXAMPLE_BODY(), TRACKER_PRESET(section="macros nobody replaced are missing values")),
        start=unreplaced_token,
        passing=example(JSON_SETTINGS, capture(JSON_BODY)),
        failing=example(JSON_SETTINGS, capture(b'{"id": "{ActionId}"}')),
    ),
    Rule(
        id="value.one-value",
        level="SHOULD",
        strict="MUST",
        requirement="A token that stands in several places of the templates has the same value in all of them.",
        needs="a token at two unmistakable places, in the URL or the body",
        fix="Take neither for true: ask the API for the action, and look for what changes one of them on the way.",
        sources=(EXAMPLE_BODY(section="step 5: a token stands for its value", certainty="inferred"),),
        start=_one_value,
        passing=example(_TWICE, capture(JSON_BODY, target="/postback?id=1")),
        failing=example(_TWICE, capture(JSON_BODY, target="/postback?id=2")),
    ),
    Rule(
        id="value.double-encoded",
        level="SHOULD",
        strict="MUST",
        requirement="No value was encoded twice.",
        needs="values at unmistakable places; in free text an escape may be part of the value",
        fix="Look for a proxy that encodes again; decode once more only for the fields where you have seen it.",
        sources=(CAPTURED_CALLS(section="values decode once"),),
        start=_each_suspect(_may_hold_escapes, _double_encoded),
        passing=example(_WITH_DATE, capture(method="GET", target=f"/postback?id=1&sub=a%20b&date={_ENCODED_DATE}")),
        failing=example(
            _WITH_DATE,
            capture(method="GET", target=f"/postback?id=1&sub=a%20b&date={_ENCODED_DATE.replace('%', '%25')}"),
        ),
    ),
    Rule(
        id="value.unescaped",
        level="SHOULD",
        strict="MUST",
        requirement="A value is escaped for the place where it stands.",
        needs="a request that is its template but for such a value",
        fix="Report it with the capture; meanwhile keep such characters out of the names and sub ids that are yours.",
        sources=(
            EXAMPLE_BODY(section="step 5: values between quotes, nothing on escaping", certainty="inferred"),
            CAPTURED_CALLS(section="EventDate: a raw + would have become a blank"),
        ),
        start=where_it_applies(_is_raw, _unescaped),
        passing=example(_WITH_NAME, capture(_dated('"name": "Joe \\"The Boss\\" Smith"'))),
        failing=example(_WITH_NAME, capture(_dated('"name": "Joe "The Boss" Smith"'))),
    ),
    Rule(
        id="value.null-word",
        level="MUST",
        lenient="SHOULD",
        requirement="A value that is not there is empty, and no word such as null.",
        needs="values at unmistakable places; free text may say anything",
        fix="Read such a word as an empty value, and never store it as a name or a number.",
        sources=(CAPTURED_CALLS(section="empty parameters"), SAMPLE_CALL(section="empty parameters")),
        start=_each_suspect(_may_hold_null, _null_word),
        passing=example(_WITH_MONEY, capture(_dated('"payout": "0.00"'))),
        failing=example(_WITH_MONEY, capture(_dated('"payout": "null"'))),
    ),
)
