"""What things are called in a report, by who is under test: traffic is judged by rules, an endpoint is put to cases."""

from collections.abc import Mapping
from typing import Final

import msgspec

from postback_conformance.judging.verdict import Subject
from postback_conformance.printable import counted


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """The nouns of a report. `tested` is what a verdict is on, `evidence` what it rests on, both in the singular.

    `everything` stands where a path would, when there is one endpoint only.
    """

    command: str
    tested: str
    broken: str
    unbroken: str
    evidence: str
    origin: str
    everything: str
    undecided: str

    def profile(self, name: str) -> str:
        """Return which profile was judged by, with a comma before it, where there is one to choose."""
        return f", profile {name}" if self.tested == "rule" else ""


WORDINGS: Final[Mapping[Subject, Wording]] = {
    "sender": Wording(
        command="check",
        tested="rule",
        broken="broken",
        unbroken="No rule was broken",
        evidence="capture",
        origin="from",
        everything="all captures",
        undecided="The rule applies, and what was captured does not tell. This is neither a pass nor a failure.",
    ),
    "endpoint": Wording(
        command="conform",
        tested="case",
        broken="failed",
        unbroken="No case failed",
        evidence="request",
        origin="to",
        everything="the endpoint",
        undecided="The case was not tried to its end, or the probe did not tell. This is no pass.",
    ),
}


def wording(subject: Subject) -> Wording:
    """Return what things are called in a report on this subject."""
    return WORDINGS[subject]


def not_judged(count: int) -> str:
    """Return how many captures nobody judged, and why."""
    were, them = ("was", "it") if count == 1 else ("were", "them")
    return f"{counted(count, 'capture')} {were} not judged: no endpoint with settings took {them}"


def evicted(count: int) -> str:
    """Return how many captures a store had let go of."""
    return f"{counted(count, 'capture')} had been evicted from the store before"
