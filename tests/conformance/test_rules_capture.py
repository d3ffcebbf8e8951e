"""Our own evidence: what was cut, or was no request, is told of by one rule and trusted by none."""

from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from postback_conformance.judging.verdict import Verdict
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Answer, Capture

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]


def cut_off(length: str = "30", *, at_s: float = 0) -> Capture:
    """Return a request whose sender left after 4 bytes of its body."""
    headers = (("Content-Type", "application/json"), ("Content-Length", length))
    return replace(capture(b'{"id', headers=headers, truncated=True, at_s=at_s), answer=None, gone_ns=1)


def test_a_sender_that_hung_up_is_told_with_how_much_of_the_body_is_there(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("capture.complete", JSON_SETTINGS, [cut_off()])
    assert (verdict.outcome, verdict.message) == ("fail", "the sender hung up after 4 of 30 bytes of the body")


@pytest.mark.parametrize(
    "arrived",
    [
        replace(cut_off(), answer=Answer(status=413)),
        replace(cut_off(), answer=Answer(status=408)),
        replace(cut_off(), gone_ns=None),
        cut_off("4"),
        cut_off("many"),
        replace(cut_off(), headers=(("Transfer-Encoding", "chunked"),)),
    ],
    ids=["over our limit", "it stalled", "nobody left", "not as short", "no length", "chunks"],
)
def test_a_body_that_we_cut_off_is_no_fault_of_its_sender(arrived: Capture, judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("capture.complete", JSON_SETTINGS, [arrived])
    assert verdict.outcome == "inconclusive"
    assert "raise that with --max-body" in verdict.message


def test_of_an_archive_nobody_is_told_to_raise_the_limit_of_a_receiver(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("capture.complete", JSON_SETTINGS, [replace(cut_off(), gone_ns=None, remote="")])
    assert (verdict.outcome, verdict.message) == ("inconclusive", "the archive does not hold the body as it was sent")


def test_what_is_no_request_is_told_with_the_reason(judged_by: JudgedBy) -> None:
    arrived = replace(capture(b"GET\r\n"), malformed="the first line is not one of HTTP")
    (verdict,) = judged_by("capture.complete", JSON_SETTINGS, [arrived])
    assert (verdict.outcome, verdict.actual) == ("fail", "5 bytes that are none")
    assert verdict.message.endswith("the first line is not one of HTTP")


def test_one_whole_request_does_not_hide_one_that_was_cut_off(judged_by: JudgedBy) -> None:
    verdicts = judged_by("capture.complete", JSON_SETTINGS, [capture(b"{}"), cut_off(at_s=1)])
    assert [(one.outcome, one.captures) for one in verdicts] == [("fail", ("example-1000000000",))]
