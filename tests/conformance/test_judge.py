"""The judge counts right, keeps rules apart, and never blames its own faults on anybody's traffic."""

from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.judge import Judge, judge
from postback_conformance.judging.rule import Rule, StreamCheck, each_capture
from postback_conformance.judging.selection import find_rule
from postback_conformance.judging.verdict import Fail, Inconclusive, NotApplicable, Outcome, Pass, Verdict, summary
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Capture, Evictions
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

WELL_FORMED = find_rule(RULES, "body.json.well-formed")
GOOD, BAD = capture(b"{}"), capture(b"{", at_s=1)


def rule_that(test: Callable[[Capture], Outcome | None], rule_id: str = "test.rule") -> Rule:
    """Return a rule with this test of each capture."""
    return replace(WELL_FORMED, id=rule_id, start=each_capture(lambda evidence: test(evidence.capture)))


def crash(*_: object) -> NoReturn:
    raise KeyError("boom")


class FailsThenCrashes(StreamCheck):
    """Finds something in a capture, then breaks on the same one."""

    def see(self, evidence: Evidence) -> Iterator[Outcome]:
        yield Fail(message="found", expected="x", actual="y", captures=(evidence.capture.id,))
        crash()


class CrashesAtTheEnd(StreamCheck):
    """Finds something in every capture, then breaks when asked about the whole."""

    def see(self, evidence: Evidence) -> Iterator[Outcome]:
        yield Fail(message="found", expected="x", actual="y", captures=(evidence.capture.id,))

    def end(self) -> Iterator[Outcome]:
        crash()


class TellsAtTheEnd(StreamCheck):
    """Says nothing until the whole has been seen."""

    def end(self) -> Iterator[Outcome]:
        yield Fail(message="the whole", expected="x", actual="y", captures=())


def outcomes(verdicts: Iterable[Verdict], rule_id: str) -> list[tuple[str, str]]:
    return [(verdict.outcome, verdict.message) for verdict in verdicts if verdict.rule == rule_id]


CRASHED = ("error", "the rule itself failed, a fault of the kit: KeyError: 'boom'")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (crash, [CRASHED]),
        (each_capture(crash), [CRASHED]),
        (FailsThenCrashes, [("fail", "found"), CRASHED]),
        (CrashesAtTheEnd, [("fail", "found"), ("fail", "found"), CRASHED]),
    ],
    ids=["at the start", "on a capture", "on a capture, after a finding", "at the end"],
)
def test_a_rule_that_crashes_is_an_error_of_the_kit(
    start: Callable[[Notification], StreamCheck], expected: list[tuple[str, str]], read_settings: ReadSettings
) -> None:
    """What it found before stays; no capture is named as evidence; the other rules go on."""
    broken = replace(WELL_FORMED, id="test.broken", start=start)
    verdicts = judge([GOOD, BAD], read_settings(JSON_SETTINGS), [broken, WELL_FORMED]).verdicts

    assert outcomes(verdicts, "test.broken") == expected
    assert [verdict.captures for verdict in verdicts if verdict.outcome == "error"] == [()]
    assert [verdict.outcome for verdict in verdicts if verdict.rule == WELL_FORMED.id] == ["fail"]


def test_a_rule_that_crashed_is_not_asked_again(read_settings: ReadSettings) -> None:
    asked: list[str] = []

    def count_and_crash(arrived: Capture) -> NoReturn:
        asked.append(arrived.id)
        crash()

    judge([GOOD, BAD], read_settings(JSON_SETTINGS), [rule_that(count_and_crash)])
    assert asked == [GOOD.id]


def test_each_finding_is_an_entry_and_each_rule_without_any_is_one(read_settings: ReadSettings) -> None:
    fine = rule_that(lambda _: None, "test.fine")
    verdicts = judge([BAD, GOOD, BAD], read_settings(JSON_SETTINGS), [WELL_FORMED, fine]).verdicts
    assert [(verdict.rule, verdict.outcome) for verdict in verdicts] == [
        (WELL_FORMED.id, "fail"),
        (WELL_FORMED.id, "fail"),
        ("test.fine", "pass"),
    ]
    assert summary(verdicts) == {"pass": 1, "fail": 2, "inconclusive": 0, "not_applicable": 0, "error": 0}


@given(
    said=st.lists(
        st.sampled_from(
            [
                Pass(),
                Fail(message="no", expected="x", actual="y", captures=("c",)),
                Inconclusive(why="who knows"),
                NotApplicable(why="nothing there"),
            ]
        ),
        max_size=8,
    )
)
def test_the_outcome_of_a_rule_is_the_worst_it_said(said: list[Outcome], read_settings: ReadSettings) -> None:
    """A failure each by itself; else inconclusive, else held, else not applicable: doubt is never counted as a pass."""
    pending = iter(said)
    verdicts = judge([GOOD] * len(said), read_settings(JSON_SETTINGS), [rule_that(lambda _: next(pending))]).verdicts

    kinds = [type(outcome) for outcome in said]
    if Fail in kinds:
        assert [verdict.outcome for verdict in verdicts] == ["fail"] * kinds.count(Fail)
    elif Inconclusive in kinds:
        assert [verdict.outcome for verdict in verdicts] == ["inconclusive"]
    else:
        assert [verdict.outcome for verdict in verdicts] == ["pass" if Pass in kinds else "not_applicable"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([Pass()], "held 1 time"),
        ([Pass(), Pass(), NotApplicable(why="n")], "held 2 times"),
        ([NotApplicable(why="first"), NotApplicable(why="second")], "first"),
        ([], "there was nothing to judge"),
        ([Inconclusive(why="first")], "first"),
        ([Inconclusive(why="first"), Inconclusive(why="second"), Pass()], "first (and 1 like it); it held for 1 more"),
    ],
)
def test_a_rule_without_findings_says_what_it_rests_on(
    said: list[Outcome], message: str, read_settings: ReadSettings
) -> None:
    pending = iter(said)
    (verdict,) = judge([GOOD] * len(said), read_settings(JSON_SETTINGS), [rule_that(lambda _: next(pending))]).verdicts
    assert verdict.message == message


