"""`Report`: a judgement as all reports show it. Nothing is decided here, and nothing by what shows it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec.structs import replace

from postback_conformance.judging.baseline import StaleEntry
from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.judge import Judgement, Notifications
from postback_conformance.judging.places import place_of
from postback_conformance.judging.readers import Readers
from postback_conformance.judging.rule import Rule
from postback_conformance.judging.verdict import Level, OutcomeName, Subject, Verdict
from postback_conformance.redaction import Hide, hidden, redacted_target
from postback_conformance.reports.exhibit import Exhibit, exhibit, secrets_of, without_secrets
from postback_conformance.reports.timeline import Timeline
from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.quantities import format_duration

# The worst first: a fault of the kit makes everything else doubtful.
SEVERITY: Final[tuple[OutcomeName, ...]] = ("error", "fail", "inconclusive", "pass", "not_applicable")
LEVELS: Final[tuple[Level, ...]] = ("MUST", "SHOULD", "INFO")

# Of one rule at one endpoint. Nobody reads more of the same; how many there were is said.
MAX_LISTED: Final = 1000
# Of one rule at one endpoint, with the bytes.
MAX_EXHIBITS: Final = 3
# Values may be megabytes long; what is wrong with one is told in its first letters, or not by text at all.
MAX_LETTERS: Final = 2000

SUBJECTS: Final[Mapping[Subject, str]] = {
    "sender": "the sender (the traffic that arrived)",
    "endpoint": "the endpoint (the answers it gave)",
}

NOT_TO_BLAME: Final = "not the sender: the notification's own template, which it filled in"
"""What is said of a finding whose cause is the notification."""


class UnderTest(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint and the settings its captures were judged by; `url` has its secrets hidden.

    The suite sends without delay and retries, whatever a notification says.
    """

    endpoint: str | None
    notification: str
    event: str
    method: str
    url: str
    body_format: str | None
    minimum_delay: str | None
    maximum_requests: str | None
    retry: str


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What was judged, and how: who is under test, where the captures came from, by which settings and profile.

    `failing` are the levels whose failures make `check` fail.
    """

    subject: Subject = "sender"
    source: str
    profile: str = "documented"
    seed: int | None = None
    failing: tuple[Level, ...] = ("MUST",)
    under_test: tuple[UnderTest, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, the action it is about as far as that is known, and what arrived where it is shown.

    `fingerprint` is the same for the same finding in the same captures.
    """

    verdict: Verdict
    action: str | None = None
    exhibit: Exhibit | None = None

    @property
    def fingerprint(self) -> str:
        """What tells this finding from all others, in any run over these captures."""
        one = self.verdict
        return _digest(one.rule, one.endpoint or "", *one.captures[-1:], repr(one.where), one.message)

    @property
    def place_fingerprint(self) -> str:
        """What tells the place of this finding from others, in any traffic to this endpoint."""
        one = self.verdict
        return _digest(one.rule, one.endpoint or "", place_of(one.where))


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Findings of one rule at one endpoint with the same outcome; of very many, only some are `findings`.

    Some of these may be no more than a number of others (`Verdict.count`); `shown` are the rest.
    """

    findings: tuple[Finding, ...]
    count: int

    @property
    def shown(self) -> tuple[Finding, ...]:
        """Those that say something of their own; there is always one."""
        return tuple(one for one in self.findings if one.verdict.count == 1) or self.findings[:1]

    @property
    def first(self) -> Verdict:
        """The verdict that stands for all."""
        return self.shown[0].verdict


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is to show, the worst first.

    `counts` has a number for each outcome; the failures that a baseline excuses are in `excused_count` and not in it.
    `errors` are faults of the kit; `left_out` captures no notification could judge; `evicted` captures the store had
    let go of before anybody looked.
    """

    about: About
    captures: int
    left_out: int
    evicted: int
    counts: Mapping[OutcomeName, int]
    excused_count: int
    errors: tuple[Group, ...]
    failures: tuple[Group, ...]
    excused: tuple[Group, ...]
    stale: tuple[StaleEntry, ...]
    inconclusive: tuple[Group, ...]
    passed: tuple[Group, ...]
    not_applicable: tuple[Group, ...]
    rules: Mapping[str, Rule]
    timeline: Timeline

    @property
    def groups(self) -> tuple[Group, ...]:
        """All of them, the worst first."""
        return (
            *self.errors,
            *self.failures,
            *self.excused,
            *self.inconclusive,
            *self.passed,
            *self.not_applicable,
        )

    @property
    def endpoints(self) -> tuple[str | None, ...]:
        """The endpoints there is a verdict on, in the order of their names."""
        return tuple(sorted({group.first.endpoint for group in self.groups}, key=lambda one: one or ""))


Fetch = Callable[[frozenset[str]], Iterable[Capture]]
"""Returns the captures of these ids, as far as they are still there."""


