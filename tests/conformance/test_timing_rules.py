"""Timing over virtual time: what is said for sure is true, and what nobody can know is not said for sure."""

import sys
from collections.abc import Callable, Iterable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Capture
from postback_sender.delivery.pacing import Pacer
from postback_sender.quantities import NANOSECONDS_PER_SECOND, Rate

Trace = Callable[[FrameType, str, object], "Trace | None"]
# What happens once cannot come again but as a resend.
CLEARING = 'event = "action_clearing"\n' + JSON_SETTINGS
JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]

MILLISECOND_NS = 1_000_000
# What a request may cost on its way before anybody can measure it; the rule's own constant is no part of its promise.
TOLERANCE_NS = 50 * MILLISECOND_NS

rates = st.builds(Rate, count=st.integers(1, 6), window_ns=st.sampled_from([NANOSECONDS_PER_SECOND, 60 * 10**9]))
lateness = st.sampled_from([0, 1, 20 * MILLISECOND_NS, 700 * MILLISECOND_NS])


def arrivals(instants_ns: Iterable[int], *, lateness_ns: int = 0) -> list[Capture]:
    """Return different requests that were stamped at these instants."""
    return [
        replace(capture(b"%d" % number), id=f"c{number}", monotonic_ns=instant_ns, lateness_ns=lateness_ns)
        for number, instant_ns in enumerate(instants_ns)
    ]


def limited_to(rate: Rate, scope: str = "all") -> str:
    """Return settings with a maximum of requests."""
    return f'maximum_requests = "{rate}"\nmaximum_requests_scope = "{scope}"\n{CLEARING}'


@given(
    rate=rates,
    pauses_ns=st.lists(st.integers(0, 2 * NANOSECONDS_PER_SECOND) | st.just(0), max_size=40),
    travels_ns=st.lists(st.integers(0, TOLERANCE_NS), min_size=1, max_size=7),
    lateness_ns=lateness,
)
def test_a_strict_sender_is_never_said_to_exceed_the_maximum(
    rate: Rate, pauses_ns: list[int], travels_ns: list[int], lateness_ns: int, judged_by: JudgedBy
) -> None:
    """However its requests travel, up to the tolerance, and however late our own event loop stamps them."""
    pacer, now_ns, stamps_ns = Pacer(rate), 0, list[int]()
    for number, pause_ns in enumerate(pauses_ns):
        now_ns = pacer.earliest_ns(now_ns + pause_ns)
        pacer.take(now_ns)
        travel_ns = travels_ns[number % len(travels_ns)]
        stamps_ns.append(now_ns + travel_ns + (lateness_ns if number % 3 == 0 else 0))

    verdicts = judged_by("delivery.maximum-requests", limited_to(rate), arrivals(stamps_ns, lateness_ns=lateness_ns))
    assert [verdict for verdict in verdicts if verdict.outcome == "fail"] == []


@given(rate=rates, gaps=st.data(), lateness_ns=lateness)
def test_one_request_too_many_clearly_within_a_window_always_fails(
    rate: Rate, gaps: st.DataObject, lateness_ns: int, judged_by: JudgedBy
) -> None:
    """In whatever order the captures were stored: a slow body is stored after the requests that overtook it."""
    span_ns = gaps.draw(st.integers(0, rate.window_ns - TOLERANCE_NS - lateness_ns - 1))
    between = st.lists(st.integers(0, span_ns), min_size=rate.count - 1, max_size=rate.count - 1)
    stamps_ns = gaps.draw(st.permutations([0, *gaps.draw(between), span_ns]))

    stored = arrivals(stamps_ns, lateness_ns=lateness_ns)
    (verdict,) = judged_by("delivery.maximum-requests", limited_to(rate), stored)
    assert verdict.outcome == "fail"
    assert verdict.captures == tuple(one.id for one in stored)


@given(rate=rates, start_ns=st.integers(0, 10**15), stamps=st.data(), lateness_ns=lateness)
def test_a_maximum_is_only_broken_when_a_window_holds_too_many(
    rate: Rate, start_ns: int, stamps: st.DataObject, lateness_ns: int, judged_by: JudgedBy
) -> None:
    """Each finding names N + 1 requests that did arrive within less than a window, tolerance taken off."""
    offsets_ns = stamps.draw(st.lists(st.integers(0, 3 * rate.window_ns), max_size=20))
    stored = arrivals([start_ns + offset_ns for offset_ns in offsets_ns], lateness_ns=lateness_ns)

    for verdict in judged_by("delivery.maximum-requests", limited_to(rate), stored):
        if verdict.outcome == "fail":
            evidence = [one.monotonic_ns or 0 for one in stored if one.id in verdict.captures]
            assert len(evidence) == rate.count + 1
            assert max(evidence) - min(evidence) < rate.window_ns - TOLERANCE_NS - lateness_ns


