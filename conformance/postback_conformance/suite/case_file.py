"""A failing case as a file, which `postback conform --replay FILE` and pytest both run again.

JSON, so that events stand in it as they stand in event files: the case, the seed, the notification as it was written,
with its environment variables unresolved, and the steps where the case has some. A case without steps is run again from
the seed. The story is for people and is not read back.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from postback_conformance.errors import ConformanceError
from postback_conformance.ledger.step import MOST_AT_ONCE, Restart, Send, Step
from postback_conformance.suite.case import Case
from postback_conformance.suite.playing import run_steps
from postback_sender.event import decode_event, encode_event
from postback_sender.notification import NotificationSource, parse_notification
from postback_sender.settings_table import did_you_mean

FORMAT: Final = "postback-case/1"
MAX_BYTES: Final = 16 * 1024 * 1024
"""A thousand steps with orders of a few lines each; a generated life takes a hundredth of it."""
MAX_STEPS: Final = 1000
_MOST_MADE: Final = 2000
_MOST_EXAMPLES: Final = 10_000
_LONGEST_SEED: Final = 2**64


class CaseFileError(ConformanceError):
    """A case file that cannot be read or run; names the file, the place and what was expected there."""


class CaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """One failing case: which, with which settings, and what was done to the endpoint, if that was steps."""

    case: str
    seed: int
    max_examples: int
    notification: NotificationSource
    steps: tuple[Step, ...] = ()
    story: str = ""


class _Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step as it is written."""

    do: str
    event: msgspec.Raw = msgspec.Raw()
    made: int = 0
    lost: bool = False
    at_once: int = 1


class _Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A notification as it is written."""

    name: str
    text: str
    files: dict[str, str] = {}


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it is written, before it is understood."""

    format: str
    case: str
    seed: int
    notification: _Source
    max_examples: int = 1
    steps: list[_Step] = []
    story: list[str] = []


def encode_case_file(file: CaseFile) -> bytes:
    """Return the file as indented JSON."""
    source = file.notification
    document: dict[str, Any] = {
        "format": FORMAT,
        "case": file.case,
        "seed": file.seed,
        "max_examples": file.max_examples,
        "story": file.story.splitlines(),
        "notification": {"name": source.name, "text": source.text, "files": source.files},
        "steps": [_written(step) for step in file.steps],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def file_name(file: CaseFile) -> str:
    """Return a name that tells what is in the file, and is a fair one everywhere."""
    return f"{file.case}-{file.seed}.json"


def decode_case_file(data: bytes, *, name: str) -> CaseFile:
    """Return a case file; `name` is for messages.

    Raises `CaseFileError`, and what reading its notification and its events raises.
    """
    if len(data) > MAX_BYTES:
        raise CaseFileError(f"{name}: expected at most {MAX_BYTES >> 20} MiB; this is no case file of the kit")
    try:
        file = msgspec.json.decode(data, type=_File)
    except msgspec.ValidationError as error:
        raise CaseFileError(f"{name}: this is no case file of the kit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CaseFileError(f"{name}: expected JSON, got something else: {error}") from None
    if file.format != FORMAT:
        raise CaseFileError(f"{name}, format: expected {FORMAT}, got {file.format[:40]!r}; another version wrote it")
    _check(name, "seed", file.seed, 0, _LONGEST_SEED)
    _check(name, "max_examples", file.max_examples, 1, _MOST_EXAMPLES)
    if len(file.steps) > MAX_STEPS:
        raise CaseFileError(f"{name}, steps: expected at most {MAX_STEPS}, got {len(file.steps)}")
    source = NotificationSource(name=file.notification.name, text=file.notification.text, files=file.notification.files)
    kinds = parse_notification(source, None).catalogue.kinds if file.steps else ()
    return CaseFile(
        case=file.case,
        seed=file.seed,
        max_examples=file.max_examples,
        notification=source,
        steps=tuple(_read(step, f"{name}, steps, {number}", kinds) for number, step in enumerate(file.steps, 1)),
        story="\n".join(file.story),
    )


def case_of(file: CaseFile, cases: Iterable[Case], *, name: str) -> Case:
    """Return the case of a file, which does the file's steps where it has some; raises `CaseFileError`."""
    known = {each: case for case in cases for each in (case.id, *case.aliases)}
    case = known.get(file.case)
    if case is None:
        hint = did_you_mean(file.case, known)
        raise CaseFileError(f"{name}, case: there is no case {file.case[:80]!r}{hint}; another version may have had it")
    return replace(case, run=partial(run_steps, steps=file.steps)) if file.steps else case


def _written(step: Step) -> dict[str, Any]:
    if isinstance(step, Restart):
        return {"do": "restart"}
    written: dict[str, Any] = {"do": "send", "made": step.made}
    if step.lost:
        written["lost"] = True
    if step.at_once > 1:
        written["at_once"] = step.at_once
    return {**written, "event": msgspec.Raw(encode_event(step.event))}


def _read(step: _Step, place: str, kinds: Iterable[str]) -> Step:
    if step.do == "restart":
        return Restart()
    if step.do != "send":
        raise CaseFileError(f"{place}, do: expected send or restart, got {step.do[:40]!r}")
    if not bytes(step.event):
        raise CaseFileError(f"{place}: expected the key event, got a send without one")
    _check(place, "made", step.made, 0, _MOST_MADE)
    _check(place, "at_once", step.at_once, 1, MOST_AT_ONCE)
    event = decode_event(bytes(step.event), number=1, source=f"{place}, event", kinds=tuple(kinds))
    return Send(event=event, made=step.made, lost=step.lost, at_once=step.at_once)


def _check(place: str, key: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise CaseFileError(f"{place}, {key}: expected a number from {least} to {most}, got {number}")
