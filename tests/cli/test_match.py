"""`match`: a captured body taken apart by its template."""

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import Run

NOTIFICATION = """
url = "http://127.0.0.1:1/postback/{ActionId}"
method = "POST"
body = '''
{"id": "{ActionId}", "name": "{CampaignName}",
 "items": [{join(items, i, "{\\"sku\\": \\"{i.sku}\\", \\"qty\\": {i.qty}}")}], "again": "{ActionId}"}'''
"""
BODY = b"""{"id": "1.2.3", "name": "a \\"b\\"",
 "items": [{"sku": "A-1", "qty": 2},{"sku": "B", "qty": 1}], "again": "1.2.3"}"""


@pytest.fixture
def notification(tmp_path: Path) -> Path:
    path = tmp_path / "n.toml"
    path.write_text(NOTIFICATION)
    return path


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_every_value_is_shown_with_its_token_bytes_and_context(run: Run, notification: Path, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(BODY)

    outcome = run("match", notification, "body")

    assert outcome.code == 0
    found = rows(outcome.out)
    assert ["ActionId", "1.2.3", "8-13", "JSON", "string"] in found
    assert ["CampaignName", "a", '"b"', "25-32", "JSON", "string"] in found
    assert found.index(["item", "1"]) < found.index(["item", "2"])
    assert ["i.qty", "2", "68-69", "bare", "JSON"] in found


def test_json_has_the_published_shape(run: Run, notification: Path) -> None:
    outcome = run("match", notification, "-", "--format", "json", stdin=BODY)

    found = json.loads(outcome.out)
    assert (found["format"], found["matches"], found["part"]) == ("postback-match/1", True, "body")
    assert found["values"][0] == {
        "token": "ActionId",
        "value": "1.2.3",
        "span": [8, 13],
        "context": "JSON string",
        "certain": True,
    }
    assert [[value["value"] for value in item] for item in found["items"]] == [["A-1", "2"], ["B", "1"]]
    assert found["conflicts"] == []


def test_the_line_end_of_a_file_is_no_part_of_the_body(run: Run, notification: Path) -> None:
    plain, ended = (run("match", notification, "-", stdin=BODY + end) for end in (b"", b"\n"))

    assert plain.code == 0
    assert plain.out == ended.out
    assert run("match", notification, "-", stdin=BODY + b"\n\n").code == 1


def test_a_token_with_two_values_is_pointed_out(run: Run, notification: Path) -> None:
    stdin = BODY.replace(b'"again": "1.2.3"', b'"again": "4.5.6"')

    text = run("match", notification, "-", stdin=stdin)
    data = json.loads(run("match", notification, "-", "--format", "json", stdin=stdin).out)
    event = run("match", notification, "-", "--as-event", stdin=stdin)

    assert "elsewhere '4.5.6'" in text.out
    assert data["conflicts"] == ["ActionId"]
    assert json.loads(event.out)["values"]["ActionId"] == "1.2.3"
    assert "ActionId stands there more than once" in event.err


@pytest.mark.parametrize(
    ("body_format", "body", "data"),
    [
        pytest.param("json", '"{SubId1}{SubId2}"', b'"ab"', id="neighbours"),
        pytest.param("json", '"{SubId1}-{SubId2}"', b'"a-b-c"', id="a separator that values may hold"),
        pytest.param("query", "a={SubId1}{join(items, i, '&')}".replace("'", '"'), b"a=1&,&", id="perhaps an item"),
    ],
)
def test_what_could_be_read_in_another_way_is_marked(
    run: Run, tmp_path: Path, body_format: str, body: str, data: bytes
) -> None:
    (tmp_path / "n.toml").write_text(f"method = 'POST'\nbody_format = '{body_format}'\nbody = '''{body}'''")

    text = run("match", "n.toml", "-", stdin=data)
    found = json.loads(run("match", "n.toml", "-", "--format", "json", stdin=data).out)

    assert "uncertain" in text.out
    assert not found["values"][0]["certain"]


@pytest.mark.parametrize(
    ("before", "after", "place", "expected"),
    [
        pytest.param(b'"name"', b'"nome"', "byte 18, line 1, column 19",
                     "…'ame\": \"' (n.toml, body, line 1, column 24)",
                     id="in the text"),
        pytest.param(b'"qty": 1', b'"qtx": 1', "byte 87, line 2, column 53",
                     "…'y\": ' (n.toml, body, line 2, column 56)", id="in an item"),
        pytest.param(b'3"}', b'3"} ', "byte 113, line 2, column 79",
                     "the end (n.toml, body, line 2, column 97)", id="after the end"),
        pytest.param(b'"again": "1.2.3"}', b"", "byte 96, line 2, column 62",
                     "'\"again\": \"' (n.toml, body, line 2, column 75)", id="cut"),
        pytest.param(b'"b', b'"\xffb', "byte 25, line 1, column 26", "a value of {CampaignName}", id="not UTF-8"),
    ],
)  # fmt: skip
def test_a_mismatch_names_the_byte_and_what_the_template_says_there(  # noqa: PLR0917  the columns of a table
    run: Run, notification: Path, tmp_path: Path, before: bytes, after: bytes, place: str, expected: str
) -> None:
    (tmp_path / "body").write_bytes(BODY.replace(before, after))

    outcome = run("match", notification, "body")

    assert outcome.code == 1
    assert f"body, {place}: not what the template says" in outcome.out
    assert f"expected  {expected}" in outcome.out


def test_a_mismatch_draws_its_place(run: Run, notification: Path) -> None:
    outcome = run("match", notification, "-", stdin=BODY.replace(b"items", b"itoms"))

    line, caret = outcome.out.splitlines()[1:3]
    assert line[caret.index("^") :].startswith('oms": [')


def test_a_mismatch_as_data(run: Run, notification: Path) -> None:
    outcome = run("match", notification, "-", "--format", "json", stdin=b"{}")

    assert outcome.code == 1
    assert json.loads(outcome.out) == {
        "format": "postback-match/1",
        "matches": False,
        "part": "body",
        "position": 1,
        "line": 1,
        "column": 2,
        "expected": '\'"id": "\'',
        "got": "'}'",
        "hint": "",
        "template": {"line": 1, "column": 2},
    }


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(json.dumps(json.loads(BODY), indent=2).encode(), 1, id="laid out"),
        pytest.param(json.dumps(json.loads(BODY), separators=(",", ":")).encode(), 1, id="packed"),
        pytest.param(BODY.replace(b', "name"', b', \n"nome"'), 1, id="before another fault"),
        pytest.param(BODY.replace(b'"name"', b'" name"'), 0, id="in a key"),
        pytest.param(BODY.replace(b"items", b"itoms"), 0, id="a letter"),
    ],
)
def test_other_white_space_is_called_by_its_name(run: Run, notification: Path, data: bytes, told: int) -> None:
    outcome = run("match", notification, "-", stdin=data)

    assert outcome.code == 1
    assert outcome.out.count("the white space differs from the template's") == told


