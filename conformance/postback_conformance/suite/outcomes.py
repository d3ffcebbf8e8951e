"""What an answer means for a case: it had to be accepted, it had to be refused, or the endpoint had to survive."""

from collections.abc import Mapping
from typing import Final

from postback_conformance.judging.held_tokens import held_names, tells_of_actions
from postback_conformance.judging.readings import read_json, xml_fault
from postback_conformance.judging.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.sent import Sent
from postback_sender import Event, Notification, Postback

_RECORD: Final = (
    "Answer 503 when recording fails: where an error is only logged, an accepted postback is lost. If it was recorded, "
    "see that the probe looks where the endpoint writes."
)


SAW_NOTHING: Final = (
    "the probe knew none of the actions that it was asked about: "
    "is that where the endpoint shows its books, and is it switched on?"
)
"""What may be wrong with a probe that is asked in vain."""


def must_accept(sent: Sent, what: str) -> Outcome:
    """Return what it means that something well-formed was answered so."""
    if sent.accepted:
        return PASS
    return _fail(sent, f"{what} was not accepted: {sent.told}", "an answer that means success")


async def must_take(bench: Bench, event: Event, sent: Sent, what: str) -> Outcome:
    """Return what it means that the postback of an event was answered so: with a probe, it also has to be recorded."""
    action_id = event.values.get("ActionId", "")
    if not sent.accepted or bench.probe is None or not action_id or unknown_actions(bench):
        return must_accept(sent, what)
    if await bench.recorded(action_id, wanted=is_there) is not None:
        return PASS
    return Fail(
        message=f"{what} was accepted and not recorded: it will not be sent again, and nobody knows",
        expected=f"the action {action_id} recorded",
        actual="nothing",
        captures=sent.captures,
        fix=_RECORD,
    )


def is_there(recorded: object) -> bool:
    """Tell whether anything was recorded of an action."""
    return recorded is not None


def unknown_actions(bench: Bench) -> str:
    """Return why no endpoint can tell which action a postback is about, "" when it can."""
    notification = bench.notification
    if not tells_of_actions(notification):
        return f"{notification.event} tells of no action"
    if "ActionId" not in held_names(notification):
        return "the templates leave {ActionId} out, without which no postback can be told to belong to an action"
    return ""


def must_refuse(sent: Sent, what: str) -> Outcome:
    """Return what it means that something wrong was answered so: any 4xx is as good as any other."""
    if sent.is_refused:
        return PASS
    if sent.accepted:
        return _fail(sent, f"{what} was accepted: it will not be sent again, and nobody knows", "a refusal, any 4xx")
    return _fail(sent, f"{what} was not refused in so many words: {sent.told}", "a refusal, any 4xx")


def must_survive(sent: Sent, what: str) -> Outcome:
    """Return what it means that something nobody has to take was answered so: taking and refusing are both fine."""
    if sent.accepted or sent.is_refused:
        return PASS
    return _fail(sent, f"{what} was neither taken nor refused: {sent.told}", "an answer: success, or any 4xx")


async def refuses_all(bench: Bench) -> Inconclusive | None:
    """Return why a refusal says nothing, None when a plain postback is accepted."""
    sent = await bench.send_postback(bench.postback(bench.event()))
    if sent.accepted:
        return None
    return Inconclusive(
        why=f"a plain postback is not accepted, either ({sent.told}), so that a refusal says nothing",
        captures=sent.captures,
    )


async def still_there(bench: Bench, after: str) -> Outcome:
    """Return whether a plain postback is accepted after something that was meant to hurt."""
    sent = await bench.send_postback(bench.postback(bench.event()))
    if sent.accepted:
        return PASS
    return _fail(sent, f"after {after}, a plain postback is not accepted: {sent.told}", "an endpoint that goes on")


async def accepted_each(bench: Bench, events: Mapping[str, Event]) -> list[Outcome]:
    """Send events one by one until one is not answered, and return what each answer means.

    The keys say what is special about each.
    """
    outcomes: list[Outcome] = []
    for what, event in events.items():
        fault = settings_fault(bench.notification, bench.postback(event))
        if fault:
            outcomes.append(NotApplicable(why=f"{what}: {fault}"))
            continue
        (sent,) = await bench.send([event])
        outcomes.append(await must_take(bench, event, sent, what))
        # Waiting for an answer to each of many takes longer than anybody waits.
        if not sent.is_answered:
            break
    return outcomes


def settings_fault(notification: Notification, postback: Postback) -> str:
    """Return why a request is malformed by the settings themselves, so that refusing it is right; "" when it is not."""
    if notification.body is None:
        return ""
    fault = None
    if notification.body_format == "json":
        fault = read_json(postback.body).fault
    elif notification.body_format == "xml":
        fault = xml_fault(postback.body)
    return f"the settings make this malformed ({fault.reason}); `postback lint` tells where" if fault else ""


def _fail(sent: Sent, message: str, expected: str) -> Fail:
    return Fail(message=message, expected=expected, actual=sent.told, captures=sent.captures)
