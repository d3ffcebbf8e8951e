"""Checks the files `python -m build` made before anybody uploads them: `python check_dist.py DIST_FOLDER`.

A wheel is what partners get, and its mistakes do not show in an editable install: a top-level name of theirs taken, a
template left out, types lost because `py.typed` is missing. Exit code 1 when something was found.
"""

import argparse
import sys
import tarfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = {
    "postback_conformance": REPOSITORY / "conformance",
    "postback_receiver": REPOSITORY / "receiver",
    "postback_sender": REPOSITORY / "sender",
}
PLUGIN = "pytest_postback.py"
SDIST_NEEDS = ("CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pyproject.toml", "tests/packaging/check_dist.py")


def source_files() -> set[str]:
    """Name every file below our packages, modules and data alike, the way the wheel should."""
    return {
        path.relative_to(root).as_posix()
        for package, root in PACKAGES.items()
        for path in (root / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def wheel_findings(wheel: Path) -> list[str]:
    """Compare the wheel with what it should hold."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    top_level = {name.partition("/")[0] for name in names}
    dist_info = f"{'-'.join(wheel.stem.split('-')[:2])}.dist-info"
    expected = {*PACKAGES, PLUGIN, dist_info}
    present = {name for name in names if name.partition("/")[0] in PACKAGES}
    sources = source_files()
    return [
        *(f"{wheel.name} must not bring the top-level name {name}" for name in sorted(top_level - expected)),
        *(f"{wheel.name} lacks the top-level name {name}" for name in sorted(expected - top_level)),
        *(f"{wheel.name} lacks {package}/py.typed" for package in PACKAGES if f"{package}/py.typed" not in names),
        *(f"{wheel.name} lacks {name}, which is in the sources" for name in sorted(sources - present)),
        *(f"{wheel.name} holds {name}, which is not in the sources" for name in sorted(present - sources)),
    ]


def sdist_findings(sdist: Path) -> list[str]:
    """Say which files somebody needs to build and test from the sdist, and does not find in it."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    return [f"{sdist.name} lacks {name}" for name in SDIST_NEEDS if name not in names]


def dist_findings(folder: Path) -> list[str]:
    """Check everything in the folder of distributions."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    counts = {"wheel": len(wheels), "sdist": len(sdists)}
    return [
        *(f"{folder} holds {count} {kind}s instead of one" for kind, count in counts.items() if count != 1),
        *(finding for wheel in wheels for finding in wheel_findings(wheel)),
        *(finding for sdist in sdists for finding in sdist_findings(sdist)),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Check a built wheel and sdist of Postback Kit.")
    parser.add_argument("folder", type=Path, help="where `python -m build` put them")
    # A text given to sys.exit goes to stderr and makes the exit code 1.
    sys.exit("\n".join(dist_findings(parser.parse_args().folder)) or None)