def test_a_token_that_was_not_replaced_is_no_value(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("method = 'POST'\nbody = '[\"{Nope}\", \"{Payout}\"]'")

    text = run("match", "n.toml", "-", stdin=b'["{Nope}", "1.00"]')
    event = run("match", "n.toml", "-", "--as-event", stdin=b'["{Nope}", "1.00"]')

    assert "not replaced" in text.out
    assert json.loads(event.out)["values"] == {"Payout": "1.00"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "stdin is empty", id="nothing"),
        pytest.param(bytes(range(256)) * 40, "byte 0, line 1, column 1", id="every byte"),
        pytest.param(b"\xff\xfe{\x00", "byte 0, line 1, column 1", id="UTF-16"),
        pytest.param(BODY.replace(b"1.2.3", b"\\ud800"), "a value of {ActionId}", id="half a character"),
        pytest.param(b"[" * 100_000, "byte 0, line 1, column 1", id="deep"),
    ],
)
def test_what_is_no_body_is_one_message(run: Run, notification: Path, data: bytes, message: str) -> None:
    outcome = run("match", notification, "-", stdin=data)

    assert outcome.code == 1
    assert message in outcome.out
    assert run("match", notification, "-", "--format", "json", stdin=data).code == 1


@pytest.mark.parametrize("value", [b"\\u0000", b"x" * 1_000_000], ids=["NUL", "a long one"])
def test_odd_values_are_values(run: Run, notification: Path, value: bytes) -> None:
    outcome = run("match", notification, "-", "--format", "json", stdin=BODY.replace(b"A-1", value))

    assert outcome.code == 0
    found: Any = json.loads(outcome.out)
    assert found["items"][0][0]["value"] == json.loads(b'"' + value + b'"')
    assert len(run("match", notification, "-", stdin=BODY.replace(b"A-1", value)).out) < 5_000


def test_many_items_are_summed_up_for_people(run: Run, notification: Path) -> None:
    items = b",".join(b'{"sku": "S%d", "qty": 1}' % number for number in range(10_000))
    stdin = b'{"id": "1.2.3", "name": "",\n "items": [%s], "again": "1.2.3"}' % items

    assert "… and 9980 more items" in run("match", notification, "-", stdin=stdin).out
    assert len(json.loads(run("match", notification, "-", "--format", "json", stdin=stdin).out)["items"]) == 10_000


@pytest.mark.parametrize(
    ("file", "message"),
    [("missing", "missing: cannot be read: No such file"), (".", "cannot be read"), ("huge", "more than 64 MiB")],
)
def test_a_file_that_cannot_be_read_is_one_message(
    run: Run, notification: Path, tmp_path: Path, file: str, message: str
) -> None:
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(64 * 1024 * 1024 + 1)

    outcome = run("match", notification, file)

    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
