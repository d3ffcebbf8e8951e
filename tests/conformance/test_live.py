"""Judging takes a share of a receiver's time and no more; what it leaves out it counts."""

import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.following import PATIENCE_NS
from postback_conformance.judging.judge import Judges
from postback_conformance.judging.live import MOST_WAITING, LiveJudge
from postback_conformance.judging.rule import each_capture
from postback_conformance.judging.selection import find_rule
from postback_conformance.judging.verdict import Fail, Outcome, Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Capture
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

_MS = 1_000_000


class Work:
    """A clock that goes on by what judging one capture takes, and by what the test says."""

    def __init__(self, each_ms: int) -> None:
        self.now_ns = 0
        self.judged: list[str] = []
        self._each_ns = each_ms * _MS

    def live(self, notification: Notification) -> LiveJudge:
        rule = replace(find_rule(RULES, "http.method"), start=each_capture(self._judge))
        return LiveJudge(lambda: Judges(notification, [rule]), lambda: self.now_ns)

    def _judge(self, evidence: Evidence) -> Outcome:
        self.now_ns += self._each_ns
        self.judged.append(evidence.capture.id)
        return Fail(message="no", expected="", actual="", captures=(evidence.capture.id,))


def arriving(count: int) -> list[Capture]:
    return [replace(capture(b"{}"), id=f"c{number}") for number in range(count)]


def test_with_time_to_spare_each_capture_is_judged_as_it_comes(read_settings: ReadSettings) -> None:
    work = Work(each_ms=1)
    live = work.live(read_settings(JSON_SETTINGS))
    for arrived in arriving(1000):
        work.now_ns += 10 * _MS
        assert [one.id for one, _ in live.see(arrived)] == [arrived.id]
    assert (live.waiting, live.left_out) == (0, 0)


def test_under_load_judging_takes_a_ninth_of_the_time(read_settings: ReadSettings) -> None:
    work = Work(each_ms=1)
    live = work.live(read_settings(JSON_SETTINGS))
    for arrived in arriving(20_000):
        work.now_ns += _MS
        list(live.see(arrived))
    assert 2_500 <= len(work.judged) <= 2_500 + 201, "an eighth of the other work, and what was saved up before"
    assert len(work.judged) + live.waiting + live.left_out == 20_000
    assert live.left_out > MOST_WAITING


def test_after_too_many_it_rests_until_a_burst_is_saved_up_and_judges_what_comes_then(
    read_settings: ReadSettings,
) -> None:
    work = Work(each_ms=1)
    live = work.live(read_settings(JSON_SETTINGS))
    captures = iter(arriving(10_000))
    while not live.left_out:
        list(live.see(next(captures)))
    before, left_out = len(work.judged), live.left_out
    resting = next(captures)
    live.began(resting)
    assert [*live.see(resting)] == []
    assert (len(work.judged), live.waiting, live.left_out) == (before, 0, left_out + 1), "told of twice, counted once"
    work.now_ns += 60_000 * _MS
    rested = next(captures)
    live.began(rested)
    assert [one.id for one, _ in live.see(rested)] == [rested.id]


def test_what_waits_is_judged_in_its_order_when_it_is_quiet(read_settings: ReadSettings) -> None:
    work = Work(each_ms=150)
    live = work.live(read_settings(JSON_SETTINGS))
    captures = arriving(4)
    for arrived in captures:
        list(live.see(arrived))
    assert live.waiting == 2
    work.now_ns += 60_000 * _MS
    assert [one.id for one, _ in live.catch_up()] == ["c2", "c3"]
    assert work.judged == [one.id for one in captures]


def test_at_the_end_everything_is_judged(read_settings: ReadSettings) -> None:
    work = Work(each_ms=1000)
    live = work.live(read_settings(JSON_SETTINGS))
    for arrived in arriving(5):
        list(live.see(arrived))
    assert len(list(live.catch_up(to_the_end=True))) == 4
    assert len(work.judged) == 5


def test_captures_are_judged_in_the_order_they_began_and_not_in_that_of_their_answers(
    read_settings: ReadSettings,
) -> None:
    """As a store has them, and so `postback check`."""
    work = Work(each_ms=0)
    live = work.live(read_settings(JSON_SETTINGS))
    slow, quick, last = arriving(3)
    for one in (slow, quick, last):
        live.began(one)
    assert not list(live.see(last))
    assert not list(live.see(quick))
    assert [one.id for one, _ in live.see(slow)] == [slow.id, quick.id, last.id]
    assert live.waiting == 0


def test_nobody_waits_for_an_answer_for_ever(read_settings: ReadSettings) -> None:
    """One that is still not answered is judged without, once, whatever comes of it later."""
    work = Work(each_ms=0)
    live = work.live(read_settings(JSON_SETTINGS))
    silent, other = arriving(2)
    live.began(replace(silent, answer=None))
    live.began(other)
    assert not list(live.see(other))
    work.now_ns += PATIENCE_NS
    assert [one.id for one, _ in live.catch_up()] == [silent.id, other.id]
    assert not list(live.see(silent))
    assert work.judged == [silent.id, other.id]


def test_what_began_and_was_left_out_is_not_judged_by_those_who_begin_anew(read_settings: ReadSettings) -> None:
    work = Work(each_ms=0)
    live = work.live(read_settings(JSON_SETTINGS))
    captures = arriving(MOST_WAITING + 1)
    for one in captures:
        live.began(one)
    assert (live.waiting, live.left_out) == (0, MOST_WAITING + 1)
    assert [found for one in captures for found in live.see(one)] == []


@settings(max_examples=25)
@given(delays_ms=st.lists(st.sampled_from([1, 10, 400, 3000]), min_size=4, max_size=14), seed=st.randoms())
def test_live_and_offline_tell_the_same_of_requests_that_overlap(
    delays_ms: list[int], seed: random.Random, read_settings: ReadSettings
) -> None:
    """Whatever order the answers leave in: the same findings, in the same words, about the same captures."""
    notification = read_settings('maximum_requests = "5/s"\nmaximum_requests_scope = "all"\n' + JSON_SETTINGS)
    stored: list[Capture] = []
    at_s = 0.0
    for number, delay_ms in enumerate(delays_ms):
        at_s += seed.choice([0.0, 0.05, 0.3])
        body = b'{"id": "1000.6705.%d", "date": "2026-05-11T00:07:27+03:00"}' % seed.randint(0, 3)
        one = capture(body, at_s=at_s, status=seed.choice([200, 503]), answered_after_s=delay_ms / 1000)
        stored.append(replace(one, id=f"c{number}"))
    now_ns = 0
    live = LiveJudge(lambda: Judges(notification, RULES), lambda: now_ns)
    told: list[tuple[str, Verdict]] = []
    moments = [(one.monotonic_ns or 0, 0, number) for number, one in enumerate(stored)]
    moments += [((one.answer.sent_ns if one.answer else 0) or 0, 1, number) for number, one in enumerate(stored)]
    for moment_ns, is_answer, number in sorted(moments):
        now_ns = moment_ns
        if is_answer:
            told += [(one.id, finding) for one, finding in live.see(stored[number])]
        else:
            live.began(replace(stored[number], answer=None))
    told += [(one.id, finding) for one, finding in live.catch_up(to_the_end=True)]
    offline = Judges(notification, RULES)
    assert told == [(one.id, finding) for one in stored for finding in offline.see(one)]
