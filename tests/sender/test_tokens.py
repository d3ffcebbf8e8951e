"""The token catalogue is complete, consistent, and helps people who misspell a name."""

import re
from datetime import datetime
from decimal import Decimal

import pytest

from postback_sender.tokens import (
    CATALOGUE,
    EVENT_KINDS,
    EventKind,
    Token,
    find,
    index_tokens,
    item_fields,
    nearest,
    tokens_for,
)

ACTION_KINDS: tuple[EventKind, ...] = ("action_lifecycle", "action_clearing")


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_action_kinds_have_all_documented_names(kind: EventKind) -> None:
    """The published example body uses 39 scalar tokens, the list of items, and 8 item fields."""
    official = [token for token in tokens_for(kind) if token.certainty == "official"]

    assert [token.name for token in official if token.type == "list"] == ["items"]
    assert len(official) == 39 + 1
    assert {field.name for field in item_fields(kind)} == {
        "sku",
        "amt",
        "cat",
        "qty",
        "cartamt",
        "rbt",
        "name",
        "itemlist",
    }


@pytest.mark.parametrize(
    ("name", "last", "certainty"),
    [("Text", 50, "inferred"), ("Numeric", 10, "inferred"), ("Money", 3, "inferred"), ("Date", 15, "inferred")],
)
def test_numbered_tokens_reach_their_last_number_and_end_there(name: str, last: int, certainty: str) -> None:
    token = find("action_lifecycle", f"{name}{last}")

    assert token is not None
    assert token.certainty == certainty
    assert find("action_lifecycle", f"{name}{last + 1}") is None


def test_one_name_can_mean_different_things_in_different_kinds() -> None:
    of_action, of_job = find("action_lifecycle", "Status"), find("job_completion", "Status")

    assert of_action is not None
    assert of_job is not None
    assert of_action.values == ("PENDING", "APPROVED", "REVERSED")
    assert "RUNNING" in of_job.values


def test_no_source_names_a_token_of_product_data_changes() -> None:
    assert tokens_for("product_data_change") == ()
    assert item_fields("product_data_change") == ()


def test_finding_counts_upper_and_lower_case() -> None:
    assert find("action_lifecycle", "subid1") is None


def test_item_fields_live_in_a_space_of_their_own() -> None:
    assert find("action_lifecycle", "sku") is None
    assert find("action_lifecycle", "sku", of_items=True) is not None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("subid1", "SubId1", id="other case"),
        pytest.param("SubID", "SubId1", id="number forgotten: the first one"),
        pytest.param("Payuot", "Payout", id="letters swapped"),
        pytest.param("ActionStatus1", "Status", id="third-party names are never proposed"),
        pytest.param("oid", "Oid", id="inferred name"),
        pytest.param("Zzzzzz", None, id="nothing close"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_misspelt_name_leads_to_the_nearest_one(written: str, meant: str | None) -> None:
    assert nearest("action_lifecycle", written) == meant


def test_nearest_knows_item_fields_apart() -> None:
    assert nearest("action_lifecycle", "SKU", of_items=True) == "sku"
    assert nearest("product_data_change", "SubId1") is None


def test_two_rows_for_one_place_are_refused() -> None:
    token = CATALOGUE[0]

    with pytest.raises(ValueError, match=f"two rows for {token.name} of action_lifecycle"):
        index_tokens([token, token])


@pytest.mark.parametrize("token", CATALOGUE, ids=lambda token: f"{min(token.kinds)}-{token.name}")
def test_each_example_has_the_type_of_its_token(token: Token) -> None:
    """Also: what may never be empty has an example, and a closed enum contains its own."""
    assert token.kinds <= set(EVENT_KINDS)
    assert token.meaning.endswith(".")
    assert token.example or token.may_be_empty
    if not token.example:
        return
    match token.type:
        case "money":
            assert re.fullmatch(r"-?\d+\.\d\d", token.example)
        case "number":
            assert Decimal(token.example).is_finite()
        case "datetime":
            assert datetime.fromisoformat(token.example).isoformat() == token.example
        case "currency":
            assert re.fullmatch("[A-Z]{3}", token.example)
        case "url":
            assert token.example.startswith("https://")
        case "enum":
            assert token.example in (token.values or (token.example,))
        case _:
            assert not token.values
