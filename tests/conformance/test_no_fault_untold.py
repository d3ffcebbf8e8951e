"""A rule that leaves a fault to another leaves it to one that tells of it, and at no lower a level."""

import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from postback_conformance.judging.judge import judge
from postback_conformance.judging.rule import Profile
from postback_conformance.judging.verdict import Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import capture
from postback_receiver import Capture
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

GET = 'url = "http://127.0.0.1/postback?id={ActionId}&date={EventDate}&sub={SubId1}"\nmethod = "GET"\n'
FORM = (
    'url = "http://127.0.0.1/postback"\nbody_format = "query"\nbody = "id={ActionId}&date={EventDate}&sub={SubId1}"\n'
)
NAMES = ("CampaignName", "ActionId", "Status", "Payout", "DeltaPayout", "CampaignId")
JSON = (
    "url = 'http://127.0.0.1/postback'\nbody = '''"
    r"\{" + ", ".join(f'"{name}": "{{{name}}}"' for name in NAMES) + r"\}'''"
)
VALUES = dict(zip(NAMES, ("Shoes", "1000.6705.1", "PENDING", "12.50", "12.50", "1000"), strict=True))
FORM_TYPE = ("Content-Type", "application/x-www-form-urlencoded")


def written(**values: str) -> Capture:
    return capture(json.dumps(VALUES | values).encode())


def failed(
    read_settings: ReadSettings, settings: str, *captures: Capture, profile: Profile = "documented"
) -> list[Verdict]:
    verdicts = judge(captures, read_settings(settings), RULES, profile=profile).verdicts
    return [one for one in verdicts if one.outcome == "fail"]


@pytest.mark.parametrize("sub", ["x", "a+b"])
@pytest.mark.parametrize("settings", [GET, FORM], ids=["get", "form"])
def test_a_date_whose_plus_was_sent_as_a_blank_is_no_date(settings: str, sub: str, read_settings: ReadSettings) -> None:
    """It came as %20: no + was left as it is, wherever else one stands."""
    query = f"id=1&date=2026-05-11T00%3A07%3A27%2003%3A00&sub={sub}"
    get = capture(method="GET", target=f"/postback?{query}", headers=())
    arrived = get if settings == GET else capture(query.encode(), headers=(FORM_TYPE,))
    assert [one.rule for one in failed(read_settings, settings, arrived)] == ["field.date"]


@pytest.mark.parametrize("text", ["12%2E50", "12&#46;50"])
def test_money_that_was_encoded_twice_is_no_money(text: str, read_settings: ReadSettings) -> None:
    findings = failed(read_settings, JSON, written(Payout=text))
    assert [(one.rule, one.level) for one in findings] == [("field.money", "MUST"), ("value.double-encoded", "SHOULD")]


@pytest.mark.parametrize("text", ["{Commission}", "{CampaignId}", "{i.sku}"])
def test_a_token_of_another_is_no_money(text: str, read_settings: ReadSettings) -> None:
    """Nobody can tell whether the template held it there, but money it is not."""
    assert [one.rule for one in failed(read_settings, JSON, written(Payout=text))] == ["field.money"]


@pytest.mark.parametrize("name", ["{CampaignId}", "{Unknown}"])
def test_a_word_that_may_be_a_name_hides_no_token_behind_it(name: str, read_settings: ReadSettings) -> None:
    findings = failed(read_settings, JSON, written(CampaignName=name, Payout="{Payout}"))
    assert [(one.rule, one.actual) for one in findings] == [("value.unreplaced-token", "{Payout}")]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "BREW"])
@pytest.mark.parametrize("settings", [GET, JSON], ids=["get", "json"])
def test_a_method_that_changes_something_is_no_question(
    method: str, settings: str, read_settings: ReadSettings
) -> None:
    arrived = capture(method=method, headers=())
    assert "http.method" in [one.rule for one in failed(read_settings, settings, arrived)]


def test_a_head_whose_body_was_cut_is_no_question(read_settings: ReadSettings) -> None:
    arrived = capture(method="HEAD", headers=(), truncated=True)
    assert "http.method" in [one.rule for one in failed(read_settings, JSON, arrived)]


def test_what_came_twice_at_once_is_told_where_the_action_may_come_again(read_settings: ReadSettings) -> None:
    """An action's life has many postbacks, so that nobody can call the second a duplicate for sure."""
    first = replace(capture(json.dumps(VALUES).encode(), status=400, answered_after_s=3), id="first")
    again = capture(json.dumps(VALUES).encode(), at_s=4)
    at_once = capture(json.dumps(VALUES).encode(), at_s=1)
    for later in (again, at_once):
        findings = failed(read_settings, JSON, first, later, profile="strict")
        assert [one.rule for one in findings if one.rule.startswith("delivery.")] == ["delivery.retry-only-after-error"]


def test_a_payout_below_nothing_stays_a_must_of_a_careful_sender(read_settings: ReadSettings) -> None:
    findings = failed(read_settings, JSON, written(Payout="-12.50"), profile="strict")
    assert [(one.rule, one.level) for one in findings] == [("field.money-sign", "MUST")]


def test_what_breaks_a_form_is_a_must_of_a_lenient_sender(read_settings: ReadSettings) -> None:
    """The mark becomes part of the first field's name."""
    body = b"\xef\xbb\xbfid=1&date=2026-05-11T00%3A07%3A27%2B03%3A00&sub=x"
    findings = failed(read_settings, FORM, capture(body, headers=(FORM_TYPE,)), profile="lenient")
    assert [(one.rule, one.level) for one in findings] == [("body.bom", "MUST")]


def test_a_date_that_was_encoded_twice_is_as_wrong_as_any_other_text(read_settings: ReadSettings) -> None:
    twice = capture(
        method="GET", target="/postback?id=1&date=2026-05-11T00%253A07%253A27%252B03%253A00&sub=x", headers=()
    )
    other = capture(method="GET", target="/postback?id=1&date=yesterday&sub=x", headers=())
    levels = [[one.level for one in failed(read_settings, GET, each, profile="lenient")] for each in (twice, other)]
    assert levels == [["SHOULD"], ["SHOULD"]]
