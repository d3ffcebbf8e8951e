"""What a judge keeps is bounded: findings, places, requests; and what it had to let go of is told."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from postback_conformance.judging import resends
from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.judge import Judge, judge
from postback_conformance.judging.rule import Rule, StreamCheck, each_capture
from postback_conformance.judging.selection import find_rule
from postback_conformance.judging.tally import MAX_FINDINGS, MAX_PLACES
from postback_conformance.judging.verdict import Fail, NotApplicable, Outcome, Pass, Where, summary
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Capture
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

ANY = find_rule(RULES, "http.method")


def failing_at(where: Callable[[Capture], Where]) -> Rule:
    def test(evidence: Evidence) -> Outcome:
        arrived = evidence.capture
        return Fail(message="no", expected="x", actual="y", captures=(arrived.id,), where=where(arrived))

    return replace(ANY, id="test.fails", start=each_capture(test))


def arriving(count: int) -> Iterator[Capture]:
    for number in range(count):
        yield capture(b"{}", at_s=number, target=f"/postback?n={number}")


def test_of_many_findings_the_first_are_kept_and_all_are_counted(read_settings: ReadSettings) -> None:
    many = MAX_FINDINGS * 3
    verdicts = judge(arriving(many), read_settings(JSON_SETTINGS), [failing_at(lambda _: Where(header="X"))]).verdicts

    assert len(verdicts) == MAX_FINDINGS + 1
    assert verdicts[-1].message == (
        f"{many - MAX_FINDINGS} more findings of this rule at header X, counted and not kept one by one"
    )
    assert summary(verdicts)["fail"] == many


def test_the_first_finding_at_a_new_place_is_kept_however_many_there_are(read_settings: ReadSettings) -> None:
    """Otherwise a place that begins to fail late would hide behind one that fails always."""

    def place(arrived: Capture) -> Where:
        return Where(token="Late" if arrived.query == f"n={MAX_FINDINGS * 2}" else "Early")

    verdicts = judge(arriving(MAX_FINDINGS * 2 + 1), read_settings(JSON_SETTINGS), [failing_at(place)]).verdicts
    assert [one.message for one in verdicts if one.where.token == "Late"] == ["no"]


def test_places_without_end_are_counted_together(read_settings: ReadSettings) -> None:
    many = MAX_PLACES + 50
    verdicts = judge(
        arriving(many), read_settings(JSON_SETTINGS), [failing_at(lambda one: Where(parameter=one.query))]
    ).verdicts
    assert len(verdicts) == MAX_PLACES + 1
    assert (verdicts[-1].count, summary(verdicts)["fail"]) == (50, many)


def test_a_live_judge_tells_every_finding(read_settings: ReadSettings) -> None:
    live = Judge(read_settings(JSON_SETTINGS), [failing_at(lambda _: Where())])
    assert sum(len(live.see(each)) for each in arriving(MAX_FINDINGS * 2)) == MAX_FINDINGS * 2


def test_a_rule_that_the_settings_rule_out_is_asked_once(read_settings: ReadSettings) -> None:
    asked: list[str] = []

    def test(evidence: Evidence) -> Outcome:
        asked.append(evidence.capture.id)
        return NotApplicable(why="never", by_settings=True)

    (verdict,) = judge(arriving(5), read_settings(JSON_SETTINGS), [replace(ANY, start=each_capture(test))]).verdicts
    assert (len(asked), verdict.outcome, verdict.message) == (1, "not_applicable", "never")


def test_a_repeat_of_what_had_to_be_forgotten_is_no_pass(
    read_settings: ReadSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resends, "MAX_REMEMBERED", 3)
    rule = replace(ANY, start=each_capture(lambda _: None), remembers=("resends",))
    few = judge(arriving(3), read_settings(JSON_SETTINGS), [rule]).verdicts
    many = judge(arriving(5), read_settings(JSON_SETTINGS), [rule]).verdicts

    assert [one.outcome for one in few] == ["pass"]
    assert [(one.outcome, one.message) for one in many] == [
        (
            "inconclusive",
            "held 5 times, but 2 earlier captures had been forgotten, and a repeat of one would not be noticed",
        )
    ]


class SeesAll(StreamCheck):
    """Holds for everything."""

    def see(self, evidence: Evidence) -> Iterator[Outcome]:
        _ = evidence
        yield Pass()


@pytest.mark.parametrize("remembers", [False, True], ids=["each by itself", "in order"])
def test_what_came_out_of_order_is_kept_from_rules_that_need_the_order(
    *, remembers: bool, read_settings: ReadSettings
) -> None:
    rule = replace(ANY, start=SeesAll if remembers else each_capture(lambda _: None))
    backwards = [capture(b"{}", at_s=at_s) for at_s in (90, 60, 30)]
    (verdict,) = judge(backwards, read_settings(JSON_SETTINGS), [rule]).verdicts
    assert (verdict.outcome, verdict.message) == (
        (
            "inconclusive",
            "held 1 time, but 2 captures came out of the order of arrival and could not be judged by it",
        )
        if remembers
        else ("pass", "held 3 times")
    )


def test_slow_answers_are_no_disorder(read_settings: ReadSettings) -> None:
    """A store holds what arrived first, whoever watches sees first what was answered first."""
    rule = replace(ANY, start=SeesAll)
    slow = capture(b"{}", at_s=0)
    assert slow.answer is not None
    slow = replace(slow, answer=replace(slow.answer, sent_ns=30_000_000_000))
    fast = [capture(b"{}", at_s=at_s) for at_s in (5, 10)]
    for order in ([slow, *fast], [*fast, slow]):
        (verdict,) = judge(order, read_settings(JSON_SETTINGS), [rule]).verdicts
        assert verdict.outcome == "pass"


def test_what_could_not_be_read_may_have_been_meant_for_any_endpoint(read_settings: ReadSettings) -> None:
    complete = find_rule(RULES, "capture.complete")
    settings = read_settings(JSON_SETTINGS)
    garbage = replace(capture(b"\x16"), malformed="no request line", endpoint=None, method="", target="")
    arrived = [replace(capture(b"{}"), endpoint="/a"), garbage, replace(capture(b"{}", at_s=1), endpoint="/b")]

    several = judge(arrived, {"/a": settings, "/b": settings}, [complete])
    assert [(one.endpoint, one.outcome) for one in several.verdicts] == [
        ("/a", "inconclusive"),
        ("/b", "inconclusive"),
        (None, "fail"),
    ]
    assert several.verdicts[0].message == (
        "held 1 time, but 1 capture could not be read, and may have been meant for this endpoint"
    )
    alone = judge([arrived[0], garbage], {"/a": settings}, [complete])
    assert [(one.endpoint, one.outcome) for one in alone.verdicts] == [("/a", "fail")]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_that_asks_for_resends_says_so(
    rule: Rule, read_settings: ReadSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would pass over what had been forgotten."""
    asked: list[str] = []
    original: property = vars(Evidence)["resend"]

    def noting(evidence: Evidence) -> object:
        asked.append(evidence.capture.id)
        return original.__get__(evidence)

    monkeypatch.setattr(Evidence, "resend", original.getter(noting))
    for example in (rule.passing, rule.failing):
        judge(example.captures, read_settings(example.settings), [rule])
    assert not asked or "resends" in rule.remembers
