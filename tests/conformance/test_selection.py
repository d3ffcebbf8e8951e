"""A selection of rules is what its patterns say; one that says nothing is an error with the nearest id."""

import pytest

from postback_conformance.errors import SelectionError
from postback_conformance.judging.selection import find_rule, select
from postback_conformance.rules import RULES


def ids(*, only: tuple[str, ...] = (), skip: tuple[str, ...] = ()) -> list[str]:
    return [rule.id for rule in select(RULES, only=only, skip=skip)]


def test_without_patterns_every_rule_is_used() -> None:
    assert select(RULES) == RULES


def test_patterns_select_and_skip() -> None:
    headers = [rule.id for rule in RULES if rule.id.startswith("header.")]
    assert "header.content-type" in headers
    assert ids(only=("http.method", "header.*")) == [*headers, "http.method"]
    assert ids(only=("h*",), skip=("*.method", "header.*", "*.unknown-*")) == ["http.repeated-parameter", "http.target"]
    assert set(ids(skip=("body.*",))) == {rule.id for rule in RULES if not rule.id.startswith("body.")}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "body.json.welformed",
            "no rule is called 'body.json.welformed' (did you mean body.json.well-formed or body.xml.well-formed",
        ),
        ("HTTP.METHOD", "no rule is called 'HTTP.METHOD'; `postback rules list` has all"),
        ("zzz*", "no rule is called 'zzz*'; `postback rules list` has all"),
        ("", "no rule is called ''; `postback rules list` has all"),
    ],
)
@pytest.mark.parametrize("where", ["only", "skip"])
def test_a_pattern_that_matches_nothing_is_an_error(pattern: str, message: str, where: str) -> None:
    """Also beside one that matches, and also when it is only to be skipped."""
    with pytest.raises(SelectionError) as caught:
        select(RULES, **{where: ["http.*", pattern]})
    assert str(caught.value).startswith(message)


def test_a_selection_that_leaves_nothing_is_an_error() -> None:
    with pytest.raises(SelectionError, match="leaves no rule"):
        select(RULES, only=["http.*"], skip=["http.*"])


def test_a_rule_is_found_by_its_whole_id_only() -> None:
    assert find_rule(RULES, "http.method").id == "http.method"
    with pytest.raises(
        SelectionError, match=r"no rule is called 'http\.metod' \(did you mean http\.method or http\.target\?\)"
    ):
        find_rule(RULES, "http.metod")
    with pytest.raises(SelectionError):
        find_rule(RULES, "http.*")
