"""Honest traffic, late, twice and in any order, breaks no rule on lives."""

from collections.abc import Callable
from typing import NamedTuple, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.demo import NAMES, demo_sources
from postback_conformance.generating.template_strategies import templates
from postback_conformance.strategies import lifecycles
from postback_sender.event import Event
from postback_sender.notification import BodyFormat, Notification, parse_notification
from postback_sender.subscription import reported
from postback_sender.template import Template
from told_lives import NO_DELTAS, PAYOUT_ONLY, RAW, WHOLE, failures, in_any_order, judged, some_lives

ReadSettings = Callable[[str], Notification]
BODY_FORMATS: tuple[BodyFormat, ...] = get_args(BodyFormat)


@pytest.mark.parametrize("name", NAMES)
def test_honest_lives_in_any_order_break_no_rule(name: str) -> None:
    """Late, twice, before one another; told in JSON, XML, a form or a query."""
    notification = parse_notification(demo_sources()[name], {})
    told = list(reported(notification, (event for life in some_lives() for event in life)))
    verdicts = judged(notification, in_any_order(told, seed=1))
    assert failures(verdicts) == {}
    assert verdicts["lifecycle.delta-chain"].outcome == "pass"


class Sent(NamedTuple):
    """A life, who is told of it, and how it arrives."""

    life: list[Event]
    text: str
    kind: str
    level: str
    seed: int


sent = st.builds(
    Sent,
    life=lifecycles(max_items=2),
    text=st.sampled_from([WHOLE, PAYOUT_ONLY, NO_DELTAS, RAW]),
    kind=st.sampled_from(["action_lifecycle", "action_clearing"]),
    level=st.sampled_from(["global", "event"]),
    seed=st.integers(0, 99),
)


@settings(max_examples=25, deadline=None)
@given(sent=sent)
def test_an_honest_life_breaks_no_rule(sent: Sent, read_settings: ReadSettings) -> None:
    notification = read_settings(f'event = "{sent.kind}"\nlevel = "{sent.level}"\n{sent.text}')
    told = in_any_order(list(reported(notification, sent.life)), sent.seed)
    assert failures(judged(notification, told)) == {}


any_body = st.sampled_from(BODY_FORMATS).flatmap(lambda name: st.tuples(st.just(name), templates(text_format=name)))


@settings(max_examples=25, deadline=None)
@given(body=any_body, number=st.integers(0, 15), seed=st.integers(0, 99))
def test_an_honest_life_breaks_no_rule_whatever_the_template(
    body: tuple[BodyFormat, Template],
    number: int,
    seed: int,
    read_settings: ReadSettings,
) -> None:
    notification = replace(read_settings(WHOLE), body_format=body[0], body=body[1])
    told = in_any_order(list(reported(notification, some_lives()[number])), seed)
    assert failures(judged(notification, told)) == {}


def begins(event: Event) -> bool:
    """Whether it tells of an action that had nothing before."""
    return all(event.values[name] == event.values[f"Delta{name}"] for name in ("Payout", "Amount"))


@pytest.mark.parametrize("seed", range(2))
def test_while_updates_are_missing_at_the_beginning_nobody_is_blamed(seed: int, read_settings: ReadSettings) -> None:
    """The receiver was started in the middle of lives: which update was missed is not the sender's business.

    Unless the action was restored: what it says then is what it said first, and nobody can tell that that is missing.
    """
    notification = read_settings(WHOLE)
    tails = [event for life in some_lives() if not any(map(begins, life[1:])) for event in life[1:]]
    assert tails
    assert failures(judged(notification, in_any_order(list(reported(notification, tails)), seed))) == {}