JITTER_NS = 10 * NANOSECONDS_PER_SECOND


@given(
    rate=rates,
    pauses_ns=st.lists(st.integers(0, 2 * NANOSECONDS_PER_SECOND) | st.just(0), max_size=80),
    travels_ns=st.lists(st.integers(0, JITTER_NS), min_size=1, max_size=7),
    lateness_ns=lateness,
)
def test_a_strict_sender_far_away_is_never_said_to_exceed_the_maximum(
    rate: Rate, pauses_ns: list[int], travels_ns: list[int], lateness_ns: int, judged_by: JudgedBy
) -> None:
    """However long its packets had to be sent again, so that many arrive at once or in another order."""
    pacer, now_ns, stamps_ns = Pacer(rate), 0, list[int]()
    for number, pause_ns in enumerate(pauses_ns):
        now_ns = pacer.earliest_ns(now_ns + pause_ns)
        pacer.take(now_ns)
        stamps_ns.append(now_ns + travels_ns[number % len(travels_ns)] + (lateness_ns if number % 3 == 0 else 0))

    stored = [replace(one, remote="203.0.113.9:4711") for one in arrivals(stamps_ns, lateness_ns=lateness_ns)]
    verdicts = judged_by("delivery.maximum-requests", limited_to(rate), stored)
    assert [verdict for verdict in verdicts if verdict.outcome == "fail"] == []


