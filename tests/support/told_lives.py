"""Lives of actions as a notification tells of them, and what the rules on lives say of what arrives."""

import random
from collections.abc import Sequence
from functools import cache

from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.generating.generation import generate
from postback_conformance.judging.judge import judge
from postback_conformance.judging.verdict import Verdict
from postback_conformance.rules import action, field, lifecycle
from postback_conformance.rules.examples import capture
from postback_conformance.strategies import lifecycles
from postback_receiver import Capture
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback

RULES = (*action.RULES, *field.RULES, *lifecycle.RULES)

# Everything that a rule on lives looks at.
WHOLE = """
url = "http://127.0.0.1/p?id={ActionId}&program={CampaignId}&status={Status}&at={EventDate}&click={RefClickId}"
method = "POST"
body_format = "xml"
body = '''<a payout="{Payout}" by="{DeltaPayout}" meant="{IntendedPayout}">
<b amount="{Amount}" by="{DeltaAmount}" meant="{IntendedAmount}">{Currency}</b></a>'''
"""
PAYOUT_ONLY = 'url = "http://127.0.0.1/p?id={ActionId}&status={Status}&payout={Payout}&by={DeltaPayout}"'
NO_DELTAS = 'url = "http://127.0.0.1/p?id={ActionId}&status={Status}&payout={Payout}&amount={Amount}"'
RAW = f'{WHOLE}\n[template]\nescaping = "raw"\n'


def arrived(notification: Notification, events: Sequence[Event]) -> list[Capture]:
    """Return what arrives when a notification tells of these events, in this order."""
    captures: list[Capture] = []
    for number, event in enumerate(events):
        postback = render_postback(notification, event)
        target = "/" + postback.url.split("/", 3)[3].partition("#")[0]
        sent = capture(postback.body, method=postback.method, target=target, headers=(), at_s=number)
        captures.append(replace(sent, id=f"c{number}"))
    return captures


def judged(notification: Notification, events: Sequence[Event]) -> dict[str, Verdict]:
    """Return what each rule says, by its id; of several findings, the last."""
    return {one.rule: one for one in judge(arrived(notification, events), notification, RULES).verdicts}


def failures(verdicts: dict[str, Verdict]) -> dict[str, str]:
    """Return what is blamed on anybody, by rule."""
    return {rule: one.message for rule, one in verdicts.items() if one.outcome in {"fail", "error"}}


def in_any_order(events: Sequence[Event], seed: int) -> list[Event]:
    """Return the events with some of them twice, in an order that a network could make of them."""
    chance = random.Random(seed)  # noqa: S311  an order, not a secret
    events = [*events, *chance.choices(events, k=len(events) // 2)] if events else []
    chance.shuffle(events)
    return events


@cache
def some_lives() -> list[list[Event]]:
    """Return generated lives, always the same."""
    return generate(lifecycles(max_items=3, texts=st.text("ab", max_size=5)), count=16, seed=20260511)
