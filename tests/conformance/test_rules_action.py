"""The rules on one action: what one capture tells of it fits together, or cannot be told."""

import json
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlencode

import pytest

from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules.examples import capture
from postback_receiver import Capture

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]

TOKENS = (
    "ActionId",
    "CampaignId",
    "Status",
    "Payout",
    "DeltaPayout",
    "Amount",
    "DeltaAmount",
    "IntendedPayout",
    "IntendedAmount",
    "ReferringDate",
    "EventDate",
    "CreationDate",
    "LockingDate",
    "ClearedDate",
)
NEW = {
    "ActionId": "1000.6705.158133",
    "CampaignId": "1000",
    "Status": "PENDING",
    "Payout": "0.88",
    "DeltaPayout": "0.88",
    "Amount": "21.99",
    "DeltaAmount": "21.99",
    "IntendedPayout": "0.88",
    "IntendedAmount": "21.99",
    "EventDate": "2026-05-11T00:07:27+03:00",
    "LockingDate": "2026-06-16T00:00:00+03:00",
}
GONE = {"Payout": "0.00", "DeltaPayout": "-0.88", "Amount": "0.00", "DeltaAmount": "-21.99"}
DAY = "2026-05-11T00:00:00+03:00"


def settings_of(*tokens: str, kind: str = "action_lifecycle") -> str:
    query = "&".join(f"{token.lower()}={{{token}}}" for token in tokens)
    return f'event = "{kind}"\nurl = "http://127.0.0.1/p?{query}"'


def told(values: Mapping[str, str], *tokens: str) -> Capture:
    query = urlencode({token.lower(): values.get(token, "") for token in tokens})
    return capture(method="GET", target=f"/p?{query}", headers=())


CLAIMS: dict[str, tuple[str, Mapping[str, str], OutcomeName]] = {
    "dates in order": (
        "action.dates-ordered",
        {"ReferringDate": "2026-05-10T23:00:00+03:00", "CreationDate": "2026-05-11T00:07:27+03:00"},
        "pass",
    ),
    "a click after the conversion": (
        "action.dates-ordered",
        {"ReferringDate": "2026-05-11T00:07:28+03:00"},
        "fail",
    ),
    "instants count, not clock faces": (
        "action.dates-ordered",
        {"ReferringDate": "2026-05-11T05:00:00+10:00"},
        "pass",
    ),
    "a record before the conversion": ("action.dates-ordered", {"CreationDate": DAY}, "fail"),
    "locked on the day of the conversion": ("action.dates-ordered", {"LockingDate": DAY}, "pass"),
    "locked the day before": ("action.dates-ordered", {"LockingDate": "2026-05-09T23:00:00+03:00"}, "fail"),
    "cleared before it locks": ("action.dates-ordered", {"ClearedDate": "2026-06-15T00:00:00+03:00"}, "fail"),
    "cleared when it locks": ("action.dates-ordered", {"ClearedDate": "2026-06-16T00:00:00+03:00"}, "pass"),
    "the first and the last instant there are": (
        "action.dates-ordered",
        {"EventDate": "0001-01-01T00:00:00+23:59", "LockingDate": "9999-12-31T23:59:59-23:59"},
        "pass",
    ),
    "what is no date is another rule's business": (
        "action.dates-ordered",
        {"LockingDate": "soon"},
        "not_applicable",
    ),
    "a delta of all": ("action.delta-consistent", {}, "pass"),
    "a delta back": ("action.delta-consistent", GONE, "pass"),
    "a payout that was less than nothing": ("action.delta-consistent", {"DeltaPayout": "0.89"}, "fail"),
    "an amount that was less than nothing": ("action.delta-consistent", {"DeltaAmount": "22.00"}, "fail"),
    "a delta that is no money": ("action.delta-consistent", {"DeltaPayout": "1,00"}, "inconclusive"),
    "nothing was reversed": ("action.reversed-is-zero", {}, "not_applicable"),
    "reversed and gone": ("action.reversed-is-zero", {"Status": "REVERSED", **GONE}, "pass"),
    "reversed with a payout": ("action.reversed-is-zero", {"Status": "REVERSED", **GONE, "Payout": "0.01"}, "fail"),
    "reversed, and money that is none": (
        "action.reversed-is-zero",
        {"Status": "REVERSED", "Payout": "-", "Amount": "-"},
        "inconclusive",
    ),
    "gone and pending": ("action.zero-is-reversed", GONE, "fail"),
    "gone and approved": ("action.zero-is-reversed", {"Status": "APPROVED", **GONE}, "fail"),
    "gone and reversed": ("action.zero-is-reversed", {"Status": "REVERSED", **GONE}, "pass"),
    "tracked without an amount": (
        "action.zero-is-reversed",
        {**GONE, "IntendedAmount": "0.00"},
        "not_applicable",
    ),
    "cleared and approved": ("action.cleared-is-approved", {"Status": "APPROVED", "ClearedDate": DAY}, "pass"),
    "cleared and reversed": ("action.cleared-is-approved", {"Status": "REVERSED", "ClearedDate": DAY}, "fail"),
    "not cleared": ("action.cleared-is-approved", {}, "not_applicable"),
    "an id of program and day": ("action.id-agrees", {}, "pass"),
    "an id a day off": ("action.id-agrees", {"ActionId": "1000.6706.158133"}, "pass"),
    "an id two days off": ("action.id-agrees", {"ActionId": "1000.6707.158133"}, "fail"),
    "an id of another program": ("action.id-agrees", {"ActionId": "1001.6705.158133"}, "fail"),
    "an id of one number": ("action.id-agrees", {"ActionId": "1234567890"}, "not_applicable"),
    "an id of two numbers": ("action.id-agrees", {"ActionId": "8882.4335"}, "not_applicable"),
    "an id of endless numbers": ("action.id-agrees", {"ActionId": f"1000.{'6' * 5000}.1"}, "fail"),
}


