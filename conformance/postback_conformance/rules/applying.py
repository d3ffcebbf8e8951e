"""Rules for which not every notification has something to test: that is told once, and not with every capture."""

from collections.abc import Callable

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.rule import CaptureTest, Check, EachCapture
from postback_conformance.judging.verdict import NotApplicable
from postback_sender.notification import BodyFormat, Notification

WhyNot = Callable[[Notification], str]
"""Returns why a notification has nothing to test, empty when it has."""


class NothingToTest(EachCapture):
    """The check of a rule that has nothing to say about whatever a notification sends."""

    def __init__(self, why: str) -> None:
        self.outcome = NotApplicable(why=why, by_settings=True)
        super().__init__(self._tell)

    def _tell(self, _evidence: Evidence) -> NotApplicable:
        return self.outcome


def where_it_applies(why_not: WhyNot, test: CaptureTest) -> Callable[[Notification], Check]:
    """Return the check that tests every capture by itself, for notifications that have something to test."""

    def start(notification: Notification) -> Check:
        why = why_not(notification)
        return NothingToTest(why) if why else EachCapture(test)

    return start


def no_body(notification: Notification) -> str:
    """Return why a rule about bodies does not apply, empty when it does."""
    return "" if notification.body is not None else "the notification has no body"


def no_body_in(*formats: BodyFormat) -> WhyNot:
    """Return what tells why a rule about bodies of these formats does not apply."""

    def why_not(notification: Notification) -> str:
        has_one = notification.body is not None and notification.body_format in formats
        return "" if has_one else f"the notification has no {' or '.join(formats)} body"

    return why_not
