"""`match --url`: a captured URL taken apart, and no secret of it, of the settings or of the environment shown."""

import json
from pathlib import Path

import pytest

from command_line import Run

NOTIFICATION = """
url = "http://127.0.0.1:1/postback/{ActionId}?click={RefClickId}&token=${TOKEN}&key={SubId1}"
"""


@pytest.fixture
def notification(tmp_path: Path) -> Path:
    path = tmp_path / "n.toml"
    path.write_text(NOTIFICATION)
    return path


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


def test_a_token_that_is_a_secret_somewhere_is_repeated_nowhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("url = 'http://127.0.0.1/?api_key={SubId1}&x={SubId1}'")

    outcome = run("match", "n.toml", "-", stdin=b"/?api_key=hunter2&x=1")

    assert "elsewhere another value" in outcome.out
    assert "hunter2" not in outcome.out
