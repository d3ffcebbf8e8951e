"""The token catalogue is complete, consistent, and helps people who misspell a name."""

import re
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_sender.token_catalogue import ACTION_TOKENS
from postback_sender.token_catalogue_api import API_OBJECT_TOKENS
from postback_sender.tokens import CATALOGUE, EVENT_KINDS, Catalogue, EventKind, Kind, Token

ROWS = (*ACTION_TOKENS, *API_OBJECT_TOKENS)
ACTION_KINDS: tuple[EventKind, ...] = ("action_lifecycle", "action_clearing")


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_action_kinds_have_all_documented_names(kind: EventKind) -> None:
    """The published example body uses 39 scalar tokens, the list of items, and 8 item fields."""
    official = [token for token in CATALOGUE.tokens(kind) if token.certainty == "official"]

    assert [token.name for token in official if token.type == "list"] == ["items"]
    assert len(official) == 39 + 1
    assert {field.name for field in CATALOGUE.item_fields(kind)} == {
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
    token = CATALOGUE.find("action_lifecycle", f"{name}{last}")

    assert token is not None
    assert token.certainty == certainty
    assert CATALOGUE.find("action_lifecycle", f"{name}{last + 1}") is None


def test_one_name_can_mean_different_things_in_different_kinds() -> None:
    of_action, of_job = CATALOGUE.find("action_lifecycle", "Status"), CATALOGUE.find("job_completion", "Status")

    assert of_action is not None
    assert of_job is not None
    assert of_action.values == ("PENDING", "APPROVED", "REVERSED")
    assert "RUNNING" in of_job.values


def test_no_source_names_a_token_of_product_data_changes() -> None:
    assert CATALOGUE.tokens("product_data_change") == ()
    assert CATALOGUE.item_fields("product_data_change") == ()


def test_finding_counts_upper_and_lower_case() -> None:
    assert CATALOGUE.find("action_lifecycle", "subid1") is None


def test_item_fields_live_in_a_space_of_their_own() -> None:
    assert CATALOGUE.find("action_lifecycle", "sku") is None
    assert CATALOGUE.find("action_lifecycle", "sku", of_items=True) is not None


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
    assert CATALOGUE.nearest("action_lifecycle", written) == meant


def test_nearest_knows_item_fields_apart() -> None:
    assert CATALOGUE.nearest("action_lifecycle", "SKU", of_items=True) == "sku"
    assert CATALOGUE.nearest("product_data_change", "SubId1") is None


def test_two_rows_for_one_place_are_refused() -> None:
    token = ROWS[0]

    with pytest.raises(ValueError, match=f"two rows for {token.name} of action_lifecycle"):
        Catalogue([token, token], CATALOGUE.kinds.values())


some_rows = st.builds(
    Token,
    name=st.sampled_from(["Id", "ID", "Status"]),
    kinds=st.frozensets(st.sampled_from(["action_inquiry", "job_completion", "credited"])),
    of_items=st.booleans(),
    type=st.just("text"),
    meaning=st.just(""),
    source=st.just("n.toml"),
    certainty=st.just("own"),
)


@given(st.lists(some_rows, max_size=6))
def test_a_place_has_one_row_and_every_row_is_found_in_its_places(rows: list[Token]) -> None:
    """A row that is found is the very row that was put there, or the catalogue is refused."""
    places = [(kind, row.of_items, row.name) for row in rows for kind in row.kinds]
    kinds = [*CATALOGUE.kinds.values(), Kind(name="credited", like="job_completion")]

    if len(set(places)) < len(places):
        with pytest.raises(ValueError, match="two rows for"):
            Catalogue(rows, kinds, over=CATALOGUE)
        return
    catalogue = Catalogue(rows, kinds, over=CATALOGUE)
    for row in rows:
        for kind in row.kinds:
            assert catalogue.find(kind, row.name, of_items=row.of_items) is row
    assert all(catalogue.find("credited", token.name) for token in CATALOGUE.tokens("job_completion"))


def test_an_own_token_takes_the_place_of_the_documented_one_and_others_stay() -> None:
    mine = replace(ROWS[0], kinds=frozenset({"action_lifecycle"}), certainty="own")

    catalogue = Catalogue([mine], [], over=CATALOGUE)

    assert catalogue.tokens("action_lifecycle")[0] is mine
    assert len(catalogue.tokens("action_lifecycle")) == len(CATALOGUE.tokens("action_lifecycle"))
    assert catalogue.tokens("action_clearing") == CATALOGUE.tokens("action_clearing")
    assert CATALOGUE.tokens("action_lifecycle")[0] is ROWS[0]


def test_a_kind_has_the_tokens_of_the_one_it_is_like_also_in_a_catalogue_over_that_one() -> None:
    credited = Catalogue([], [Kind(name="credited", like="action_clearing")], over=CATALOGUE)
    extra = replace(ROWS[0], name="Extra", kinds=frozenset({"credited"}))

    catalogue = Catalogue([], [], over=Catalogue([extra], [], over=credited))

    assert catalogue.tokens("credited") == (*CATALOGUE.tokens("action_clearing"), extra)
    assert catalogue.item_fields("credited") == CATALOGUE.item_fields("action_clearing")


def test_the_known_names_of_a_kind_are_its_tokens_and_its_item_fields_marked() -> None:
    known = CATALOGUE.known("action_lifecycle")

    assert {"Payout", "items", "*.sku"} <= known
    assert "sku" not in known
    assert CATALOGUE.known("action_lifecycle") is known


def test_own_names_are_proposed_like_official_ones() -> None:
    extra = replace(ROWS[0], name="LoyaltyTier", kinds=frozenset({"action_lifecycle"}), certainty="own")

    assert Catalogue([extra], [], over=CATALOGUE).nearest("action_lifecycle", "loyalty_tier") == "LoyaltyTier"


@pytest.mark.parametrize("token", ROWS, ids=lambda token: f"{min(token.kinds)}-{token.name}")
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
