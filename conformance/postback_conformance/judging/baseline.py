"""Known findings that do not fail a check: each with a reason, and a date after which it fails again.

A baseline is TOML, written once by the kit and edited by people. An entry names a rule, and may name the endpoint, the
place (`places.place_of`) and the wording (`places.wording_of`), which stay the same from one run to the next; captures
have new ids in every run.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta

import msgspec
import tomlkit
from msgspec.structs import replace

from postback_conformance.judging.judge import Judgement
from postback_conformance.judging.places import place_of, wording_of
from postback_conformance.judging.rule import Rule
from postback_conformance.judging.selection import find_rule
from postback_conformance.judging.tally import COUNTED
from postback_conformance.judging.verdict import Verdict
from postback_sender.settings_table import NotificationError, decode_table, read_toml

MOST_DAYS = 90
"""How long an entry written by the kit excuses, unless somebody changes its date."""

_HEAD = """\
Findings that `postback check --baseline` excuses. Give each its reason; after the day `expires` it fails again.
`endpoint`, `where` and `message` may be left out, and then mean any.
In `message`, * stands for what differs each time. `count` is how many an entry excuses where they were only counted."""

_RENEWED = re.compile(r" \(its day was [0-9-]{10}; renewed on [0-9-]{10}\)\Z")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a baseline. What it leaves out may be anything; without `expires` it excuses for ever.

    `message` is the wording of a finding that has no place, by which the kit tells it from others of its rule. Of
    findings that were only counted it excuses no more than `count`, since nobody knows what they are.
    """

    rule: str
    reason: str
    endpoint: str | None = None
    where: str | None = None
    message: str | None = None
    count: int | None = None
    expires: date | None = None

    def fits(self, verdict: Verdict) -> bool:
        """Tell whether it speaks of a finding, whatever the day."""
        return (
            self.rule == verdict.rule
            and self.endpoint in {None, verdict.endpoint}
            and self.where in {None, place_of(verdict.where)}
            and (self.message is None or self.message == wording_of(verdict.message))
        )

    def has_expired(self, today: date) -> bool:
        """Tell whether its last day is over."""
        return self.expires is not None and today > self.expires


class StaleEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that excused nothing: what it names, the reason it gives, and why it is stale."""

    rule: str
    endpoint: str | None = None
    reason: str = ""
    why: str = ""


class Baseline:
    """The entries of a file, in its order; the first that fits a finding and has not expired excuses it."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self._by_rule: dict[str, list[Entry]] = {}
        for entry in self.entries:
            self._by_rule.setdefault(entry.rule, []).append(entry)

    def applied(self, verdict: Verdict, today: date) -> Verdict:
        """Return a finding with the reason that excuses it, or with the day on which its excuse ended."""
        fitting = self._fitting(verdict)
        if not fitting:
            return verdict
        valid = _valid(fitting, today)
        if valid is not None:
            return replace(verdict, baseline=valid.reason)
        latest = max(entry.expires for entry in fitting if entry.expires is not None)
        return replace(verdict, message=f"{verdict.message} (excused by the baseline until {latest}, which is over)")

    def judgement(self, judgement: Judgement, today: date) -> Judgement:
        """Return a judgement in which known findings are excused; of those that were only counted, the known number."""
        return replace(
            judgement, verdicts=tuple(part for verdict in judgement.verdicts for part in self._parts(verdict, today))
        )

    def _parts(self, verdict: Verdict, today: date) -> tuple[Verdict, ...]:
        applied = self.applied(verdict, today)
        valid = _valid(self._fitting(verdict), today)
        if valid is None or valid.count is None or verdict.count <= valid.count:
            return (applied,)
        beyond = replace(
            verdict,
            message=f"{verdict.message}; the baseline excuses only {valid.count} of them",
            count=verdict.count - valid.count,
        )
        return (replace(applied, count=valid.count), beyond) if valid.count > 0 else (beyond,)

    def stale(
        self, verdicts: Sequence[Verdict], endpoints: Collection[str | None] | None = None
    ) -> tuple[StaleEntry, ...]:
        """Return the entries whose finding is gone for sure; where nobody could tell, nothing is said of them.

        `endpoints` are all there are, None for whoever does not know: an entry for any other excuses nothing.
        """
        by_rule: dict[str, list[Verdict]] = {}
        for verdict in verdicts:
            by_rule.setdefault(verdict.rule, []).append(verdict)
        return tuple(
            StaleEntry(rule=entry.rule, endpoint=entry.endpoint, reason=entry.reason, why=why)
            for entry in self.entries
            if (why := _why_stale(entry, by_rule.get(entry.rule, ()), endpoints))
        )

    def renewals(self, verdicts: Iterable[Verdict], today: date) -> tuple[Entry, ...]:
        """Return the entries whose day is over and whose finding is still there, excused by no other."""
        found: dict[int, Entry] = {}
        for verdict in verdicts:
            fitting = self._fitting(verdict)
            if fitting and all(entry.has_expired(today) for entry in fitting):
                found[id(fitting[0])] = fitting[0]
        return tuple(found.values())

    def excuse(self, verdict: Verdict, today: date) -> Entry | None:
        """Return the entry to write for a finding: the one that excuses it, or one whose day is over, renewed."""
        fitting = self._fitting(verdict)
        if not fitting:
            return None
        valid = _valid(fitting, today)
        entry = valid or fitting[0]
        count = None if entry.count is None else max(entry.count, verdict.count)
        if valid is not None:
            return replace(entry, count=count)
        reason = f"{_RENEWED.sub('', entry.reason)} (its day was {entry.expires}; renewed on {today})"
        return replace(entry, reason=reason, count=count, expires=today + timedelta(days=MOST_DAYS))

    def _fitting(self, verdict: Verdict) -> list[Entry]:
        entries = self._by_rule.get(verdict.rule, ()) if verdict.outcome == "fail" else ()
        return [entry for entry in entries if entry.fits(verdict)]


