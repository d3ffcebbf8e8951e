"""The distributions hold what they should, and `check_dist.py`, which `make build` runs, sees when they do not."""

import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fork_server import PATIENCE_S

CHECK = Path(__file__).with_name("check_dist.py")
dist_findings: Callable[[Path], list[str]] = runpy.run_path(str(CHECK))["dist_findings"]


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECK), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_the_distributions_of_this_repository_are_complete(dist: Path) -> None:
    result = check(dist)
    assert (result.stderr, result.returncode) == ("", 0)


def without(lost: str) -> Callable[[Path], None]:
    """Rewrite the wheel in a folder without one of its files."""

    def rewrite(folder: Path) -> None:
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(name) for name in archive.namelist() if name != lost}
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content)

    return rewrite


def with_extra(name: str) -> Callable[[Path], None]:
    """Add a file to the wheel in a folder."""

    def add(folder: Path) -> None:
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr(name, "")

    return add


def without_sdist(folder: Path) -> None:
    (sdist,) = folder.glob("*.tar.gz")
    sdist.unlink()


def with_empty_sdist(folder: Path) -> None:
    (sdist,) = folder.glob("*.tar.gz")
    tarfile.open(sdist, "w:gz").close()


def with_second_wheel(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    shutil.copy(wheel, folder / "postback_kit-0.0.1-py3-none-any.whl")


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        pytest.param(without("postback_sender/py.typed"), "lacks postback_sender/py.typed", id="types"),
        pytest.param(without("postback_sender/__init__.py"), "lacks postback_sender/__init__.py", id="module"),
        pytest.param(without("pytest_postback.py"), "lacks the top-level name pytest_postback.py", id="plugin"),
        pytest.param(with_extra("receiver/__init__.py"), "must not bring the top-level name receiver", id="name"),
        pytest.param(
            with_extra("postback_sender/old.py"), "holds postback_sender/old.py, which is not", id="left over"
        ),
        pytest.param(without_sdist, "holds 0 sdists instead of one", id="no sdist"),
        pytest.param(with_empty_sdist, "lacks README.md", id="empty sdist"),
        pytest.param(with_second_wheel, "holds 2 wheels instead of one", id="two wheels"),
    ],
)
def test_a_damaged_distribution_is_found(
    dist: Path, tmp_path: Path, damage: Callable[[Path], None], finding: str
) -> None:
    folder = shutil.copytree(dist, tmp_path / "dist")
    damage(folder)
    assert any(finding in one for one in dist_findings(folder))


def test_what_was_found_is_told_and_is_exit_code_1(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert result.returncode == 1
    assert "holds 0 wheels instead of one" in result.stderr
    assert "holds 0 sdists instead of one" in result.stderr
