"""What a failed test shows of its receivers: each capture in a line, the last ones as curl, and what they got wrong.

Secrets are hidden: what a test prints ends up in logs that many people read.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import pytest

from postback_conformance.captured.export import ExportCount, ExportFormat, exported
from postback_conformance.errors import ConformanceError
from postback_conformance.judging.judge import judge
from postback_conformance.judging.places import place_of
from postback_conformance.pytest_plugin.asked import Given, folders, given_to, told_of
from postback_conformance.redaction import hidden
from postback_conformance.rules import RULES
from postback_receiver import Capture
from postback_receiver.receiver import ReceiverBase
from postback_receiver.summary import one_line
from postback_sender import SenderError
from postback_sender.notification import Notification

_MOST_LINES: Final = 20
_MOST_COMMANDS: Final = 3
_MOST_FINDINGS: Final = 20


def sections_of(item: pytest.Item, receivers: Sequence[ReceiverBase]) -> list[tuple[str, str]]:
    """Return the sections of a test that failed; it is judged by its notification, if it has one."""
    fixture: Given | None = getattr(item, "funcargs", {}).get("postback_notification")
    given = given_to(item, fixture)
    try:
        notification = told_of(given, folders(item)).notification if given else None
    except (SenderError, ConformanceError) as error:
        # The test has failed already, and pytest itself must not.
        return [*sections(receivers), ("postback findings", f"not judged: {error}")]
    return [*sections(receivers, notification)]


def sections(receivers: Sequence[ReceiverBase], notification: Notification | None = None) -> Iterator[tuple[str, str]]:
    """Yield titles and texts for the failure report; captures are judged by `notification`, if there is one."""
    for receiver in receivers:
        captures = receiver.captures()
        number = "no requests" if not captures else f"{len(captures)} request{'s' * (len(captures) > 1)}"
        yield f"postback receiver at {receiver.url}: {number}", "\n".join(_listed(captures))
        if captures and notification is not None:
            yield "postback findings, as `postback check` has them", "\n".join(_findings(captures, notification))
        if captures:
            yield "postback requests, to send them again", _commands(captures[-_MOST_COMMANDS:])


def _listed(captures: Sequence[Capture]) -> Iterator[str]:
    if len(captures) > _MOST_LINES:
        yield f"… {len(captures) - _MOST_LINES} earlier ones"
    for capture in captures[-_MOST_LINES:]:
        yield one_line(capture, is_over=True)


def _findings(captures: Sequence[Capture], notification: Notification) -> Iterator[str]:
    found = [one for one in judge(captures, notification, RULES).verdicts if one.outcome in {"fail", "error"}]
    for one in islice(found, _MOST_FINDINGS):
        place = place_of(one.where)
        yield f"{one.level} {one.rule}: {one.message}" + (f" ({place})" if place else "")
    if len(found) > _MOST_FINDINGS:
        yield f"… and {len(found) - _MOST_FINDINGS} more"
    if not found:
        yield "none"


def _commands(captures: Sequence[Capture]) -> str:
    pieces = exported(captures, ExportFormat.CURL, hide=hidden, count=ExportCount())
    return b"\n".join(pieces).decode("utf-8", "replace").rstrip()
