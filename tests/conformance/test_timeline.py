"""What charts show is what arrived, and no more than a bounded part of it."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.judge import judge
from postback_conformance.judging.readers import Readers
from postback_conformance.judging.resends import Resends
from postback_conformance.reports.charts import instant, line_chart, pacing_chart, seconds
from postback_conformance.reports.timeline import MAX_ATTEMPTS, MAX_LINES, MAX_STEPS, Attempt, Line, Timeline, Timelines
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Answer, Capture
from report_examples import settings_of

SECOND_NS = 1_000_000_000
LIMITED = JSON_SETTINGS + 'maximum_requests = "3/s"\nmaximum_requests_scope = "all"\n'


def timeline_of(captures: Iterable[Capture], text: str = LIMITED) -> Timeline:
    notification = settings_of(text)
    timelines = Timelines(notification)
    judge(captures, notification, (), observe=timelines.observe)
    return timelines.timeline


def arrivals(*at_ns: int) -> list[Capture]:
    first = capture(b"{}")
    return [
        replace(first, id=f"c{number}", body=b"%d" % number, monotonic_ns=one, received_at_ns=5 * SECOND_NS + one)
        for number, one in enumerate(at_ns)
    ]


def attempts(count: int, *, gap_s: float = 1.0, body: bytes = b"{}", at_s: float = 0.0) -> list[Capture]:
    made = (capture(body, at_s=at_s + number * gap_s, status=503) for number in range(count))
    return [replace(one, id=f"{body.decode()}-{number}") for number, one in enumerate(made)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4 * SECOND_NS), min_size=1, max_size=40).map(sorted))
def test_the_peak_is_the_most_that_any_window_held(at_ns: list[int]) -> None:
    [pacing] = timeline_of(arrivals(*at_ns)).pacings
    assert pacing.peak == max(sum(one - SECOND_NS < other <= one for other in at_ns) for one in at_ns)
    assert pacing.captures == len(at_ns)
    assert len(pacing.steps) <= MAX_STEPS
    assert pacing.started_at_ns == 5 * SECOND_NS + at_ns[0]
    assert (len(pacing.steps) - 1) * pacing.step_ns <= at_ns[-1] - at_ns[0] < len(pacing.steps) * pacing.step_ns


def test_a_request_stamped_before_the_one_captured_before_it_is_counted() -> None:
    [pacing] = timeline_of(arrivals(0, 300_000_000, 100_000_000, 200_000_000)).pacings
    assert pacing.peak == 4


def test_a_long_time_makes_wider_steps_and_hides_no_peak() -> None:
    burst = [50_000 * SECOND_NS + number for number in range(7)]
    [pacing] = timeline_of(arrivals(0, *burst, 100_000 * SECOND_NS)).pacings
    assert (pacing.peak, pacing.limit) == (7, 3)
    assert MAX_STEPS / 2 <= len(pacing.steps) <= MAX_STEPS


def test_a_limit_on_resends_counts_resends() -> None:
    text = JSON_SETTINGS + 'maximum_requests = "2/s"\nmaximum_requests_scope = "resends"\n'
    first, *rest = attempts(5, gap_s=0.1)
    [pacing] = timeline_of([first, *rest], text).pacings
    assert (pacing.is_for_resends, pacing.peak) == (True, 4)
    assert max(step.requests for step in pacing.steps) == 5


def test_captures_without_monotonic_stamps_are_placed_by_the_wall_clock() -> None:
    archived = [replace(one, monotonic_ns=None) for one in arrivals(0, 10, 2 * SECOND_NS)]
    [pacing] = timeline_of(archived).pacings
    assert (pacing.peak, pacing.captures) == (2, 3)


def test_an_event_that_came_again_has_a_line_with_gaps_and_answers() -> None:
    first, second, third = attempts(3, gap_s=0.5)
    third = replace(third, answer=Answer(status=200, sent_at_ns=1, sent_ns=1))
    [line] = timeline_of([first, capture(b'{"other": 1}', at_s=0.2), second, third]).lines
    assert [(one.gap_ns, one.status) for one in line.attempts] == [
        (None, 503),
        (500_000_000, 503),
        (500_000_000, 200),
    ]
    assert (line.count, line.left_out) == (3, 0)


def test_stamps_of_two_runs_are_not_subtracted() -> None:
    first, second = attempts(2)
    second = replace(second, run="later", monotonic_ns=1, received_at_ns=first.received_at_ns + 7 * SECOND_NS)
    [line] = timeline_of([first, second]).lines
    assert line.attempts[1].gap_ns == 7 * SECOND_NS


def test_of_very_many_attempts_the_first_and_the_last_are_kept() -> None:
    [line] = timeline_of(attempts(MAX_ATTEMPTS + 10)).lines
    assert (len(line.attempts), line.left_out, line.count) == (MAX_ATTEMPTS, 10, MAX_ATTEMPTS + 10)
    assert line.attempts[-1].capture == f"{{}}-{MAX_ATTEMPTS + 9}"
    assert "10 more attempts" in line_chart(line).steps


def test_of_very_many_events_those_with_the_most_attempts_are_kept() -> None:
    many = [one for number in range(600) for one in attempts(2, body=b"%d" % number, at_s=9 + 2 * number)]
    often = attempts(5, body=b"often")
    timeline = timeline_of([*often, *many])
    assert (len(timeline.lines), timeline.lines_left_out) == (MAX_LINES, 601 - MAX_LINES)
    assert timeline.lines[0].count == 5


def test_a_line_names_its_action() -> None:
    body = b'{"id": "7.1", "date": "x"}'
    notification = settings_of(LIMITED)
    timelines, resends, readers = Timelines(notification), Resends(notification), Readers(notification)
    for one in attempts(2, body=body):
        evidence = Evidence(notification, one, readers)
        evidence.resend = resends.see(evidence)
        timelines.observe(evidence)
    assert [line.action for line in timelines.timeline.lines] == ["7.1"]


def test_what_no_settings_are_for_is_not_drawn() -> None:
    timelines = Timelines({"/a": settings_of(LIMITED)})
    timelines.see(replace(capture(b"{}"), endpoint="/b"), None)
    assert timelines.timeline == Timeline()


def test_the_limit_and_what_is_above_it_are_drawn() -> None:
    [pacing] = timeline_of(arrivals(0, 1, 2, 3, 4, 5, 3 * SECOND_NS)).pacings
    chart = pacing_chart(pacing)
    assert chart.limit_percent is not None
    assert 0 < chart.limit_percent < 100
    assert (chart.top, chart.told) == (7, "At most 6 requests within 1s; the limit is 3.")
    assert chart.above.startswith("M0 100H0V")
    held = pacing_chart(timeline_of(arrivals(0, SECOND_NS)).pacings[0])
    assert held.above == ""


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.integers(0, 10**13), min_size=1, max_size=12))
def test_dots_stand_in_their_order_and_labels_beside_each_other(gaps: list[int | None]) -> None:
    made = [Attempt(capture=str(number), gap_ns=gap, status=503) for number, gap in enumerate([None, *gaps])]
    chart = line_chart(Line(endpoint=None, action=None, attempts=tuple(made)))
    places = [dot.percent for dot in chart.dots]
    assert places == sorted(places)
    assert 3 <= places[0] <= places[-1] <= 97
    labels = [dot.gap_percent for dot in chart.dots if dot.gap]
    assert all(right - left >= 14 for left, right in pairwise(labels))
    assert len(chart.steps) == len(made)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(5_000_000, "5 ms"), (1_234_000_000, "1.23 s"), (600 * SECOND_NS, "10.0 min"), (86_400 * SECOND_NS, "24.0 h")],
    ids=["ms", "s", "min", "h"],
)
def test_times_are_told_for_people(nanoseconds: int, text: str) -> None:
    assert seconds(nanoseconds) == text


def test_a_moment_beyond_the_calendar_is_a_number() -> None:
    assert instant(1_778_447_250_123_000_000) == "2026-05-10 21:07:30.123 UTC"
    assert instant(10**30) == f"{10**30} ns"
