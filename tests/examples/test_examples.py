"""The endpoints in `examples/` pass the whole endpoint suite, tested as their users do: in a copy, by the CI file."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from command_line import environment
from postback_conformance.suite.catalogue import CASES

EXAMPLES = Path(__file__).parents[2] / "examples"
WORKFLOW = EXAMPLES / "ci/github-actions.yml"
# Fewest examples, and none of the plugins that their users do not have.
QUICKLY = (
    *("-W", "error", "--postback-quick", "--postback-max-examples=1"),
    *("-p", "no:anyio", "-p", "no:timeout", "-p", "no:xdist"),
)
# The one that is also started and killed as in production; for the others that is collected only.
DEPLOYED = "flask_sqlite"
NO_BYTE_CODE = "PYTHONDONTWRITEBYTECODE"
# A whole suite, with the imports of a framework, may take ten times as long on a slow machine. What it printed is seen.
LASTS_AT_MOST_S = 200
# What is not asked of an endpoint, by what its notifications send.
NO_BODY = {"rejects.deep-nesting", "rejects.bad-utf8", "rejects.malformed-body"}
NO_XML = {"rejects.xml-entity-bomb", "rejects.xml-external-entity"}
NO_ITEMS = {"accepts.many-items"}
NO_RESTART = {"recovery.restart"}


def workflow_command() -> list[str]:
    """Return the line of the CI file that runs the tests."""
    lines = (line.strip() for line in WORKFLOW.read_text().splitlines())
    (command,) = (line.removeprefix("- run: ") for line in lines if line.startswith("- run: python -m pytest"))
    return shlex.split(command)


@pytest.mark.timeout(LASTS_AT_MOST_S + 20)
@pytest.mark.parametrize(
    ("name", "not_asked"),
    [
        pytest.param("flask_sqlite", NO_BODY | NO_XML | NO_ITEMS, id="Flask and SQLite"),
        pytest.param("fastapi_sqlalchemy", NO_XML | NO_ITEMS | NO_RESTART, id="FastAPI and SQLAlchemy"),
        pytest.param("django_app", NO_ITEMS | NO_RESTART, id="Django"),
        pytest.param("aiohttp_app", NO_XML, id="aiohttp"),
    ],
)
def test_an_example_passes_every_case_that_its_notification_can_be_asked(
    name: str, not_asked: set[str], tmp_path: Path
) -> None:
    """Without a warning and with a probe; the suite is the quick one, and one of them is also started and killed."""
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".*", "*.sqlite*"))
    _, *arguments = workflow_command()
    if name != DEPLOYED:
        arguments += ["--deselect", "test_deployed.py"]
    done = subprocess.run(
        [sys.executable, *arguments, *QUICKLY],
        cwd=folder,
        # Byte code is kept: most of the time is spent on imports.
        env={key: value for key, value in environment().items() if key != NO_BYTE_CODE and "PYTEST_" not in key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LASTS_AT_MOST_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    outcomes = outcomes_by_case(folder / "postback.xml")
    assert set(outcomes) == {case.id for case in CASES}
    assert {case for case, told in outcomes.items() if "pass" not in told} == not_asked
    assert set().union(*outcomes.values()) == {"pass", "not_applicable"}


def outcomes_by_case(report: Path) -> dict[str, set[str]]:
    """Return what came of each case, in whichever tests of a report it was."""
    found: dict[str, set[str]] = {}
    for properties in ET.parse(report).iter("properties"):  # noqa: S314  pytest's own
        told = {each.get("name"): each.get("value") for each in properties}
        if "postback_case" in told:
            found.setdefault(str(told["postback_case"]), set()).add(str(told["postback_outcome"]))
    return found


def test_each_example_is_whole_and_told_of() -> None:
    """What a person who copies a folder needs is in it."""
    overview = (EXAMPLES / "README.md").read_text()
    folders = [path.parent for path in EXAMPLES.glob("*/pytest.ini")]

    assert len(folders) == 4
    for folder in folders:
        assert f"[{folder.name}]({folder.name})" in overview
        needed = ("README.md", "notification.toml", "requirements.txt", "requirements-test.txt", "test_postback.py")
        assert [name for name in needed if not (folder / name).is_file()] == []


def test_where_an_action_stands_is_told_by_the_same_code_in_each_example() -> None:
    """Each folder stands alone, so each has it; what is found wrong in one is put right in all."""
    copies = {path.read_text() for path in EXAMPLES.rglob("standing.py")}

    assert len(copies) == 1
    assert len(list(EXAMPLES.rglob("standing.py"))) == 4