@pytest.mark.parametrize(
    ("remote", "header", "count", "outcome"),
    [
        ("127.0.0.1:5000", (), 6, "fail"),
        ("[::1]:5000", (), 6, "fail"),
        ("203.0.113.9:5000", (), 6, "inconclusive"),
        ("127.0.0.1:5000", (("X-Forwarded-For", "203.0.113.9"),), 6, "inconclusive"),
        ("203.0.113.9:5000", (), 50, "inconclusive"),
        ("203.0.113.9:5000", (), 150, "fail"),
    ],
    ids=[
        "on this machine",
        "on this machine by IPv6",
        "one window over a network",
        "one window through a tunnel",
        "what a network can hold back",
        "more than a network can hold back",
    ],
)
def test_over_a_network_only_a_long_stretch_tells_that_there_were_too_many(
    remote: str, header: tuple[tuple[str, str], ...], count: int, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    """Of a maximum of 5 a second, ten a second came."""
    stored = [
        replace(one, remote=remote, headers=(*one.headers, *header))
        for one in arrivals(number * 100 * MILLISECOND_NS for number in range(count))
    ]
    verdicts = judged_by("delivery.maximum-requests", limited_to(Rate(count=5)), stored)
    assert {verdict.outcome for verdict in verdicts} == {outcome}


def test_a_long_stretch_names_its_first_and_its_last_request(judged_by: JudgedBy) -> None:
    stored = [replace(one, remote="") for one in arrivals(number * 10**8 for number in range(150))]
    (verdict,) = judged_by("delivery.maximum-requests", limited_to(Rate(count=5)), stored)
    assert verdict.message == "106 requests within 10.500 s, more than 5/s allows over the whole of it"
    assert verdict.captures == ("c0", "c105")


@pytest.mark.parametrize(
    ("span_ms", "lateness_ms", "outcome"),
    [
        (900, 0, "fail"),
        (949, 0, "fail"),
        (950, 0, "inconclusive"),
        (999, 0, "inconclusive"),
        (1000, 0, "pass"),
        (900, 60, "inconclusive"),
        (1000, 60, "pass"),
        (0, 2000, "inconclusive"),
    ],
)
def test_the_tolerance_is_where_nothing_is_said_for_sure(
    span_ms: int, lateness_ms: int, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    stored = arrivals([0, span_ms * MILLISECOND_NS], lateness_ns=lateness_ms * MILLISECOND_NS)
    (verdict,) = judged_by("delivery.maximum-requests", limited_to(Rate(count=1)), stored)
    assert verdict.outcome == outcome


def test_a_window_that_is_shorter_than_the_tolerance_cannot_be_told(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("delivery.maximum-requests", limited_to(Rate(count=1, window_ns=10**6)), arrivals([0, 0]))
    assert verdict.outcome == "inconclusive"
    assert verdict.message.startswith("2 requests within 0.000 s, tolerance 0.050 s: too close to 1/ms to tell")


def test_clocks_of_two_runs_of_the_receiver_are_not_compared_into_a_finding(judged_by: JudgedBy) -> None:
    """A monotonic clock starts anew with the machine; a store may hold captures of before and after."""
    stored = arrivals([5 * 10**12, 5 * 10**12 + 10**9, 10**9, 2 * 10**9])
    (verdict,) = judged_by("delivery.maximum-requests", limited_to(Rate(count=1)), stored)
    assert verdict.outcome == "pass"


def resent(*arrived: tuple[float, int]) -> list[Capture]:
    """Return the same clearing again and again: arrival in seconds, and the status it was answered with."""
    return [capture(b'{"id": "1", "date": ""}', at_s=at_s, status=status) for at_s, status in arrived]


@pytest.mark.parametrize(
    ("stored", "outcome"),
    [
        (arrivals([0] * 9), "not_applicable"),
        (resent((0.0, 503), (0.1, 503)), "pass"),
        (resent((0.0, 503), (0.1, 503), (0.2, 200)), "fail"),
        (resent((0.0, 503), (0.1, 503), (1.1, 200)), "pass"),
        (resent((0.0, 200), (0.1, 200), (0.2, 200)), "inconclusive"),
    ],
    ids=[
        "first sends have no maximum",
        "one resend is allowed",
        "two resends at once are too many",
        "two resends a window apart are allowed",
        "repeats after a success may be first sends",
    ],
)
def test_a_maximum_for_resends_counts_resends(stored: list[Capture], outcome: OutcomeName, judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("delivery.maximum-requests", limited_to(Rate(count=1), scope="resends"), stored)
    assert verdict.outcome == outcome


def test_without_a_maximum_there_is_nothing_to_exceed(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("delivery.maximum-requests", JSON_SETTINGS, arrivals([0, 0]))
    assert (verdict.outcome, verdict.message) == ("not_applicable", "the notification sets no maximum of requests")


@pytest.mark.parametrize(
    ("rule_id", "text"),
    [
        ("delivery.maximum-requests", limited_to(Rate(count=1))),
        ("delivery.retry-gap", "retry = [0.5]\n" + JSON_SETTINGS),
    ],
)
def test_captures_without_monotonic_stamps_are_inconclusive(rule_id: str, text: str, judged_by: JudgedBy) -> None:
    stored = [replace(one, monotonic_ns=None) for one in resent((0, 503), (0.1, 200))]
    (verdict,) = judged_by(rule_id, text, stored)
    assert verdict.outcome == "inconclusive"
    assert "no monotonic time stamp" in verdict.message


def delayed(waited_s: float, *, date: str = "2026-05-11T00:07:30+03:00", lateness_ns: int = 0) -> Capture:
    """Return a capture of this event date that arrived some seconds after 00:07:30."""
    arrived = capture(b'{"id": "1", "date": "%s"}' % date.encode(), at_s=waited_s)
    return replace(arrived, lateness_ns=lateness_ns)


@pytest.mark.parametrize(
    ("arrived", "outcome"),
    [
        (delayed(-60.0), "inconclusive"),
        (delayed(-0.001), "inconclusive"),
        (delayed(0.0), "fail"),
        (delayed(1.499), "fail"),
        (delayed(1.5), "inconclusive"),
        (delayed(2.0), "inconclusive"),
        (delayed(2.999), "inconclusive"),
        (delayed(3.0), "pass"),
        (delayed(3.0, lateness_ns=1), "inconclusive"),
        (delayed(1.499, lateness_ns=10**9), "fail"),
        (delayed(1.499, date="2026-05-10T21:07:30Z"), "fail"),
        (delayed(1.499, date="2026-05-10T16:37:30-04:30"), "fail"),
        (delayed(1.499, date="2026-05-11T00:07:30.999+03:00"), "fail"),
        (delayed(1.999, date="2026-05-11T00:07:30"), "inconclusive"),
        (delayed(1.999, date="yesterday"), "inconclusive"),
        (delayed(1.999, date="\\ud800"), "inconclusive"),
        (delayed(1.999, date=""), "inconclusive"),
        (capture(b"{}"), "inconclusive"),
    ],
)
def test_a_minimum_delay_is_told_up_to_the_second_of_the_event_date(
    arrived: Capture, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    """Too early is too early; around the second in which the event happened nobody knows; later has waited."""
    (verdict,) = judged_by("delivery.minimum-delay", 'minimum_delay = "2s"\n' + JSON_SETTINGS, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


@pytest.mark.parametrize(
    ("waited_s", "outcome"),
    [(-3, "inconclusive"), (0, "fail"), (39, "fail"), (40, "inconclusive"), (160, "inconclusive"), (161, "pass")],
)
def test_clocks_of_two_machines_may_disagree_by_a_minute(
    waited_s: int, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    arrived = replace(delayed(waited_s), remote="203.0.113.9:4711")
    (verdict,) = judged_by("delivery.minimum-delay", 'minimum_delay = "100s"\n' + JSON_SETTINGS, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


@given(
    happened_in_second_ns=st.integers(-NANOSECONDS_PER_SECOND // 2, NANOSECONDS_PER_SECOND - 1),
    waited_ns=st.integers(0, 5 * NANOSECONDS_PER_SECOND),
    late_ns=lateness,
)
def test_a_minimum_delay_is_never_judged_wrongly(
    happened_in_second_ns: int, waited_ns: int, late_ns: int, judged_by: JudgedBy
) -> None:
    """Against what really happened: fail only when it came too early, pass only when it did not.

    A date in whole seconds may have been cut, or rounded: then the event was up to half a second before it.
    """
    stamped_ns = happened_in_second_ns + waited_ns + late_ns
    arrived = delayed(stamped_ns / NANOSECONDS_PER_SECOND, lateness_ns=late_ns)
    (verdict,) = judged_by("delivery.minimum-delay", 'minimum_delay = "2s"\n' + JSON_SETTINGS, [arrived])
    too_early = waited_ns < 2 * NANOSECONDS_PER_SECOND
    assert verdict.outcome != ("pass" if too_early else "fail")


def test_without_a_minimum_delay_nothing_is_too_early(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("delivery.minimum-delay", JSON_SETTINGS, [delayed(-60.0)])
    assert verdict.outcome == "not_applicable"


@pytest.mark.parametrize(
    ("stored", "outcome"),
    [
        (resent((0.0, 503), (0.5, 200)), "pass"),
        (resent((0.0, 503), (0.499, 200)), "fail"),
        (resent((0.0, 503), (0.6, 503), (2.6, 200)), "pass"),
        (resent((0.0, 503), (0.6, 503), (2.5, 200)), "fail"),
        (resent((0.0, 503), (0.6, 503), (2.6, 503), (2.7, 200)), "pass"),
        (resent((0.0, 503), (0.6, 200), (9.0, 503), (9.6, 200)), "pass"),
        (resent((0.0, 200), (0.1, 200)), "not_applicable"),
        (resent((9.0, 503), (0.1, 200)), "inconclusive"),
        ([replace(one, lateness_ns=10**9) for one in resent((0.0, 503), (0.001, 200))], "inconclusive"),
    ],
    ids=[
        "a retry after the first delay",
        "a retry before the first delay",
        "a second retry after the second delay",
        "a second retry before the second delay",
        "a retry beyond the schedule is for another rule",
        "after a success the schedule starts anew",
        "what comes again after a success is no retry",
        "a clock that went back",
        "the receiver was busy when the first attempt arrived",
    ],
)
def test_a_retry_waits_as_long_as_the_schedule_says(
    stored: list[Capture], outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by("delivery.retry-gap", "retry = [0.5, 2]\n" + CLEARING, stored)
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


def test_delays_that_impact_does_not_publish_are_not_compared(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by(
        "delivery.retry-gap", 'retry = "help-centre"\n' + JSON_SETTINGS, resent((0, 503), (0.1, 200))
    )
    assert verdict.outcome == "not_applicable"
    assert verdict.message.startswith("impact.com publishes no delays")


def work_of(rate: Rate, stored: list[Capture], judged_by: JudgedBy) -> int:
    """Return how many lines of the rule's module ran: effort that no slow machine changes."""
    lines = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Trace | None:
        nonlocal lines
        if not frame.f_code.co_filename.endswith("timing.py"):
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        judged_by("delivery.maximum-requests", limited_to(rate), stored)
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("step_ns", [0, 10**9], ids=["all at once", "slowly enough"])
def test_a_large_maximum_costs_no_more_for_each_request_than_a_small_one(step_ns: int, judged_by: JudgedBy) -> None:
    stored = arrivals([number * step_ns for number in range(600)])
    small, large = (work_of(Rate(count=count, window_ns=10**9), stored, judged_by) for count in (30, 300))
    assert large < 2 * small


def test_a_finding_about_many_requests_names_the_earliest_and_the_last(judged_by: JudgedBy) -> None:
    stored = arrivals([0] * 301)
    (verdict,) = judged_by("delivery.maximum-requests", limited_to(Rate(count=300)), stored)
    assert verdict.message.startswith("301 requests within 0.000 s")
    assert verdict.captures == (*(one.id for one in stored[:99]), "c300")
