"""`Finding`: one thing to mend in a notification, and the kinds of findings there are."""

from typing import Literal

import msgspec

from postback_conformance.judging.verdict import Level

Slot = Literal["url", "body"]
"""Which template of a notification."""


class FindingKind(msgspec.Struct, frozen=True):
    """A kind of finding: its slug is fixed for good, and `docs/lint.md` has a section of that name.

    `MUST`: what is sent can be broken. `SHOULD`: it can be read and cost money all the same. `INFO`: good to know.
    """

    slug: str
    level: Level
    consequence: str


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """A correction: `replacement` for the characters `start` up to `end` of a template's source.

    With `is_secret`, the replacement repeats a part of a secret, and is not for showing.
    """

    slot: Slot
    start: int
    end: int
    replacement: str
    is_secret: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, where, what it leads to in production, and what to write instead.

    `line` and `column` count from 1 and are None for what concerns the notification as a whole. `edits` are there
    when the correction is certain and keeps the meaning; they belong together.
    """

    slug: str
    level: Level
    place: str
    file: str
    line: int | None = None
    column: int | None = None
    message: str
    consequence: str
    advice: str
    edits: tuple[Edit, ...] = ()


def finding_at(
    kind: FindingKind, file: str, place: tuple[int, int], *, message: str, advice: str, edits: tuple[Edit, ...] = ()
) -> Finding:
    """Return a finding at a line and column of a template's source."""
    line, column = place
    return Finding(
        slug=kind.slug,
        level=kind.level,
        place=f"{file}, line {line}, column {column}",
        file=file,
        line=line,
        column=column,
        message=message,
        consequence=kind.consequence,
        advice=advice,
        edits=edits,
    )


def finding_of(kind: FindingKind, place: str, *, message: str, advice: str) -> Finding:
    """Return a finding about a notification, or a template, as a whole."""
    return Finding(
        slug=kind.slug,
        level=kind.level,
        place=place,
        file=place,
        message=message,
        consequence=kind.consequence,
        advice=advice,
    )
