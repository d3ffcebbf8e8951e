"""The page about lint's findings: every kind has a section, and the example in it is an example of it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from postback_conformance.lint import KINDS, FindingKind, lint_source
from postback_sender import NotificationSource

PAGE = Path(__file__).parents[2] / "docs" / "lint.md"
SECTION = re.compile(
    r"^### (?P<slug>\S+)\n\n```(?P<format>\w+)\n(?P<example>.*?)\n```\n(?P<text>.*?)(?=^##|\Z)",
    re.MULTILINE | re.DOTALL,
)
FIXED = "`--fix` writes it."


def sections() -> Mapping[str, re.Match[str]]:
    return {found["slug"]: found for found in SECTION.finditer(PAGE.read_text("utf-8"))}


def settings_of(text_format: str, example: str) -> str:
    if text_format == "toml":
        return example
    if text_format == "url":
        return f"url = {json.dumps(example)}"
    return f'method = "POST"\nbody_format = "{text_format}"\nbody = {json.dumps(example)}'


def test_every_kind_of_finding_has_a_section_and_every_section_a_kind() -> None:
    slugs = re.findall(r"^### (\S+)$", PAGE.read_text("utf-8"), re.MULTILINE)

    assert slugs == [kind.slug for kind in KINDS]
    assert list(sections()) == slugs


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.slug)
def test_a_section_says_what_the_finding_says(kind: FindingKind) -> None:
    text = " ".join(sections()[kind.slug]["text"].split())

    assert text.startswith(f"**{kind.level}**: {kind.consequence}. ")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.slug)
def test_the_example_of_a_section_is_found(kind: FindingKind) -> None:
    section = sections()[kind.slug]
    settings = settings_of(section["format"], section["example"])
    findings = lint_source(NotificationSource(name="example.toml", text=settings))
    found = [finding for finding in findings if finding.slug == kind.slug]

    assert found
    assert bool(found[0].edits) == section["text"].rstrip().replace("\n", " ").endswith(FIXED)
