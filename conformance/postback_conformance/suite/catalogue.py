"""All cases of the suite, in the order in which they run."""

from typing import Final

from postback_conformance.suite import accepts, http_ways, kept, latency, life_cycles, recovery, rejects, state
from postback_conformance.suite.case import Case, case_catalogue

CASES: Final[tuple[Case, ...]] = case_catalogue(
    accepts.CASES,
    kept.CASES,
    http_ways.CASES,
    rejects.CASES,
    state.CASES,
    life_cycles.CASES,
    latency.CASES,
    recovery.CASES,
)
