"""The command as a user has it: its own process, its own folder."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

import command_line
from command_line import PATIENCE_S, Listen, Listener, Outcome, Process, Run, Start

NOTHING: Mapping[str, str] = MappingProxyType({})


@pytest.fixture
def start(command_server: str, tmp_path: Path) -> Iterator[Start]:
    """Start `postback`; whatever is left of it at the end is killed."""
    started: list[Process] = []

    def start_it(*arguments: object, stdin: bytes = b"", env: Mapping[str, str] = NOTHING) -> Process:
        assert not command_line.needs_a_fresh_interpreter(env), f"nobody would read all of {env}"
        process = command_line.start(command_server, tmp_path, *arguments, stdin=stdin, env=env)
        started.append(process)
        return process

    yield start_it
    for process in started:
        process.kill()


@pytest.fixture
def run(start: Start, tmp_path: Path) -> Run:
    """Run `postback`; a traceback in its output fails the test, whatever the test is about."""

    def run_it(
        *arguments: object, stdin: bytes = b"", env: Mapping[str, str] = NOTHING, fresh: bool = False
    ) -> Outcome:
        if fresh or command_line.needs_a_fresh_interpreter(env):
            return command_line.run_fresh(tmp_path, *arguments, stdin=stdin, env=env)
        return start(*arguments, stdin=stdin, env=env).end()

    return run_it


@pytest.fixture
def listen(start: Start, tmp_path: Path) -> Listen:
    """Start receivers."""
    names = iter(range(1000))

    def listen_now(*arguments: object) -> Listener:
        port_file, store = tmp_path / f"port-{next(names)}", tmp_path / "captures.sqlite"
        process = start("listen", "--port", 0, "--port-file", port_file, "--store", store, *arguments)
        deadline = time.monotonic() + PATIENCE_S
        # The file appears whole and once the port is open: that is what it is for.
        while not port_file.exists():
            assert process.exit_code is None, process.end().err
            assert time.monotonic() < deadline, "postback listen did not open its port"
            time.sleep(0.01)
        return Listener(process, int(port_file.read_text()), store)

    return listen_now