def make_report(
    judgement: Judgement,
    rules: Iterable[Rule],
    about: About,
    *,
    notifications: Notifications | None = None,
    fetch: Fetch = lambda _: (),
    evicted: int = 0,
    stale: Sequence[StaleEntry] = (),
    timeline: Timeline | None = None,
    hide: Hide | None = hidden,
) -> Report:
    """Return the report of a judgement; `fetch` brings the captures to show, and None for `hide` shows secrets."""
    about = replace(about, source=_whole(about.source))
    if notifications is not None and not about.under_test:
        about = replace(about, under_test=tuple(_under_test(notifications, about.subject)))
    verdicts = judgement.verdicts
    listed, counts = _listed(verdicts)
    findings = _findings(listed, fetch, notifications, hide)
    groups: dict[tuple[OutcomeName, bool], list[Group]] = {}
    for key, count in counts.items():
        outcome, is_excused, _, _ = key
        group = Group(findings=tuple(findings[key]), count=count)
        groups.setdefault((outcome, is_excused), []).append(group)
    for one in groups.values():
        one.sort(key=_badness)

    def of(outcome: OutcomeName, *, is_excused: bool = False) -> tuple[Group, ...]:
        return tuple(groups.get((outcome, is_excused), ()))

    excused = of("fail", is_excused=True)
    return Report(
        about=about,
        captures=judgement.captures,
        left_out=judgement.left_out,
        evicted=evicted,
        counts={outcome: sum(group.count for group in of(outcome)) for outcome in SEVERITY},
        excused_count=sum(group.count for group in excused),
        errors=of("error"),
        failures=of("fail"),
        excused=excused,
        stale=tuple(stale),
        inconclusive=of("inconclusive"),
        passed=of("pass"),
        not_applicable=of("not_applicable"),
        rules={rule.id: rule for rule in rules},
        timeline=timeline or Timeline(),
    )


_Key = tuple[OutcomeName, bool, str, str | None]


def _listed(verdicts: Iterable[Verdict]) -> tuple[dict[_Key, list[Verdict]], dict[_Key, int]]:
    """Return the first verdicts of each outcome, rule and endpoint, and how many there are of each."""
    listed: dict[_Key, list[Verdict]] = {}
    counts: dict[_Key, int] = {}
    for verdict in verdicts:
        key = (verdict.outcome, bool(verdict.baseline), verdict.rule, verdict.endpoint)
        counts[key] = counts.get(key, 0) + verdict.count
        alike = listed.setdefault(key, [])
        if len(alike) < MAX_LISTED:
            alike.append(_presentable(verdict))
    return listed, counts


def _findings(
    listed: Mapping[_Key, list[Verdict]], fetch: Fetch, notifications: Notifications | None, hide: Hide | None
) -> dict[_Key, list[Finding]]:
    """Return the verdicts with what their last capture tells: the action, the bytes, the secrets not to repeat."""
    findings = {key: [Finding(verdict=verdict) for verdict in verdicts] for key, verdicts in listed.items()}
    wanted: dict[str, list[tuple[_Key, int]]] = {}
    for key, verdicts in listed.items():
        for index, verdict in enumerate(verdicts):
            if key[0] != "pass" and verdict.captures:
                wanted.setdefault(verdict.captures[-1], []).append((key, index))
    if not wanted:
        return findings
    readers: dict[str | None, Readers] = {}
    for capture in fetch(frozenset(wanted)):
        secrets = frozenset[str]() if hide is None else secrets_of(capture)
        for key, index in wanted.get(capture.id, ()):
            verdict = findings[key][index].verdict
            if hide is not None and secrets:
                verdict = _without_secrets(verdict, secrets, hide)
            findings[key][index] = Finding(
                verdict=verdict,
                action=_action_of(capture, verdict.endpoint, notifications, readers),
                exhibit=exhibit(capture, verdict.where, hide)
                if index < MAX_EXHIBITS and key[0] in {"fail", "error"}
                else None,
            )
    return findings


def _presentable(verdict: Verdict) -> Verdict:
    """Return a verdict with texts of a bounded length that every format can write, half characters spelt out."""
    texts = {name: getattr(verdict, name) for name in ("message", "expected", "actual")}
    shown = {name: _short(_whole(text)) for name, text in texts.items()}
    return verdict if shown == texts else replace(verdict, **shown)


def _short(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"{text[:MAX_LETTERS]}… ({len(text)} letters)"


def _whole(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _without_secrets(verdict: Verdict, secrets: frozenset[str], hide: Hide) -> Verdict:
    return replace(
        verdict,
        message=without_secrets(verdict.message, secrets, hide),
        expected=without_secrets(verdict.expected, secrets, hide),
        actual=without_secrets(verdict.actual, secrets, hide),
    )


def _action_of(
    capture: Capture, endpoint: str | None, notifications: Notifications | None, readers: dict[str | None, Readers]
) -> str | None:
    notification = notifications if isinstance(notifications, Notification) else (notifications or {}).get(endpoint)
    if notification is None or capture.malformed is not None:
        return None
    if endpoint not in readers:
        readers[endpoint] = Readers(notification)
    value = Evidence(notification, capture, readers[endpoint]).value("ActionId")
    return _short(_whole(value.text)) if value is not None and value.text else None


def _badness(group: Group) -> tuple[int, str, str]:
    first = group.first
    return LEVELS.index(first.level), first.rule, first.endpoint or ""


def _under_test(notifications: Notifications, subject: Subject) -> Iterator[UnderTest]:
    several = {None: notifications} if isinstance(notifications, Notification) else notifications
    for endpoint, one in sorted(several.items(), key=lambda item: item[0] or ""):
        rate, has_delays = one.maximum_requests, subject == "sender"
        yield UnderTest(
            endpoint=endpoint,
            notification=one.name,
            event=one.event,
            method=one.method,
            url=redacted_target(one.url.source),
            body_format=one.body_format if one.body is not None else None,
            minimum_delay=format_duration(one.minimum_delay_ns) if one.minimum_delay_ns and has_delays else None,
            maximum_requests=f"{rate} ({one.maximum_requests_scope})" if rate else None,
            retry=one.retry.name if has_delays else "none",
        )


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
