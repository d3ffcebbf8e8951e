"""What the kit adds to the start of pytest in a repository that has it installed and does not use it.

    python benchmarks/pytest_start.py [ROUNDS]

Each round starts pytest on one empty test in three ways: without the kit in the environment, with it, and with it and
`-p no:postback`. Compared is CPU time, or, where Linux' `perf` is there, the number of instructions, which a busy
machine leaves alone; either is told as a part of pytest's own start, and that in milliseconds. Ends with 1 when the kit
costs too much. It is a wheel here, as partners have it: pytest reads the list of files of every distribution that has a
plugin, so their number costs, whatever the plugin does.

Hypothesis' own plugin is left out: at the end of every run it loads all of Hypothesis, whose time wavers by more than
what is measured here.
"""

import importlib.metadata
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_ROUNDS: Final = 30
_ALLOWED_MS: Final = 20.0
_AIM_MS: Final = 5.0
_PATIENCE_S: Final = 60.0
_REPOSITORY: Final = Path(__file__).parents[1]
# -S: nothing but the folder of libraries that the environment names.
_PYTEST: Final = (sys.executable, "-S", "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")

_PERF: Final = shutil.which("perf")


class _Start(NamedTuple):
    """What one start took; `cost` is what is compared."""

    cpu_ms: float
    cost: float


def main() -> int:
    """Measure, print a table, and return the exit code."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else _ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tests = folder / "tests"
        tests.mkdir()
        (tests / "test_nothing.py").write_text("def test_nothing(): pass\n")
        bare, kit = _libraries(folder)
        ways: dict[str, tuple[Path, Sequence[str]]] = {
            "bare": (bare, ()),
            "kit": (kit, ()),
            "kit, plugin off": (kit, ("-p", "no:postback")),
        }
        for way in ways.values():
            # The byte code that the first start makes is nobody's cost.
            _start(tests, *way)
        taken = [{name: _start(tests, *way) for name, way in ways.items()} for _ in range(rounds)]
    base_ms = statistics.median(times["bare"].cpu_ms for times in taken)
    what = "CPU time" if _PERF is None else "instructions"
    print(f"pytest alone: {base_ms:.0f} ms of CPU time, the median of {rounds}; compared by {what}")
    cost_ms = _tell("the kit adds", taken, "kit", "bare", base_ms)
    _tell("  of that, the plugin", taken, "kit", "kit, plugin off", base_ms)
    state = "aim" if cost_ms <= _AIM_MS else "ok" if cost_ms <= _ALLOWED_MS else "MISSED"
    print(f"allowed {_ALLOWED_MS:.0f} ms, aimed at {_AIM_MS:.0f} ms: {state}")
    return int(cost_ms > _ALLOWED_MS)


def _tell(what: str, taken: Sequence[Mapping[str, _Start]], way: str, reference: str, base_ms: float) -> float:
    part = statistics.median((times[way].cost - times[reference].cost) / times["bare"].cost for times in taken)
    print(f"{what:22} {part * base_ms:6.1f} ms = {part:.1%}")
    return part * base_ms


def _libraries(folder: Path) -> tuple[Path, Path]:
    """Return two folders of libraries, of this environment: one without the kit, one with it from a new wheel."""
    bare, kit = folder / "bare", folder / "kit"
    ours = {file.parts[0] for file in importlib.metadata.files("postback-kit") or ()}
    for place in (bare, kit):
        place.mkdir()
        for library in {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}:
            for entry in library.iterdir():
                if entry.name not in ours and entry.name != "__pycache__":
                    (place / entry.name).symlink_to(entry)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    # Our own tools, and nothing that came from elsewhere.
    subprocess.run(build, cwd=_REPOSITORY, capture_output=True, timeout=_PATIENCE_S, check=True)  # noqa: S603
    (wheel,) = folder.glob("*.whl")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(kit),
        str(wheel),
    ]
    subprocess.run(pip, timeout=_PATIENCE_S, check=True)  # noqa: S603
    return bare, kit


def _start(folder: Path, libraries: Path, options: Sequence[str]) -> _Start:
    counted = [] if _PERF is None else [_PERF, "stat", "-x,", "-e", "instructions:u", "--"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(  # noqa: S603
        [*counted, *_PYTEST, *options],
        cwd=folder,
        env={"PYTHONPATH": str(libraries)},
        capture_output=True,
        timeout=_PATIENCE_S,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_ms = 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return _Start(cpu_ms, float(done.stderr.splitlines()[-1].partition(b",")[0]) if counted else cpu_ms)


if __name__ == "__main__":
    sys.exit(main())
