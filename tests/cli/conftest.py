"""The command as a user has it: its own process, its own folder."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from command_line import COMMAND, PATIENCE_S, Listen, Listener, Outcome, Run, environment

NOTHING: Mapping[str, str] = MappingProxyType({})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `postback`; a traceback in its output fails the test, whatever the test is about."""

    def run_it(*arguments: object, stdin: bytes = b"", env: Mapping[str, str] = NOTHING) -> Outcome:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**env),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in outcome.text
        return outcome

    return run_it


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Start receivers; whatever is left of them at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object) -> Listener:
        port_file, store = tmp_path / f"port-{len(started)}", tmp_path / "captures.sqlite"
        options = ["--port", "0", "--port-file", str(port_file), "--store", str(store), *map(str, arguments)]
        process = subprocess.Popen(
            [*COMMAND, "listen", *options],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        deadline = time.monotonic() + PATIENCE_S
        # The file appears whole and once the port is open: that is what it is for.
        while not port_file.exists():
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline, "postback listen did not open its port"
            time.sleep(0.01)
        return Listener(process, int(port_file.read_text()), store)

    yield start
    for process in started:
        process.kill()
        process.communicate()
