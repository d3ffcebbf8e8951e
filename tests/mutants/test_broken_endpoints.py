"""Each broken endpoint is caught by the case made for it, and correct ones by none."""

import pytest

from broken_books import Books, PutsOffWhatItCannotPlace, RefusesDuplicates
from broken_endpoints import ENDPOINTS, BrokenEndpoint
from hand_made_endpoint import HandMade
from partner_endpoint import (
    FORM_SETTINGS,
    GET_SETTINGS,
    JSON_SETTINGS,
    XML_SETTINGS,
    FormPartner,
    GetPartner,
    Partner,
    XmlPartner,
    conform,
)
from postback_conformance.suite.catalogue import CASES
from postback_sender.quantities import NANOSECONDS_PER_SECOND

# Cheap, and of every kind. `python tests/support/kill_matrix.py --try` tries all.
QUICK = (
    "accepts.empties",
    "accepts.header-case",
    "accepts.text-kept",
    "rejects.malformed-body",
    "rejects.missing-secret",
    "state.duplicate",
    "state.reversal",
    "recovery.resend",
)
DRAWING = ("accepts.generated", "state.life-cycles")
OTHERS = [case.id for case in CASES if case.id not in DRAWING]
CORRECT: tuple[tuple[type[Partner], str], ...] = (
    (Partner, JSON_SETTINGS),
    (XmlPartner, XML_SETTINGS),
    (FormPartner, FORM_SETTINGS),
    (GetPartner, GET_SETTINGS),
    (Books, JSON_SETTINGS),
    (HandMade, JSON_SETTINGS),
    (RefusesDuplicates, JSON_SETTINGS),
    (PutsOffWhatItCannotPlace, JSON_SETTINGS),
)


@pytest.fixture(autouse=True)
def _a_search_ends_with_its_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how short a way it finds is no matter here."""
    monkeypatch.setattr("postback_conformance.suite.life_cycles._QUICK_NS", 60 * NANOSECONDS_PER_SECOND)
    for name in ("_QUICKLY_SHRINKS_FOR_NS", "_SHORTENS_FOR_NS"):
        monkeypatch.setattr(f"postback_conformance.suite.life_cycles.{name}", NANOSECONDS_PER_SECOND // 10)


@pytest.mark.parametrize("endpoint", [pytest.param(one, id=one.wrong.replace(" ", "-")) for one in ENDPOINTS])
def test_a_broken_endpoint_is_caught_by_the_case_made_for_it(endpoint: BrokenEndpoint) -> None:
    """And by no other that is not named, as far as a few cases of every kind can tell."""
    cases = {endpoint.caught_by} if endpoint.shown_once else {endpoint.caught_by, *QUICK}
    verdicts = conform(endpoint.kind(), endpoint.settings, only=sorted(cases), max_examples=5)
    findings = [one for one in verdicts if one.outcome == "fail"]
    assert {one.rule for one in findings} == {endpoint.caught_by, *endpoint.also} & cases
    assert all(one.message and one.expected and one.actual and one.fix for one in findings)


@pytest.mark.parametrize("seed", range(20))
def test_a_correct_endpoint_fails_nothing(seed: int) -> None:
    """The cases that draw with every seed, and each of the others with one."""
    kind, settings = CORRECT[seed % len(CORRECT)]
    cases = [*DRAWING, *OTHERS[seed::20]]
    verdicts = conform(kind(), settings, only=cases, seed=seed, max_examples=1)
    assert [one for one in verdicts if one.outcome not in {"pass", "not_applicable"}] == []
    assert all(one.outcome == "pass" for one in verdicts if one.rule in DRAWING)
