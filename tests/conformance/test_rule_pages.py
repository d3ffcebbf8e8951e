"""Ids of rules are what people select by, excuse by and link to: they never change, and pages and code say the same."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_conformance.explaining.rule_pages import (
    FAMILIES,
    explanation,
    family_of,
    family_page,
    index_page,
    request_text,
    told,
)
from postback_conformance.judging.rule import Rule
from postback_conformance.judging.selection import find_rule
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture, example

DOCS = Path(__file__).parents[2] / "docs" / "rules"

# Published: a line is added here with a rule, and none is ever taken out or changed. A rule that is renamed keeps the
# id that stands here as an alias.
FROZEN = (
    "action.cleared-is-approved",
    "action.dates-ordered",
    "action.delta-consistent",
    "action.id-agrees",
    "action.items-sum",
    "action.reversed-is-zero",
    "action.zero-is-reversed",
    "body.bom",
    "body.empty-on-get",
    "body.json.duplicate-key",
    "body.json.non-finite",
    "body.json.well-formed",
    "body.query.percent-encoding",
    "body.template-shape",
    "body.utf8",
    "body.xml.illegal-char",
    "body.xml.no-dtd",
    "body.xml.well-formed",
    "capture.complete",
    "delivery.duplicate",
    "delivery.latency",
    "delivery.maximum-requests",
    "delivery.minimum-delay",
    "delivery.no-retry-after-success",
    "delivery.retry-count",
    "delivery.retry-gap",
    "delivery.retry-only-after-error",
    "delivery.same-bytes",
    "field.country",
    "field.currency",
    "field.date",
    "field.date-midnight",
    "field.enum",
    "field.id",
    "field.length",
    "field.money",
    "field.money-decimals",
    "field.money-sign",
    "field.present",
    "field.quantity",
    "field.referring-type",
    "field.status",
    "field.url",
    "header.content-length",
    "header.content-type",
    "header.custom-present",
    "header.host",
    "http.method",
    "http.repeated-parameter",
    "http.target",
    "http.unknown-parameter",
    "lifecycle.delta-chain",
    "lifecycle.event-level-only-created",
    "lifecycle.final-after-approved",
    "lifecycle.identity-stable",
    "lifecycle.intended-stable",
    "lifecycle.silent-approval",
    "lifecycle.transition",
    "value.double-encoded",
    "value.null-word",
    "value.one-value",
    "value.unescaped",
    "value.unreplaced-token",
)

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.mark.parametrize("rule_id", FROZEN)
def test_an_id_that_was_published_finds_its_rule(rule_id: str) -> None:
    rule = find_rule(RULES, rule_id)
    assert rule_id in {rule.id, *rule.aliases}


def test_every_id_is_in_the_table_of_published_ones() -> None:
    names = {name for rule in RULES for name in (rule.id, *rule.aliases)}
    assert names - set(FROZEN) == set(), "add them to FROZEN above: from now on they never change"


@every_family
def test_the_page_of_a_family_is_what_its_rules_say(family: str) -> None:
    page = family_page(family, RULES)
    assert (DOCS / f"{family}.md").read_text("utf-8") == page, f"docs/rules/{family}.md is stale: make docs"


def test_the_first_page_leads_to_every_rule() -> None:
    page = index_page(RULES)
    assert (DOCS / "README.md").read_text("utf-8") == page, "docs/rules/README.md is stale: make docs"
    links = re.findall(r"\[([a-z0-9.-]+)\]\(([a-z]+\.md)#([a-z0-9-]+)\)", page)
    assert [link for link, _, _ in links] == [
        rule.id for family in FAMILIES for rule in RULES if family_of(rule) == family
    ]
    for rule_id, file, anchor in links:
        # A heading is called in a link as it is written, without its dots.
        assert f"## {rule_id}\n" in (DOCS / file).read_text("utf-8")
        assert anchor == rule_id.replace(".", "")


def test_there_is_a_page_for_each_family_and_no_other() -> None:
    assert {family_of(rule) for rule in RULES} == set(FAMILIES)
    assert {page.stem for page in DOCS.glob("*.md")} == {*FAMILIES, "README"}
    makefile = (DOCS.parents[1] / "Makefile").read_text("utf-8")
    assert f"RULE_FAMILIES := {' '.join(FAMILIES)}\n" in makefile


@every_rule
def test_everything_about_a_rule_is_explained(rule: Rule) -> None:
    text = explanation(rule)
    for words in (rule.id, rule.requirement, rule.needs, rule.fix, rule.subject):
        assert words in text
    for source in rule.sources:
        assert source.document in text
        assert source.section in text
        assert re.fullmatch(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", source.date)
        assert source.date in text
        assert source.certainty in text
    assert "=> pass: " in text
    assert "=> fail: " in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_a_rule_that_was_renamed_is_found_and_explained_by_its_old_id() -> None:
    renamed = replace(RULES[0], id="http.new", aliases=("http.old",))
    assert find_rule([renamed], "http.old") is renamed
    assert "before   http.old" in explanation(renamed)
    assert "**Called before** `http.old`" in family_page("http", [renamed])


def test_a_level_that_is_the_same_by_every_profile_is_said_once() -> None:
    one, other = find_rule(RULES, "http.method"), find_rule(RULES, "header.content-type")
    assert "levels   MUST by every profile\n" in explanation(one)
    assert "levels   SHOULD (documented), MUST (strict), INFO (lenient)\n" in explanation(other)


def test_a_request_is_shown_as_it_stands_on_the_wire() -> None:
    arrived = capture(b"\xef\xbb\xbf{\x1b" + b"x" * 700, headers=(("X-Note", "a\x07"),), truncated=True)
    lines = request_text(arrived).split("\n")
    assert lines[:4] == ["POST /postback HTTP/1.1", "Host: 127.0.0.1", r"X-Note: a\x07", "Content-Length: 705"]
    assert lines[5].startswith(r"\ufeff{\x1bxxx")
    assert lines[5].endswith("x… (105 bytes more)… (cut off here)")


def test_of_many_requests_the_first_and_the_last_are_shown() -> None:
    rule = find_rule(RULES, "http.method")
    shown = told(rule, example(JSON_SETTINGS, *(capture(b"{}", at_s=at_s) for at_s in range(9))))
    assert ([one.after_s for one in shown.exchanges], shown.left_out) == ([0, 1, 7], 6)
    text = explanation(replace(rule, passing=example(JSON_SETTINGS, *(capture(b"{}", at_s=at_s) for at_s in range(9)))))
    assert "-- 6 more --" in text
