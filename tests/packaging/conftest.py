"""What the packaging tests share: the distributions built from this repository, without network."""

import subprocess
import sys
from pathlib import Path

import pytest

from fork_server import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]

# The fake partner's tests are data: they run in a copy, in an environment of their own.
collect_ignore = ["partner"]


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and the sdist with the build backend itself, which needs no network; the folder they are in."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=REPOSITORY, timeout=PATIENCE_S, check=True
    )
    return folder
