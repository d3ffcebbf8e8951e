"""Single values: each has the form that its token has in every sample, whatever key the partner gave it.

An empty value is an absent one, and no finding but where no sample has ever shown it empty. A token that nobody
replaced is the business of `value.unreplaced-token`.
"""

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.held_tokens import held_tokens
from postback_conformance.judging.rule import Check, EachCapture, Example, Rule
from postback_conformance.judging.verdict import Fail, Inconclusive, Outcome
from postback_conformance.rules.applying import NothingToTest
from postback_conformance.rules.examples import capture, example
from postback_conformance.rules.fact_sources import (
    ACTION_OBJECT,
    ACTIONS_API,
    API_OBJECTS,
    CAPTURED_CALLS,
    CONVERSIONS_API,
    EXAMPLE_BODY,
    NOTIFICATIONS_API,
    OLD_SAMPLE,
    OUR_MODEL,
    SAMPLE_CALL,
    TRACKER_PRESET,
)
from postback_conformance.rules.token_forms import (
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
from postback_conformance.rules.value_forms import each_value, values_test
from postback_sender.notification import Notification

_HEARSAY_STATUS = "modified"


def _present(notification: Notification) -> Check:
    names = tuple(token.name for token in held_tokens(notification) if not token.may_be_empty)

    def test(evidence: Evidence) -> tuple[Outcome, ...] | None:
        texts = evidence.texts
        lacking = [name for name in names if not texts.get(name)]
        return tuple([_lack(evidence, name) for name in lacking]) or None

    return EachCapture(test) if names else NothingToTest("the template has no token that every sample fills")


def _lack(evidence: Evidence, name: str) -> Outcome:
    value = evidence.value(name)
    if value is None:
        return evidence.without(name)
    return Fail(
        message=f"{{{name}}} is empty",
        expected="a value, as in every sample",
        actual="nothing",
        captures=(evidence.capture.id,),
        where=value.where,
    )


def _status(notification: Notification) -> Check:
    test = values_test(notification, status_form)
    if test is None:
        return NothingToTest("the template has no {Status} of an action")

    def with_hearsay(evidence: Evidence) -> Outcome | tuple[Outcome, ...] | None:
        outcome = test(evidence)
        match outcome:
            case (Fail(actual=actual, captures=captures),) if actual.casefold() == _HEARSAY_STATUS:
                why = f"the status {actual!r} is one that a tracker handles and no list of impact.com has"
                return Inconclusive(why=why, captures=captures)
            case _:
                return outcome

    return EachCapture(with_hearsay)


_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
body = '\\{"v": "{%s}"\\}'
"""
_ITEMS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
body = '[{join(items, i, "\\{\\"v\\": \\"{i.%s}\\"\\}")}]'
"""


def _one(token: str, text: str, settings: str = _SETTINGS) -> Example:
    """Return an example in which a token has a value."""
    return example(settings % token, capture(f'{{"v": "{text}"}}'.encode()))


def _two(field: str, first: str, second: str) -> Example:
    """Return an example in which the items have these values."""
    return example(_ITEMS % field, capture(f'[{{"v": "{first}"}},{{"v": "{second}"}}]'.encode()))


_PARSE = "Read money as decimals, never as floats, and keep the text that arrived beside it"

RULES = (
    Rule(
        id="field.country",
        level="SHOULD",
        requirement="A country is two capital letters.",
        needs="a token for a country in the template",
        fix="Store what arrived as text; do not refuse the postback for it.",
        sources=(SAMPLE_CALL(section="RefCustomerCountry"), ACTIONS_API(section="CustomerCountry")),
        start=each_value(country_form, "token for a country"),
        passing=_one("RefCustomerCountry", "US"),
        failing=_one("RefCustomerCountry", "United States"),
    ),
    Rule(
        id="field.currency",
        level="MUST",
        requirement="A currency is three capital letters of ISO 4217.",
        needs="a token for a currency in the template",
        fix="Check that the key is filled by {Currency} and not by an amount; without a currency no amount means much.",
        sources=(ACTION_OBJECT(section="Currency"), CAPTURED_CALLS(section="Currency")),
        start=each_value(currency_form, "token for a currency"),
        passing=_one("Currency", "USD"),
        failing=_one("Currency", "$"),
    ),
    Rule(
        id="field.date",
        level="SHOULD",
        strict="MUST",
        requirement="A date is ISO 8601 with whole seconds and a numeric offset; no Z, no fraction.",
        needs="a token for a date in the template",
        fix="Read dates with a parser for ISO 8601 that keeps the offset, and accept Z as well: nobody rules it out.",
        sources=(
            CAPTURED_CALLS(section="EventDate, LockingDate"),
            SAMPLE_CALL(section="EventDate"),
            ACTIONS_API(section="samples of dates", certainty="inferred"),
        ),
        start=each_value(date_form, "token for a date"),
        passing=_one("EventDate", "2026-05-11T00:07:27+03:00"),
        failing=_one("EventDate", "2026-05-10T21:07:27Z"),
    ),
    Rule(
        id="field.date-midnight",
        level="INFO",
        strict="SHOULD",
        requirement="A locking date is the beginning of a day in the program's time zone.",
        needs="{LockingDate} in the template",
        fix="Read the day in the offset that the date carries; in another zone it may be the day before.",
        sources=(CAPTURED_CALLS(section="LockingDate"), ACTIONS_API(section="LockingDate", certainty="inferred")),
        start=each_value(midnight_form, "date that is a day"),
        passing=_one("LockingDate", "2026-06-16T00:00:00+03:00"),
        failing=_one("LockingDate", "2026-06-16T10:42:38+03:00"),
    ),
    Rule(
        id="field.enum",
        level="SHOULD",
        requirement="A value of a closed list is one of its words, letter by letter.",
        needs="a token with a closed list of values in the template, other than an action's status or referring type",
        fix="Treat a word you do not know as unknown, not as an error: the lists are those of API objects.",
        sources=(API_OBJECTS(section="enumerations", certainty="inferred"),),
        start=each_value(other_words_form, "token with a list of its values"),
        passing=_one("ResolutionStatus", "VALID", f'event = "action_inquiry"\n{_SETTINGS}'),
        failing=_one("ResolutionStatus", "Valid", f'event = "action_inquiry"\n{_SETTINGS}'),
    ),
    Rule(
        id="field.id",
        level="SHOULD",
        strict="MUST",
        requirement="An id that is a number is digits only, and a job's id a UUID.",
        needs="a token for an id of a known form in the template",
        fix="Check that the key is filled by the token you mean; keep ids as text, without reading them as numbers.",
        sources=(EXAMPLE_BODY(), CAPTURED_CALLS(section="CampaignId, ActionTrackerId, MediaPartnerId, AdId")),
        start=each_value(id_form, "token for an id of a known form"),
        passing=_one("CampaignId", "25619"),
        failing=_one("CampaignId", "25,619"),
    ),
    Rule(
        id="field.length",
        level="INFO",
        strict="SHOULD",
        requirement="A text is no longer than what a brand can have sent.",
        needs="a token with a known longest value in the template",
        fix="Make room for the text, or cut it on purpose; do not refuse the postback for it.",
        sources=(CONVERSIONS_API(section="ItemSku at most 40, OrderId at most 64 characters", certainty="inferred"),),
        start=each_value(length_form, "token with a known longest value"),
        passing=_two("sku", "APP-0016", "A" * 40),
        failing=_two("sku", "APP-0016", "A" * 41),
    ),
    Rule(
        id="field.money",
        level="MUST",
        requirement="Money is a plain decimal: a dot, no thousands separators, no currency sign, no exponent.",
        needs="a token for money in the template",
        fix=f"{_PARSE}; look for a float in whatever wrote this.",
        sources=(
            NOTIFICATIONS_API(section="payout, amt: a decimal string"),
            CAPTURED_CALLS(section="Payout, Amount"),
            OLD_SAMPLE(section="Payout with four decimals"),
        ),
        start=each_value(money_form, "token for money"),
        passing=_one("DeltaPayout", "-1234.50"),
        failing=_one("Payout", "1,234.50"),
    ),
    Rule(
        id="field.money-decimals",
        level="INFO",
        strict="SHOULD",
        requirement="Money has two decimals; sources contradict each other.",
        needs="a documented token for money in the template",
        fix=f"{_PARSE}; round only where you show it.",
        sources=(
            NOTIFICATIONS_API(section="samples of payout and amt: two decimals"),
            CAPTURED_CALLS(section="Payout, Amount: two decimals"),
            OLD_SAMPLE(section="Payout: 32252.1922, four decimals"),
        ),
        start=each_value(decimals_form, "token for money"),
        passing=_one("Payout", "12.50"),
        failing=_one("Payout", "12.505"),
    ),
    Rule(
        id="field.money-sign",
        level="SHOULD",
        strict="MUST",
        requirement="Money is not negative; only the deltas can be.",
        needs="a token for money other than a delta in the template",
        fix="Check that the key is not filled by a delta; what an action is worth is {Payout}, not {DeltaPayout}.",
        sources=(
            ACTIONS_API(section="Payout, Amount, and what a delta is", certainty="inferred"),
            OUR_MODEL(),
        ),
        start=each_value(sign_form, "token for money other than a delta"),
        passing=_one("Payout", "0.00"),
        failing=_one("Payout", "-0.88"),
    ),
    Rule(
        id="field.present",
        level="SHOULD",
        strict="MUST",
        requirement="What has a value in every sample has one.",
        needs="a token in the template that no sample shows empty",
        fix="Keep the postback and ask impact.com for the action; without an id or a status it cannot be booked.",
        sources=(
            CAPTURED_CALLS(section="which parameters are empty"),
            SAMPLE_CALL(section="which parameters are empty"),
            ACTIONS_API(section="fields that every sample fills", certainty="inferred"),
        ),
        start=_present,
        passing=_one("ActionId", "1000.6705.158133"),
        failing=_one("ActionId", ""),
    ),
    Rule(
        id="field.quantity",
        level="SHOULD",
        strict="MUST",
        requirement="A number is plain digits, and a quantity is not negative.",
        needs="a token for a number, or a join with the quantity of items, in the template",
        fix="Read the quantity as a decimal: the API calls it one, although every sample is whole.",
        sources=(NOTIFICATIONS_API(section="qty: a decimal string"), EXAMPLE_BODY(section="step 5, i.qty")),
        start=each_value(quantity_form, "token for a number"),
        passing=_two("qty", "1", "2"),
        failing=_two("qty", "1", "two"),
    ),
    Rule(
        id="field.referring-type",
        level="SHOULD",
        strict="MUST",
        requirement="A referring type is one of the words of the Actions API, letter by letter.",
        needs="{ReferringType} in the template",
        fix="Treat a word you do not know as unknown: the list is that of the API, and may grow.",
        sources=(ACTIONS_API(section="ReferringType"), CAPTURED_CALLS(section="ReferringType")),
        start=each_value(referring_type_form, "{ReferringType}"),
        passing=_one("ReferringType", "CLICK_COOKIE"),
        failing=_one("ReferringType", "Click Cookie"),
    ),
    Rule(
        id="field.status",
        level="MUST",
        requirement="A status is PENDING, APPROVED or REVERSED, letter by letter.",
        needs="{Status} in the template",
        fix="Never book a status you do not know as a sale; ask the API for the action instead.",
        sources=(
            NOTIFICATIONS_API(section="status"),
            SAMPLE_CALL(section="Status"),
            TRACKER_PRESET(section="handles `modified`, which no list of impact.com has"),
        ),
        start=_status,
        passing=_one("Status", "REVERSED"),
        failing=_one("Status", "reversed"),
    ),
    Rule(
        id="field.url",
        level="SHOULD",
        requirement="A URL is absolute, http or https, and has no blanks.",
        needs="a token for a URL in the template",
        fix="Percent-encode the value before you use it as a link, and never fetch it unchecked.",
        sources=(SAMPLE_CALL(section="LandingPageUrl"), EXAMPLE_BODY(section="step 5, LandingPageUrl")),
        start=each_value(url_form, "token for a URL"),
        passing=_one("LandingPageUrl", "https://shop.example/balls?irclickid=a:b-c&irgwc=1"),
        failing=_one("LandingPageUrl", "shop.example/balls"),
    ),
)
