"""Which requests come again, and how often."""

from collections.abc import Iterator

from postback_conformance.rule import Rule, Source, StreamCheck
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example
from postback_conformance.rules.resends import Resends, undecided
from postback_conformance.verdict import Fail, Inconclusive, NotApplicable, Outcome, Pass
from postback_receiver import Capture
from postback_sender.delivery.retry import Failure
from postback_sender.notification import Notification

_TROUBLESHOOTING = "help centre, Test and troubleshoot a postback URL"


class _OnlyAfterError(StreamCheck):
    """Asks of every repeat whether the answer before it was one the notification's profile retries."""

    def __init__(self, notification: Notification) -> None:
        super().__init__(notification)
        self._resends = Resends(notification)

    def see(self, capture: Capture) -> Iterator[Outcome]:
        resend = self._resends.see(capture)
        if resend is None:
            yield NotApplicable(why="no request came twice")
        elif resend.after_success:
            # An action that went from 10 to 0 and back to 10 yields the same bytes again, honestly.
            yield Inconclusive(
                why="the same bytes came again after a success: a resend, or an action back in an earlier state",
                captures=(resend.previous_id, capture.id),
            )
        elif self.notification.retry.retries(Failure.ANSWER, resend.previous_status):
            yield Pass()
        elif not resend.is_certain:
            yield undecided(resend, capture)
        else:
            yield Fail(
                message=f"sent again after an answer of {resend.previous_status}",
                expected=f"no retry after {resend.previous_status}, by the profile {self.notification.retry.name}",
                actual="the same bytes again",
                captures=(resend.previous_id, capture.id),
            )


class _RetryCount(StreamCheck):
    """Counts the repeats of every request against the longest schedule there is."""

    def __init__(self, notification: Notification) -> None:
        super().__init__(notification)
        self._resends = Resends(notification)

    def see(self, capture: Capture) -> Iterator[Outcome]:
        resend = self._resends.see(capture)
        allowed = len(self.notification.retry.delays_ns)
        if resend is None or resend.after_success:
            yield NotApplicable(why="nothing was sent again after an error")
        elif resend.number <= allowed:
            yield Pass()
        elif not resend.is_certain:
            yield undecided(resend, capture)
        else:
            yield Fail(
                message=f"the same request came {resend.number + 1} times",
                expected=f"at most {allowed} retries, by the profile {self.notification.retry.name}",
                actual=f"{resend.number} retries",
                captures=(resend.previous_id, capture.id),
            )


_PROFILE = JSON_SETTINGS + 'retry = "help-centre"\n'
_TWICE = JSON_SETTINGS + "retry = [0.1]\n"

RULES = (
    Rule(
        id="delivery.retry-only-after-error",
        level="MUST",
        requirement="A request is sent again only after an answer, or a silence, that the retry profile retries.",
        needs="the same bytes at least twice, and what the first was answered",
        fix="Keep your endpoint idempotent: the same postback may come again for reasons nobody can see.",
        sources=(
            Source(document=_TROUBLESHOOTING, section="retries: not for 400 to 500"),
            Source(document="impact.com OpenAPI, event notifications v16", section="any answer but 2xx is retried"),
        ),
        start=_OnlyAfterError,
        passing=example(_PROFILE, capture(b"{}", status=503), capture(b"{}", at_s=1)),
        failing=example(_PROFILE, capture(b"{}", status=404), capture(b"{}", at_s=1)),
    ),
    Rule(
        id="delivery.retry-count",
        level="MUST",
        requirement="A request is retried no more often than the retry profile allows.",
        needs="a request that was sent again after an error answer",
        fix="Alert on error answers: after the last retry the postback is lost, and the API has to be asked.",
        sources=(Source(document=_TROUBLESHOOTING, section="at most 15 retries"),),
        start=_RetryCount,
        passing=example(_TWICE, capture(b"{}", status=503), capture(b"{}", at_s=1)),
        failing=example(_TWICE, *(capture(b"{}", status=503, at_s=at_s) for at_s in (0, 1, 2))),
    ),
)
