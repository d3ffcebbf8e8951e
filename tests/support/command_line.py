"""The command `postback` as a test sees it: how it is started, and how it ended."""

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import fork_server
from fork_server import Handle, Order

PATIENCE_S: Final = fork_server.PATIENCE_S
COMMAND: Final = (sys.executable, "-W", "error", "-m", "postback_conformance")

_MAIN: Final = str(Path(fork_server.__file__).parents[2] / "conformance/postback_conformance/__main__.py")
# What Python, Rich or a library reads when it starts: a command that is to see it needs an interpreter of its own.
_READ_AT_START: Final = ("PYTHON", "COLUMNS", "FORCE_COLOR", "HYPOTHESIS", "LANG", "LC_", "NO_COLOR", "TERM", "TZ")


def environment(**extra: str) -> dict[str, str]:
    """The environment of a user who has set nothing that we read, and `extra`."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("POSTBACK_") and name != "COLUMNS"
    }
    return {**inherited, "NO_COLOR": "1", **extra}


def needs_a_fresh_interpreter(extra: Mapping[str, str]) -> bool:
    """Whether some of this is read but once, at the start."""
    return any(name.startswith(_READ_AT_START) for name in extra)


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams together."""
        return self.out + self.err


class Process:
    """A command that runs: a process of its own, with pipes for its standard streams."""

    def __init__(self, server: str, order: Order, stdin: bytes = b"") -> None:
        reads, self._stdin = os.pipe()
        self._out, writes_out = os.pipe()
        self._err, writes_err = os.pipe()
        self._unsent = memoryview(stdin)
        self._read: Final = {self._out: b"", self._err: b""}
        self._open: Final = {self._stdin, self._out, self._err}
        os.set_blocking(self._stdin, False)
        try:
            self._handle: Final = Handle(server, order, [reads, writes_out, writes_err])
        finally:
            for number in (reads, writes_out, writes_err):
                os.close(number)

    @property
    def pid(self) -> int:
        """The number by which the system knows it."""
        return self._handle.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -9 for SIGKILL and so on."""
        return self._handle.wait(0)

    @property
    def told(self) -> str:
        """What was read of its stderr."""
        return self._read[self._err].decode()

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        self._handle.send_signal(number)

    def wait_until_told(self, text: str) -> None:
        """Wait until it has written this to stderr."""
        self._exchange(lambda: text in self.told)
        assert text in self.told

    def end(self, number: int | None = None) -> Outcome:
        """Signal it, if a signal is given, and wait for its end; a traceback fails the test, whatever it is about."""
        if number is not None:
            self.send_signal(number)
        self._exchange(lambda: False)
        code = self._handle.wait(PATIENCE_S)
        assert code is not None, "it closed its streams and goes on"
        outcome = Outcome(code, self._read[self._out].decode(), self.told)
        assert "Traceback" not in outcome.text, outcome.text
        return outcome

    def kill(self) -> None:
        """End it at once; what it has not said by now is not heard."""
        self.send_signal(signal.SIGKILL)
        self._handle.wait(PATIENCE_S)
        for number in list(self._open):
            self._close(number)

    def _exchange(self, is_enough: Callable[[], bool]) -> None:
        """Write and read until it is enough, or the streams have ended."""
        deadline = time.monotonic() + PATIENCE_S
        while self._open - {self._stdin} and not is_enough():
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"nothing for {PATIENCE_S:.0f} s, after {self._read}"
            readable, writable, _ = select.select(self._open - {self._stdin}, self._open & {self._stdin}, [], left_s)
            if writable:
                self._feed()
            for number in readable:
                data = os.read(number, 65_536)
                self._read[number] += data
                if not data:
                    self._close(number)

    def _feed(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._stdin, self._unsent[:4096]) :] if self._unsent else self._unsent
        except BrokenPipeError:
            # It has read what it wanted.
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._close(self._stdin)

    def _close(self, number: int) -> None:
        self._open.discard(number)
        os.close(number)


class Start(Protocol):
    """Starts a command in an empty folder, with `env` added to its environment; it is killed when the test ends."""

    def __call__(self, *arguments: object, stdin: bytes = b"", env: Mapping[str, str] = ...) -> Process: ...


class Run(Protocol):
    """Runs a command like `Start`, to its end; `fresh`: in an interpreter of its own, as a user has it."""

    def __call__(
        self, *arguments: object, stdin: bytes = b"", env: Mapping[str, str] = ..., fresh: bool = False
    ) -> Outcome: ...


@dataclass(frozen=True)
class Listener:
    """A `postback listen` in the background."""

    process: Process
    port: int
    store: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self, number: signal.Signals = signal.SIGINT) -> Outcome:
        """Signal it and wait for its end."""
        return self.process.end(number)


class Listen(Protocol):
    """Starts `postback listen` on a free port and returns once it is open."""

    def __call__(self, *arguments: object) -> Listener: ...


def start(server: str, folder: Path, *arguments: object, stdin: bytes, env: Mapping[str, str]) -> Process:
    """Start a command in the fork server at this address."""
    return Process(server, Order([_MAIN, *map(str, arguments)], str(folder), environment(**env)), stdin)


def write_stand_in(path: Path, server: str) -> None:
    """Write a program that does what `postback` does, in the fork server at this address."""
    support = str(Path(fork_server.__file__).parent)
    path.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {support!r})\n"
        f"from fork_server import stand_in\nsys.exit(stand_in({server!r}, *sys.argv))\n",
        "utf-8",
    )
    path.chmod(0o755)


def run_fresh(folder: Path, *arguments: object, stdin: bytes, env: Mapping[str, str]) -> Outcome:
    """Run a command in an interpreter of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        env=environment(**env),
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in outcome.text, outcome.text
    return outcome


@contextmanager
def running_server() -> Generator[str]:
    """Run a fork server; its address."""
    with ExitStack() as stack:
        # Not pytest's folder: the name of a socket may have but a hundred bytes.
        address = f"{stack.enter_context(tempfile.TemporaryDirectory())}/s"
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(address)
        listener.listen()
        # Its warnings are errors, as for every command; so are those of what it imports.
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-W", "error", fork_server.__file__, str(listener.fileno())],
                env=environment(),
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                # Ctrl-C in a terminal is not for it: it ends when its stdin does.
                start_new_session=True,
            )
        )
        listener.close()
        yield address
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE_S)


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until it holds, of which nobody is told."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
