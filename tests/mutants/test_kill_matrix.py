"""Nothing judges that has not caught anything; the page says what the table says."""

from collections import Counter
from pathlib import Path

from broken_endpoints import ENDPOINTS
from broken_senders import SENDERS
from kill_matrix import page
from postback_conformance.rules import RULES
from postback_conformance.suite.catalogue import CASES

PAGE = Path(__file__).parents[2] / "docs" / "kill-matrix.md"


def test_every_rule_was_made_for_a_broken_network() -> None:
    assert {one.caught_by for one in SENDERS} == {rule.id for rule in RULES}


def test_every_case_was_made_for_a_broken_endpoint() -> None:
    assert {one.caught_by for one in ENDPOINTS} == {case.id for case in CASES}


def test_no_two_of_them_are_told_in_the_same_words() -> None:
    told = Counter([*(one.wrong for one in SENDERS), *(one.wrong for one in ENDPOINTS)])
    assert [wrong for wrong, count in told.items() if count > 1] == []


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"
