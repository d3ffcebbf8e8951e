"""`demo`: the main job, as a newcomer runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from command_line import Run


def test_the_demo_ends_as_it_must_and_check_says_the_same_again(run: Run, tmp_path: Path) -> None:
    demo = run("demo", "--seed", "5", "--format", "json")

    assert demo.code == 0, demo.err
    assert "seed 5" in demo.err
    folder = tmp_path / ".postback/demo"
    report = json.loads(demo.out)
    documented = [
        verdict
        for verdict in report["verdicts"]
        if verdict["rule"] == "body.json.well-formed" and verdict["endpoint"] == "/documented"
    ]
    assert documented
    assert all((one["outcome"], one["where"]) == ("fail", {"span": [29, 30]}) for one in documented)
    elsewhere = [one for one in report["verdicts"] if one["outcome"] in {"fail", "error"} and one not in documented]
    assert elsewhere == []
    retried = {one["outcome"] for one in report["verdicts"] if one["rule"] == "delivery.retry-gap"}
    assert "pass" in retried

    checked = run("check", folder / "captures.sqlite", "--format", "json")
    again = json.loads(checked.out)
    assert checked.code == 1
    assert {**again, "seed": 5} == report
    page = (folder / "report.html").read_text()
    assert "documented" in page
    assert not re.search(r"(?:src|href)=|<script|url\(|@import", page)
    assert (tmp_path / ".postback/.gitignore").read_text() == "*\n"


def test_the_next_steps_it_prints_work(run: Run, tmp_path: Path) -> None:
    demo = run("demo", "--seed", "6")
    steps = demo.err[demo.err.index("Next:") :]

    assert demo.code == 0
    assert "body, byte 29" in demo.out
    assert run("lint", ".postback/demo/documented.toml").code == 1
    assert "python -m pytest .postback/demo/test_postbacks.py" in steps
    test = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", ".postback/demo/test_postbacks.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed" in test.stdout, test.stdout


def test_a_second_run_starts_afresh(run: Run, tmp_path: Path) -> None:
    first, second = (json.loads(run("demo", "--seed", "7", "--format", "json").out)["captures"] for _ in range(2))

    assert first == second
    assert (tmp_path / ".postback/demo/report.html").exists()


def test_a_folder_that_cannot_be_written_is_one_message(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    outcome = run("demo", "--folder", "file/demo")

    assert outcome.code == 2
    assert "choose another with --folder" in outcome.err
