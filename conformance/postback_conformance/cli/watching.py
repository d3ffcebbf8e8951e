"""Tells each capture as it arrives, with the findings it gave rise to."""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from postback_conformance.cli.operation_log import OperationLog
from postback_conformance.cli.terminal import put
from postback_conformance.receiver_file import EndpointFile
from postback_conformance.redaction import redacted, redacted_target
from postback_receiver import Capture, capture_to_line
from postback_sender import NotificationSource, parse_notification

if TYPE_CHECKING:
    from postback_conformance.judge import Judge

_SHOWN_LETTERS = 100


class Watcher:
    """Takes captures in the order their answers left; judges those of endpoints that have a notification."""

    def __init__(
        self, endpoints: Iterable[EndpointFile], log: OperationLog, *, puts_captures: bool, reveal: bool
    ) -> None:
        self.count = 0
        self.malformed = 0
        self._reveal = reveal
        self._puts_captures = puts_captures
        self._log = log
        self._judges = _judges({each.path: each.notification for each in endpoints if each.notification})

    @property
    def judges_something(self) -> bool:
        """Whether any endpoint says what should arrive."""
        return bool(self._judges)

    def arrived(self, capture: Capture) -> None:
        """Tell a capture, and what is wrong with it."""
        self.count += 1
        self.malformed += capture.malformed is not None
        if self._puts_captures:
            put(capture_to_line(capture if self._reveal else redacted(capture)))
        self._log.note(
            event_of(capture),
            one_line(capture),
            level=logging.INFO if capture.malformed is None else logging.WARNING,
            capture=capture.id,
            endpoint=capture.endpoint,
            bytes=len(capture.body),
            truncated=capture.truncated,
            status=capture.answer.status if capture.answer else None,
            fault=capture.fault,
        )
        judge = self._judges.get(capture.endpoint)
        for finding in judge.see(capture) if judge else ():
            self._log.note(
                "finding",
                f"{finding.rule} does not hold",
                shown=f"          ✗ {finding.rule}: {finding.message}",
                level=logging.WARNING,
                capture=capture.id,
                rule=finding.rule,
                severity=finding.level,
            )


def event_of(capture: Capture) -> str:
    """Return the name of the event that a capture is in the log of operation."""
    if capture.malformed is not None:
        return "unreadable_request"
    return "captured" if capture.fault is None else "fault_injected"


def one_line(capture: Capture) -> str:
    """Return a capture in one line, without secrets in its target."""
    status = str(capture.answer.status) if capture.answer else "no answer"
    notes = [f"{len(capture.body)} bytes"]
    if capture.truncated:
        notes.append("truncated")
    if capture.is_unmatched:
        notes.append("no endpoint takes this path")
    if capture.malformed is not None:
        notes.append(f"not HTTP: {capture.malformed}")
    if capture.fault is not None:
        notes.append(f"fault: {capture.fault}")
    target = redacted_target(capture.target)[:_SHOWN_LETTERS]
    what = f"{capture.method} {target}  " if capture.method else ""
    return f"{capture.id[:8]}  {what}{', '.join(notes)}  → {status}"


def _judges(notifications: Mapping[str, NotificationSource]) -> dict[str | None, "Judge"]:
    if not notifications:
        return {}
    # Imported when used: the rules take a while, and without a notification nothing is judged.
    from postback_conformance.judge import Judge  # noqa: PLC0415
    from postback_conformance.rules import RULES  # noqa: PLC0415

    return {
        path: Judge(parse_notification(source, None), RULES, endpoint=path) for path, source in notifications.items()
    }
