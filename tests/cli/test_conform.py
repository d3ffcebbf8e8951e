"""`postback conform` as people use it: what it prints, what it leaves behind, and how it ends."""

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web

from command_line import Run
from partner_endpoint import JSON_SETTINGS, SECRET, Partner, serving


class AnswersBeforeReading(Partner):
    """Says OK whatever comes."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await super().answer(request)
        return web.Response(text="OK")


@pytest.fixture
def settings(tmp_path: Path) -> str:
    """The name of settings in the folder of the command."""
    (tmp_path / "n.toml").write_text(JSON_SETTINGS.replace(SECRET, "${PARTNER_KEY}"))
    return "n.toml"


@pytest.fixture(scope="module")
def good() -> Iterator[str]:
    """The URL of an endpoint that does everything right."""
    with serving(Partner()) as url:
        yield url


@pytest.fixture(scope="module")
def bad() -> Iterator[str]:
    """The URL of one that does not."""
    with serving(AnswersBeforeReading()) as url:
        yield url


KEY = {"PARTNER_KEY": SECRET}


def test_an_endpoint_that_does_everything_right_ends_with_0(run: Run, settings: str, good: str) -> None:
    probe = good.replace("/postback", "/probe")
    only = ("--only", "accepts.[deu]*", "--only", "rejects.m*", "--only", "recovery.cut-mid-body")
    done = run("conform", good, "--notification", settings, "--probe", probe, "--quick", *only, "--seed", "7", env=KEY)
    assert done.code == 0, done.text
    assert "seed 7" in done.err
    assert "8 passed" in done.out
    assert "the endpoint" in done.out


def test_findings_end_with_1_and_leave_a_report_a_case_file_and_a_command(
    run: Run, settings: str, bad: str, tmp_path: Path
) -> None:
    arguments = ("--only", "rejects.missing-secret", "--only", "rejects.m*", "--report", "junit=out.xml", "--seed", "7")
    done = run("conform", bad, "--notification", settings, *arguments, env=KEY)
    assert done.code == 1, done.text
    assert "✗ rejects.missing-secret  MUST" in done.out
    assert "rejects.missing-secret, once more:\ncurl http://127.0.0.1:" in done.err
    assert SECRET not in done.text
    suite = ET.fromstring((tmp_path / "out.xml").read_bytes())  # noqa: S314  it is ours
    assert suite.get("failures") == "1", "SHOULD is no failure without --strict"
    kept = tmp_path / "postback-cases" / "rejects.missing-secret-7.json"
    assert SECRET not in kept.read_text()
    assert f"--replay {kept.relative_to(tmp_path)}" in done.err

    again = run("conform", bad, "--replay", kept.relative_to(tmp_path), "--format", "json", env=KEY)
    assert again.code == 1
    document = json.loads(again.out)
    assert (document["subject"], document["seed"]) == ("endpoint", 7)
    assert {one["rule"] for one in document["verdicts"]} == {"rejects.missing-secret"}


def test_should_counts_when_it_is_asked_for(run: Run, settings: str, bad: str) -> None:
    arguments = ("conform", bad, "--notification", settings, "--only", "rejects.bad-utf8")
    assert [run(*arguments, env=KEY).code, run(*arguments, "--strict", env=KEY).code] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        (("--only", "nothing.*"), (4, "no case is called")),
        (("--only", "state.*", "--skip", "state.*"), (4, "no case")),
        (("--only", "recovery.restart"), (4, "nothing was tested")),
        (("--probe", "nowhere"), (2, "expected a URL or module:function")),
        (("--probe", "http://elsewhere.example/"), (2, "--allow-host elsewhere.example")),
        (("--replay", "n.toml"), (2, "--replay says what to send")),
        (("--report", "x"), (2, "expected FORMAT=FILE")),
    ],
)
def test_what_cannot_be_run_is_told(
    run: Run, settings: str, good: str, arguments: tuple[str, ...], ending: tuple[int, str]
) -> None:
    done = run("conform", good, "--notification", settings, *arguments, env=KEY)
    code, words = ending
    assert (done.code, words in done.err) == (code, True), done.text


def test_only_this_machine_is_tested_unless_a_host_is_allowed(run: Run, settings: str) -> None:
    done = run("conform", "http://partner.example/", "--notification", settings, env=KEY)
    assert (done.code, "--allow-host partner.example" in done.err) == (2, True)


def test_an_endpoint_that_is_down_ends_with_1_and_says_so(run: Run, settings: str) -> None:
    done = run("conform", "http://127.0.0.1:9/", "--notification", settings, "--only", "rejects.*", env=KEY)
    assert (done.code, "✗ endpoint.answers" in done.out, "no connection" in done.out) == (1, True, True)


def test_a_function_in_the_folder_of_the_command_may_be_the_probe(
    run: Run, settings: str, good: str, tmp_path: Path
) -> None:
    (tmp_path / "our_ledger.py").write_text("def recorded(action_id):\n    return None\n")
    arguments = ("--probe", "our_ledger:recorded", "--only", "recovery.cut-mid-body")
    done = run("conform", good, "--notification", settings, *arguments, env=KEY)
    assert (done.code, "was accepted and not recorded" in done.out) == (1, True), done.text


def test_cases_are_listed(run: Run) -> None:
    done = run("conform", "--list-cases")
    assert (done.code, "accepts.documented-example" in done.out, "probe" in done.out) == (0, True, True)
