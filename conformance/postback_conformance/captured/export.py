"""Captures in the formats that leave: NDJSON, HAR, curl and pytest."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum

from postback_conformance.captured.curl_command import curl_command
from postback_conformance.captured.pytest_file import pytest_file
from postback_conformance.captured.replaying import unfit
from postback_conformance.printable import printable
from postback_conformance.redaction import Hide, has_left_out, redacted
from postback_receiver import Capture, capture_to_line, ns_to_iso, write_har
from postback_sender.replay.request import Destination


class ExportFormat(StrEnum):
    """What captures can leave as."""

    NDJSON = "ndjson"
    HAR = "har"
    CURL = "curl"
    PYTEST = "pytest"


class ExportCount:
    """How many captures left, with a secret hidden or a body left out, and how many did not leave, by the reason."""

    def __init__(self) -> None:
        self.written = 0
        self.hidden = 0
        self.without_body = 0
        self.left_out: Counter[str] = Counter()


def exported(
    captures: Iterable[Capture],
    format: ExportFormat,  # noqa: A002  it is what it is called
    *,
    hide: Hide | None,
    to: Destination | None = None,
    name: str = "test_recorded.py",
    count: ExportCount,
) -> Iterator[bytes]:
    """Yield the pieces of an export, and count meanwhile what is in it; memory stays flat.

    `hide` says what stands for a secret, None reveals it. `name` is that of the file, for what a test says of itself.
    What cannot be sent again, or has no answer to compare with, has no place in curl or pytest.
    """
    match format:
        case ExportFormat.NDJSON:
            return (capture_to_line(capture) + b"\n" for capture in _counted(captures, hide, count))
        case ExportFormat.HAR:
            return write_har(_counted(captures, hide, count))
        case ExportFormat.CURL:
            fit = _counted(_fit(captures, count), hide, count, needs_bodies=True)
            return (_commented(capture, to) for capture in fit)
        case ExportFormat.PYTEST:
            answered = _counted(_answered(_fit(captures, count), count), hide, count, needs_bodies=True)
            return pytest_file(((one, one.answer) for one in answered if one.answer), to=to, name=name)


def _counted(
    captures: Iterable[Capture], hide: Hide | None, count: ExportCount, *, needs_bodies: bool = False
) -> Iterator[Capture]:
    for capture in captures:
        shown = capture if hide is None else redacted(capture, hide)
        is_cut = shown != capture and has_left_out(shown)
        if is_cut and needs_bodies:
            count.left_out["its body cannot be looked through for secrets; --reveal shows it"] += 1
            continue
        count.written += 1
        count.without_body += is_cut
        count.hidden += shown != capture and not is_cut
        yield shown


def _fit(captures: Iterable[Capture], count: ExportCount) -> Iterator[Capture]:
    for capture in captures:
        if reason := unfit(capture):
            count.left_out[reason] += 1
        else:
            yield capture


def _answered(captures: Iterable[Capture], count: ExportCount) -> Iterator[Capture]:
    for capture in captures:
        if capture.answer is None:
            count.left_out["it was not answered"] += 1
        elif capture.fault:
            count.left_out["its answer was spoilt on purpose"] += 1
        else:
            yield capture


def _commented(capture: Capture, to: Destination | None) -> bytes:
    answered = f", answered {capture.answer.status}" if capture.answer else ""
    trailers = "; its trailers are left out" if capture.trailers else ""
    comment = f"# {printable(capture.id)}, received {ns_to_iso(capture.received_at_ns)}{answered}{trailers}\n"
    return comment.encode() + curl_command(capture, to)