def read_baseline(text: str, rules: Iterable[Rule], *, name: str) -> Baseline:
    """Return the baseline of a TOML text.

    Raises `NotificationError` for what is no baseline, `SelectionError` for a rule that does not exist.
    """
    rules = tuple(rules)
    file = decode_table(read_toml(text, name=name), _File, path="", text=text, name=name)
    entries = (decode_table(table, Entry, path="excused", text=text, name=name) for table in file.excused)
    # A rule that was renamed is still the same rule.
    return Baseline(replace(_with_reason(entry, name), rule=find_rule(rules, entry.rule).id) for entry in entries)


def written_baseline(verdicts: Iterable[Verdict], today: date, known: Baseline | None = None) -> str:
    """Return the TOML of a baseline that excuses every finding; entries of `known` that excuse one stay as they are.

    Those whose day is over keep their reason and say that they were renewed (`Baseline.renewals` names them).
    """
    entries: dict[tuple[str | None, ...], Entry] = {}
    for verdict in verdicts:
        if verdict.outcome != "fail":
            continue
        place = place_of(verdict.where)
        entry = (known.excuse(verdict, today) if known else None) or Entry(
            rule=verdict.rule,
            endpoint=verdict.endpoint,
            where=place or None,
            # Without a place it would excuse everything else of its rule, too.
            message=None if place else wording_of(verdict.message),
            count=verdict.count if verdict.message.endswith(COUNTED) and not place else None,
            reason=f"found on {today}: {verdict.message}",
            expires=today + timedelta(days=MOST_DAYS),
        )
        entries.setdefault((entry.rule, entry.endpoint, entry.where, entry.message), entry)
    document = tomlkit.document()
    for line in _HEAD.splitlines():
        document.add(tomlkit.comment(line))
    document.add(tomlkit.nl())
    tables = tomlkit.aot()
    for entry in entries.values():
        table = tomlkit.table()
        for key, value in _filled(entry).items():
            table.add(key, value)
        tables.insert(len(tables), table)
    if entries:
        document.add("excused", tables)
    return tomlkit.dumps(document)


class _File(msgspec.Struct, frozen=True, kw_only=True):
    excused: tuple[dict[str, object], ...] = ()


def _valid(fitting: Iterable[Entry], today: date) -> Entry | None:
    return next((entry for entry in fitting if not entry.has_expired(today)), None)


def _filled(entry: Entry) -> Mapping[str, str | int | date]:
    keys = ("rule", "endpoint", "where", "message", "count", "reason", "expires")
    return {key: value for key in keys if (value := getattr(entry, key)) is not None}


def _with_reason(entry: Entry, name: str) -> Entry:
    if not entry.reason.strip():
        raise NotificationError(f"{name}: the entry for {entry.rule} has an empty reason; say why it is excused")
    return entry


def _why_stale(entry: Entry, verdicts: Sequence[Verdict], endpoints: Collection[str | None] | None) -> str:
    if verdicts and endpoints is not None and entry.endpoint is not None and entry.endpoint not in endpoints:
        return "there is no such endpoint here"
    return "it no longer fails" if _is_gone(entry, verdicts) else ""


def _is_gone(entry: Entry, verdicts: Sequence[Verdict]) -> bool:
    about = [one for one in verdicts if entry.endpoint in {None, one.endpoint}]
    # Where somebody could not tell, or there was nothing to test, the finding may still be there.
    return bool(about) and not any(one.outcome not in {"pass", "fail"} or _may_fit(entry, one) for one in about)


def _may_fit(entry: Entry, verdict: Verdict) -> bool:
    return verdict.outcome == "fail" and (entry.fits(verdict) or verdict.count > 1)
