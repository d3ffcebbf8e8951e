"""Judges captures inside a test: the same judge, rules and words as `postback check`, with an assertion at the end."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from postback_conformance.judging.judge import Judgement, judge
from postback_conformance.judging.places import place_of
from postback_conformance.judging.rule import Profile
from postback_conformance.judging.selection import select
from postback_conformance.judging.verdict import Level, Verdict
from postback_conformance.rules import RULES
from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.notification_file import load_notification

_MOST_TOLD = 20


def assert_conforms(
    captures: Iterable[Capture],
    notification: Notification | str | Path,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    profile: Profile = "documented",
    fail_on: Level = "MUST",
) -> Judgement:
    """Judge captures by a notification or its file; AssertionError names the findings of the level `fail_on` or above.

    Raises `SelectionError` when `only` and `skip` leave no rule, and AssertionError when there is nothing to judge or a
    rule itself failed.
    """
    settings = notification if isinstance(notification, Notification) else load_notification(Path(notification), None)
    judgement = judge(captures, settings, select(RULES, only=only, skip=skip), profile=profile)
    if not judgement.captures:
        raise AssertionError("there is no capture to judge")
    levels: tuple[Level, ...] = ("MUST", "SHOULD", "INFO")
    counted = levels[: levels.index(fail_on) + 1]
    bad = [
        one for one in judgement.verdicts if one.outcome == "error" or (one.outcome == "fail" and one.level in counted)
    ]
    if bad:
        more = [f"… and {len(bad) - _MOST_TOLD} more"] if len(bad) > _MOST_TOLD else []
        raise AssertionError(
            "\n".join([f"{len(bad)} findings in {judgement.captures} captures:", *map(_told, bad[:_MOST_TOLD]), *more])
        )
    return judgement


def _told(verdict: Verdict) -> str:
    about = ", ".join(filter(None, (place_of(verdict.where), *(one[:8] for one in verdict.captures[-1:]))))
    return f"  ✗ {verdict.rule} {verdict.level}: {verdict.message}" + (f" ({about})" if about else "")
