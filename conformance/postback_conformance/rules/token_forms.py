"""The form that the values of each token have, by what the catalogue says of it: no second list of names."""

import re
from datetime import datetime

from postback_conformance.judging.wire_dates import instant
from postback_conformance.rules.form import Form, FormOf
from postback_sender.token_model import COUNTRY_FORMAT, DATE_FORMAT, DIGITS, MONEY_FORMAT, UUID_FORMAT, Token
from postback_sender.tokens import CATALOGUE

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}")
_FRACTION = re.compile(r"T[0-9:]+[.,][0-9]")


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and instant(text) is not None


def _problem_with_date(text: str) -> str:
    if text[-1:] in "Zz":
        return "Z instead of a numeric offset"
    if _FRACTION.search(text):
        return "a fraction of a second"
    if _DATE.fullmatch(text):
        return "no such day or time"
    try:
        return "no offset from UTC" if datetime.fromisoformat(text).utcoffset() is None else "laid out another way"
    except ValueError:
        return "no date of ISO 8601"


_USUAL_MONEY = r"-?(?:0|[1-9][0-9]{0,15})\.[0-9]{2}"
_MONEY = Form(
    re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,4})?").fullmatch,
    "a plain decimal such as 12.50: a dot, no thousands separators, no sign of a currency, no exponent",
    usual=_USUAL_MONEY,
)
_TWO_DECIMALS = re.compile(r"-?[0-9]+\.[0-9]{2}")
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_DECIMALS = Form(
    # What is no decimal number at all is the business of `field.money`.
    lambda text: _TWO_DECIMALS.fullmatch(text) or not _DECIMAL.fullmatch(text),
    "two decimals, such as 12.50",
    usual=_USUAL_MONEY,
)
_SIGN = Form(
    lambda text: not text.startswith("-"), "no negative number: only the deltas are changes", usual=r"[0-9][0-9.]*+"
)
_CURRENCY = Form(re.compile(r"[A-Z]{3}").fullmatch, "three capital letters of ISO 4217, such as USD", usual="[A-Z]{3}")
_COUNTRY = Form(re.compile(r"[A-Z]{2}").fullmatch, "two capital letters of ISO 3166, such as US", usual="[A-Z]{2}")
_DIGITS = Form(re.compile(r"[0-9]+").fullmatch, "digits only, such as 614286", usual="[0-9]++")
_USUAL_UUID = "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_UUID = Form(
    re.compile(_USUAL_UUID).fullmatch,
    "a UUID, such as 3f0b6c1e-58d2-4b64-9d27-6f1f3f7a1c02",
    usual=_USUAL_UUID,
)
# All days but that of leap years, and offsets that zones have.
_USUAL_DAY = (
    r"[12][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_USUAL_OFFSET = r"[+-](?:0[0-9]|1[0-4]):[0-5][0-9]"
_DATE_FORM = Form(
    _is_date,
    "ISO 8601 with whole seconds and a numeric offset, such as 2026-05-11T00:07:27+03:00",
    _problem_with_date,
    usual=_USUAL_DAY + r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]" + _USUAL_OFFSET,
)
# A day whose first hour the clocks skip begins at one.
_MIDNIGHT = Form(
    lambda text: not _is_date(text) or text[11:19] in {"00:00:00", "01:00:00"},
    "the beginning of a day, 00:00:00",
    usual=_USUAL_DAY + "T00:00:00" + _USUAL_OFFSET,
)
_NUMBER = Form(re.compile(r"-?[0-9]+(?:\.[0-9]+)?").fullmatch, "a plain number, such as 2", usual="[0-9]++")
_QUANTITY = Form(re.compile(r"[0-9]+(?:\.[0-9]+)?").fullmatch, "a plain number of pieces, such as 2", usual="[0-9]++")
_ABSOLUTE = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#][^\s\x00-\x1f\x7f]*")
_URL = Form(
    _ABSOLUTE.fullmatch,
    "an absolute URL without blanks, such as https://shop.example/?irclickid=…",
    usual=r"https?://[a-z][!-~]*+",
)
_URL_OR_PATH = Form(
    lambda text: _ABSOLUTE.fullmatch(text) or re.fullmatch(r"/[^\s\x00-\x1f\x7f]*", text),
    "an absolute URL or a path, without blanks",
    usual=r"https?://[a-z][!-~]*+|/[!-~]*+",
)
_AT_MOST = re.compile(r"at most ([0-9]+) (?:characters|letters and digits)")


