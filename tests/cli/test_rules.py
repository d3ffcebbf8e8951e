"""`rules`: the list with its filters, and everything about one rule, for people, programs and pages."""

import json
from pathlib import Path

from command_line import Run
from postback_conformance.rules import RULES

DOCS = Path(__file__).parents[2] / "docs" / "rules"


def test_the_list_has_every_rule_on_a_line_of_its_own(run: Run) -> None:
    lines = run("rules", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [rule.id for rule in RULES]


def test_the_list_is_filtered_by_family_and_shows_the_levels_of_a_profile(run: Run) -> None:
    by_default = run("rules", "list", "--family", "header").out
    strict = run("rules", "list", "--family", "header", "--profile", "strict", "--subject", "sender").out

    assert [line.split()[:2] for line in by_default.splitlines()[1:3]] == [
        ["header.content-length", "SHOULD"],
        ["header.content-type", "SHOULD"],
    ]
    assert {line.split()[1] for line in strict.splitlines()[1:]} == {"MUST"}


def test_data_has_one_line_for_each_rule(run: Run) -> None:
    rows = [json.loads(line) for line in run("rules", "list", "--format", "json", "--family", "http").out.splitlines()]

    assert [row["id"] for row in rows] == [
        "http.method",
        "http.repeated-parameter",
        "http.target",
        "http.unknown-parameter",
    ]
    assert rows[1]["levels"] == {"documented": "MUST", "strict": "MUST", "lenient": "SHOULD"}
    assert rows[0].keys() == {
        "id",
        "aliases",
        "family",
        "level",
        "levels",
        "subject",
        "requirement",
        "needs",
        "fix",
        "sources",
    }
    assert rows[0]["sources"][0].keys() == {"document", "section", "date", "certainty"}


def test_a_page_is_what_the_command_prints(run: Run) -> None:
    first = run("rules", "list", "--format", "markdown").out
    family = run("rules", "list", "--format", "markdown", "--family", "value").out

    assert first == (DOCS / "README.md").read_text("utf-8")
    assert family == (DOCS / "value.md").read_text("utf-8")


def test_a_rule_is_explained_with_requests_and_the_finding_they_give(run: Run) -> None:
    text = run("rules", "explain", "delivery.retry-gap").out
    data = json.loads(run("rules", "explain", "delivery.retry-gap", "--format", "json").out)

    assert "-- request, answered 503 --\nPOST /postback HTTP/1.1" in "\n".join(map(str.strip, text.split("\n")))
    assert "-- 0.4 s later, answered 200 --" in text
    assert "=> fail: retry 1 came 0.400 s after the failed attempt" in text
    assert [example["outcome"] for example in data["examples"]] == ["pass", "fail"]
    assert data["examples"][1]["requests"][1]["after_seconds"] == 0.4


def test_an_id_nobody_knows_gets_the_nearest_ones(run: Run) -> None:
    outcome = run("rules", "explain", "delivery.retrygap")

    assert (outcome.code, outcome.out) == (4, "")
    assert "delivery.retry-gap" in outcome.err


def test_a_family_nobody_knows_gets_the_nearest_one(run: Run) -> None:
    outcome = run("rules", "list", "--family", "headers")

    assert (outcome.code, outcome.out) == (4, "")
    assert "got 'headers'; did you mean \"header\"?" in outcome.err


def test_a_filter_that_leaves_nothing_is_told(run: Run) -> None:
    outcome = run("rules", "list", "--family", "http", "--subject", "endpoint")

    assert (outcome.code, outcome.out) == (4, "")
    assert "no rule is like that" in outcome.err