def test_findings_are_told_as_they_arise(read_settings: ReadSettings) -> None:
    at_the_end = replace(WELL_FORMED, id="test.end", start=TellsAtTheEnd)
    live = Judge(read_settings(JSON_SETTINGS), [WELL_FORMED, at_the_end], endpoint="/p")
    assert live.see(GOOD) == ()
    (finding,) = live.see(BAD)
    assert (finding.rule, finding.endpoint, finding.captures) == (WELL_FORMED.id, "/p", (BAD.id,))
    assert [verdict.message for verdict in live.verdicts()] == [finding.message, "the whole"]


def test_each_capture_is_judged_by_the_notification_of_its_endpoint(read_settings: ReadSettings) -> None:
    """One that no notification fits is left out, and counted."""
    arrived = [
        replace(BAD, endpoint="/a"),
        replace(GOOD, endpoint="/b"),
        replace(BAD, endpoint="/elsewhere"),
        replace(BAD, endpoint=None),
    ]
    notifications: dict[str | None, Notification] = {
        "/a": read_settings(JSON_SETTINGS),
        "/b": read_settings(JSON_SETTINGS),
        "/c": read_settings(JSON_SETTINGS),
    }
    judgement = judge(arrived, notifications, [WELL_FORMED])

    assert (judgement.captures, judgement.left_out) == (2, 2)
    assert [(verdict.endpoint, verdict.outcome) for verdict in judgement.verdicts] == [
        ("/a", "fail"),
        ("/b", "pass"),
        ("/c", "not_applicable"),
    ]


def test_one_notification_judges_captures_of_any_endpoint(read_settings: ReadSettings) -> None:
    arrived = [replace(GOOD, endpoint="/a"), replace(GOOD, endpoint=None)]
    judgement = judge(iter(arrived), read_settings(JSON_SETTINGS), [WELL_FORMED])
    assert (judgement.captures, judgement.left_out) == (2, 0)
    assert [verdict.endpoint for verdict in judgement.verdicts] == [None]


def test_nothing_passes_when_captures_were_evicted(read_settings: ReadSettings) -> None:
    """They might have broken the rule. What is broken for sure stays so, and what does not apply, too."""
    rules = [
        WELL_FORMED,
        rule_that(lambda _: None, "test.fine"),
        rule_that(lambda _: NotApplicable(why="no"), "test.no"),
    ]
    evicted: list[Capture] = []

    def arrived() -> Iterator[Capture]:
        yield BAD
        # Asked only now: a store may evict while it is read.
        evicted.extend([GOOD, GOOD])

    judgement = judge(
        arrived(), read_settings(JSON_SETTINGS), rules, evictions=lambda: Evictions(captures=len(evicted))
    )
    assert [verdict.outcome for verdict in judgement.verdicts] == ["fail", "inconclusive", "not_applicable"]
    assert judgement.verdicts[1].message == (
        "held 1 time, but 2 earlier captures had been evicted from the store by its limits and cannot be judged"
    )


def test_what_is_no_http_request_is_not_complete(read_settings: ReadSettings) -> None:
    complete = find_rule(RULES, "capture.complete")
    [verdict] = judge([replace(BAD, malformed="no method")], read_settings(JSON_SETTINGS), [complete]).verdicts
    assert (verdict.outcome, verdict.message) == ("fail", "this could not be read as an HTTP request: no method")


@settings(deadline=None, max_examples=30)
@given(
    arrived=st.lists(
        st.builds(
            capture,
            st.sampled_from([b"{}", b"{", b'{"a": 1, "a": 1}', b'{"id": "{ActionId}"}']),
            at_s=st.sampled_from([0.0, 0.1, 1.5]),
            status=st.sampled_from([200, 404, 503]),
            truncated=st.booleans(),
        ),
        max_size=8,
    )
)
def test_judging_the_same_captures_again_gives_the_same_verdicts(
    arrived: list[Capture], read_settings: ReadSettings
) -> None:
    """No rule keeps anything from one judgement to the next."""
    notification = read_settings('maximum_requests = "1/s"\nretry = [0.5]\nminimum_delay = "1s"\n' + JSON_SETTINGS)
    assert judge(arrived, notification, RULES) == judge(arrived, notification, RULES)


def test_what_is_no_http_request_is_a_finding_of_one_rule_and_of_no_other(read_settings: ReadSettings) -> None:
    malformed = replace(capture(b"\x16\x03\x01"), malformed="its first line is no request line", method="", target="")

    verdicts = judge([malformed], read_settings(JSON_SETTINGS), RULES).verdicts

    assert [verdict.rule for verdict in verdicts if verdict.outcome == "fail"] == ["capture.complete"]
    assert {verdict.outcome for verdict in verdicts if verdict.rule != "capture.complete"} == {"not_applicable"}
