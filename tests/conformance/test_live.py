"""Judging takes a share of a receiver's time and no more; what it leaves out it counts."""

from collections.abc import Callable

from msgspec.structs import replace

from postback_conformance.evidence import Evidence
from postback_conformance.judge import Judges
from postback_conformance.live import MOST_WAITING, LiveJudge
from postback_conformance.rule import each_capture
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_conformance.selection import find_rule
from postback_conformance.verdict import Fail, Outcome
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


def test_under_load_judging_takes_a_fifth_of_the_time(read_settings: ReadSettings) -> None:
    work = Work(each_ms=1)
    live = work.live(read_settings(JSON_SETTINGS))
    for arrived in arriving(20_000):
        work.now_ns += _MS
        list(live.see(arrived))
    assert 5_000 <= len(work.judged) <= 5_000 + 201, "a quarter of the other work, and what was saved up before"
    assert len(work.judged) + live.waiting + live.left_out == 20_000
    assert live.left_out > MOST_WAITING


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
