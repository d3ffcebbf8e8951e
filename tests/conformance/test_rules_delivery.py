"""What comes again, and how late: said for sure only of what can mean nothing else."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.judging.rule import PROFILES
from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Answer, Capture
from postback_sender.quantities import NANOSECONDS_PER_SECOND

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]

CLEARING = 'event = "action_clearing"\n' + JSON_SETTINGS
CREATED = JSON_SETTINGS.replace("{EventDate}", "{CreationDate}")
EVENT_LEVEL = 'level = "event"\n' + JSON_SETTINGS
WITHOUT_ID = CLEARING.replace("{ActionId}", "{SubId1}")
OWN_KIND = 'event = "cleared"\n' + JSON_SETTINGS + '[kinds.cleared]\nlike = "action_clearing"\n'
ONCE = b'{"id": "1.2.3", "date": "2026-05-11T00:07:27+03:00"}'
AGAIN = b'{"id": "1.2.3", "date": "2026\\u002d05\\u002d11T00:07:27+03:00"}'
OTHER = b'{"id": "1.2.3", "date": "2026-05-12T00:07:27+03:00"}'


def sent(
    *arrivals: tuple[float, int], bodies: tuple[bytes, ...] = (ONCE,), answered_after_s: float = 0.0
) -> tuple[Capture, ...]:
    """Return requests by when they came (seconds) and what they were answered, the bodies taken in turn."""
    return tuple(
        capture(bodies[number % len(bodies)], at_s=at_s, status=status, answered_after_s=answered_after_s)
        for number, (at_s, status) in enumerate(arrivals)
    )


def unanswered(arrived: tuple[Capture, ...]) -> tuple[Capture, ...]:
    """Return the same, of which no answer ever left."""
    return tuple(replace(one, answer=Answer(status=200)) for one in arrived)


MONEY = """url = "http://127.0.0.1/pb?id={ActionId}&s={Status}&p={Payout}&d={DeltaPayout}"\nmethod = "GET"\n"""


def told(query: str, *answers: tuple[float, int], url: str = "") -> tuple[str, tuple[Capture, ...]]:
    """Return settings whose URL has this query, or `url`, and GET requests by when they came and their answers."""
    settings = f'url = "http://127.0.0.1/pb?{url}"\nmethod = "GET"\n'
    return settings, tuple(
        capture(method="GET", target=f"/pb?{query}", headers=(), at_s=at_s, status=status) for at_s, status in answers
    )


def late(*arrivals: tuple[float, int, float], gone_after_s: float | None = None) -> tuple[Capture, ...]:
    """Return clearings by when they came, what they were answered, and how much later that left."""
    return tuple(
        replace(one, gone_ns=None if gone_after_s is None else (one.monotonic_ns or 0) + round(gone_after_s * 10**9))
        for at_s, status, after_s in arrivals
        for one in sent((at_s, status), answered_after_s=after_s)
    )


REFUSED = ((0.0, 503), (0.1, 503), (0.2, 503))
PENDING, PAYOUT = "id=1.2.3&s=PENDING", "p=1.00"
# Rules that blame repeats, with settings that allow none of what is in REFUSED.
BLAMING = {
    "delivery.retry-count": "retry = [0.1]\n",
    "delivery.retry-gap": "retry = [0.5]\n",
    "delivery.maximum-requests": 'maximum_requests = "1/s"\n',
    "delivery.retry-only-after-error": 'retry = "help-centre"\n',
}


@pytest.mark.parametrize("rule_id", BLAMING)
@pytest.mark.parametrize(
    ("query", "url"),
    [
        (PENDING, "id={ActionId}&s={Status}"),
        (PAYOUT, "p={Payout}"),
        ("id=1.2.3", "id={ActionId}"),
        ("id=1.2.3&s=PENDING&d=1.00", "id={ActionId}&s={Status}&d={DeltaPayout}"),
        ("id=1.2.3&s=PENDING&p=1.00&d=0.00", "id={ActionId}&s={Status}&p={Payout}&d={DeltaPayout}"),
        ("id=1.2.3&p=1.00&d=1.00", "id={ActionId}&p={Payout}&d={DeltaPayout}"),
    ],
    ids=["id and status", "payout only", "id only", "delta without payout", "nothing moved", "approved or not"],
)
def test_different_events_of_which_the_template_says_the_same_are_no_resends_for_sure(
    rule_id: str, query: str, url: str, judged_by: JudgedBy
) -> None:
    answers = tuple((at_s, 404) for at_s, _ in REFUSED) if rule_id == "delivery.retry-only-after-error" else REFUSED
    settings, captures = told(query, *answers, url=url)
    (verdict,) = judged_by(rule_id, BLAMING[rule_id] + settings, captures)
    assert (verdict.outcome, verdict.message) == ("inconclusive", verdict.message)


@pytest.mark.parametrize("rule_id", BLAMING)
def test_an_update_that_moved_money_cannot_come_twice_in_a_row(rule_id: str, judged_by: JudgedBy) -> None:
    answers = tuple((at_s, 404) for at_s, _ in REFUSED) if rule_id == "delivery.retry-only-after-error" else REFUSED
    _, captures = told("id=1.2.3&s=PENDING&p=8.00&d=-2.00", *answers)
    verdicts = judged_by(rule_id, BLAMING[rule_id] + MONEY, captures)
    assert {verdict.outcome for verdict in verdicts} == {"fail"}


# Of a time-out of 2 s: what came too late, or to nobody, was no success, and near the end nobody can tell.
RECEPTIONS: dict[str, tuple[str, tuple[Capture, ...], OutcomeName]] = {
    "an answer after the time-out": ("delivery.no-retry-after-success", late((0, 200, 2.0), (3, 200, 0)), "pass"),
    "an answer after the sender had gone": (
        "delivery.no-retry-after-success",
        late((0, 200, 0.4), (3, 200, 0.4), gone_after_s=0.3),
        "pass",
    ),
    "an answer before the sender had gone": (
        "delivery.no-retry-after-success",
        late((0, 200, 0.4), (3, 200, 0.4), gone_after_s=0.5),
        "fail",
    ),
    "an answer close to the time-out": (
        "delivery.no-retry-after-success",
        late((0, 200, 1.96), (3, 200, 0)),
        "inconclusive",
    ),
    "an answer in time": ("delivery.no-retry-after-success", late((0, 200, 1.9), (3, 200, 0)), "fail"),
    "an answer in time, by a late stamp": (
        "delivery.no-retry-after-success",
        tuple(replace(one, lateness_ns=10**8) for one in late((0, 200, 1.9), (3, 200, 0))),
        "inconclusive",
    ),
    "retries after answers that came too late": (
        "delivery.retry-count",
        late(*((at_s, 200, 2.5) for at_s in (0, 3, 6))),
        "fail",
    ),
    "retries after answers that may have come too late": (
        "delivery.retry-count",
        late(*((at_s, 200, 1.99) for at_s in (0, 3, 6))),
        "inconclusive",
    ),
    "a gap after an answer to nobody": (
        "delivery.retry-gap",
        late((0, 200, 0.3), (0.4, 200, 0.3), gone_after_s=0.1),
        "fail",
    ),
    "a gap after an answer that may have come too late": (
        "delivery.retry-gap",
        tuple(replace(one, lateness_ns=2 * 10**9) for one in late((0, 200, 0.1), (0.4, 200, 0.1))),
        "inconclusive",
    ),
    "an error that nobody read": (
        "delivery.retry-only-after-error",
        late((0, 404, 2.5), (3, 200, 0)),
        "pass",
    ),
    "after the sender had gone it is not two at once": (
        "delivery.duplicate",
        late((0, 200, 0.5), (0.2, 200, 0.5), gone_after_s=0.1),
        "pass",
    ),
}


@pytest.mark.parametrize(("rule_id", "captures", "outcome"), RECEPTIONS.values(), ids=RECEPTIONS.keys())
def test_an_answer_counts_when_its_sender_got_it(
    rule_id: str, captures: tuple[Capture, ...], outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    retry = 'retry = "help-centre"\n' if rule_id == "delivery.retry-only-after-error" else "retry = [0.5]\n"
    (verdict,) = judged_by(rule_id, 'timeout = "2s"\n' + retry + CLEARING, captures)
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


TWICE_ACCEPTED = sent((0, 200), (1, 200))
IN_TIME = (capture(ONCE.replace(b"1.2.3", b"1.2.0")),)
AT_ONCE = sent((0, 200), (0.1, 200), answered_after_s=0.5)
CLAIMS: dict[str, tuple[str, str, tuple[Capture, ...], OutcomeName]] = {
    "a clearing twice": ("delivery.no-retry-after-success", CLEARING, TWICE_ACCEPTED, "fail"),
    "an event-level postback twice": ("delivery.no-retry-after-success", EVENT_LEVEL, TWICE_ACCEPTED, "fail"),
    "a kind like a clearing twice": ("delivery.no-retry-after-success", OWN_KIND, TWICE_ACCEPTED, "fail"),
    "an update twice may be a return": (
        "delivery.no-retry-after-success",
        JSON_SETTINGS,
        TWICE_ACCEPTED,
        "inconclusive",
    ),
    "two clearings nobody can tell apart": (
        "delivery.no-retry-after-success",
        WITHOUT_ID,
        TWICE_ACCEPTED,
        "inconclusive",
    ),
    "a retry after an error": ("delivery.no-retry-after-success", CLEARING, sent((0, 503), (1, 200)), "pass"),
    "an answer that never left": ("delivery.no-retry-after-success", CLEARING, unanswered(TWICE_ACCEPTED), "pass"),
    "one request": ("delivery.no-retry-after-success", CLEARING, sent((0, 200)), "not_applicable"),
    "after a success nothing is a retry": (
        "delivery.retry-only-after-error",
        CLEARING,
        TWICE_ACCEPTED,
        "not_applicable",
    ),
    "two at once": ("delivery.duplicate", CLEARING, AT_ONCE, "fail"),
    "two at once, stored the other way round": ("delivery.duplicate", CLEARING, AT_ONCE[::-1], "fail"),
    "two updates at once may be two": ("delivery.duplicate", JSON_SETTINGS, AT_ONCE, "inconclusive"),
    "one after the other": ("delivery.duplicate", CLEARING, TWICE_ACCEPTED, "pass"),
    "after a time-out": (
        "delivery.duplicate",
        'timeout = "100ms"\n' + CLEARING,
        AT_ONCE,
        "pass",
    ),
    "nobody knows when it was answered": ("delivery.duplicate", CLEARING, unanswered(AT_ONCE), "not_applicable"),
    "stamps of two machines": (
        "delivery.duplicate",
        CLEARING,
        (replace(AT_ONCE[0], run="a"), replace(AT_ONCE[1], run="b", received_at_ns=0)),
        "not_applicable",
    ),
    "a retry as it was": ("delivery.same-bytes", JSON_SETTINGS, sent((0, 503), (1, 200)), "pass"),
    "a retry written otherwise": (
        "delivery.same-bytes",
        JSON_SETTINGS,
        sent((0, 503), (1, 200), bodies=(ONCE, AGAIN)),
        "fail",
    ),
    "another update after a failure": (
        "delivery.same-bytes",
        JSON_SETTINGS,
        sent((0, 503), (1, 200), bodies=(ONCE, OTHER)),
        "not_applicable",
    ),
    "another writing after a success": (
        "delivery.same-bytes",
        JSON_SETTINGS,
        sent((0, 200), (1, 200), bodies=(ONCE, AGAIN)),
        "not_applicable",
    ),
    "in time": ("delivery.latency", JSON_SETTINGS, sent((890, 200)), "pass"),
    "too late": (
        "delivery.latency",
        CREATED,
        (*IN_TIME, *sent((900, 200))),
        "fail",
    ),
    "as late as clocks may be apart": (
        "delivery.latency",
        CREATED,
        (*IN_TIME, *(replace(one, remote="203.0.113.9:1") for one in sent((950, 200)))),
        "inconclusive",
    ),
    "later than clocks may be apart": (
        "delivery.latency",
        CREATED,
        (*IN_TIME, *(replace(one, remote="203.0.113.9:1") for one in sent((960, 200)))),
        "fail",
    ),
    "old as a whole": (
        "delivery.latency",
        CREATED,
        sent((9000, 200), (9001, 200), bodies=(ONCE, ONCE.replace(b"1.2.3", b"1.2.4"))),
        "inconclusive",
    ),
    "late when the receiver is back": (
        "delivery.latency",
        CREATED,
        (*IN_TIME, *(replace(one, run="next") for one in sent((900, 200)))),
        "inconclusive",
    ),
    "late after a date of the brand": ("delivery.latency", JSON_SETTINGS, sent((900, 200)), "inconclusive"),
    "an empty date": ("delivery.latency", CREATED, (capture(b'{"id": "1.2.3", "date": ""}'),), "not_applicable"),
    "a date of a day": (
        "delivery.latency",
        CREATED,
        (capture(b'{"id": "1.2.3", "date": "2026-05-10T00:00:00+03:00"}'),),
        "inconclusive",
    ),
    "late by its minimum delay": (
        "delivery.latency",
        'minimum_delay = "1h"\n' + CREATED,
        sent((900, 200)),
        "pass",
    ),
    "a later update of an action": (
        "delivery.latency",
        JSON_SETTINGS,
        sent((0, 200), (9000, 200), bodies=(ONCE, ONCE[:-1] + b" }")),
        "pass",
    ),
    "a retry is late because of us": ("delivery.latency", JSON_SETTINGS, sent((0, 503), (9000, 200)), "pass"),
    "a date of nothing": (
        "delivery.latency",
        CREATED,
        (capture(b'{"id": "1.2.3", "date": "?"}'),),
        "inconclusive",
    ),
    "a job has no date": (
        "delivery.latency",
        'event = "job_completion"\n' + JSON_SETTINGS,
        sent((0, 200)),
        "not_applicable",
    ),
    "a clearing without its date": ("delivery.latency", CLEARING, sent((0, 200)), "not_applicable"),
}


@pytest.mark.parametrize(("rule_id", "text", "captures", "outcome"), CLAIMS.values(), ids=CLAIMS.keys())
def test_what_comes_again_is_only_blamed_when_it_can_be_nothing_else(
    rule_id: str, text: str, captures: tuple[Capture, ...], outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule_id, text, captures)
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


@pytest.mark.parametrize(
    ("rule_id", "levels"),
    [
        ("delivery.retry-only-after-error", ("INFO", "MUST", "INFO")),
        ("delivery.latency", ("INFO", "SHOULD", "INFO")),
    ],
)
def test_sources_that_contradict_each_other_are_told_and_make_no_demand(rule_id: str, levels: tuple[str, ...]) -> None:
    rule = next(rule for rule in RULES if rule.id == rule_id)
    assert tuple(rule.level_in(profile) for profile in PROFILES) == levels
    assert len({source.document for source in rule.sources}) > 1


gaps_ns = st.integers(0, 2 * NANOSECONDS_PER_SECOND)
noise_ns = st.integers(0, 50_000_000)


@given(
    waited_ns=gaps_ns,
    travels_ns=st.tuples(noise_ns, noise_ns, noise_ns),
    lateness_ns=st.sampled_from([0, 20_000_000, 700_000_000]),
)
def test_a_retry_is_never_said_to_be_early_when_it_was_not(
    waited_ns: int, travels_ns: tuple[int, int, int], lateness_ns: int, judged_by: JudgedBy
) -> None:
    """Over a virtual clock: the sender waits from when our answer reached it, and our stamps may be late."""
    first_ns = travels_ns[0]
    stamped_ns = first_ns + lateness_ns
    second_ns = stamped_ns + travels_ns[1] + waited_ns + travels_ns[2]
    arrived = [
        replace(capture(ONCE, status=503), monotonic_ns=stamped_ns, lateness_ns=lateness_ns),
        replace(capture(ONCE), id="second", monotonic_ns=second_ns),
    ]
    (verdict,) = judged_by("delivery.retry-gap", "retry = [0.5]\n" + CLEARING, arrived)
    waited_enough = waited_ns >= NANOSECONDS_PER_SECOND // 2
    assert verdict.outcome != "fail" or not waited_enough
    # What came sooner even by our late stamps did not wait.
    surely_early = second_ns - first_ns < NANOSECONDS_PER_SECOND // 2
    assert verdict.outcome == "fail" or not surely_early


@pytest.mark.parametrize("apart_ns", [0, 3600 * NANOSECONDS_PER_SECOND], ids=["one machine", "two machines"])
def test_stamps_of_two_machines_are_not_one_window(apart_ns: int, judged_by: JudgedBy) -> None:
    """Two workers of one machine share its clock; a machine that was started anew does not."""
    text = 'maximum_requests = "1/s"\nmaximum_requests_scope = "all"\n' + JSON_SETTINGS
    one, other = capture(b"1"), capture(b"2", at_s=0.1)
    arrived = [
        replace(one, id="one", run="a"),
        replace(other, id="other", run="b", received_at_ns=other.received_at_ns + apart_ns),
    ]
    (verdict,) = judged_by("delivery.maximum-requests", text, arrived)
    assert verdict.outcome == ("pass" if apart_ns else "fail")
