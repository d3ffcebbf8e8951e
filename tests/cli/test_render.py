"""`render`: the requests that would be made, and where every value in them came from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import Outcome, Run
from postback_sender.event import encode_event, example_event

NOTIFICATION = """
url = "http://127.0.0.1:1/postback?id={ActionId}&token=${TOKEN}"
method = "POST"
body = '{"id": "{ActionId}", "payout": "{Payout}", "items": [{join(items, i, "\\"{i.sku}\\"")}]}'
[headers]
X-Api-Key = "${KEY}"
"""
SECRETS = {"TOKEN": "hunter2", "KEY": "swordfish"}
EXAMPLE = encode_event(example_event("action_lifecycle"))


@pytest.fixture
def notification(tmp_path: Path) -> Path:
    path = tmp_path / "n.toml"
    path.write_text(NOTIFICATION)
    return path


def bodies(outcome: Outcome) -> list[Any]:
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.removesuffix("\n").split("\n")]


def test_it_prints_the_request_and_hides_secrets(run: Run, notification: Path) -> None:
    outcome = run("render", notification, "--set", "Payout=12.50", env=SECRETS)

    head, body = outcome.out.split("\n\n")
    assert head.splitlines()[0].startswith("POST http://127.0.0.1:1/postback?id=")
    assert "token=[hidden]" in head
    assert "X-Api-Key: [hidden]" in head
    assert json.loads(body)["payout"] == "12.50"
    assert "swordfish" in run("render", notification, "--reveal", env=SECRETS).out


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(EXAMPLE * 3, id="one a line"),
        pytest.param(b"[" + b",\n".join([EXAMPLE] * 3) + b"]", id="a list"),
        pytest.param(json.dumps([json.loads(EXAMPLE)] * 3, indent=2).encode(), id="a list over many lines"),
    ],
)
def test_events_come_from_a_file_or_from_stdin_in_any_layout(
    run: Run, notification: Path, tmp_path: Path, events: bytes
) -> None:
    # The name of the file says nothing about what is in it.
    (tmp_path / "events.txt").write_bytes(events)

    piped = run("render", notification, "--body-only", "--events", "-", stdin=events, env=SECRETS)
    read = run("render", notification, "--body-only", "--events", "events.txt", env=SECRETS)

    assert len(bodies(piped)) == 3
    assert piped.out == read.out


def test_json_is_one_line_for_each_request(run: Run, notification: Path) -> None:
    first, second = bodies(
        run("render", notification, "--format", "json", "--events", "-", stdin=EXAMPLE * 2, env=SECRETS)
    )

    assert first == second
    assert first["method"] == "POST"
    assert "explanation" not in first
    assert "hunter2" not in str(first)


def test_generated_events_are_the_same_again_for_the_seed_it_prints(run: Run, notification: Path) -> None:
    first = run("render", notification, "--body-only", "--count", 3, env=SECRETS)
    seed = first.err.split("--seed ")[1].split()[0]
    again = run("render", notification, "--body-only", "--count", 3, "--seed", seed, env=SECRETS)

    assert len(bodies(first)) == 3
    # Ids hold the day: a test that runs at midnight still compares what the seed decides.
    assert [each["payout"] for each in bodies(first)] == [each["payout"] for each in bodies(again)]
    assert f"seed {seed}" in again.err


def test_values_are_replaced_and_left_out(run: Run, notification: Path) -> None:
    [body] = bodies(
        run(
            *("render", notification, "--body-only", "--set", "Payout=a=b", "--unset", "ActionId"),
            *("--set", "items.sku=X-1"),
            env=SECRETS,
        )
    )

    assert body == {"id": "", "payout": "a=b", "items": ["X-1", "X-1", "X-1"]}


@pytest.mark.parametrize(("name", "items"), [("items.sku", ["", "", ""]), ("items", [])])
def test_items_are_emptied(run: Run, notification: Path, name: str, items: list[str]) -> None:
    [body] = bodies(run("render", notification, "--body-only", "--unset", name, env=SECRETS))

    assert body["items"] == items


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--set", "actionid=1"], 2, "did you mean ActionId?", id="another case"),
        pytest.param(["--unset", "ActionID"], 2, "did you mean ActionId?", id="unset another case"),
        pytest.param(["--set", "items.skuu=1"], 2, "did you mean items.sku?", id="unknown field"),
        pytest.param(["--set", "i.sku=1"], 2, "did you mean items.sku", id="a variable of a template"),
        pytest.param(["--set", "items=1"], 2, "items is a list", id="a list"),
        pytest.param(["--set", "Payout"], 2, "expected TOKEN=VALUE", id="no value"),
        pytest.param(["--set", "Payout=1", "--unset", "Payout"], 2, "Payout is set, too", id="set and unset"),
        pytest.param(["--events", "-", "--count", "2"], 2, "keep one of them", id="events and count"),
        pytest.param(["--events", "-"], 4, "stdin holds no events", id="no events"),
        pytest.param(["--events", "missing"], 2, "missing: cannot be read", id="no file"),
        pytest.param(["--explain", "--body-only"], 2, "--body-only prints nothing but the body", id="explained body"),
    ],
)
def test_what_cannot_be_rendered_is_one_message(
    run: Run, notification: Path, arguments: list[str], code: int, message: str
) -> None:
    outcome = run("render", notification, *arguments, env=SECRETS)

    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


def test_an_event_in_a_list_that_cannot_be_read_is_named_by_its_pointer(run: Run, notification: Path) -> None:
    events = (
        b"[" + EXAMPLE + b',\n{"event": "action_lifecycle", "at": "2026-05-11T00:00:00Z", "values": {"Payout": 1}}]'
    )

    outcome = run("render", notification, "--events", "-", stdin=events, env=SECRETS)

    assert outcome.code == 2
    assert "stdin, line 3, /1/values/Payout: expected a text in quotes, got the number 1" in outcome.err


def rows(text: str) -> Iterator[list[str]]:
    """The rows of the table in an output, white space between cells dropped."""
    for line in text.splitlines():
        if line.startswith(("url ", "body ")):
            yield line.split()


def test_an_explanation_names_token_context_value_and_what_was_written(run: Run, notification: Path) -> None:
    changes = ["--set", 'Payout="', "--unset", "items.sku", "--unset", "ActionId"]
    outcome = run("render", notification, "--explain", *changes, env=SECRETS)

    found = list(rows(outcome.out))
    assert found[0] == ["url", "1:32", "ActionId", "URL", "query", "absent"]
    assert ["body", "1:33", "Payout", "JSON", "string", '"', '\\"', "escaped"] in found
    assert ["body", "1:73", "item", "2", "i.sku", "JSON", "string", "absent"] in found


def test_an_explanation_says_when_a_token_is_unknown_and_when_nothing_is_escaped(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("method = 'POST'\nbody = '{Nope}'\n[template]\nescaping = 'raw'")

    outcome = run("render", "n.toml", "--explain")

    assert list(rows(outcome.out)) == [["body", "1:1", "Nope", "raw", "{Nope}", "unknown,", "kept", "as", "text"]]
    assert 'nothing is escaped: [template] escaping = "raw"' in outcome.out


def test_an_explanation_hides_what_stands_in_a_secret_parameter(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("url = 'http://127.0.0.1/?api_key={SubId1}&id={SubId2}'")
    flags = ["--explain", "--format", "json", "--set", "SubId1=hunter2", "--set", "SubId2=2"]

    [hidden] = bodies(run("render", "n.toml", *flags))
    [shown] = bodies(run("render", "n.toml", *flags, "--reveal"))

    assert "hunter2" not in str(hidden)
    assert [row["written"] for row in hidden["explanation"]] == ["[hidden]", "2"]
    assert [row["written"] for row in shown["explanation"]] == ["hunter2", "2"]


INNOCENT = """
url = "http://${HOST}:81/hook/${HOOK}/p?id={ActionId}&api_key=literal&${NAME}=${VALUE}&sub={SubId1}"
[headers]
X-Partner = "Bearer ${INNOCENT}"
"""
FROM_ENVIRONMENT = {
    "HOST": "hunter1.example",
    "HOOK": "hunter2 long",
    "NAME": "hunter3",
    "VALUE": "hunter4",
    "INNOCENT": "hunter5",
}


@pytest.mark.parametrize("flags", [[], ["--explain"], ["--explain", "--format", "json"]], ids=" ".join)
def test_whatever_comes_out_of_the_environment_is_hidden_wherever_it_stands(
    run: Run, tmp_path: Path, flags: list[str]
) -> None:
    (tmp_path / "n.toml").write_text(INNOCENT)

    hidden = run("render", "n.toml", *flags, env=FROM_ENVIRONMENT)
    shown = run("render", "n.toml", *flags, "--reveal", env=FROM_ENVIRONMENT)

    assert hidden.code == 0
    assert "hunter" not in hidden.text
    assert "http://[hidden]:81/hook/[hidden]/p?id=" in hidden.out
    assert "Bearer [hidden]" in hidden.out
    assert all(f"hunter{number}" in shown.out for number in range(1, 6))


def test_spans_are_those_of_the_url_that_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(INNOCENT)
    values = ["--set", "SubId1=before hunter2%20long after"]
    arguments = ("render", "n.toml", "--explain", "--format", "json", *values)

    [short] = bodies(run(*arguments, env=FROM_ENVIRONMENT))
    [long] = bodies(run(*arguments, env=FROM_ENVIRONMENT | {"HOOK": "hunter2" * 20}))

    for data in (short, long):
        assert all(data["url"][slice(*row["span"])] == row["written"] for row in data["explanation"])
    assert [row["span"] for row in short["explanation"]] == [row["span"] for row in long["explanation"]]


def test_events_that_are_not_reported_are_not_rendered_and_counted(run: Run, notification: Path) -> None:
    other = encode_event(example_event("action_clearing"))

    outcome = run("render", notification, "--body-only", "--events", "-", stdin=EXAMPLE + other * 2, env=SECRETS)
    nothing = run("render", notification, "--events", "-", stdin=other, env=SECRETS)

    assert len(bodies(outcome)) == 1
    assert "2 of 3 events left out: n.toml reports action_lifecycle at global level" in outcome.err
    assert (nothing.code, nothing.out) == (4, "")
    assert "no event is one that n.toml reports" in nothing.err


def test_at_event_level_the_first_event_of_an_action_is_all_there_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text('level = "event"\nmethod = "POST"\nbody = "[]"')

    outcome = run("render", "n.toml", "--body-only", "--events", "-", stdin=EXAMPLE * 2)

    assert len(bodies(outcome)) == 1
    assert "1 of 2 events left out: n.toml reports action_lifecycle at event level" in outcome.err


def test_a_name_that_nothing_has_is_told_once_with_the_nearest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(
        'method = "POST"\nbody = """["{Mine}", {join(items, i, "{i.mine}")}]"""\n[tokens.Own]\ntype = "text"'
    )
    event = json.loads(EXAMPLE)
    event["values"] |= {"Payuot": "1", "Mine": "1", "Own": "1"}
    event["items"] = [{"skuu": "1", "mine": "1"}, {"skuu": "2"}]

    outcome = run("render", "n.toml", "--events", "-", stdin=json.dumps([event] * 2).encode())

    assert outcome.code == 0
    told = [line for line in outcome.err.splitlines() if "no token of that name exists" in line]
    assert [line.split(":")[0] for line in told] == ["Payuot", "items.skuu"]
    assert told[0].endswith("did you mean Payout?")
    assert told[1].endswith("did you mean items.sku?")


def test_requests_for_people_are_numbered_from_the_second_on(run: Run, notification: Path) -> None:
    outcome = run("render", notification, "--events", "-", stdin=EXAMPLE * 3, env=SECRETS)

    requests = outcome.out.split("\n\n### ")
    assert [request[:6] for request in requests] == ["POST h", "2\nPOST", "3\nPOST"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--body-only"], 4, "n.toml sends no body; leave --body-only out to see the GET", id="no body"),
        pytest.param(["--body-only", "--format", "json"], 2, "keep one of them", id="body as data"),
    ],
)
def test_a_body_alone_must_be_there_and_is_bytes(
    run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "n.toml").write_text('url = "http://127.0.0.1/?a={ActionId}"')

    outcome = run("render", "n.toml", *arguments)

    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


@pytest.mark.parametrize(
    ("flag", "value"), [("--set", "payout=12.50"), ("--set", "items.SKU=X"), ("--unset", "payout")]
)
def test_names_in_any_case_are_those_of_the_catalogue_where_case_does_not_count(
    run: Run, tmp_path: Path, flag: str, value: str
) -> None:
    (tmp_path / "n.toml").write_text(
        'method = "POST"\nbody = """["{payout}", {join(items, i, "{i.Sku}")}]"""\n[template]\nname_case = "ignore"'
    )

    [[payout, *skus]] = bodies(run("render", "n.toml", "--body-only", flag, value))

    assert payout == ("" if flag == "--unset" else "12.50" if value.startswith("payout") else "0.88")
    assert (set(skus) == {"X"}) == value.endswith("=X")


@pytest.mark.parametrize(("columns", "longest"), [("60", 60), ("", 240), ("wide", 240), ("0", 240)])
def test_a_table_in_a_file_is_as_wide_as_columns_says(run: Run, notification: Path, columns: str, longest: int) -> None:
    outcome = run(
        "render", notification, "--explain", "--set", f"Payout={'x' * 500}", env={**SECRETS, "COLUMNS": columns}
    )

    table = outcome.out[outcome.out.index("place ") :].splitlines()
    assert 55 < max(map(len, table)) <= longest


def test_ten_thousand_items_are_summed_up_for_people_and_all_there_for_programs(run: Run, notification: Path) -> None:
    event = json.loads(EXAMPLE) | {"items": [{"sku": f"S-{number}"} for number in range(10_000)]}
    stdin = json.dumps(event).encode()

    text = run("render", notification, "--explain", "--events", "-", stdin=stdin, env=SECRETS)
    [data] = bodies(
        run("render", notification, "--explain", "--format", "json", "--events", "-", stdin=stdin, env=SECRETS)
    )

    assert len(list(rows(text.out))) == 3 + 5
    assert "the same for 9995 more items" in text.out
    of_items = [row for row in data["explanation"] if row["item"] is not None]
    assert [row["value"] for row in of_items] == [item["sku"] for item in event["items"]]
    assert of_items[-1].keys() >= {
        *("part", "token", "context", "line", "column", "item", "value", "written", "changed", "absent", "known")
    }
