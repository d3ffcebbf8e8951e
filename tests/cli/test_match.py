"""`match`: a captured body or URL taken apart by its template."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from command_line import Run
from postback_conformance.demo import demo_sources
from postback_conformance.rules.examples import capture
from postback_receiver import SqliteStore
from postback_sender.event import encode_event, example_event

NOTIFICATION = """
url = "http://127.0.0.1:1/postback/{ActionId}?click={RefClickId}&token=${TOKEN}&key={SubId1}"
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


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    source = demo_sources()["corrected"]
    for name, text in {source.name: source.text, **source.files}.items():
        (tmp_path / name).write_text(text)
    return tmp_path / source.name


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def lines(text: str) -> list[str]:
    """The lines of NDJSON, in which other line ends than the line feed are part of a text."""
    return text.removesuffix("\n").split("\n")


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
    "url",
    [
        "http://127.0.0.1:1/postback/1.2.3?click=a%3Ab&token=hunter2&key=secret",
        "https://tunnel.example/postback/1.2.3?click=a%3Ab&token=hunter2&key=secret#top\n",
        " /postback/1.2.3?click=a%3Ab&token=hunter2&key=secret",
    ],
)
def test_a_url_is_taken_apart_whatever_the_server_and_without_secrets(run: Run, notification: Path, url: str) -> None:
    hidden = run("match", notification, "-", "--url", "--format", "json", stdin=url.encode())
    shown = run("match", notification, "-", "--url", "--format", "json", "--reveal", stdin=url.encode())

    values = {value["token"]: value for value in json.loads(hidden.out)["values"]}
    assert values["RefClickId"]["value"] == "a:b"
    assert url[slice(*values["RefClickId"]["span"])] == "a%3Ab"
    assert "hunter2" not in hidden.text
    assert values["SubId1"]["value"] == "[hidden]"
    assert {value["value"] for value in json.loads(shown.out)["values"]} == {"1.2.3", "a:b", "hunter2", "secret"}


def test_a_url_that_differs_is_shown_without_its_secrets(run: Run, notification: Path) -> None:
    outcome = run("match", notification, "-", "--url", stdin=b"/postbak/1.2.3?click=&token=hunter2&key=")

    assert outcome.code == 1
    assert "byte 7, line 1, column 8" in outcome.out
    assert "expected  …'ck/' (n.toml, url, line 1, column 26)" in outcome.out
    assert "hunter2" not in outcome.text


LITERAL = "http://127.0.0.1/p?api_key=s3cretLITERAL&id={ActionId}"
VARIABLES = "http://127.0.0.1/${PATHSEC}/p?id={ActionId}&k=${K}"


@pytest.mark.parametrize("flags", [[], ["--format", "json"]], ids=["text", "json"])
@pytest.mark.parametrize(
    ("url", "data", "secrets", "expected"),
    [
        pytest.param(LITERAL, "/p?api_key=WRONG&id=1", ("s3cret", "LITERAL", "WRONG"), "[hidden]", id="in it"),
        pytest.param(LITERAL, "/p?api_key=s3cretX&id=1", ("s3cret", "LITERAL", "s3cretX"), "[hidden]", id="within it"),
        pytest.param(LITERAL, "/p?apy_key=1", ("s3cret", "LITERAL"), "i_key=[hidden]", id="before it"),
        pytest.param(VARIABLES, "/hunter2/q?id=1", ("hunter2", "unter2"), "p?id=", id="after a variable"),
        pytest.param(VARIABLES, "/p/hunter2?hunter3=1", ("hunter2", "hunter3"), "p?id=", id="somewhere else"),
        pytest.param("http://${HOST}/p", "http://hunter2/q", ("hunter2",), "p", id="in the host"),
    ],
)
def test_a_departure_shows_no_secret_of_the_settings_or_the_environment(  # noqa: PLR0917  the columns of a table
    run: Run, tmp_path: Path, flags: list[str], url: str, data: str, secrets: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "n.toml").write_text(f"url = '{url}'")

    outcome = run("match", "n.toml", "-", "--url", *flags, stdin=data.encode())

    assert outcome.code == 1
    assert expected in outcome.out
    assert not any(secret in outcome.text for secret in secrets)


def test_the_fields_of_a_body_that_are_named_like_secrets_are_hidden(run: Run, tmp_path: Path) -> None:
    settings = (
        "method = 'POST'\nbody_format = 'query'\nbody = 'id={ActionId}&token={SubId1}'\nurl = 'http://127.0.0.1/'\n"
    )
    (tmp_path / "n.toml").write_text(settings)
    hidden = run("match", "n.toml", "-", stdin=b"id=1&token=hunter2")
    assert (hidden.code, "[hidden]" in hidden.out, "hunter2" in hidden.text) == (0, True, False)


def test_a_departure_can_be_revealed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(f"url = '{VARIABLES}'")

    assert "hunter2/q" in run("match", "n.toml", "-", "--url", "--reveal", stdin=b"/hunter2/q?id=1").out