@pytest.mark.parametrize(("rule", "values", "outcome"), CLAIMS.values(), ids=CLAIMS.keys())
def test_what_one_capture_tells_fits_together(
    rule: str, values: Mapping[str, str], outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule, settings_of(*TOKENS), [told({**NEW, **values}, *TOKENS)])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


@pytest.mark.parametrize(
    "rule",
    [
        "action.cleared-is-approved",
        "action.dates-ordered",
        "action.delta-consistent",
        "action.id-agrees",
        "action.items-sum",
        "action.reversed-is-zero",
        "action.zero-is-reversed",
    ],
)
@pytest.mark.parametrize(
    "settings", [settings_of("SubId1"), settings_of("Status", kind="job_completion")], ids=["no tokens", "no action"]
)
def test_without_the_tokens_or_without_an_action_there_is_nothing_to_judge(
    rule: str, settings: str, judged_by: JudgedBy
) -> None:
    arrived = capture(method="GET", target="/p?subid1=x" if "SubId1" in settings else "/p?status=COMPLETED")
    (verdict,) = judged_by(rule, settings, [arrived])
    assert verdict.outcome == "not_applicable"


@pytest.mark.parametrize(("status", "outcome"), [("APPROVED", "pass"), ("PENDING", "fail")])
def test_at_clearing_every_action_is_approved(status: str, outcome: OutcomeName, judged_by: JudgedBy) -> None:
    """Also when the template does not hold the date on which it cleared."""
    settings = settings_of("Status", kind="action_clearing")
    (verdict,) = judged_by("action.cleared-is-approved", settings, [told({"Status": status}, "Status")])
    assert verdict.outcome == outcome


ORDER = """
url = "http://127.0.0.1/p?c={Currency}&o={OriginalCurrency}&s={Status}"
method = "POST"
body = '''{"sum": "{Amount}", "lines": [{join(items, i,
"\\{\\"a\\": \\"{i.amt}\\", \\"q\\": \\"{i.qty}\\"\\}")}]}'''
"""
LINES: dict[str, tuple[str, list[tuple[str, str]], str, OutcomeName]] = {
    "totals of lines": ("21.99", [("10.00", "2"), ("11.99", "1")], "c=USD&o=USD&s=PENDING", "pass"),
    "prices of pieces": ("31.99", [("10.00", "2"), ("11.99", "1")], "c=USD&o=USD&s=PENDING", "pass"),
    "neither": ("21.98", [("10.00", "2"), ("11.99", "1")], "c=USD&o=USD&s=PENDING", "fail"),
    "no error of floats": ("0.30", [("0.10", "1"), ("0.20", "1")], "c=USD&o=&s=PENDING", "pass"),
    "a thousand lines": ("10.00", [("0.01", "1")] * 1000, "c=USD&o=USD&s=PENDING", "pass"),
    "no lines": ("21.98", [], "c=USD&o=USD&s=PENDING", "not_applicable"),
    "a line that is no money": ("21.98", [("x", "1")], "c=USD&o=USD&s=PENDING", "inconclusive"),
    "a quantity that is no number": ("21.98", [("20.00", "x")], "c=USD&o=USD&s=PENDING", "fail"),
    "an amount that is no money": ("x", [("20.00", "1")], "c=USD&o=USD&s=PENDING", "inconclusive"),
    "lines of a reversed action": ("0.00", [("20.00", "1")], "c=USD&o=USD&s=REVERSED", "inconclusive"),
    "lines in the order's own currency": ("21.98", [("20.00", "1")], "c=USD&o=EUR&s=PENDING", "inconclusive"),
}


@pytest.mark.parametrize(("amount", "lines", "query", "outcome"), LINES.values(), ids=LINES.keys())
def test_lines_add_up_as_totals_or_as_prices(
    amount: str, lines: list[tuple[str, str]], query: str, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    written = ",".join(json.dumps({"a": price, "q": pieces}) for price, pieces in lines)
    arrived = capture(f'{{"sum": "{amount}", "lines": [{written}]}}'.encode(), target=f"/p?{query}")
    (verdict,) = judged_by("action.items-sum", ORDER, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


def test_items_that_cannot_be_told_apart_are_not_added_up(judged_by: JudgedBy) -> None:
    settings = """
url = "http://127.0.0.1/p?sum={Amount}"
method = "POST"
body_format = "query"
body = '{join(items, i, "{i.amt}", "-")}'
"""
    (verdict,) = judged_by("action.items-sum", settings, [capture(b"1-2", target="/p?sum=3.00")])
    assert verdict.outcome == "inconclusive"