def money_form(token: Token) -> Form | None:
    """Return the form of money: a plain decimal."""
    return _MONEY if token.type == "money" else None


def decimals_form(token: Token) -> Form | None:
    """Return the form of documented money: two decimals."""
    return _DECIMALS if token.type == "money" and token.format.startswith(MONEY_FORMAT) else None


def sign_form(token: Token) -> Form | None:
    """Return the form of money that is no change."""
    is_change = "negative" in token.format
    is_figure = token.type == "money" and not token.of_items and token.format.startswith(MONEY_FORMAT)
    return _SIGN if is_figure and not is_change else None


def currency_form(token: Token) -> Form | None:
    """Return the form of a currency."""
    return _CURRENCY if token.type == "currency" else None


def country_form(token: Token) -> Form | None:
    """Return the form of a country."""
    return _COUNTRY if token.format == COUNTRY_FORMAT else None


def date_form(token: Token) -> Form | None:
    """Return the form of a documented date."""
    return _DATE_FORM if token.type == "datetime" and token.format.startswith(DATE_FORMAT) else None


def midnight_form(token: Token) -> Form | None:
    """Return the form of a date that is a day."""
    return _MIDNIGHT if token.type == "datetime" and "midnight" in token.format else None


def id_form(token: Token) -> Form | None:
    """Return the form of an id that has one."""
    return {DIGITS: _DIGITS, UUID_FORMAT: _UUID}.get(token.format)


def quantity_form(token: Token) -> Form | None:
    """Return the form of a number; items come in pieces, which are not negative."""
    if token.type != "number":
        return None
    return _QUANTITY if token.of_items and token.certainty != "own" else _NUMBER


def url_form(token: Token) -> Form | None:
    """Return the form of a URL; some are paths of the API."""
    if token.type != "url":
        return None
    return _URL_OR_PATH if "path" in token.format else _URL


def length_form(token: Token) -> Form | None:
    """Return the form of a text with a known longest length."""
    found = _AT_MOST.match(token.format)
    if found is None:
        return None
    most = int(found[1])
    return Form(
        lambda text: len(text) <= most,
        token.format,
        lambda text: f"{len(text)} characters",
        usual=rf"[^\0]{{0,{most}}}",
    )


def _is_action_status(token: Token) -> bool:
    of_actions = CATALOGUE.find("action_lifecycle", "Status")
    return token.name == "Status" and of_actions is not None and token.values == of_actions.values


def status_form(token: Token) -> Form | None:
    """Return the words of an action's status."""
    return _words(token) if _is_action_status(token) else None


def referring_type_form(token: Token) -> Form | None:
    """Return the words of a referring type."""
    return _words(token) if token.name == "ReferringType" else None


def other_words_form(token: Token) -> Form | None:
    """Return the words of any other closed list."""
    return None if _is_action_status(token) or token.name == "ReferringType" else _words(token)


def _words(token: Token) -> Form | None:
    if token.type != "enum" or not token.values:
        return None
    words = frozenset(token.values)

    def problem(text: str) -> str:
        same = next((word for word in token.values if word.casefold() == text.strip().casefold()), None)
        return f"the word is {same}, letter by letter" if same else ""

    return Form(
        words.__contains__, f"one of {', '.join(token.values)}", problem, usual="|".join(map(re.escape, token.values))
    )


FORMS: tuple[FormOf, ...] = (
    country_form,
    currency_form,
    date_form,
    decimals_form,
    id_form,
    length_form,
    midnight_form,
    money_form,
    other_words_form,
    quantity_form,
    referring_type_form,
    sign_form,
    status_form,
    url_form,
)
"""Every form that some rule asks for."""
