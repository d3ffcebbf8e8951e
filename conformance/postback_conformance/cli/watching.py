"""Tells each capture as it arrives, with the findings it gave rise to."""

import asyncio
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from postback_conformance.cli.batch import Batch, discard
from postback_conformance.cli.operation_log import OperationLog
from postback_conformance.cli.terminal import put_all
from postback_conformance.receiving.receiver_file import EndpointFile
from postback_conformance.redaction import redacted
from postback_receiver import Capture, capture_to_line
from postback_receiver.summary import one_line
from postback_sender import Notification, NotificationSource, parse_notification

if TYPE_CHECKING:
    from postback_conformance.judging.live import LiveJudge
    from postback_conformance.judging.verdict import Verdict

# How soon to go on judging what had to wait.
_CATCH_UP_S = 0.05


class Watcher:
    """Takes captures in the order their answers left; judges those of endpoints that have a notification.

    That happens in the order in which they began, as far as `began` is told of them.
    """

    def __init__(
        self, endpoints: Iterable[EndpointFile], log: OperationLog, *, puts_captures: bool, reveal: bool
    ) -> None:
        self.count = 0
        self.malformed = 0
        self._reveal = reveal
        self._lines: Batch[bytes] | None = Batch(self._put) if puts_captures else None
        self._log = log
        self._live = _live_judge({each.path: each.notification for each in endpoints if each.notification})
        self._is_catching_up = False

    @property
    def judges_something(self) -> bool:
        """Whether any endpoint says what should arrive."""
        return self._live is not None

    def began(self, capture: Capture) -> None:
        """Note a capture before it is answered."""
        if self._live is not None and self._log.shows(logging.WARNING):
            self._live.began(capture)

    def arrived(self, capture: Capture) -> None:
        """Tell a capture, and what is wrong with it."""
        self.count += 1
        self.malformed += capture.malformed is not None
        if self._lines is not None:
            self._lines.add(capture_to_line(capture if self._reveal else redacted(capture)))
        level = logging.INFO if capture.malformed is None else logging.WARNING
        if self._log.shows(level):
            self._tell(capture, level)
        # With nobody to tell a finding to, nothing is judged.
        if self._live is not None and self._log.shows(logging.WARNING):
            self._tell_findings(self._live.see(capture))
            self._catch_up_soon(self._live)

    def finish(self) -> None:
        """Judge what still waits, and say how much nobody had time for."""
        if self._live is None:
            return
        self._tell_findings(self._live.catch_up(to_the_end=True))
        if left_out := self._live.left_out:
            words = f"{left_out} captures came too fast to be judged as they came; `postback check` judges all of them"
            self._log.note("not_judged", words, level=logging.WARNING, left_out=left_out)

    def _catch_up_soon(self, live: "LiveJudge") -> None:
        if not live.waiting or self._is_catching_up:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._is_catching_up = True
        loop.call_later(_CATCH_UP_S, self._catch_up, live)

    def _catch_up(self, live: "LiveJudge") -> None:
        self._is_catching_up = False
        self._tell_findings(live.catch_up())
        self._catch_up_soon(live)

    def _tell_findings(self, findings: Iterable[tuple[Capture, "Verdict"]]) -> None:
        for capture, finding in findings:
            self._log.note(
                "finding",
                f"{finding.rule} does not hold",
                shown=f"          ✗ {finding.rule}: {finding.message}",
                level=logging.WARNING,
                capture=capture.id,
                rule=finding.rule,
                severity=finding.level,
            )

    def _tell(self, capture: Capture, level: int) -> None:
        answer = capture.answer
        self._log.note(
            event_of(capture),
            f"{capture.id[:8]}  {one_line(capture, is_over=True)}",
            level=level,
            capture=capture.id,
            endpoint=capture.endpoint,
            bytes=len(capture.body),
            truncated=capture.truncated,
            status=answer.status if answer else None,
            sent=answer is not None and answer.sent_ns is not None,
            fault=capture.fault,
        )

    def _put(self, lines: list[bytes]) -> None:
        try:
            put_all(lines)
        except OSError as error:
            # As of `| head`. What arrives is kept and answered all the same.
            self._lines = None
            discard(sys.stdout)
            words = f"captures are no longer written to stdout, which has failed: {error.strerror}; they are stored"
            self._log.note("output_lost", words, level=logging.WARNING)


def event_of(capture: Capture) -> str:
    """Return the name of the event that a capture is in the log of operation."""
    if capture.malformed is not None:
        return "unreadable_request"
    return "captured" if capture.fault is None else "fault_injected"


def _live_judge(sources: Mapping[str, NotificationSource]) -> "LiveJudge | None":
    if not sources:
        return None
    # Imported when used: the rules take a while, and without a notification nothing is judged.
    from postback_conformance.judging.judge import Judges  # noqa: PLC0415
    from postback_conformance.judging.live import LiveJudge  # noqa: PLC0415
    from postback_conformance.rules import RULES  # noqa: PLC0415

    notifications: dict[str | None, Notification] = {
        path: parse_notification(source, None) for path, source in sources.items()
    }
    return LiveJudge(lambda: Judges(notifications, RULES), time.monotonic_ns)
