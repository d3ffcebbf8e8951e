"""The check that looks at every value of every token that has such a form."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from postback_conformance.judging.evidence import OTHER_METHOD, Evidence, Value
from postback_conformance.judging.held_tokens import held_fields, held_tokens
from postback_conformance.judging.readings import CONSTANTS, JsonReading
from postback_conformance.judging.rule import CaptureTest, Check, EachCapture
from postback_conformance.judging.verdict import Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.redaction import HIDDEN_BY_EXPORT, has_stand_in
from postback_conformance.rules.applying import NothingToTest
from postback_conformance.rules.encodings import (
    came_with_plus,
    encoded_twice,
    lacks_its_plus,
    read_again,
    with_its_plus,
)
from postback_conformance.rules.form import Form, FormOf
from postback_conformance.rules.null_words import is_null_word
from postback_conformance.rules.usual_values import UsualValues, usual_values
from postback_sender.notification import Notification
from postback_sender.tokens import Token, TokenType

_LONGEST_QUOTE = 60
_IN_ITEM = re.compile(r"\{[A-Za-z_]\w*\.\w+\}")
_NOT_REPLACED = NotApplicable(why="a token arrived unreplaced, which value.unreplaced-token judges")
_NULL = NotApplicable(why="a word for nothing arrived, of which value.null-word tells")
_TWICE = NotApplicable(why="a value was encoded twice, of which value.double-encoded tells")
_NO_PLUS = NotApplicable(why="the + of a date was not encoded, of which value.unescaped tells")
_NO_NUMBER = NotApplicable(why="NaN or Infinity stands where JSON has none, of which body.json.non-finite tells")
_NO_VALUE = NotApplicable(why="no such value arrived; what is absent is empty")

_Items = Sequence[Mapping[str, Value]]


def each_value(form_of: FormOf, what: str) -> Callable[[Notification], Check]:
    """Return the check that looks at every value of every token that has a form; `what` is one of these tokens."""

    def start(notification: Notification) -> Check:
        test = values_test(notification, form_of)
        return EachCapture(test) if test is not None else NothingToTest(f"the template has no {what}")

    return start


def values_test(notification: Notification, form_of: FormOf) -> CaptureTest | None:
    """Return what tests the values of one capture; None when the templates hold no token that has a form."""
    held, of_items = held_tokens(notification), held_fields(notification)
    tokens, fields = _forms(held, form_of), _forms(of_items, form_of)
    types: dict[str, TokenType] = {token.name: token.type for token in (*held, *of_items)}
    return _Values(tokens, fields, types, usual_values(notification)).test if tokens or fields else None


class _Values:
    def __init__(
        self, tokens: dict[str, Form], fields: dict[str, Form], types: dict[str, TokenType], usual: UsualValues
    ) -> None:
        self._tokens = tokens
        self._fields = fields
        self._usual = usual
        self._types = types

    def test(self, evidence: Evidence) -> Outcome | tuple[Outcome, ...] | None:
        usual = self._usual
        # Asked by every rule about forms, so that a call for each would count.
        if not (usual.have_form if usual.latest is evidence else usual.look_at(evidence)):
            return self._all_outcomes(evidence, evidence.items if self._fields else ())
        return None if self._has_any(evidence) else _NO_VALUE

    def _told_elsewhere(self, evidence: Evidence, value: Value, form: Form) -> Outcome | None:
        """Return which other rule tells of a value, or why nobody can, None when this one has to."""
        name, text = value.name, value.text
        if has_stand_in(text):
            why = f"{HIDDEN_BY_EXPORT}, and so was the value of {{{name}}} (--reveal hides none)"
            return Inconclusive(why=why, captures=(evidence.capture.id,))
        # The token of another, or of nobody, may be a text; it is no figure, date or id for that.
        if text == f"{{{name}}}" or (value.of_item and _IN_ITEM.fullmatch(text) and text.endswith(f".{name}}}")):
            return _NOT_REPLACED
        if text in CONSTANTS and isinstance(reading := evidence.json, JsonReading) and reading.is_constant:
            return _NO_NUMBER
        # What has no form either when it is read as it was meant is wrong twice; unreadable money is worse than that.
        is_money = self._types[name] in {"money", "currency"}
        if not is_money and encoded_twice(text, self._types[name]) and form.shape(with_its_plus(read_again(text))):
            return _TWICE
        if lacks_its_plus(text) and came_with_plus(evidence, value) and form.shape(with_its_plus(text)):
            return _NO_PLUS
        # In a free text such a word may be meant.
        return _NULL if is_null_word(text) and self._types[name] != "text" else None

    def _has_any(self, evidence: Evidence) -> bool:
        texts = evidence.texts
        for name in self._tokens:
            if texts[name]:
                return True
        return any(item[name] for name in self._fields for item in evidence.item_texts or ())

    def _all_outcomes(self, evidence: Evidence, items: _Items | None) -> Outcome | tuple[Outcome, ...] | None:
        outcomes = (*self._outcomes(evidence), *self._outcomes_of_items(evidence, items))
        return outcomes or (None if self._has_any(evidence) else _NO_VALUE)

    def _outcomes(self, evidence: Evidence) -> Iterator[Outcome]:
        values = evidence.values
        for name, form in self._tokens.items():
            value = values.get(name)
            if value is None:
                yield evidence.without(name)
            elif value.text and not form.shape(value.text):
                yield self._told_elsewhere(evidence, value, form) or _fail(evidence, f"{{{name}}}", value, form)

    def _outcomes_of_items(self, evidence: Evidence, items: _Items | None) -> Iterator[Outcome]:
        """Tell of the first item at fault and how many more there are: an order can have a thousand lines."""
        if items is None:
            why = "the items cannot be told from each other"
            yield OTHER_METHOD if evidence.has_no_body else Inconclusive(why=why, captures=(evidence.capture.id,))
            return
        for name, form in self._fields.items():
            found = [(number, item.get(name)) for number, item in enumerate(items, start=1)]
            wrong = [
                (number, value)
                for number, value in found
                if value
                and value.text
                and not form.shape(value.text)
                and not self._told_elsewhere(evidence, value, form)
            ]
            if wrong:
                number, value = wrong[0]
                more = f" (and that of {len(wrong) - 1} more)" if len(wrong) > 1 else ""
                in_items = Value(value.name, value.text, replace(value.where, token=f"*.{name}"))
                yield _fail(evidence, f"the {name} of item {number}{more}", in_items, form)
            elif any(value is None for _, value in found):
                why = f"nobody can tell where the {name} of an item ends: what stands beside it may belong to it"
                yield Inconclusive(why=why, captures=(evidence.capture.id,))


def _forms(tokens: Iterable[Token], form_of: FormOf) -> dict[str, Form]:
    return {token.name: form for token in tokens if (form := form_of(token)) is not None}


def _fail(evidence: Evidence, what: str, value: Value, form: Form) -> Fail:
    shown = value.text if len(value.text) <= _LONGEST_QUOTE else f"{value.text[:_LONGEST_QUOTE]}…"
    problem = form.problem(value.text)
    return Fail(
        message=f"{what} is {shown!r}" + (f": {problem}" if problem else ""),
        expected=form.expected,
        actual=shown,
        captures=(evidence.capture.id,),
        where=value.where,
    )
