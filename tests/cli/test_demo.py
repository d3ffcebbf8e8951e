"""`demo`: the main job, as a newcomer runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from command_line import COMMAND, PATIENCE_S, Outcome, Run, environment


class Demo(NamedTuple):
    """One run of the demo: how it ended, where, and the report it printed."""

    outcome: Outcome
    home: Path
    report: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where it left its results."""
        return self.home / ".postback" / "demo"


def demonstrate(home: Path) -> Demo:
    command = [*COMMAND, "demo", "--seed", "5", "--format", "json"]
    done = subprocess.run(command, cwd=home, env=environment(), capture_output=True, timeout=PATIENCE_S, check=False)
    outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert outcome.code == 0, outcome.err
    return Demo(outcome, home, json.loads(outcome.out))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run twice in the same folder: the second run must start afresh."""
    home = tmp_path_factory.mktemp("demo")
    first, second = demonstrate(home), demonstrate(home)
    assert first.report["captures"] == second.report["captures"]
    return second


def verdicts(demo: Demo, rule: str) -> list[dict[str, Any]]:
    return [verdict for verdict in demo.report["verdicts"] if verdict["rule"] == rule]


def test_the_documented_example_is_reported_as_invalid_json_with_its_byte(demo: Demo) -> None:
    documented = [one for one in verdicts(demo, "body.json.well-formed") if one["endpoint"] == "/documented"]

    assert documented
    assert all((one["outcome"], one["where"]) == ("fail", {"span": [29, 30]}) for one in documented)


def test_everything_else_holds(demo: Demo) -> None:
    wrong = [one for one in demo.report["verdicts"] if one["outcome"] in {"fail", "error"}]

    assert {(one["endpoint"], one["rule"]) for one in wrong} == {("/documented", "body.json.well-formed")}
    assert {one["outcome"] for one in verdicts(demo, "delivery.retry-gap")} == {"pass", "not_applicable"}
    assert {one["outcome"] for one in verdicts(demo, "delivery.minimum-delay")} == {"pass"}


def test_check_says_the_same_again(demo: Demo, run: Run) -> None:
    checked = run("check", demo.folder / "captures.sqlite", "--format", "json")

    assert checked.code == 1
    assert {**json.loads(checked.out), "seed": 5} == demo.report


def test_the_report_is_one_page_that_needs_nothing_else(demo: Demo) -> None:
    page = (demo.folder / "report.html").read_text()

    assert "body.json.well-formed" in page
    assert "<mark>,</mark>" in page
    assert not re.search(r"(?:src|href)=|<script|url\(|@import", page)


def test_git_does_not_see_the_results(demo: Demo) -> None:
    assert (demo.home / ".postback/.gitignore").read_text() == "*\n"


def test_the_next_steps_it_prints_work(demo: Demo) -> None:
    steps = [line.split() for line in demo.outcome.err[demo.outcome.err.index("Next:") :].splitlines()]

    for program, *arguments in (step for step in steps if step[:1] in (["postback"], ["python"])):
        if arguments[0] == "listen":
            # It would not end by itself; test_listen_and_look is about it.
            assert (demo.home / arguments[-1]).exists()
            continue
        command = list(COMMAND) if program == "postback" else [sys.executable]
        done = subprocess.run(
            [*command, *arguments],
            cwd=demo.home,
            env=environment(),
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        # 1: findings in the documented example, which is what it is there for.
        assert done.returncode == (0 if program == "python" else 1), done.stdout


def test_a_folder_that_cannot_be_written_is_one_message(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    outcome = run("demo", "--folder", "file/demo")

    assert outcome.code == 2
    assert "choose another with --folder" in outcome.err