def test_a_variable_that_is_not_what_the_environment_holds_is_noted_without_showing_either(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "n.toml").write_text("url = 'http://127.0.0.1/${A}/${B}/${C}?x=${B}'")
    environment = {"A": "same one", "B": "hunter2"}
    stdin = b"/same%20one/hunter3/c?x=hunter4"

    text = run("match", "n.toml", "-", "--url", stdin=stdin, env=environment)
    data = json.loads(run("match", "n.toml", "-", "--url", "--format", "json", stdin=stdin, env=environment).out)

    assert text.out.count("differs from ${B} in the environment") == 2
    assert "${A} in" not in text.out
    assert "hunter" not in text.out
    assert [value["as_in_environment"] for value in data["values"]] == [True, False, None, False]


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


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "captures.sqlite"
    arrived = capture(b'{"status": "PENDING", "id": "1.2.3"}\n', target="/p/1.2.3?click=a%3Ab&token=hunter2")
    kept = SqliteStore(path)
    asyncio.run(kept.append(arrived))
    kept.close()
    (tmp_path / "c.toml").write_text(
        "url = 'http://127.0.0.1/p/{ActionId}?click={RefClickId}&token=${TOKEN}'\nmethod = 'POST'\n"
        'body = \'{"status": "{Status}", "id": "{ActionId}"}\''
    )
    return path


def test_url_and_body_of_a_capture_make_one_event(run: Run, store: Path) -> None:
    event = json.loads(run("match", "c.toml", store, "--capture", "exa", "--as-event").out)
    data = run("match", "c.toml", store, "--capture", "exa", "--format", "json")

    assert event["values"] == {"ActionId": "1.2.3", "RefClickId": "a:b", "Status": "PENDING"}
    assert [json.loads(line)["part"] for line in lines(data.out)] == ["url", "body"]
    assert "hunter2" not in data.text


def test_a_capture_that_one_part_of_does_not_fit_makes_no_event(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("url = 'http://127.0.0.1/q'\nmethod = 'POST'\nbody = '{Status}'")

    outcome = run("match", "c.toml", store, "--capture", "exa", "--as-event")

    assert outcome.code == 1
    assert "url of exa, byte 1" in outcome.out
    assert "values" not in outcome.out


def test_the_bytes_of_a_capture_can_be_had_alone(run: Run, store: Path) -> None:
    assert run("show", store, "exa", "--body-only").out == '{"status": "PENDING", "id": "1.2.3"}\n'
    assert run("show", store, "exa", "--target-only").out == "/p/1.2.3?click=a%3Ab&token=[hidden]"
    assert run("show", store, "exa", "--target-only", "--reveal").out == "/p/1.2.3?click=a%3Ab&token=hunter2"
    assert run("show", store, "exa", "--target-only", "--body-only").code == 2


@pytest.mark.parametrize(("capture_id", "code"), [("zzz", 4), ("", 2)], ids=["another id", "no id"])
def test_a_capture_that_is_not_there_is_one_message(run: Run, store: Path, capture_id: str, code: int) -> None:
    assert run("match", "c.toml", store, "--capture", capture_id).code == code


def test_a_token_that_is_a_secret_somewhere_is_repeated_nowhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("url = 'http://127.0.0.1/?api_key={SubId1}&x={SubId1}'")

    outcome = run("match", "n.toml", "-", stdin=b"/?api_key=hunter2&x=1")

    assert "elsewhere another value" in outcome.out
    assert "hunter2" not in outcome.out


def test_a_notification_without_a_body_is_about_its_url(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("url = 'http://127.0.0.1/?a={ActionId}'")

    outcome = run("match", "n.toml", "-", "--as-event", stdin=b"/?a=1.2.3")

    assert json.loads(outcome.out)["values"] == {"ActionId": "1.2.3"}
    assert "no EventDate" in outcome.err


def test_a_body_is_sent_again_as_it_was(run: Run, corrected: Path, tmp_path: Path) -> None:
    """Taken apart, told as an event, and rendered: the same bytes."""
    generated = run("render", corrected, "--format", "json", "--count", 8, "--seed", 4).out
    sent = [json.loads(line)["body"] for line in lines(generated)]
    events: list[str] = []
    for body in sent:
        (tmp_path / "body").write_text(body)
        outcome = run("match", corrected, "body", "--as-event")
        assert (outcome.code, outcome.err) == (0, "")
        events.append(outcome.out)

    again = run("render", corrected, "--format", "json", "--events", "-", stdin="".join(events).encode())
    assert [json.loads(line)["body"] for line in lines(again.out)] == sent


def test_an_event_has_the_time_of_its_event_date(run: Run, corrected: Path) -> None:
    example = encode_event(example_event("action_lifecycle"))
    body = run("render", corrected, "--body-only", "--events", "-", stdin=example).out

    event = json.loads(run("match", corrected, "-", "--as-event", stdin=body.encode()).out)

    assert event["at"] == event["values"]["EventDate"]
    assert event["items"] == json.loads(example)["items"]


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
