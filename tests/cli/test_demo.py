"""`demo`: the main job, as a newcomer runs it."""

import fcntl
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from command_line import PATIENCE_S, Outcome, Run, environment, start
from postback_conformance.captured.traffic import is_store_begun, open_traffic
from postback_conformance.cli.demonstration import this_command

# Such a name must not break the test file that is written, nor the commands that are printed.
FOLDER = """.postback/it's "here\""""


class Demo(NamedTuple):
    """One run of the demo: how it ended, where, and the report it printed."""

    outcome: Outcome
    home: Path
    report: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where it left its results."""
        return self.home / FOLDER


ARGUMENTS = ("demo", "--folder", FOLDER, "--seed", "5", "--format", "json")
# The program is not on PATH: what is printed must work all the same.
NOT_ON_PATH = {"PATH": "/usr/bin:/bin"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, command_server: str) -> Demo:
    """Run where an earlier one was interrupted: it must start afresh."""
    home = tmp_path_factory.mktemp("demo")
    (home / ".venv").mkdir()
    (home / ".venv/bin").symlink_to(sysconfig.get_path("scripts"))
    interrupt_one(command_server, home)
    done = subprocess.run(
        [".venv/bin/postback", *ARGUMENTS],
        cwd=home,
        env=environment(**NOT_ON_PATH, PYTHONWARNINGS="error"),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert outcome.code == 0, outcome.err
    return Demo(outcome, home, json.loads(outcome.out))


def interrupt_one(server: str, home: Path) -> None:
    """Run a demo until something is in its store; again and again, should it be over before it can be interrupted."""
    store, code = home / FOLDER / "captures.sqlite", 0
    while code == 0:
        shutil.rmtree(home / ".postback", ignore_errors=True)
        process = start(server, home, *ARGUMENTS, stdin=b"", env=NOT_ON_PATH)
        deadline = time.monotonic() + PATIENCE_S
        try:
            while not captured(store):
                assert process.exit_code is None, process.end().err
                assert time.monotonic() < deadline, "the demo captured nothing"
                time.sleep(0.01)
            code = process.end(signal.SIGINT).code
        finally:
            process.kill()
    assert (code, captured(store) > 0) == (130, True)


def captured(store: Path) -> int:
    if not is_store_begun(store):
        return 0
    with open_traffic(store) as traffic:
        return traffic.count or 0


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
    # The demo names it as it was named to the demo; what follows works from anywhere.
    checked = run("check", demo.folder / "captures.sqlite", "--format", "json")

    assert checked.code == 1
    report = json.loads(checked.out)
    assert {**report, "seed": 5, "source": demo.report["source"]} == demo.report


def test_the_report_is_one_page_that_needs_nothing_else(demo: Demo) -> None:
    page = (demo.folder / "report.html").read_text()

    assert "body.json.well-formed" in page
    assert "<mark>,</mark>" in page
    assert not re.search(r"src=|href=\"(?!#)|<script|url\(|@import", page)


def test_git_does_not_see_the_results(demo: Demo) -> None:
    assert (demo.home / ".postback/.gitignore").read_text() == "*\n"


def test_the_next_steps_it_prints_work(demo: Demo) -> None:
    """As they are printed, in a shell, for somebody who has the program nowhere but in its virtual environment."""
    look, *printed = demo.outcome.err[demo.outcome.err.index("Next:\n") :].splitlines()[1:]
    steps = {next(word for word in shlex.split(line)[1:] if not word.startswith("-")): line for line in printed}
    # `listen` would not end by itself; test_listen_and_look is about it.
    listen = steps.pop("listen")
    assert (demo.home / shlex.split(look)[2]).exists()
    assert (demo.home / shlex.split(listen)[-1]).exists()
    assert {line.split()[0] for line in (listen, steps["check"], steps["lint"])} == {".venv/bin/postback"}

    # 1: findings in the documented example, which is what it is there for.
    expected = {"check": 1, "lint": 1, "pytest": 0}
    assert steps.keys() == expected.keys()
    # Side by side, as nobody needs to: none waits for another.
    with ThreadPoolExecutor(len(steps)) as shells:
        for name, done in zip(steps, shells.map(partial(in_a_shell, demo.home), steps.values()), strict=True):
            assert done.returncode == expected[name], done.stdout + done.stderr


def in_a_shell(folder: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        env=environment(**NOT_ON_PATH),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("started", "on_path", "printed"),
    [
        pytest.param("env/bin/postback", "", ["env/bin/postback"], id="below the current folder"),
        pytest.param("env/bin/postback", "env/bin", ["postback"], id="where a shell finds it"),
        pytest.param("env/bin/postback", "other/bin", ["env/bin/postback"], id="a shell finds another one"),
        pytest.param("postback", "", ["./postback"], id="in the current folder"),
        pytest.param("/opt/postback", "", ["/opt/postback"], id="elsewhere"),
    ],
)
def test_the_program_is_named_so_that_a_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: str, on_path: str, printed: list[str]
) -> None:
    for folder in ("env/bin", "other/bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "postback").touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setenv("PATH", str(tmp_path / on_path) if on_path else "/nowhere")

    assert this_command() == printed


def test_a_folder_of_somebody_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    theirs = {name: tmp_path / name for name in ("captures.sqlite", "report.html", "test_postbacks.py", "get.toml")}
    for path in theirs.values():
        path.write_text("mine")

    outcome = run("demo", "--folder", ".")

    assert outcome.code == 2
    assert "not made by `postback demo`" in outcome.err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(theirs, "mine")


def test_two_demos_do_not_share_a_folder(run: Run, tmp_path: Path) -> None:
    """The later one would delete the store into which the earlier one still writes."""
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "captures.sqlite").write_text("in use")
    with (folder / ".postback-demo").open("w") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        outcome = run("demo", "--folder", "d")

    assert outcome.code == 2
    assert "another demo is running" in outcome.err
    assert (folder / "captures.sqlite").read_text() == "in use"


def test_a_folder_that_cannot_be_written_is_one_message(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    outcome = run("demo", "--folder", "file/demo")

    assert outcome.code == 2
    assert "choose another with --folder" in outcome.err
