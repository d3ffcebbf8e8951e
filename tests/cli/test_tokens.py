"""`tokens`: the catalogue for people, for programs, and as the page in `docs/`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from command_line import Run
from postback_conformance.explaining.token_pages import markdown_page, sections
from postback_sender import NotificationSource, parse_notification
from postback_sender.tokens import CATALOGUE, EVENT_KINDS, Catalogue, Kind, Token

DOCS = Path(__file__).parents[2] / "docs" / "tokens.md"

OWN = """
event = "credited"
[kinds.credited]
like = "action_lifecycle"
[tokens.Tier]
type = "enum"
values = ["A|B", "`GOLD`"]
meaning = "How *good* they are\\n<b>\\u001b[31m."
[tokens.color]
of_items = true
"""


def test_the_page_in_docs_is_what_the_command_prints(run: Run) -> None:
    outcome = run("tokens", "--format", "markdown")

    assert outcome.code == 0
    assert outcome.out == DOCS.read_text("utf-8"), "docs/tokens.md is stale: `make docs` writes it anew"


def test_the_settings_on_the_page_are_settings() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)

    events = [parse_notification(NotificationSource(name="n.toml", text=block), None).event for block in blocks]
    assert events == ["points_credited", "action_inquiry"]


def test_data_has_every_row_of_every_kind(run: Run) -> None:
    page: dict[str, Any] = json.loads(run("tokens", "--format", "json").out)

    assert page["format"] == "postback-tokens/1"
    assert [kind["name"] for kind in page["kinds"]] == list(EVENT_KINDS)
    for kind in page["kinds"]:
        assert [row["name"] for row in kind["tokens"]] == [token.name for token in CATALOGUE.tokens(kind["name"])]
        assert [row["name"] for row in kind["item_fields"]] == [
            field.name for field in CATALOGUE.item_fields(kind["name"])
        ]


def test_a_row_of_data_has_the_published_shape(run: Run) -> None:
    page = json.loads(run("tokens", "--event", "action_clearing", "--format", "json").out)

    (kind,) = page["kinds"]
    assert kind.keys() == {"name", "like", "meaning", "tokens", "item_fields"}
    status = next(row for row in kind["tokens"] if row["name"] == "Status")
    assert status == {
        "name": "Status",
        "type": "enum",
        "format": "",
        "values": ["PENDING", "APPROVED", "REVERSED"],
        "meaning": "Where the action is in its life: open, locked in, or taken back.",
        "example": "PENDING",
        "may_be_empty": False,
        "source": "impact.com help centre, article 155000000882, example body",
        "certainty": "official",
    }


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_every_name_of_a_kind_can_be_read(run: Run, kind: str) -> None:
    """Long runs of numbered tokens stand there with their first and last."""
    names = {token.name for token in (*CATALOGUE.tokens(kind), *CATALOGUE.item_fields(kind))}
    for page in (run("tokens", "--event", kind).out, markdown_page(sections(CATALOGUE, [kind]))):
        words = set(re.findall(r"\w+", page))
        missing = {name for name in names - words if not re.fullmatch(r"(Text|Numeric|Money|Date)\d+", name)}

        assert missing == set()
        assert {"Text3", "Text50", "Numeric10", "Money3", "Date15"} & names <= words


def test_people_are_told_how_to_declare_tokens_that_no_source_names(run: Run) -> None:
    outcome = run("tokens", "--event", "product_data_change")

    assert "No source names a token of it" in outcome.out
    assert "[tokens.Name]" in outcome.out


def test_the_kind_of_a_notification_is_shown_with_what_it_declares(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(OWN)

    text = run("tokens", "--notification", "n.toml").out
    page = json.loads(run("tokens", "--notification", "n.toml", "--format", "json").out)

    assert text.startswith("credited\n")
    assert "Own: n.toml" in text
    assert "Item fields, own: n.toml" in text
    assert "SubId1" in text
    assert "\x1b" not in text
    assert [kind["name"] for kind in page["kinds"]] == ["credited"]
    assert {"name": "Tier", "certainty": "own"}.items() <= page["kinds"][0]["tokens"][-1].items()


def test_nothing_of_an_own_token_becomes_markdown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(OWN)

    page = run("tokens", "--notification", "n.toml", "--format", "markdown").out

    assert (
        r"| `Tier` | enum | How \*good\* they are\\n\<b\>\\x1b\[31m. One of `A\|B`, `` `GOLD` ``. | `A\|B` | yes |"
        in page
    )


def test_a_kind_there_is_not_gets_the_nearest_one(run: Run) -> None:
    outcome = run("tokens", "--event", "action_clering")

    assert outcome.code == 2
    assert "got 'action_clering'; did you mean \"action_clearing\"?" in outcome.err


def test_a_kind_with_the_tokens_of_an_earlier_one_says_so_once() -> None:
    catalogue = Catalogue([], [Kind(name="credited", like="job_completion")], over=CATALOGUE)

    page = markdown_page(sections(catalogue, ["job_completion", "credited"]))

    assert "Its tokens are those of job\\_completion." in page
    assert page.count("`ResultUri`") == 1


def test_tokens_are_folded_only_when_they_differ_by_nothing_but_their_number() -> None:
    def token(name: str, meaning: str) -> Token:
        return Token(name=name, kinds=frozenset({"k"}), type="text", meaning=meaning, source="s", certainty="own")

    rows = [token("A1", "1."), token("A2", "2."), token("A3", "3."), token("B1", "1."), token("B2", "other.")]
    (section,) = sections(Catalogue(rows, [Kind(name="k", like=None)]), ["k"])

    (group,) = section.groups
    assert [(row.token.name, row.last, row.token.meaning) for row in group.rows] == [
        ("A1", "A3", "N."),
        ("B1", "", "1."),
        ("B2", "", "other."),
    ]


def test_tokens_are_searched_by_name_and_meaning(run: Run) -> None:
    text = run("tokens", "--search", "ARTICLE NUM").out
    page = json.loads(run("tokens", "--search", "promo", "--format", "json").out)
    nothing = run("tokens", "--search", "zzz")

    assert "sku" in text
    assert "Payout" not in text
    assert 'after its variable: {join(items, i, "…{i.sku}…")}' in text
    assert {row["name"] for kind in page["kinds"] for row in kind["tokens"]} >= {"PromoCode"}
    assert all(kind["tokens"] or kind["item_fields"] for kind in page["kinds"])
    assert (nothing.code, nothing.out) == (4, "")
