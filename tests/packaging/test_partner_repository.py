"""Our wheel is a good guest: a partner's repository with packages of the same names works as it did before.

Every pytest run of a partner loads our plugin, wanted or not. The partner in `partner/` has its own `receiver/`,
`sender/` and `conformance/`, and runs its tests in the usual ways, each with our wheel installed and without it.
"""

import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fork_server import PATIENCE_S

PARTNER = Path(__file__).with_name("partner")


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of the partner's."""

    folder: Path

    def path(self, name: str) -> Path:
        """Where things go in it: `purelib` for libraries, `scripts` for commands."""
        return Path(sysconfig.get_path(name, "venv", {"base": str(self.folder)}))

    def run(
        self, command: str, *, cwd: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line with this environment's commands, and with nothing else set that could help it."""
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=cwd,
            env={"PATH": str(self.path("scripts")), **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


def make_environment(folder: Path) -> Environment:
    """Make a virtual environment with `pytest`, and with what it and Postback Kit need, but without the kit.

    Linking what is installed here needs no network and no second copy. What else is here is no business of a partner's,
    and a plugin among it would start with each of their runs.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    environment = Environment(folder)
    for name in needed("pytest", needed("postback-kit", set())) - {"postback-kit"}:
        distribution = importlib.metadata.distribution(name)
        # What is outside of it, such as a command, is written "../../../bin/..."; what is compiled lies where it may.
        for entry in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (environment.path("purelib") / entry).symlink_to(str(distribution.locate_file(entry)))
    command = environment.path("scripts") / "pytest"
    command.write_text(f"#!{command.with_name('python')}\nimport pytest\nraise SystemExit(pytest.console_main())\n")
    command.chmod(0o755)
    return environment


def needed(name: str, known: set[str]) -> set[str]:
    """Add a distribution to the known ones, and all that it needs."""
    if name not in known:
        known.add(name)
        for requirement in map(Requirement, importlib.metadata.requires(name) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed(canonicalize_name(requirement.name), known)
    return known


@pytest.fixture(scope="session")
def without_kit(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return make_environment(tmp_path_factory.mktemp("without_kit") / "venv")


@pytest.fixture(scope="session")
def with_kit(tmp_path_factory: pytest.TempPathFactory, dist: Path) -> Environment:
    environment = make_environment(tmp_path_factory.mktemp("with_kit") / "venv")
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(environment.folder), "--disable-pip-version-check"]
    install = ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", str(wheel)]
    subprocess.run([*pip, *install], timeout=PATIENCE_S, check=True)
    return environment


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A fresh copy of the partner's repository."""
    return shutil.copytree(PARTNER, tmp_path / "partner", ignore=shutil.ignore_patterns("__pycache__"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A usual way to run tests: the command, and what the repository has so that the tests find its packages."""

    command: str
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


PATH_IN_CONFTEST = "import sys\nfrom pathlib import Path\n\nsys.path.insert(0, str(Path(__file__).parents[1]))\n"

WAYS = {
    "pytest": Way(command="pytest", files={"tests/conftest.py": PATH_IN_CONFTEST}),
    "python -m pytest": Way(command="python -m pytest"),
    "PYTHONPATH": Way(command="pytest", variables={"PYTHONPATH": "."}),
    "pythonpath setting": Way(command="pytest", files={"pytest.ini": "[pytest]\npythonpath = .\n"}),
    "tests are a package": Way(command="pytest", files={"tests/__init__.py": ""}),
    "root conftest": Way(command="pytest", files={"conftest.py": ""}),
    "own runner": Way(command="python run_tests.py"),
}


def write(repository: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (repository / name).write_text(text, "utf-8")


def outcomes(output: str) -> list[str]:
    """The lines `-rA` prints for each test."""
    return [line for line in output.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR"))]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_partner_runs_its_tests_as_before(
    with_kit: Environment, without_kit: Environment, repository: Path, way: Way
) -> None:
    write(repository, way.files)
    variables = {"PYTEST_ADDOPTS": "-rA", **way.variables}
    before = without_kit.run(way.command, cwd=repository, variables=variables)
    after = with_kit.run(way.command, cwd=repository, variables=variables)
    assert after.returncode == 0, after.stdout
    assert before.returncode == 0, before.stdout
    assert len(outcomes(after.stdout)) == 7
    assert outcomes(after.stdout) == outcomes(before.stdout)
    assert "postback-kit" in after.stdout
    assert "postback-kit" not in before.stdout


@pytest.mark.parametrize("module", ["postback_sender", "postback_receiver", "postback_conformance", "pytest_postback"])
def test_the_partner_imports_the_copy_in_the_wheel(with_kit: Environment, repository: Path, module: str) -> None:
    result = with_kit.run(f"python -c 'import {module}; print({module}.__file__)'", cwd=repository)
    assert Path(result.stdout.strip()).resolve().is_relative_to(with_kit.path("purelib").resolve())


def test_starting_pytest_loads_our_plugin_and_nothing_more(
    with_kit: Environment, without_kit: Environment, repository: Path
) -> None:
    header = 'import sys\n\ndef pytest_report_header():\n    return "loaded: " + " ".join(sys.modules)\n'
    write(repository, {"conftest.py": header})

    def loaded(environment: Environment) -> set[str]:
        output = environment.run("pytest", cwd=repository).stdout
        (line,) = (line for line in output.splitlines() if line.startswith("loaded: "))
        return set(line.split())

    assert loaded(with_kit) - loaded(without_kit) == {"pytest_postback"}


USES_OUR_FIXTURES = """
import urllib.request

import receiver
import sender


def test_both_receivers_at_once(postback_receiver, postback_sender, tmp_path):
    urllib.request.urlopen(postback_receiver.url, data=b"hello").close()
    [capture] = postback_receiver.wait_for_count(1)
    assert capture.body == b"hello"
    notification = tmp_path / "n.toml"
    notification.write_text('url = "http://127.0.0.1/x?id={ActionId}"')
    deliveries = postback_sender.send(notification, to=postback_receiver.url, count=2, seed=1)
    assert len(postback_receiver.wait_for_count(3)) == 1 + len(deliveries) == 3
    assert "site-packages" not in receiver.__file__ + sender.__file__
"""


def test_a_partner_uses_our_fixtures_beside_packages_of_the_same_names(with_kit: Environment, repository: Path) -> None:
    write(repository, {"tests/test_postback.py": USES_OUR_FIXTURES})
    result = with_kit.run("python -m pytest -W error tests/test_postback.py", cwd=repository)
    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout
