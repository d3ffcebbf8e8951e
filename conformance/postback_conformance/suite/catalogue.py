"""All cases of the suite, in the order in which they run."""

from typing import Final

from postback_conformance.suite import accepts, latency, recovery, rejects, state
from postback_conformance.suite.case import Case, case_catalogue

CASES: Final[tuple[Case, ...]] = case_catalogue(
    accepts.CASES, rejects.CASES, state.CASES, latency.CASES, recovery.CASES
)
