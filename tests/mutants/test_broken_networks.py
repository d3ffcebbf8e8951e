"""Each broken network is caught by the rule made for it, and a correct one by none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broken_senders import SENDERS
from networks import BUSY_ONCE, CLEARING, CORRECT, FORM, GET, INQUIRY, JSON, XML, BrokenSender, lives, verdicts_on
from postback_conformance.generating.generation import generate
from postback_conformance.strategies import lifecycles, wire_texts
from postback_sender import Event


@pytest.mark.parametrize("sender", [pytest.param(one, id=one.wrong.replace(" ", "-")) for one in SENDERS])
def test_a_broken_network_is_caught_by_the_rule_made_for_it(sender: BrokenSender) -> None:
    verdicts = verdicts_on(sender)
    findings = [one for one in verdicts if one.outcome == "fail"]
    assert {one.rule for one in findings} == {sender.caught_by, *sender.also}
    assert all(one.message and one.expected and one.fix for one in findings)
    assert "error" not in {one.outcome for one in verdicts}


@pytest.mark.parametrize(
    "settings", [JSON, XML, FORM, GET, CLEARING, INQUIRY], ids=["json", "xml", "form", "get", "clearing", "inquiry"]
)
def test_what_the_broken_ones_have_in_common_is_blamed_by_no_rule(settings: str) -> None:
    verdicts = verdicts_on(replace(CORRECT, settings=settings))
    assert [one for one in verdicts if one.outcome not in {"pass", "not_applicable"}] == []


def drawn_lives(seed: int) -> list[Event]:
    """Return the events of lives that began some seconds ago, so that nothing has to be waited for."""
    drawn = lifecycles(
        started_at=datetime.now(UTC) - timedelta(seconds=5),
        max_updates=3,
        max_gap=timedelta(seconds=1),
        max_items=3,
        clearing=False,
        texts=wire_texts(max_size=60),
    )
    return [event for life in generate(drawn, count=3, seed=seed) for event in life]


@pytest.mark.parametrize("seed", range(20))
def test_a_correct_network_is_blamed_for_nothing(seed: int) -> None:
    settings = (JSON, XML, FORM, GET)[seed % 4]
    verdicts = verdicts_on(replace(CORRECT, settings=settings), drawn_lives(seed))
    assert [one for one in verdicts if one.outcome in {"fail", "error"}] == []
    assert sum(one.outcome == "pass" for one in verdicts) > 25


def test_a_correct_network_that_has_to_retry_is_blamed_for_nothing() -> None:
    verdicts = verdicts_on(replace(CORRECT, settings=CLEARING, replies=BUSY_ONCE), lives())
    assert [one for one in verdicts if one.outcome not in {"pass", "not_applicable"}] == []
    retries = {one.rule: one.outcome for one in verdicts if one.rule.startswith("delivery.retry")}
    assert retries["delivery.retry-count"] == retries["delivery.retry-gap"] == "pass"
