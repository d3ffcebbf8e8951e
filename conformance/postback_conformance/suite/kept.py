"""Whether texts and dates are on the books as they were sent: looked up with the probe."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from postback_conformance.judging.held_tokens import held_names
from postback_conformance.judging.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.rules.fact_sources import CAPTURED_CALLS
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import OURS
from postback_conformance.suite.free_texts import LEGAL_TEXTS, free_texts
from postback_conformance.suite.outcomes import is_there, must_accept, settings_fault, unknown_actions
from postback_conformance.suite.probe import Recorded
from postback_conformance.suite.sent import Sent
from postback_sender import Event

# Nobody's default.
_CURRENCY: Final = "CHF"


async def _text_kept(bench: Bench) -> Iterable[Outcome]:
    names = free_texts(bench.notification, held_names(bench.notification))
    outcomes: list[Outcome] = []
    for what, text in LEGAL_TEXTS.items():
        event = bench.event(dict.fromkeys(names, text))
        if settings_fault(bench.notification, bench.postback(event)):
            continue
        (sent,) = await bench.send([event])
        if not sent.is_answered:
            return [must_accept(sent, what)]
        outcomes += text_differences(names, text, what, await looked_up(bench, event, sent), sent)
    outcomes += await _currency_kept(bench)
    return outcomes or [
        NotApplicable(why="the probe tells none of the texts that the notification sends", by_settings=True)
    ]


async def _currency_kept(bench: Bench) -> list[Outcome]:
    if "Currency" not in held_names(bench.notification):
        return []
    event = bench.event({"Currency": _CURRENCY})
    (sent,) = await bench.send([event])
    recorded = await looked_up(bench, event, sent)
    if recorded is None or recorded.currency is None or recorded.currency == _CURRENCY:
        return [PASS] if recorded is not None and recorded.currency is not None else []
    return [
        Fail(
            message="Currency was recorded otherwise than it was sent",
            expected=_CURRENCY,
            actual=ascii(recorded.currency),
            captures=sent.captures,
        )
    ]


async def looked_up(bench: Bench, event: Event, sent: Sent) -> Recorded | None:
    """Return what was recorded of an action whose postback was accepted."""
    if not sent.accepted or unknown_actions(bench):
        return None
    return await bench.recorded(event.values.get("ActionId", ""), wanted=is_there)


def text_differences(
    names: Iterable[str], text: str, what: str, recorded: Recorded | None, sent: Sent
) -> Iterator[Outcome]:
    """Yield what it means that these tokens, sent with a text, were recorded so."""
    if recorded is None:
        # Whether it is accepted and recorded at all is for `accepts.unicode` to say.
        return
    told = {name.replace("_", "").lower(): value for name, value in recorded.texts.items()}
    for name in names:
        value = told.get(name.lower())
        if value is None:
            continue
        yield (
            PASS
            if value == text
            else Fail(
                message=f"{name} was recorded otherwise than it was sent: {what}",
                expected=ascii(text),
                actual=ascii(value),
                captures=sent.captures,
            )
        )


async def _dates_kept(bench: Bench) -> Iterable[Outcome]:
    if "EventDate" not in held_names(bench.notification):
        return [NotApplicable(why="the notification does not send {EventDate}", by_settings=True)]
    outcomes: list[Outcome] = []
    for text in (
        "2026-01-15T23:30:00-05:00",
        "2026-07-15T00:07:27+03:00",
        "2026-03-29T02:30:00+05:45",
        "2026-10-25T01:30:00+01:00",
        "2026-10-25T01:30:00+00:00",
    ):
        event = bench.event({"EventDate": text})
        (sent,) = await bench.send([event])
        recorded = await looked_up(bench, event, sent)
        if recorded is not None and recorded.event_date is not None:
            outcomes.append(_date_outcome(text, recorded.event_date, sent))
    return outcomes or [NotApplicable(why="the probe tells no event_date")]


def _date_outcome(sent_text: str, recorded: str, sent: Sent) -> Outcome:
    expected = f"the instant {sent_text}, in any zone"
    try:
        instant = datetime.fromisoformat(recorded)
    except ValueError:
        return Inconclusive(why=f"the probe's event_date {ascii(recorded)[:80]} is no ISO 8601 date")
    if instant.tzinfo is not None and instant == datetime.fromisoformat(sent_text):
        return PASS
    what = "another instant" if instant.tzinfo is not None else "a time without an offset, which is no instant"
    return Fail(message=f"EventDate was recorded as {what}", expected=expected, actual=recorded, captures=sent.captures)


CASES: Final = (
    Case(
        id="accepts.text-kept",
        level="MUST",
        requirement="Texts are recorded as they were sent.",
        fix="Do not trim, unescape, shorten or re-encode texts: a sub id that differs matches no click.",
        sources=(OURS,),
        run=_text_kept,
        needs=("probe",),
    ),
    Case(
        id="accepts.dates-kept",
        level="MUST",
        requirement="Dates are recorded as the instants that they are.",
        fix="Read the offset of a date and keep it, or convert to UTC; never drop it.",
        sources=(CAPTURED_CALLS(),),
        run=_dates_kept,
        needs=("probe",),
    ),
)
