"""Runs the demonstration, draws its progress and writes its report; what `demo` does once its flags are read."""

import asyncio
import fcntl
import secrets
import shlex
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from postback_conformance.captured.traffic import notifications_of, open_traffic
from postback_conformance.cli.delivery_report import delivery_progress
from postback_conformance.cli.generating import keep_hypothesis_out_of_here
from postback_conformance.cli.reporting import captures_of, write_report
from postback_conformance.cli.saying import say
from postback_conformance.cli.terminal import Format, put, show
from postback_conformance.demo import DOCUMENTED, NAMES, DemoResult, demo_events, demo_sources, run_demo
from postback_conformance.errors import ConformanceError
from postback_conformance.judging.verdict import summary
from postback_conformance.reports.html import html_report
from postback_conformance.reports.machine import json_report
from postback_conformance.reports.report import About, make_report
from postback_conformance.reports.terminal import terminal_report
from postback_conformance.rules import RULES
from postback_receiver import SqliteStore, new_event_loop
from postback_sender import Delivery, Event
from postback_sender.delivery.policy import Delivered

_STORE, _REPORT, _EXAMPLE_TEST = "captures.sqlite", "report.html", "test_postbacks.py"
# Tells a folder of ours from somebody's work, and is locked while a demo runs in it.
_MARKER = ".postback-demo"
_MARKER_TEXT = "Made by `postback demo`. The next demo in this folder overwrites its own files here.\n"

_TEST = '''"""Written by `postback demo`: a receiver and a sender, as fixtures. Run it with pytest."""


def test_every_event_arrives(postback_receiver, postback_sender):
    deliveries = postback_sender.send({notification}, to=postback_receiver.url, count=3, seed=1)

    assert len(postback_receiver.wait_for_count(3)) == len(deliveries) == 3
'''


def demonstrate(folder: Path, seed: int | None, output: Format) -> int:
    """Run the whole chain, leave the results in `folder`, and return the exit code."""
    keep_hypothesis_out_of_here()
    seed = secrets.randbelow(2**32) if seed is None else seed
    with _folder_to_ourselves(folder):
        _prepare(folder)
        events = demo_events(seed)
        say(f"seed {seed}: {len(events)} events of generated life cycles, through {len(NAMES)} notifications")
        result = _run(folder / _STORE, events)
        _report(folder, result, seed, output)
    if result.surprises:
        for surprise in result.surprises:
            say(f"NOT AS IT MUST BE  {surprise}")
        return 1
    unsure = summary(result.judgement.verdicts)["inconclusive"]
    say(
        "\nAs it must be: the documented example, as published, is not JSON; nothing else was found wrong"
        + (f", and {unsure} verdicts say that they cannot tell." if unsure else ".")
    )
    say(f"\nNext:\n  look at {shlex.quote(str(folder / _REPORT))} in a browser")
    say("\n".join(f"  {shlex.join(step)}" for step in _next_steps(folder)))
    return 0


def _next_steps(folder: Path) -> list[list[str]]:
    """Return commands that work as they are printed, in the folder where the demo was started."""
    postback, python = this_command(), this_python()
    return [
        [*postback, "check", str(folder / _STORE)],
        [*postback, "lint", str(folder / f"{DOCUMENTED}.toml")],
        [*postback, "listen", "--port", "8080", "--notification", str(folder / "corrected.toml")],
        [*python, "-m", "pytest", str(folder / _EXAMPLE_TEST)],
    ]


def this_command() -> list[str]:
    """Return how to start this program again from here: by its name if a shell finds it, else by its path."""
    started = Path(sys.argv[0])
    if started.suffix == ".py":
        return [*this_python(), "-m", "postback_conformance"]
    return [_name_or_path(started)]


def this_python() -> list[str]:
    """Return how to start this interpreter again from here."""
    return [_name_or_path(Path(sys.executable), name="python")]


def _name_or_path(program: Path, *, name: str = "") -> str:
    name, program = name or program.name, program.absolute()
    found = shutil.which(name)
    # The folders must be the same, too: the interpreter of a virtual environment is a link to one that is not.
    if found and Path(found).absolute().parent == program.parent and Path(found).resolve() == program.resolve():
        return name
    if program.is_relative_to(Path.cwd()):
        nearby = str(program.relative_to(Path.cwd()))
        return nearby if "/" in nearby else f"./{nearby}"
    return str(program)


@contextmanager
def _folder_to_ourselves(folder: Path) -> Generator[None]:
    """Make the folder, or take over that of an earlier demo; nobody else's, and none in which a demo runs now."""
    marker = folder / _MARKER
    with _folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not marker.exists() and any(folder.iterdir()):
            raise ConformanceError(
                f"{folder}: not empty, and not made by `postback demo`; nothing was changed. "
                "Choose another with --folder, or empty it"
            )
        lock = marker.open("a", encoding="utf-8")
    with lock:
        with _folder_errors(folder):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConformanceError(
                    f"{folder}: another demo is running in it; wait for its end, or choose another with --folder"
                ) from None
            marker.write_text(_MARKER_TEXT, encoding="utf-8")
        yield


@contextmanager
def _folder_errors(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ConformanceError(f"{folder}: cannot be written: {error.strerror}; choose another with --folder") from None


def _prepare(folder: Path) -> None:
    """Empty the folder of an earlier run's results, and write the notifications to look at."""
    with _folder_errors(folder):
        if folder.parent.name == ".postback":
            # What lies here is nobody's source code; git need not see it.
            (folder.parent / ".gitignore").write_text("*\n")
        for name in (_STORE, f"{_STORE}-wal", f"{_STORE}-shm", _REPORT):
            (folder / name).unlink(missing_ok=True)
        for source in demo_sources().values():
            for name, text in {source.name: source.text, **source.files}.items():
                (folder / name).write_text(text, encoding="utf-8")
        example = _TEST.replace("{notification}", repr(str((folder / "get.toml").absolute())))
        (folder / _EXAMPLE_TEST).write_text(example, encoding="utf-8")


def _run(path: Path, events: list[Event]) -> DemoResult:
    store = SqliteStore(path)
    try:
        with delivery_progress() as progress, asyncio.Runner(loop_factory=new_event_loop) as runner:
            tasks = {name: progress.add_task(name.ljust(10), total=len(events), failed=0) for name in NAMES}

            def on_delivery(name: str, delivery: Delivery) -> None:
                failed = int(not isinstance(delivery.outcome, Delivered))
                task = tasks[name]
                progress.update(task, advance=1, failed=progress.tasks[task].fields["failed"] + failed)

            return runner.run(run_demo(store, events, on_delivery=on_delivery))
    finally:
        store.close()


def _report(folder: Path, result: DemoResult, seed: int, output: Format) -> None:
    for name, deliveries in result.deliveries.items():
        attempts = sum(len(delivery.attempts) for delivery in deliveries)
        say(f"  {name.ljust(10)} {len(deliveries)} postbacks in {attempts} attempts")
    say("")
    path = folder / _STORE
    with open_traffic(path) as traffic:
        report = make_report(
            result.judgement,
            RULES,
            About(source=str(path), seed=seed),
            notifications=notifications_of(traffic.settings, name=traffic.name),
            fetch=captures_of(traffic),
            timeline=result.timeline,
        )
    if output is Format.JSON:
        put(json_report(report))
    else:
        show(terminal_report(report))
    write_report(folder / _REPORT, html_report(report))
