"""How long after its event a postback arrives. Documents promise it for two kinds, and call the others real time."""

from postback_conformance.judging.clocks import skew_ns, wall_ns
from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.rule import Check, Rule, StreamCheck
from postback_conformance.judging.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.rules.applying import NothingToTest
from postback_conformance.rules.delivery_sources import INQUIRY_FAQ, PRODUCT_DATA_FAQ
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example
from postback_conformance.rules.fact_sources import NOTIFICATIONS_API
from postback_sender.notification import Notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND, format_duration

_MINUTE_NS = 60 * NANOSECONDS_PER_SECOND
# What is promised of inquiries, and asked of everything that is called real time; and of changed products.
_LIMIT_NS = 15 * _MINUTE_NS
# The dates of each kind, the one that says most about when impact.com knew of it first.
_DATES = {
    "action_lifecycle": ("CreationDate", "EventDate"),
    "action_clearing": ("ClearedDate",),
    "action_inquiry": ("ResolutionDate", "CreationDate"),
}
_MIDNIGHT = "T00:00:00"
_NOT_FIRST = (NotApplicable(why="it is not the first about its action, and nothing tells when that was changed"),)


def _latency(notification: Notification) -> Check:
    kind = notification.catalogue.kinds.get(notification.event)
    dates = _DATES.get(kind.like or "", ()) if kind else ()
    if not dates:
        return NothingToTest("nothing in such a notification tells when its event happened")
    return _Latency(notification, dates)


class _Latency(StreamCheck):
    """Blames what is late where something before it was in time: replayed traffic is old as a whole."""

    def __init__(self, notification: Notification, dates: tuple[str, ...]) -> None:
        super().__init__(notification)
        self._dates = dates
        self._limit_ns = _LIMIT_NS + notification.minimum_delay_ns
        self._needs_first = "EventDate" in dates
        # The run of a receiver in which something was in time: what came while none was running comes late after it.
        self._timely_run: str | None = None

    def see(self, evidence: Evidence) -> tuple[Outcome, ...]:
        texts = evidence.texts
        token = next((name for name in self._dates if texts.get(name)), None)
        if token is None:
            return (_NO_DATE if self._dates[-1] in texts else evidence.without(self._dates[-1]),)
        if evidence.resend is not None or (self._needs_first and not _is_first(evidence)):
            return _NOT_FIRST
        return (self._judged(evidence, token),)

    def _judged(self, evidence: Evidence, token: str) -> Outcome:
        capture, text = evidence.capture, evidence.texts[token]
        happened_ns = wall_ns(text)
        if happened_ns is None:
            return Inconclusive(why=f"the date does not say when: {text[:40]!r}", captures=(capture.id,))
        waited_ns = capture.received_at_ns - happened_ns
        if waited_ns <= self._limit_ns:
            self._timely_run = capture.run
            return PASS
        minutes = f"{waited_ns / _MINUTE_NS:.0f} minutes"
        message = f"arrived {minutes} after {{{token}}}, which is {text}"
        if why := self._excuse(evidence, token, waited_ns):
            return Inconclusive(why=f"{message}: {why}", captures=(capture.id,))
        return Fail(
            message=message,
            expected=f"at most {format_duration(self._limit_ns)} after it",
            actual=minutes,
            captures=(capture.id,),
            where=evidence.values[token].where,
        )

    def _excuse(self, evidence: Evidence, token: str, waited_ns: int) -> str:
        """Return what else than a late postback it may be, empty when it can be nothing else."""
        if token == "EventDate" or _MIDNIGHT in evidence.texts[token]:
            return "late, or known to impact.com only later, as when a brand reports its sales once a day"
        if self._timely_run != evidence.capture.run:
            return "late, or sent again long after, as nothing before it was in time either"
        if waited_ns <= self._limit_ns + skew_ns(evidence):
            return "late, or by clocks of two machines that do not agree"
        return ""


def _is_first(evidence: Evidence) -> bool:
    """Tell whether it may be of the creation of its action; a later update has the date of the creation, too."""
    history = evidence.history
    return history is not None and history.before is None and history.now.begins


_NO_DATE = NotApplicable(why="the date is empty")
_CREATED = JSON_SETTINGS.replace("{EventDate}", "{CreationDate}")
_AFTER_SECONDS = b'{"id": "1.2.3", "date": "2026-05-11T00:07:27+03:00"}'
_AFTER_HOURS = b'{"id": "1.2.4", "date": "2026-05-10T20:07:27+03:00"}'

RULES = (
    Rule(
        id="delivery.latency",
        # One document has fifteen minutes for inquiries, one ten for products, a third no number: real time.
        level="INFO",
        strict="SHOULD",
        requirement="A postback arrives within 15 minutes of what it tells of, the minimum delay apart.",
        needs="the first postback about an action, with {CreationDate} or {ClearedDate}, and another before it in time",
        fix="Do not wait for postbacks to be in time; ask the API for what is missing. A brand may report late, too.",
        sources=(
            INQUIRY_FAQ(section="within 15 minutes"),
            PRODUCT_DATA_FAQ(section="within 10 minutes"),
            NOTIFICATIONS_API(section="in real time"),
        ),
        start=_latency,
        remembers=("resends", "actions"),
        passing=example(_CREATED, capture(_AFTER_SECONDS)),
        failing=example(_CREATED, capture(_AFTER_SECONDS), capture(_AFTER_HOURS, at_s=1)),
    ),
)
