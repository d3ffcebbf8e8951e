"""`check` writes what is asked for, where it is asked for."""

import json
from pathlib import Path

import pytest

from command_line import Run
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import capture_to_line

FILES = {
    "out.xml": "<testsuites",
    "out.sarif": '"version": "2.1.0"',
    "deep/er/out.html": "<mark>]</mark>",
    "out.md": "## ✗ Postback check",
    "out.ndjson": '"type":"report"',
    "out.txt": "✗ body.json.well-formed",
}


@pytest.fixture
def captured(tmp_path: Path) -> None:
    """One capture that is broken, and the settings it should be as."""
    (tmp_path / "n.toml").write_text(JSON_SETTINGS)
    broken = capture(b"{]", target="/postback?token=s3cret")
    (tmp_path / "c.ndjson").write_bytes(capture_to_line(broken))


@pytest.mark.usefixtures("captured")
def test_several_reports_are_written_at_once(run: Run, tmp_path: Path) -> None:
    formats = ("junit", "sarif", "html", "markdown", "ndjson", "text")
    wanted = [f"--report={kind}={name}" for kind, name in zip(formats, FILES, strict=True)]
    outcome = run("check", "c.ndjson", "--notification", "n.toml", "--format", "json", *wanted)

    assert outcome.code == 1
    assert json.loads(outcome.out)["summary"]["fail"] >= 1
    for name, part in FILES.items():
        text = (tmp_path / name).read_text()
        assert part in text, name
        assert "s3cret" not in text, name
        assert f"report: {name}" in outcome.err


@pytest.mark.usefixtures("captured")
def test_a_report_can_go_to_a_file_and_show_what_is_hidden(run: Run, tmp_path: Path) -> None:
    outcome = run("check", "c.ndjson", "--notification", "n.toml", "--format", "html", "-o", "r.html", "--reveal")

    assert (outcome.code, outcome.out) == (1, "")
    assert "token=s3cret" in (tmp_path / "r.html").read_text()


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--report", "junit"], "expected FORMAT=FILE such as junit=postbacks.xml", id="no-file"),
        pytest.param(["--report", "pdf=x"], "formats are text, json, ndjson, junit", id="unknown"),
        pytest.param(["--report", "junit=."], ".: the report cannot be written: it is a folder", id="folder"),
        pytest.param(["-o", "n.toml/x"], "a file is in the place of its folder", id="below-a-file"),
    ],
)
def test_a_report_that_cannot_be_written_is_one_message(run: Run, arguments: list[str], message: str) -> None:
    outcome = run("check", "c.ndjson", "--notification", "n.toml", *arguments)

    assert outcome.code == 2
    assert message in outcome.err


def test_the_schema_of_a_report_can_be_printed(run: Run) -> None:
    published = Path(__file__).parents[2] / "docs" / "report.schema.json"
    assert run("check", "--schema").out == published.read_text()
