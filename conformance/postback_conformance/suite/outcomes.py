"""What an answer means for a case: it had to be accepted, it had to be refused, or the endpoint had to survive."""

from collections.abc import Mapping

from postback_conformance.readings import read_json, xml_fault
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.sent import Sent
from postback_conformance.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_sender import Event, Notification, Postback


def must_accept(sent: Sent, what: str) -> Outcome:
    """Return what it means that something well-formed was answered so."""
    if sent.accepted:
        return PASS
    return _fail(sent, f"{what} was not accepted: {sent.told}", "an answer that means success")


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
        outcomes.append(must_accept(sent, what))
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
